//! `deploy/docker/`: the image, and three containers of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::files::{at, settings, text, texts, tool, yaml};
use crate::nobody::Nobody;
use crate::process::{Process, program};

/// The instructions of the Dockerfile, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let joined = text("deploy/docker/Dockerfile").replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parts = lines.map(|line| line.split_once(' ').expect("an instruction"));
    parts.map(|(word, rest)| (word.to_owned(), rest.to_owned())).collect()
}

/// What the last stage says under this word.
#[track_caller]
fn last(word: &str) -> String {
    let all = instructions();
    let stage = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    let found: Vec<_> = all[stage..].iter().filter(|(found, _)| found == word).collect();
    assert_eq!(found.len(), 1, "{word} stands in the last stage once: {found:?}");
    found[0].1.clone()
}

/// The command behind HEALTHCHECK, in the form that needs no shell.
fn health_check() -> Vec<String> {
    let check = last("HEALTHCHECK");
    let (_, command) = check.split_once(" CMD ").expect("a command");
    serde_json::from_str(command).expect("the form that needs no shell")
}

/// The settings that the image's own environment makes.
fn in_the_image() -> Json {
    let (name, value) =
        last("ENV").split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    settings(&[], &[(name, value)].into())
}

#[test]
fn the_image_holds_the_program_alone_and_runs_it_without_root() {
    assert_eq!(last("FROM"), "scratch");
    let user: Vec<u32> = last("USER").split(':').map(|id| id.parse().expect("a number")).collect();
    assert!(user.iter().all(|id| *id > 0) && user.len() == 2, "there is no list of names to ask");
    let entry: Vec<String> = serde_json::from_str(&last("ENTRYPOINT")).expect("no shell");
    assert_eq!(entry, ["/node"]);
    assert_eq!(last("STOPSIGNAL"), "SIGTERM");
    let shown = in_the_image();
    assert_eq!(last("EXPOSE"), format!("{} {}", shown["port"], shown["admin_port"]));
    assert_eq!(shown["data_dir"], Json::from(last("VOLUME")));
    let manifest = text("Cargo.toml");
    let (_, rust) = manifest.split_once("rust-version = \"").expect("a version");
    let builder = format!("rust:{}-alpine AS build", rust.split('"').next().unwrap());
    assert!(instructions().contains(&("FROM".to_owned(), builder)));
}

#[test]
fn the_health_check_is_good_while_the_node_answers_and_bad_when_it_does_not() {
    let check = health_check();
    assert_eq!(check[0], "/node");
    let directory = tempfile::tempdir().unwrap();
    // One of two: it waits for the other, and is well.
    let nobody = Nobody::new();
    let flags = ["--port", "0", "--peers", &nobody.address];
    let mut process = Process::start(directory.path(), &flags);
    let admin = process.admin().expect("no port was asked for");
    let port = admin.rsplit(':').next().unwrap();
    let looked = || {
        let mut command = program();
        command.args(&check[1..]).env("QUORATE_ADMIN_PORT", port);
        command.output().expect("the program runs").status.code()
    };
    assert_eq!(looked(), Some(0));
    process.kill();
    assert_ne!(looked(), Some(0));
}

#[test]
fn three_containers_list_each_other_and_show_a_token_beyond_themselves() {
    let compose = &yaml("deploy/docker/compose.yaml")[0];
    let services = compose["services"].as_object().expect("services");
    assert_eq!(services.len(), 3);
    let port = in_the_image()["port"].clone();
    let everyone: BTreeSet<String> = services.keys().map(|name| format!("{name}:{port}")).collect();
    let (mut volumes, mut published) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in services {
        let own = format!("{name}:{port}");
        let environment = at(service, "/environment").as_object().expect("a mapping");
        let environment: BTreeMap<String, String> = environment
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect();
        let shown = settings(&[], &environment);
        let peers: BTreeSet<String> =
            texts(&shown["peers"]).into_iter().map(str::to_owned).collect();
        assert_eq!(peers, everyone);
        assert_eq!((&shown["advertise"], &shown["name"]), (&own.into(), &name.as_str().into()));
        assert_eq!(shown["port"], port);
        assert_eq!(shown["admin_bind"], "0.0.0.0");
        let secret = texts(&service["secrets"]);
        assert_eq!(shown["admin_token_file"], format!("/run/secrets/{}", secret[0]));
        assert!(compose["secrets"][secret[0]]["file"].is_string());
        assert_eq!(service["restart"], "unless-stopped");
        assert!(service["stop_grace_period"].is_string());
        let mut check = vec!["CMD".to_owned()];
        check.extend(health_check());
        assert_eq!(at(service, "/healthcheck/test"), &json!(check));
        let (volume, directory) = texts(&service["volumes"])[0].split_once(':').unwrap();
        assert_eq!(directory, last("VOLUME"));
        assert!(compose["volumes"].as_object().unwrap().contains_key(volume));
        assert!(volumes.insert(volume), "two nodes never share a directory");
        let outside =
            texts(&service["ports"])[0].strip_suffix(&format!(":{}", shown["admin_port"]));
        let outside = outside.expect("the interface is what is published");
        assert!(outside.starts_with("127.0.0.1:") && published.insert(outside));
    }
    if let Some(mut docker) = tool("docker", &["compose", "version"]) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/docker/compose.yaml");
        let done = docker.args(["compose", "--file", file, "config", "--quiet"]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}
