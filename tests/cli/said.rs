//! Runs of the program to their end, and what they said.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::process::{Machines, Process, eventually, program};

/// What a run of the program to its end said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn node(arguments: &[&str]) -> Said {
    run(program().args(arguments).stdin(Stdio::null()))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let done = command.output().expect("it runs");
    Said {
        code: done.status.code().expect("it ends by itself"),
        out: String::from_utf8(done.stdout).expect("UTF-8"),
        err: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// What a slow machine makes a sound program say.
const TOO_SLOW: [(i32, &str); 3] = [
    (4, "pings were not answered in time"),
    (10, "nothing was committed in the measured time"),
    // Who was not heard for a moment is not written to.
    (10, "a text came to "),
];

/// Runs it again and again, but not for ever, until it does not fail for want of time.
#[track_caller]
pub(crate) fn in_time(run: impl Fn() -> Said) -> Said {
    eventually("it has time enough", || {
        let said = run();
        let is_slow = |(code, what): &(i32, &str)| said.code == *code && said.err.contains(what);
        (!TOO_SLOW.iter().any(is_slow)).then_some(said)
    })
}

/// Writes a file and says how it is named on a command line.
pub(crate) fn file(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("room");
    path.to_str().expect("UTF-8").to_owned()
}

/// Runs a command that asks one of them.
pub(crate) fn ask(machines: &Machines, at: usize, arguments: &[&str]) -> Said {
    node(&[arguments, &["--admin", &machines.admins[at]]].concat())
}

pub(crate) fn json(said: &Said) -> Json {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Every error has one shape: what, where, the next step.
#[track_caller]
pub(crate) fn fails(said: &Said, code: i32, what: &str) {
    assert_eq!(said.code, code, "{said:?}");
    assert!(said.err.starts_with("error: ") || said.err.contains("\nerror: "), "{said:?}");
    assert!(said.err.contains(what), "{what:?} is not in {said:?}");
    assert!(!said.err.contains('\u{1b}'), "colours where nobody sees them: {said:?}");
}

/// A node of its own cluster, and where it serves HTTP.
pub(crate) fn lone(directory: &Path, arguments: &[&str]) -> (Process, String) {
    let mut process = Process::start(directory, &[&["--port", "0"], arguments].concat());
    let admin = process.admin().expect("no port was asked for");
    process.line("quorum.formed", |_| true);
    (process, admin)
}

/// Everything it said until it ended.
pub(crate) fn all_words(process: &mut Process) -> String {
    assert!(process.line_or_end(|_| false).is_none());
    process.raw.join("\n")
}

/// Sends a signal to a process of our own.
#[cfg(unix)]
pub(crate) fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("there is `kill`").success());
}
