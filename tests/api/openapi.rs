//! `docs/openapi.yaml` against the server: every route stands in it, every answer is as described.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use quorate::admin::{Server, routes};
use quorate::config::AdminConfig;
use quorate::limits;
use serde_json::{Map, Value as Json, json};
use yaml_rust2::{Yaml, YamlLoader};

use super::events::Events;
use super::support::{until, within};
use super::{LOOPBACK, Served, commit, whole};

/// Described answers that no test waits for: a body that takes ten seconds, peers of one name. And those that have
/// tests of their own.
const NOT_CALLED_FORTH: [(&str, &str); 5] =
    [("propose", "408"), ("send", "408"), ("send", "409"), ("frames", "101"), ("frames", "503")];

/// The file, read.
pub(crate) struct Described(Json);

impl Described {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.yaml");
        let text = std::fs::read_to_string(path).expect("the file is there");
        let documents = YamlLoader::load_from_str(&text).expect("YAML");
        Self(json_of(&documents[0]))
    }

    pub(crate) fn into_json(self) -> Json {
        self.0
    }

    /// Every operation: method, path, and what is said of it.
    fn operations(&self) -> impl Iterator<Item = (String, &str, &Json)> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods
                .map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
    }

    fn operation(&self, wanted_method: &str, wanted_path: &str) -> &Json {
        let found = self
            .operations()
            .find(|(method, path, _)| method == wanted_method && *path == wanted_path);
        found.expect("it is described").2
    }

    fn resolve<'a>(&'a self, value: &'a Json) -> &'a Json {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let target = self.0.pointer(&reference[1..]);
        self.resolve(target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
    }

    /// What is wrong with `value`; nothing that is not described may stand in it.
    fn check(&self, schema: &Json, value: &Json, at: &str) {
        let schema = self.resolve(schema);
        let mut described = BTreeSet::new();
        self.check_parts(schema, value, at, &mut described);
        if let Some(object) = value.as_object() {
            for name in object.keys() {
                assert!(described.contains(name), "{at}.{name} is not described");
            }
        }
    }

    fn check_parts(&self, schema: &Json, value: &Json, at: &str, described: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        let number = |name: &str| schema[name].as_f64();
        for (keyword, rule) in schema.as_object().expect("a schema") {
            let holds = match keyword.as_str() {
                "type" => match rule.as_str().expect("one type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("{other} is no type"),
                },
                "enum" => rule.as_array().expect("a list").contains(value),
                "const" => rule == value,
                "minimum" => value.as_f64() >= number("minimum"),
                "maximum" => value.as_f64() <= number("maximum"),
                "minLength" => {
                    value.as_str().is_some_and(|text| text.len() as u64 >= rule.as_u64().unwrap())
                }
                "format" => value.as_str().is_some_and(|text| text.parse::<uuid::Uuid>().is_ok()),
                "required" => {
                    let required = rule.as_array().expect("a list").iter();
                    let missing: Vec<_> = required
                        .filter(|name| value.get(name.as_str().unwrap()).is_none())
                        .collect();
                    assert!(missing.is_empty(), "{at} lacks {missing:?}: {value}");
                    true
                }
                "properties" => {
                    for (name, schema) in rule.as_object().expect("an object") {
                        described.insert(name.clone());
                        if let Some(value) = value.get(name) {
                            self.check(schema, value, &format!("{at}.{name}"));
                        }
                    }
                    true
                }
                "items" => {
                    for (index, item) in value.as_array().expect("a list").iter().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"));
                    }
                    true
                }
                "allOf" => {
                    for part in rule.as_array().expect("a list") {
                        self.check_parts(part, value, at, described);
                    }
                    true
                }
                "description" | "default" | "pattern" | "additionalProperties" => true,
                other => panic!("{at}: this test does not know the keyword {other}"),
            };
            assert!(holds, "{at}: {value} is not {keyword} {rule}");
        }
    }
}

fn json_of(yaml: &Yaml) -> Json {
    match yaml {
        Yaml::String(text) => json!(text),
        Yaml::Integer(number) => json!(number),
        Yaml::Boolean(is) => json!(is),
        Yaml::Array(items) => items.iter().map(json_of).collect(),
        Yaml::Hash(pairs) => {
            let pair = |(name, value): (&Yaml, &Yaml)| {
                (name.as_str().expect("names are texts").to_owned(), json_of(value))
            };
            Json::Object(pairs.iter().map(pair).collect::<Map<_, _>>())
        }
        other => panic!("{other:?} has no place in this file"),
    }
}

/// Asks, and holds every answer against the file.
struct Walk {
    described: Described,
    seen: BTreeSet<(String, String)>,
}

impl Walk {
    /// Sends the request to `path` with `extra` behind it (a query); the answer must have this status.
    async fn ask(
        &mut self,
        address: SocketAddr,
        (method, path): (&str, &str),
        (target, head, body): (&str, &str, &str),
        status: u16,
    ) {
        let host = if head.contains("host:") { "" } else { "host: localhost\r\n" };
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.0\r\n{host}connection: close\r\n{head}content-length: {length}\r\n\r\n{body}"
        );
        let answer = whole(address, request.as_bytes()).await;
        let what = format!("{method} {target} {head:?} {body:.60}");
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        let operation = self.described.operation(method, path);
        let name = operation["operationId"].as_str().expect("a name").to_owned();
        let response = self.described.resolve(&operation["responses"][status.to_string()]);
        assert!(response.is_object(), "{what}: {status} is not described");
        let kind = answer.header("content-type").expect("a type");
        let kind = kind.split(';').next().expect("its first part");
        let schema = &response["content"][kind]["schema"];
        assert!(schema.is_object(), "{what}: {kind} is not described for {status}");
        if kind == "application/json" {
            let body = serde_json::from_str(&answer.body).expect("JSON");
            self.described.check(schema, &body, &format!("{name} {status}"));
        }
        for header in response["headers"].as_object().into_iter().flatten() {
            assert!(answer.header(header.0).is_some(), "{what}: {} is missing", header.0);
        }
        self.seen.insert((name, status.to_string()));
    }
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let described = Described::read();
    let described: BTreeSet<_> =
        described.operations().map(|(method, path, _)| (method, path.to_owned())).collect();
    let served: BTreeSet<_> =
        routes().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, served);
}

#[tokio::test]
async fn only_the_described_methods_are_served() {
    let served = Served::start(1).await;
    let address = served.server.address();
    let all: Vec<_> = routes().collect();
    for (_, path) in &all {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if all.contains(&(method, path)) {
                continue;
            }
            let path = path.replace("{slot}", "1");
            let request = format!("{method} {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
            let answer = whole(address, request.as_bytes()).await;
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.body);
            assert!(answer.body.contains("no_such_method"), "{}", answer.body);
            assert!(answer.header("allow").is_some(), "{method} {path}");
        }
    }
    served.end().await;
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let mut served = Served::start(3).await;
    let mut walk = Walk { described: Described::read(), seen: BTreeSet::new() };
    let address = served.server.address();
    let mut events = Events::open(address, "?from=1", "").await;
    let slot = commit(&served.client, "blue").await;

    let json = "content-type: application/json\r\n";
    let propose = ("POST", "/v1/proposals");
    let send = ("POST", "/v1/messages");
    let id = r#"{"value":"x","request_id":"6f9619ff-8b86-4d01-b42d-00cf4fc964ff","timeout":"60s"}"#;
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(limits::VALUE_BYTES_MAX + 1));
    let long_text = format!(r#"{{"text":"{}"}}"#, "x".repeat(limits::DATA_BYTES_MAX + 1));
    for (body, status) in [
        (id, 200),
        (id, 200),
        (r#"{"value":"x","wait":false}"#, 202),
        (r#"{"value":"x","until":0}"#, 409),
        (r#"{"value":"x","until":0.0}"#, 409),
        (r#"{"value":"x","until":0.5}"#, 400),
        (r#"{"value":""}"#, 400),
        (r#"{"value":"x","until":9007199254740992}"#, 400),
        (&long, 413),
    ] {
        walk.ask(address, propose, ("/v1/proposals", json, body), status).await;
    }
    walk.ask(address, propose, ("/v1/proposals", "", r#"{"value":"x"}"#), 415).await;
    for (body, status) in [
        (r#"{"text":"hello"}"#, 200),
        (r#"{"text":"hello","to":"n2"}"#, 200),
        (r#"{"text":"hello","to":"nobody"}"#, 404),
        (r#"{"txet":"hello"}"#, 400),
        (&long_text, 413),
    ] {
        walk.ask(address, send, ("/v1/messages", json, body), status).await;
    }
    walk.ask(address, send, ("/v1/messages", "", r#"{"text":"x"}"#), 415).await;
    let entry = format!("/v1/log/{slot}");
    let linearizable = format!("{entry}?read=linearizable");
    for (path, target, status) in [
        ("/", "/", 200),
        ("/v1/log", "/v1/log", 200),
        ("/v1/log", "/v1/log?from=1&limit=1&read=linearizable", 200),
        ("/v1/log", "/v1/log?follow=true&limit=1", 200),
        ("/v1/log", "/v1/log?from=x", 400),
        ("/v1/log/{slot}", &entry, 200),
        ("/v1/log/{slot}", &linearizable, 200),
        ("/v1/log/{slot}", "/v1/log/99999", 404),
        ("/v1/log/{slot}", "/v1/log/x", 400),
        ("/v1/log/{slot}", "/v1/log/9007199254740991", 404),
        ("/v1/log/{slot}", "/v1/log/9007199254740992", 400),
        ("/v1/log", "/v1/log?limit=9007199254740992", 400),
        ("/v1/events", "/v1/events?from=18446744073709551615", 400),
        ("/v1/status", "/v1/status", 200),
        ("/v1/peers", "/v1/peers", 200),
        ("/v1/frames", "/v1/frames", 426),
        ("/metrics", "/metrics", 200),
        ("/v1/events", "/v1/events?from=x", 400),
        ("/livez", "/livez", 200),
        ("/readyz", "/readyz", 200),
        ("/readyz", "/readyz?verbose", 200),
        ("/readyz", "/readyz?verbose=no", 400),
    ] {
        walk.ask(address, ("GET", path), (target, "", ""), status).await;
    }
    for (method, path) in routes() {
        let target = path.replace("{slot}", "1");
        let elsewhere = "host: elsewhere.example\r\n";
        walk.ask(address, (method, path), (&target, elsewhere, ""), 403).await;
    }

    let to = served.cluster.handle(0).id();
    within(served.cluster.handle(1).send(to, "hello")).await.expect("it is delivered");
    served.cluster.stop(1).await;
    served.cluster.stop(2).await;
    until(served.cluster.handle(0), |status| !status.ready()).await;
    walk.ask(address, ("GET", "/readyz"), ("/readyz?verbose", "", ""), 503).await;

    let directory = tempfile::tempdir().expect("a directory");
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "0123456789abcdef").expect("a file");
    let config = AdminConfig { token_file: Some(token_file), ..LOOPBACK };
    let guarded = Server::start(served.cluster.handle(0).clone(), &config).await.expect("a start");
    for (method, path) in routes() {
        let operation = walk.described.operation(method, path);
        if operation["security"].as_array().is_none_or(|security| !security.is_empty()) {
            let target = path.replace("{slot}", "1");
            walk.ask(guarded.address(), (method, path), (&target, "", ""), 401).await;
        }
    }
    within(guarded.stop()).await;

    served.cluster.stop(0).await;
    let follow = "/v1/log?read=linearizable";
    for (path, target) in [
        ("/", "/"),
        ("/v1/log", follow),
        ("/v1/log/{slot}", "/v1/log/1?read=linearizable"),
        ("/v1/status", "/v1/status"),
        ("/v1/peers", "/v1/peers"),
        ("/metrics", "/metrics"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
    ] {
        walk.ask(address, ("GET", path), (target, "", ""), 503).await;
    }
    walk.ask(address, propose, ("/v1/proposals", json, r#"{"value":"x"}"#), 503).await;
    walk.ask(address, send, ("/v1/messages", json, r#"{"text":"x"}"#), 503).await;
    // Its node has stopped, so this stream has an end; as the ones that are too many it has its own test.
    walk.ask(address, ("GET", "/v1/events"), ("/v1/events", "", ""), 200).await;
    walk.seen.insert(("events".to_owned(), "503".to_owned()));

    let mut told = BTreeSet::new();
    while let Some(event) = events.next().await {
        let schema = &walk.described.0["components"]["schemas"][&event.name];
        assert!(schema.is_object(), "the event {} is not described", event.name);
        walk.described.check(schema, &event.data, &event.name);
        told.insert(event.name);
    }
    let expected = ["start", "commit", "message", "peer", "quorum"].map(str::to_owned);
    assert!(expected.iter().all(|name| told.contains(name)), "{told:?}");

    let described = walk.described.operations().flat_map(|(_, _, operation)| {
        let name = operation["operationId"].as_str().expect("a name");
        let statuses = operation["responses"].as_object().expect("responses").keys();
        statuses.map(move |status| (name.to_owned(), status.clone()))
    });
    let elsewhere = NOT_CALLED_FORTH.map(|(name, status)| (name.to_owned(), status.to_owned()));
    let unseen: Vec<_> = described
        .filter(|answer| !walk.seen.contains(answer) && !elsewhere.contains(answer))
        .collect();
    assert!(unseen.is_empty(), "described, and never called forth: {unseen:?}");
    within(served.server.stop()).await;
}
