//! The examples of the documentation, run; and the description in OpenAPI, attacked by a tool that reads it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use quorate::admin::Client;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::openapi::Described;
use super::support::within;
use super::{Served, commit, whole};

/// The address in the documentation.
const WRITTEN: &str = "127.0.0.1:9001";

/// The tool's version: another one finds other things.
const SCHEMATHESIS: &str = "4.32.5";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every line of the documentation that calls curl, with its file.
fn written() -> Vec<(String, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("the directory is there");
    let mut files: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    files.push(root().join("README.md"));
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a text");
        let lines = text.lines().map(|line| line.trim_start_matches("$ ").trim());
        let lines = lines.filter(|line| line.starts_with("curl "));
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        found.extend(lines.map(|line| (name.clone(), line.to_owned())));
    }
    found
}

/// The words of a line as a shell reads it; the examples need single quotes only.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for symbol in line.chars() {
        match symbol {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().expect("one at least").push(symbol),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The request that such a line stands for.
fn request(words: &[String]) -> String {
    let (mut method, mut body, mut target, mut headers) = ("GET", "", "", String::new());
    let mut rest = words[1..].iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "-N" => {}
            "-d" => (method, body) = ("POST", rest.next().expect("a body")),
            "-H" => headers += &format!("{}\r\n", rest.next().expect("a header")),
            url => target = url.split_once(WRITTEN).expect("the address of the documentation").1,
        }
    }
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.0\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn every_curl_line_of_the_documentation_works() {
    let served = Served::start(3).await;
    let address = served.server.address();
    commit(&served.client, "first").await;
    commit(&served.client, "second").await;
    let written = written();
    assert!(written.len() > 10, "the documentation has examples: {written:?}");
    let has_curl =
        Command::new("curl").arg("--version").stdout(Stdio::null()).status().await.is_ok();
    if !has_curl {
        println!("there is no curl here: the same requests are sent without it");
    }
    for (file, line) in written {
        let words = words(&line);
        let is_stream = words.iter().any(|word| word == "-N");
        if !is_stream {
            let answer = whole(address, request(&words).as_bytes()).await;
            assert!((200..300).contains(&answer.status), "{file}: {line}: {}", answer.body);
        }
        if !has_curl {
            continue;
        }
        let here = |word: &String| word.replace(WRITTEN, &address.to_string());
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body"])
            .args(words[1..].iter().map(here))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("curl starts");
        let mut lines = BufReader::new(curl.stdout.take().expect("it was asked for")).lines();
        let first = within(lines.next_line()).await.expect("text");
        assert!(first.is_some_and(|line| !line.is_empty()), "{file}: {line}: no answer");
        if !is_stream {
            while within(lines.next_line()).await.expect("text").is_some() {}
            let status = within(curl.wait()).await.expect("its end");
            assert!(status.success(), "{file}: {line}: {status}");
        }
    }
    served.end().await;
}

/// What the tool cannot read to its end: streams.
fn without_streams(mut description: Json) -> Json {
    let paths = description["paths"].as_object_mut().expect("paths");
    paths.remove("/v1/events");
    let parameters = paths["/v1/log"]["get"]["parameters"].as_array_mut().expect("a list");
    parameters.retain(|parameter| parameter["name"] != "follow");
    description
}

async fn run(command: &mut Command) -> bool {
    command.status().await.is_ok_and(|status| status.success())
}

/// `QUORATE_SCHEMATHESIS=1 cargo test --test api schemathesis -- --nocapture`, two minutes.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    if std::env::var_os("QUORATE_SCHEMATHESIS").is_none() {
        println!("SKIPPED: schemathesis did NOT run; QUORATE_SCHEMATHESIS=1 runs it");
        return;
    }
    let tools = root().join("target/tools/schemathesis");
    let tool = tools.join("bin/st");
    if !tool.exists() {
        let mut venv = Command::new("python3");
        let mut install = Command::new(tools.join("bin/pip"));
        let package = format!("schemathesis=={SCHEMATHESIS}");
        let is_there = run(venv.args(["-m", "venv"]).arg(&tools)).await
            && run(install.args(["install", "--quiet", &package])).await;
        if !is_there {
            println!("SKIPPED: schemathesis did NOT run: it cannot be installed here");
            return;
        }
    }
    let served = Served::start(1).await;
    let client: &Client = &served.client;
    commit(client, "first").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("openapi.json");
    let description = without_streams(Described::read().into_json());
    std::fs::write(&file, description.to_string()).expect("a file");
    let passed = run(Command::new(&tool)
        .arg("run")
        .arg(&file)
        .args(["--url", &format!("http://{}", served.server.address())])
        .args(["--max-examples", "50", "--seed", "1", "--request-timeout", "40", "--no-color"])
        .current_dir(directory.path()))
    .await;
    assert!(passed, "what it found stands above");
    served.end().await;
}
