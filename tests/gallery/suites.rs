//! The layers of plain tests: a test program is started with the mistake in its environment, and the named tests must fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate::mutant::Mutant;

use crate::Outcome;
use crate::table::{Catch, PROGRAMS};

/// Within how much time a program must have come to its end. A test that a mistake keeps from ending is
/// no test that catches it.
const PATIENCE: Duration = Duration::from_secs(180);

/// A test program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suite {
    /// The tests beside the code.
    Unit,
    /// One of `tests/`.
    Program(&'static str),
}

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit tests",
            Self::Program(name) => name,
        }
    }
}

/// The test programs, built with the mistakes in them.
pub(crate) struct Suites {
    programs: BTreeMap<Suite, PathBuf>,
    /// All tests that are claimed to catch something.
    named: BTreeMap<Suite, BTreeSet<&'static str>>,
}

impl Suites {
    /// Builds the programs that these catches need.
    pub(crate) fn build<'a>(catches: impl Iterator<Item = &'a Catch>) -> Self {
        let mut named: BTreeMap<Suite, BTreeSet<&str>> = BTreeMap::new();
        for catch in catches {
            if let Catch::Tests { suite, names, .. } = catch {
                named.entry(*suite).or_default().extend(*names);
            }
        }
        let programs =
            if named.is_empty() { BTreeMap::new() } else { build(named.keys().copied()) };
        Self { programs, named }
    }

    /// What is claimed to catch a mistake must pass without one.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn hold_without_a_mistake(&self) {
        for (suite, names) in &self.named {
            let names: Vec<_> = names.iter().copied().collect();
            let said = self.run(None, *suite, &names);
            let wrong: Vec<_> =
                names.iter().filter(|name| said.verdicts.get(**name) != Some(&true)).collect();
            assert!(
                wrong.is_empty(),
                "{}: fail or are missing: {wrong:?}\n{}",
                suite.name(),
                said.text
            );
        }
    }

    /// Runs these tests with the mistake: every one must fail.
    pub(crate) fn catch(&self, mutant: Mutant, suite: Suite, names: &[&str]) -> Outcome {
        let said = self.run(Some(mutant), suite, names);
        let missed: Vec<_> =
            names.iter().filter(|name| said.verdicts.get(**name) != Some(&false)).collect();
        if missed.is_empty() {
            let last = |name: &&str| format!("`{}`", name.rsplit("::").next().unwrap_or(name));
            return Ok((
                names.iter().map(last).collect::<Vec<_>>().join(", "),
                "always".to_owned(),
            ));
        }
        Err(format!("{missed:?} did not fail\n{}", said.text))
    }

    fn run(&self, mutant: Option<Mutant>, suite: Suite, names: &[&str]) -> Said {
        let mut command = Command::new(&self.programs[&suite]);
        command.arg("--exact").args(names);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("QUORATE_MUTANT");
        if let Some(mutant) = mutant {
            command.env("QUORATE_MUTANT", mutant.name());
        }
        hear(&mut command)
    }
}

/// What a test program said.
struct Said {
    /// By name: whether the test passed.
    verdicts: BTreeMap<String, bool>,
    text: String,
}

fn hear(command: &mut Command) -> Said {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a test program that was just built starts");
    let mut out = child.stdout.take().expect("asked for above");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was said before it broke off counts.
        let _ = out.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let started = Instant::now();
    while child.try_wait().expect("it is our child").is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = reader.join().expect("reading does not panic");
    let verdict = |line: &str| {
        let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let name = name.strip_suffix(" - should panic").unwrap_or(name);
        match verdict {
            "ok" => Some((name.to_owned(), true)),
            "FAILED" => Some((name.to_owned(), false)),
            _ => None,
        }
    };
    Said { verdicts: text.lines().filter_map(verdict).collect(), text }
}

/// Has cargo build the programs, with the feature; gives where they are.
fn build(suites: impl Iterator<Item = Suite>) -> BTreeMap<Suite, PathBuf> {
    let cargo = std::env::var_os("CARGO").expect("cargo runs this program");
    let mut command = Command::new(cargo);
    command.args(["test", "--locked", "--no-run", "--features", "mutants"]);
    command.arg("--message-format=json-render-diagnostics");
    for suite in suites {
        match suite {
            Suite::Unit => command.arg("--lib"),
            Suite::Program(name) => command.args(["--test", name]),
        };
    }
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo is there");
    assert!(output.status.success(), "the test programs cannot be built");
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(said) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(program), Some(true)) =
            (said["executable"].as_str(), said["profile"]["test"].as_bool())
        else {
            continue;
        };
        let suite = match said["target"]["kind"][0].as_str() {
            Some("lib") => Suite::Unit,
            _ => match PROGRAMS.iter().find(|name| said["target"]["name"] == **name) {
                Some(name) => Suite::Program(name),
                None => continue,
            },
        };
        programs.insert(suite, program.into());
    }
    programs
}
