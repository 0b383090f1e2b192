//! `node config`: settings written, checked and shown.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::admin::api::SCHEMA;
use crate::cli::args::{ConfigCommand, InitArgs, ShowArgs};
use crate::cli::ask;
use crate::cli::failure::{Code, Failure};
use crate::cli::output::{note, print};
use crate::cli::settings::{Gathered, gather};
use crate::config::{self, Key, Layer, Origin, Shown};

/// The file that explains every setting.
const EXPLAINED: &str = include_str!("../../config/node.toml");

pub(super) fn config(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Init(args) => init(args),
        ConfigCommand::Check(args) => check(args),
        ConfigCommand::Show(args) => show(args),
    }
}

/// The explained file, with the settings of the flags in their places.
fn init(args: &InitArgs) -> Result<(), Failure> {
    if args.settings.config.is_some() {
        return Err(Failure::new(Code::Configuration, "--config names a file to read")
            .at("the command line")
            .hint("write --output FILE for the file to be written"));
    }
    let flags = args.settings.layer();
    let layers = [flags.clone()];
    let settings = config::resolve(&layers, None)?;
    let values = config::shown(&settings, &layers);
    let mut text = String::new();
    for line in EXPLAINED.lines() {
        let commented = line.strip_prefix("# ").or_else(|| line.strip_prefix("#? "));
        let key = commented.and_then(|line| Key::named(line.split_once(" = ")?.0));
        let given = key.filter(|key| flags.get(*key).is_some());
        let value = given.and_then(|key| values.iter().find(|shown| shown.key == key));
        let _ = match value.and_then(|shown| Some((shown.key, shown.value.as_ref()?))) {
            Some((key, value)) => writeln!(text, "{} = {value}", key.name()),
            None => writeln!(text, "{line}"),
        };
    }
    let Some(path) = &args.output else { return print(&text) };
    let mut options = OpenOptions::new();
    // Not one that is there: somebody may have spent an afternoon on it.
    let written = options.write(true).create_new(true).open(path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        Failure::new(Code::CheckFailed, format!("the file cannot be written: {error}"))
            .at(path.display())
            .hint("name a file that does not exist yet, in a directory that this user may write")
    })
}

fn check(args: &ShowArgs) -> Result<(), Failure> {
    let gathered = gather(&args.settings);
    warn(&gathered);
    let file = gathered.file.as_ref().map(|path| path.display().to_string());
    let (settings, layers) = gathered.resolve()?;
    let shown = config::shown(&settings, &layers);
    if args.json {
        return print(&ask::json(&in_json(&shown))?);
    }
    let written = shown.iter().filter(|shown| shown.origin != Origin::Default).count();
    let mut text = format!("sound: {written} of {} settings are written", shown.len());
    if let Some(file) = file {
        let _ = write!(text, ", {file} among the places");
    }
    text.push('\n');
    if args.origin {
        text += &in_toml(&shown, true);
    }
    print(&text)
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let gathered = gather(&args.settings);
    warn(&gathered);
    let (settings, layers): (_, [Layer; 3]) = gathered.resolve()?;
    let shown = config::shown(&settings, &layers);
    print(&if args.json { ask::json(&in_json(&shown))? } else { in_toml(&shown, args.origin) })
}

/// What is not used, though it looks as if it should be.
fn warn(gathered: &Gathered) {
    for ignored in &gathered.ignored {
        note(&format!("warning: {}\n  hint: {}", ignored.what, ignored.hint));
    }
}

fn in_toml(shown: &[Shown], with_origin: bool) -> String {
    let mut text = String::new();
    for Shown { key, value, origin } in shown {
        let line = match value {
            Some(value) => format!("{} = {value}", key.name()),
            None => format!("# {} is not set", key.name()),
        };
        let _ = match with_origin {
            true => writeln!(text, "{line:<40} # {origin}"),
            false => writeln!(text, "{line}"),
        };
    }
    text
}

fn in_json(shown: &[Shown]) -> impl Serialize {
    let settings: Map<String, Json> = shown
        .iter()
        .map(|Shown { key, value, origin }| {
            let origin = match origin {
                Origin::Flag(flag) => json!({ "kind": "flag", "flag": flag }),
                Origin::Environment(name) => json!({ "kind": "environment", "variable": name }),
                Origin::File { path, line } => {
                    json!({ "kind": "file", "path": path.to_string_lossy(), "line": line })
                }
                Origin::Default => json!({ "kind": "default" }),
            };
            let reloadable = key.is_reloadable();
            let shown = json!({ "value": value, "origin": origin, "reloadable": reloadable });
            (key.name().to_owned(), shown)
        })
        .collect();
    json!({ "schema": SCHEMA, "settings": settings })
}
