//! The list of log lines in docs/LOGS.md and the lines in the sources: each is in the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An event: its name, its level, its fields.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    event: String,
    level: String,
    fields: BTreeSet<String>,
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // What stands below is the file's own tests.
            found.push(text.split("#[cfg(test)]").next().unwrap().to_owned());
        }
    }
}

/// The arguments of a macro whose bracket opens at the start of `text`, split at their commas.
fn arguments(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    for symbol in text.chars() {
        if in_text {
            in_text = symbol != '"' || is_escaped;
            is_escaped = symbol == '\\' && !is_escaped;
        } else {
            match symbol {
                '"' => in_text = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if depth == 1 && symbol == ',' {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && symbol == '(' && part.is_empty() && parts.is_empty() {
                continue;
            }
        }
        part.push(symbol);
    }
    parts.push(part);
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Every line that the sources write.
fn written() -> BTreeSet<Line> {
    let mut texts = Vec::new();
    sources(&root().join("src"), &mut texts);
    let mut lines = BTreeSet::new();
    for text in &texts {
        for level in LEVELS {
            for (at, found) in text.match_indices(&format!("tracing::{level}!")) {
                let mut arguments = arguments(&text[at + found.len()..]);
                let event =
                    arguments.pop().expect("a line has a name").trim_matches('"').to_owned();
                let fields = arguments.iter().filter(|it| !it.starts_with("target:")).map(|it| {
                    let name = it.split('=').next().unwrap_or(it).trim();
                    name.trim_start_matches(['%', '?']).to_owned()
                });
                lines.insert(Line { event, level: level.to_owned(), fields: fields.collect() });
            }
        }
    }
    lines
}

/// Every line of the list.
fn listed() -> BTreeSet<Line> {
    let text = fs::read_to_string(root().join("docs/LOGS.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let lines = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert!(cells.len() >= 4 && !cells[3].is_empty(), "a row says what the line means: {row}");
        Line {
            event: cells[0].trim_matches('`').to_owned(),
            level: cells[1].to_owned(),
            fields: cells[2].split(", ").map(str::to_owned).collect(),
        }
    });
    lines.collect()
}

#[test]
fn every_line_is_listed_with_its_level_and_fields_and_every_listed_line_is_written() {
    let (written, listed) = (written(), listed());
    assert!(written.len() > 30, "the sources are read: {written:?}");
    let unlisted: Vec<_> = written.difference(&listed).collect();
    let unwritten: Vec<_> = listed.difference(&written).collect();
    assert!(
        unlisted.is_empty() && unwritten.is_empty(),
        "docs/LOGS.md lacks {unlisted:#?}\nand has what nothing writes: {unwritten:#?}"
    );
}

#[test]
fn a_name_is_stable_words_with_dots_and_no_field_takes_the_place_of_a_common_one() {
    for Line { event, fields, .. } in written() {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        assert!(event.contains('.') && event.split('.').all(is_part), "{event}");
        for taken in ["timestamp", "level", "event", "target", "message"] {
            assert!(!fields.contains(taken), "{event} has a field called {taken}");
        }
    }
}

#[test]
fn the_arguments_of_a_line_are_read_as_they_are_written() {
    let read =
        arguments(r#"(target: X, %a, b = f(1, "x, \"y"), c, hint = "no, \" never", "a.b");"#);
    assert_eq!(
        read,
        ["target: X", "%a", r#"b = f(1, "x, \"y")"#, "c", r#"hint = "no, \" never""#, r#""a.b""#]
    );
}
