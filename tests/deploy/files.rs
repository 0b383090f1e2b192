//! The files as they lie there, read; and what the program says that it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, Value as Json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::process::program;

/// A file of the project, by its path from the root.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
pub(crate) fn yaml(path: &str) -> Vec<Json> {
    let documents = YamlLoader::load_from_str(&text(path)).expect("YAML");
    documents.iter().map(json_of).collect()
}

/// With `<<` merged in: what a mapping says itself wins.
fn json_of(yaml: &Yaml) -> Json {
    match yaml {
        Yaml::Hash(hash) => {
            let mut object = Map::new();
            for (key, value) in hash {
                let (key, value) = (key.as_str().expect("keys are texts"), json_of(value));
                if key == "<<" {
                    let merged = value.as_object().expect("a mapping is merged").clone();
                    object.extend(merged.into_iter().filter(|(key, _)| key != "<<"));
                } else {
                    object.insert(key.to_owned(), value);
                }
            }
            Json::Object(object)
        }
        Yaml::Array(items) => items.iter().map(json_of).collect(),
        Yaml::String(text) => Json::from(text.as_str()),
        Yaml::Integer(number) => Json::from(*number),
        Yaml::Boolean(answer) => Json::from(*answer),
        Yaml::Null => Json::Null,
        Yaml::Real(_) | Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?} is not written here"),
    }
}

/// The text at a path of JSON, which must be there.
#[track_caller]
pub(crate) fn at<'j>(json: &'j Json, pointer: &str) -> &'j Json {
    json.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {json}"))
}

/// The items of a list, as texts.
#[track_caller]
pub(crate) fn texts(list: &Json) -> Vec<&str> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| item.as_str().expect("a text")).collect()
}

/// What the program prints, run to a good end.
#[track_caller]
pub(crate) fn said(arguments: &[&str]) -> String {
    let done = program().args(arguments).output().expect("the program runs");
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// Every setting as the program would use it under these flags and variables, which it must accept.
#[track_caller]
pub(crate) fn settings(flags: &[String], variables: &BTreeMap<String, String>) -> Json {
    let known = known_variables();
    for name in variables.keys().filter(|name| name.starts_with("QUORATE_")) {
        assert!(known.contains(name), "{name} is no variable of the program");
    }
    let mut command = program();
    command.args(["config", "show", "--json"]).args(flags).envs(variables);
    let done = command.output().expect("the program runs");
    assert!(done.status.success() && done.stderr.is_empty(), "{flags:?} {variables:?}: {done:?}");
    let shown: Json = serde_json::from_slice(&done.stdout).expect("JSON");
    let shown = shown["settings"].as_object().expect("settings");
    // Each value stands there as TOML would write it.
    let value = |written: &Json| match written["value"].as_str() {
        Some(text) => toml::from_str::<toml::Table>(&format!("it = {text}")).map_or_else(
            |_| Json::from(text),
            |table| serde_json::to_value(&table["it"]).expect("JSON"),
        ),
        None => written["value"].clone(),
    };
    shown.iter().map(|(key, written)| (key.clone(), value(written))).collect()
}

/// Every variable of the environment that is a setting.
fn known_variables() -> BTreeSet<String> {
    let shown: Json = serde_json::from_str(&said(&["config", "show", "--json"])).expect("JSON");
    let keys = shown["settings"].as_object().expect("settings").keys();
    let variables = keys.map(|key| format!("QUORATE_{}", key.to_ascii_uppercase()));
    variables.chain(["QUORATE_CONFIG".to_owned()]).collect()
}

/// The exit codes that `node --help` lists, each with its meaning.
pub(crate) fn exit_codes() -> BTreeMap<u8, String> {
    let help = said(&["--help"]);
    let (_, listed) = help.split_once("Exit codes:\n").expect("a list");
    let rows = listed.lines().map_while(|line| line.trim().split_once("  "));
    rows.map(|(code, meaning)| (code.parse().expect("a number"), meaning.to_owned())).collect()
}

/// A tool that may be installed here; if it is not, that is said.
pub(crate) fn tool(name: &str, asked: &[&str]) -> Option<Command> {
    let answer: Option<Output> = Command::new(name).args(asked).output().ok();
    if answer.is_some_and(|answer| answer.status.success()) {
        return Some(Command::new(name));
    }
    eprintln!("SKIPPED: `{name} {}` does not answer here, so it judges nothing", asked.join(" "));
    None
}
