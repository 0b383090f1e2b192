//! The interpreters that are here, and the clients that they run.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

use serde_json::Value as Json;

use crate::process::{PATIENCE, eventually};
use crate::root;

/// A language that a client is written in.
pub(crate) struct Language {
    pub(crate) name: &'static str,
    /// The words that README.md begins its lines with.
    pub(crate) written: &'static str,
    interpreter: PathBuf,
    script: &'static str,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Json>,
    pub(crate) errors: String,
}

impl Language {
    /// Those whose interpreter is here and new enough; of the others it is said that they were not tested.
    pub(crate) fn all() -> Vec<Self> {
        let known = [
            ("Python", "python3", "python/quorate.py", (3, 9)),
            ("Node.js", "node", "js/quorate.mjs", (20, 3)),
        ];
        let mut found = Vec::new();
        for (name, written, script, oldest) in known {
            match interpreter(written, oldest) {
                Ok(interpreter) => found.push(Self { name, written, interpreter, script }),
                Err(why) => {
                    // Past the capture of what a test prints, so that it is seen.
                    let line = format!("SKIPPED: the client in {name} was NOT tested: {why}");
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
        found
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(root().join("examples/clients").join(self.script)).current_dir(root());
        // The sources stay as they are: no compiled files beside them.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Starts the client against these nodes.
    pub(crate) fn start(&self, nodes: &[&str], arguments: &[&str]) -> Running {
        let mut command = self.command();
        for node in nodes {
            command.args(["--node", node]);
        }
        Running::start(command.args(arguments))
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self, nodes: &[&str], arguments: &[&str]) -> Ended {
        self.start(nodes, arguments).end()
    }

    /// The only line of a run that must end well.
    #[track_caller]
    pub(crate) fn answer(&self, nodes: &[&str], arguments: &[&str]) -> Json {
        let ended = self.run(nodes, arguments);
        assert_eq!(ended.code, Some(0), "{}: {arguments:?}: {}", self.name, ended.errors);
        assert_eq!(ended.lines.len(), 1, "{}: {arguments:?}: {:?}", self.name, ended.lines);
        ended.lines.into_iter().next().expect("there is one")
    }
}

/// The first program of this name in the path that is new enough; the name may mean other programs, too.
fn interpreter(name: &str, oldest: (u32, u32)) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut why = format!("there is no {name} in the path");
    for candidate in std::env::split_paths(&path).map(|place| place.join(name)) {
        let Ok(output) = Command::new(&candidate).arg("--version").output() else { continue };
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let digits = text.trim_start_matches("Python ").trim_start_matches('v');
        let mut numbers = digits.split('.').map_while(|part| part.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) >= oldest => return Ok(candidate),
            _ => why = format!("{text:?} is not {name} {}.{} or newer", oldest.0, oldest.1),
        }
    }
    Err(why)
}

/// A client that runs. Killed with the test.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let (sender, lines) = sync_channel(65_536);
        let reader = BufReader::new(child.stdout.take().expect("it was asked for"));
        std::thread::spawn(move || {
            reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line; none at the end of them.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Json> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).expect("every line is JSON")),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// The next line that fits.
    #[track_caller]
    pub(crate) fn until(&mut self, fits: impl Fn(&Json) -> bool) -> Json {
        loop {
            match self.next() {
                Some(line) if fits(&line) => return line,
                Some(_) => {}
                None => panic!("the lines ended: {}", self.errors()),
            }
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let lines = std::iter::from_fn(|| self.next()).collect();
        let status = eventually("it ends", || self.child.try_wait().expect("it is a child"));
        Ended { code: status.code(), lines, errors: self.errors() }
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = self.child.kill();
            let _ = pipe.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
