//! The rules of the house, read from the sources: who may import whom, what a pure floor may
//! name, and what every file looks like. Each finding says file, line, rule and cure.

#[path = "house_rules/mistakes.rs"]
mod mistakes;
#[path = "house_rules/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use source::{Name, Source};

/// The floors, from the ground up; what stands on one line never imports each other.
const FLOORS: [&[&str]; 10] = [
    &["limits", "mutant"],
    &["types"],
    &["consensus", "peers", "topology"],
    &["config", "storage", "wire"],
    &["dispatch", "transport"],
    &["engine"],
    &["runtime", "sim"],
    &["admin"],
    &["cli"],
    &["main", "lib"],
];

/// Floors that are told everything and ask for nothing.
const PURE: [&str; 9] =
    ["limits", "mutant", "types", "consensus", "peers", "topology", "wire", "dispatch", "engine"];

/// What a pure floor never names, as beginnings of paths.
const IMPURE_PATHS: [&str; 13] = [
    "tokio",
    "tokio_util",
    "axum",
    "socket2",
    "tracing",
    "rand",
    "getrandom",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::io",
];

/// The exception: a decoder is told bytes and asks for none.
const PURE_PATHS: [&str; 1] = ["tokio_util::codec"];

/// What a pure floor never names, wherever it stands in a path.
const IMPURE_NAMES: [&str; 6] =
    ["Instant", "SystemTime", "HashMap", "HashSet", "RandomState", "new_v4"];

const LINES_MAX: usize = 500;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    rule: String,
    cure: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    cure: {}", self.file, self.line, self.rule, self.cure)
    }
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The first part of a path below `src/`: the folder, or the file without its ending.
fn room_of(file: &str) -> &str {
    let inside = file.strip_prefix("src/").unwrap_or(file);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

/// What one source file under `src/` says against the floors.
fn imports(file: &str, source: &Source) -> Vec<Finding> {
    let here = room_of(file);
    let mut findings = Vec::new();
    let mut find = |line, rule, cure| {
        findings.push(Finding { file: file.to_owned(), line, rule, cure });
    };
    let Some(floor) = floor_of(here) else {
        find(
            1,
            format!("{here} stands on no floor"),
            "give it a line in FLOORS, or move it into a room",
        );
        return findings;
    };
    let depth = file.matches('/').count() + usize::from(!file.ends_with("/mod.rs")) - 1;
    for Name { line, path } in &source.names {
        // The file's own tests stand one module deeper.
        let supers = path.iter().take_while(|part| *part == "super").count();
        if supers >= depth + usize::from(*line >= source.tests_from) {
            let rule = format!("{} climbs out of {here}", path.join("::"));
            find(*line, rule, "write crate::floor::Name: an import shows its floor");
        }
        let [root, room, ..] = path.as_slice() else { continue };
        if root != "crate" || room == here {
            continue;
        }
        let Some(other) = floor_of(room) else { continue };
        let rule = format!("{here} (floor {floor}) imports {room} (floor {other})");
        if other == floor {
            find(*line, rule, "rooms of one floor never meet: introduce them one floor above");
        } else if other > floor {
            find(
                *line,
                rule,
                "imports go down only: move the shared thing down, or the user of it up",
            );
        } else if PURE.contains(&here) && !PURE.contains(&room.as_str()) {
            find(
                *line,
                rule,
                "a pure floor imports pure floors only: let the host bring it as an input",
            );
        }
    }
    findings
}

/// What a pure floor names and should not; its tests may.
fn impurities(file: &str, source: &Source) -> Vec<Finding> {
    let here = room_of(file);
    // Only what errs on purpose asks the environment how.
    if !PURE.contains(&here) || here == "mutant" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for Name { line, path } in source.names.iter().filter(|name| name.line < source.tests_from) {
        let text = path.join("::");
        let begins = |banned: &&str| {
            text.strip_prefix(*banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let is_impure = IMPURE_PATHS.iter().any(begins) && !PURE_PATHS.iter().any(begins);
        if is_impure || path.iter().any(|part| IMPURE_NAMES.contains(&part.as_str())) {
            findings.push(Finding {
                file: file.to_owned(),
                line: *line,
                rule: format!("{here} is pure and names {text}"),
                cure: "take it as an input or an argument; BTreeMap and BTreeSet for collections",
            });
        }
    }
    findings
}

/// What every Rust file and every text of the project keeps to.
fn manners(file: &str, text: &str, source: Option<&Source>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line, rule: String, cure| {
        findings.push(Finding { file: file.to_owned(), line, rule, cure });
    };
    if let Some(source) = source {
        if !text.starts_with("//!") {
            find(
                1,
                "the file does not open with //!".to_owned(),
                "say in one sentence what the room is for",
            );
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let rule = format!("{lines} lines, the bound is {LINES_MAX}");
            find(
                lines,
                rule,
                "look for the two names that hide in the file, and split it between them",
            );
        }
        for Name { line, path } in &source.names {
            if let [name] = path.as_slice()
                && ["todo!", "unimplemented!"].contains(&name.as_str())
            {
                find(*line, format!("{name} stands in the code"), "finish it, or leave it out");
            }
        }
    }
    // Written in parts, so that this file keeps its own rule.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    for (index, line) in text.lines().enumerate() {
        if let Some(word) = unfinished.iter().find(|word| has_word(line, word)) {
            find(index + 1, format!("{word} stands in the file"), "do it, or open an issue");
        }
        if let Some(place) = places.iter().find(|place| line.contains(**place)) {
            find(
                index + 1,
                format!("{place} is a place on one machine"),
                "write a path from the project's root",
            );
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let beside = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        beside(line[..at].chars().next_back()) && beside(line[at + word.len()..].chars().next())
    })
}

/// Circles between the files of one room, by the names that its `mod.rs` passes on.
fn circles(room: &str, files: &BTreeMap<String, Source>) -> Vec<Finding> {
    let prefix = format!("src/{room}/");
    let own: BTreeMap<&str, &Source> = files
        .iter()
        .filter_map(|(file, source)| {
            Some((file.strip_prefix(&prefix)?.strip_suffix(".rs")?, source))
        })
        .filter(|(name, _)| !name.contains('/'))
        .collect();
    let Some(door) = own.get("mod") else { return Vec::new() };
    // Name → the file it comes from.
    let home: BTreeMap<&str, &str> = door
        .names
        .iter()
        .filter_map(|name| Some((name.path.last()?.as_str(), name.path.first()?.as_str())))
        .filter(|(_, file)| own.contains_key(file))
        .collect();
    let imports: BTreeMap<&str, BTreeSet<&str>> = own
        .iter()
        .filter(|(file, _)| **file != "mod")
        .map(|(file, source)| {
            let used = source
                .names
                .iter()
                .filter(|name| name.line < source.tests_from)
                .filter_map(|name| match name.path.as_slice() {
                    [root, inside, named, ..] if root == "crate" && inside == room => Some(named),
                    [root, named, ..] if root == "super" => Some(named),
                    _ => None,
                })
                .filter_map(|named| {
                    own.get_key_value(named.as_str())
                        .map(|(file, _)| *file)
                        .or_else(|| home.get(named.as_str()).copied())
                })
                .filter(|used| used != file)
                .collect();
            (*file, used)
        })
        .collect();
    // What imports nothing that is left, or is imported by nothing that is left, stands in no circle.
    let mut left: BTreeSet<&str> = imports.keys().copied().collect();
    loop {
        let is_free = |file: &&str| {
            imports[file].is_disjoint(&left) || !left.iter().any(|by| imports[by].contains(file))
        };
        let free: Vec<_> = left.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            break;
        }
        for file in free {
            left.remove(file);
        }
    }
    left.iter()
        .map(|file| Finding {
            file: format!("{prefix}{file}.rs"),
            line: 1,
            rule: format!(
                "stands in a circle: it imports {:?}",
                imports[file].intersection(&left).collect::<Vec<_>>()
            ),
            cure: "move the shared thing into a lower file of the room",
        })
        .collect()
}

/// Every file of the project that these rules speak of, by its path from the root.
fn project() -> BTreeMap<String, String> {
    fn walk(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // What is built there is nobody's prose.
            if path.ends_with("benches/versus/target") {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, files);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                files.insert(name.replace('\\', "/"), text);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for directory in ["src", "tests", "examples", "benches", "docs", "config", "deploy", ".ci"] {
        let directory = root.join(directory);
        if directory.is_dir() {
            walk(root, &directory, &mut files);
        }
    }
    for name in
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Cargo.toml", "clippy.toml", "deny.toml"]
    {
        files.insert(name.to_owned(), fs::read_to_string(root.join(name)).unwrap());
    }
    files
}

/// All findings in these files.
fn inspect(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let sources: BTreeMap<String, Source> = files
        .iter()
        .filter(|(file, _)| file.ends_with(".rs"))
        .map(|(file, text)| (file.clone(), Source::read(file, text)))
        .collect();
    let mut findings = Vec::new();
    for (file, text) in files {
        findings.extend(manners(file, text, sources.get(file)));
    }
    for (file, source) in sources.iter().filter(|(file, _)| file.starts_with("src/")) {
        findings.extend(imports(file, source));
        findings.extend(impurities(file, source));
        findings.extend(mistakes::wall_clocks(file, source));
    }
    findings.extend(mistakes::made_on_purpose(files));
    for room in FLOORS.iter().copied().flatten() {
        findings.extend(circles(room, &sources));
    }
    findings.sort();
    findings.dedup();
    findings
}

#[test]
fn the_house_keeps_its_rules() {
    let findings = inspect(&project());
    let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{} findings:\n{}", told.len(), told.join("\n"));
}

/// The rules broken by a house of these files, each as `file:line: rule`.
fn broken(files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|&(file, text)| (file.to_owned(), format!("//! A room.\n{text}")))
        .collect();
    inspect(&files).into_iter().map(|it| format!("{}:{}: {}", it.file, it.line, it.rule)).collect()
}

#[test]
fn an_import_upwards_or_sideways_is_found_however_it_is_written() {
    let cases = [
        (
            "src/types/a.rs",
            "use crate::consensus::Vote;",
            "types (floor 1) imports consensus (floor 2)",
        ),
        (
            "src/peers/a.rs",
            "use crate::{\n    limits,\n    consensus::{self, Vote},\n};",
            "peers (floor 2) imports consensus (floor 2)",
        ),
        (
            "src/wire/a.rs",
            "fn f() { crate::storage::open() }",
            "wire (floor 3) imports storage (floor 3)",
        ),
        (
            "src/limits.rs",
            "const N: usize = crate::types::N;",
            "limits (floor 0) imports types (floor 1)",
        ),
        (
            "src/engine/a.rs",
            "pub use crate::transport as t;",
            "engine (floor 5) imports transport (floor 4)",
        ),
        (
            "src/sim/a.rs",
            "type T = crate::runtime::Node;",
            "sim (floor 6) imports runtime (floor 6)",
        ),
        (
            "src/peers/a.rs",
            "use super::super::consensus;",
            "super::super::consensus climbs out of peers",
        ),
        ("src/peers/mod.rs", "use super::consensus;", "super::consensus climbs out of peers"),
        ("src/attic/a.rs", "", "attic stands on no floor"),
    ];
    for (file, text, rule) in cases {
        let found = broken(&[(file, text)]);
        assert!(found.len() == 1 && found[0].ends_with(rule), "{text}\n  {found:?}");
    }
}

#[test]
fn an_import_downwards_is_allowed_and_a_word_in_a_text_is_no_import() {
    let text = "use crate::types::Slot;\nuse super::b::B;\n// crate::cli\n/* crate::cli */\n\
                const S: &str = \"crate::cli \\\" crate::cli\"; const R: &str = r#\"crate::\"cli\"#;\n\
                fn f<'a>(c: &'a u8) -> char { '\"' }\nmacro_rules! m { () => { $crate::types::Slot } }";
    assert_eq!(broken(&[("src/consensus/a.rs", text), ("src/consensus/b.rs", "")]), [""; 0]);
}

#[test]
fn an_impure_name_on_a_pure_floor_is_found_outside_of_its_tests() {
    for name in [
        "std::time::Instant",
        "std::{fmt, net::IpAddr}",
        "std::fs",
        "std::collections::{HashMap}",
        "tokio::sync::mpsc",
        "rand::Rng",
        "tracing::info",
        "std::collections::HashSet as Set",
    ] {
        let text = format!("use {name};");
        assert_eq!(broken(&[("src/consensus/a.rs", &text)]).len(), 1, "{name}");
        assert_eq!(broken(&[("src/runtime/a.rs", &text)]), [""; 0], "{name}");
        let tests = format!("#[cfg(test)]\nmod tests {{\n    use {name};\n}}");
        assert_eq!(broken(&[("src/consensus/a.rs", &tests)]), [""; 0], "{name}");
    }
    for code in ["SystemTime::now()", "HashMap::<u8, u8>::new()", "Uuid::new_v4()"] {
        let text = format!("fn f() {{ let x = {code}; }}");
        assert_eq!(broken(&[("src/wire/a.rs", &text)]).len(), 1, "{code}");
    }
    let pure = "use std::collections::BTreeMap; use tokio_util::codec::Decoder; fn instant() {}";
    assert_eq!(broken(&[("src/wire/a.rs", pure)]), [""; 0]);
}

#[test]
fn a_circle_in_a_room_is_found() {
    let door = ("src/peers/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B, C};");
    let a = ("src/peers/a.rs", "use crate::peers::C;");
    assert_eq!(broken(&[door, a, ("src/peers/b.rs", "")]), [""; 0]);
    let found = broken(&[door, a, ("src/peers/b.rs", "use crate::peers::A;")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("stands in a circle"), "{found:?}");
}

#[test]
fn bad_manners_are_found() {
    let found = inspect(&[("src/cli/a.rs".to_owned(), "fn f() {}".to_owned())].into());
    assert_eq!(found[0].rule, "the file does not open with //!");
    let long = "\n".repeat(LINES_MAX);
    assert!(broken(&[("tests/a.rs", &long)])[0].ends_with("501 lines, the bound is 500"));
    assert!(
        broken(&[("src/cli/a.rs", "fn f() { todo!() }")])[0].ends_with("todo! stands in the code")
    );
    let word = concat!("a TO", "DO b");
    assert!(broken(&[("docs/a.md", word)])[0].starts_with("docs/a.md:2:"));
    let place = concat!("see /ho", "me/me/x");
    assert!(broken(&[("docs/a.md", place)])[0].ends_with("is a place on one machine"));
    assert_eq!(broken(&[("docs/a.md", concat!("TO", "DOS and work/ and todo"))]), [""; 0]);
}
