//! What a node tells whoever supervises it, heard at a socket of the test's own.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::nobody::Nobody;
use crate::process::{PATIENCE, Process, eventually, program};

/// A supervisor: it starts nodes and hears what they say of themselves.
struct Supervisor {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Supervisor {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Self { socket, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("notify")
    }

    /// The program, under this supervisor.
    fn program(&self) -> Command {
        let mut command = program();
        command.env("NOTIFY_SOCKET", self.path());
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let data = self.directory.path().join("data");
        Process::start_by(self.program(), &data, &[&["--port", "0"], arguments].concat())
    }

    /// The next saying in which one of the lines fits.
    #[track_caller]
    fn hear(&self, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it was not said; before came {before:?}");
            self.socket.set_read_timeout(Some(left)).expect("it is not zero");
            let mut bytes = [0; 4_096];
            let Ok(length) = self.socket.recv(&mut bytes) else { continue };
            let saying = String::from_utf8(bytes[..length].to_vec()).expect("UTF-8");
            if saying.lines().any(&fits) {
                return saying;
            }
            before.push(saying);
        }
    }

    /// Everything that was said and not yet heard.
    fn rest(&self) -> String {
        self.socket.set_nonblocking(true).expect("it can be asked");
        let mut said = String::new();
        let mut bytes = [0; 4_096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            said += &String::from_utf8_lossy(&bytes[..length]);
        }
        self.socket.set_nonblocking(false).expect("it can be asked");
        said
    }
}

fn is(word: &str) -> impl Fn(&str) -> bool {
    move |line| line == word
}

fn signal(process: &Process, name: &str) {
    let sent = Command::new("kill").args([name, &process.child.id().to_string()]).status();
    assert!(sent.expect("there is `kill`").success());
}

fn settings(directory: &Path, text: &str) -> String {
    let path = directory.join("node.toml");
    std::fs::write(&path, text).expect("room");
    path.display().to_string()
}

/// The address that a line of this name tells.
fn address(process: &mut Process, event: &str) -> String {
    process.line(event, |_| true)["address"].as_str().expect("a text").to_owned()
}

#[test]
fn a_node_is_ready_when_it_listens_and_does_not_wait_for_a_quorum() {
    let supervisor = Supervisor::new();
    let nobody = Nobody::new();
    let mut process = supervisor.start(&["--peers", &nobody.address]);
    supervisor.hear(is("READY=1"));
    for event in ["node.listening", "admin.listening"] {
        TcpStream::connect(address(&mut process, event)).expect("somebody listens");
    }
    let state = supervisor.hear(|line| line.starts_with("STATUS=not formed yet"));
    assert!(state.contains(&nobody.address), "{state}");
}

#[test]
fn a_node_that_cannot_listen_is_never_ready() {
    let supervisor = Supervisor::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = supervisor.directory.path().join("data");
    for (port, admin_port) in [(port.as_str(), "0"), ("0", port.as_str())] {
        let done = supervisor
            .program()
            .args(["--bind", "127.0.0.1", "--port", port, "--admin-port", admin_port, "--data-dir"])
            .arg(&data)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(9), "{done:?}");
        let said = supervisor.rest();
        assert!(said.contains("STATUS=") && !said.contains("READY=1"), "{said}");
    }
}

#[test]
fn a_reload_begins_and_ends_whether_the_settings_are_taken_or_refused() {
    let supervisor = Supervisor::new();
    let place = supervisor.directory.path();
    let file = settings(place, "log_level = \"info\"\n");
    let mut process = supervisor.start(&["--config", &file]);
    supervisor.hear(is("READY=1"));
    let mut moments = Vec::new();
    for (text, event) in
        [("log_level = \"debug\"\n", "config.reloaded"), ("log_level = 1\n", "config.refused")]
    {
        settings(place, text);
        signal(&process, "-HUP");
        let begun = supervisor.hear(is("RELOADING=1"));
        let moment = begun.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        moments.push(moment.expect("when").parse::<u64>().expect("microseconds"));
        supervisor.hear(is("READY=1"));
        process.line(event, |_| true);
    }
    assert!(0 < moments[0] && moments[0] < moments[1], "{moments:?}");
}

#[test]
fn a_node_that_leaves_says_so() {
    let supervisor = Supervisor::new();
    let mut process = supervisor.start(&[]);
    supervisor.hear(is("READY=1"));
    supervisor.hear(|line| line.starts_with("STATUS=1 of 1 heard: commits"));
    signal(&process, "-TERM");
    assert_eq!(process.exit_code(), 0);
    let said = supervisor.rest();
    assert!(said.contains("STOPPING=1\n"), "{said}");
    assert!(!said.contains("WATCHDOG"), "nobody asked for it: {said}");
}

#[test]
fn signs_of_life_come_as_often_as_the_supervisor_wants_them() {
    let supervisor = Supervisor::new();
    let mut command = supervisor.program();
    command.env("WATCHDOG_USEC", "100000");
    let data = supervisor.directory.path().join("data");
    let process = Process::start_by(command, &data, &["--port", "0"]);
    for _ in 0..5 {
        supervisor.hear(is("WATCHDOG=1"));
    }
    // A process that hangs gives none.
    signal(&process, "-STOP");
    eventually("it stands still", || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id()));
        // Where the system does not tell, the signal is taken at its word.
        state.map_or(true, |state| state.contains(") T ")).then_some(())
    });
    // What was on its way still comes.
    supervisor.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    eventually("it is silent", || supervisor.socket.recv(&mut [0; 4_096]).is_err().then_some(()));
    signal(&process, "-CONT");
    supervisor.hear(is("WATCHDOG=1"));
}

#[test]
fn a_supervisor_that_reads_nothing_holds_up_no_node() {
    let supervisor = Supervisor::new();
    let crowd = UnixDatagram::unbound().unwrap();
    crowd.set_nonblocking(true).unwrap();
    while crowd.send_to(b"X=1", supervisor.path()).is_ok() {}
    let mut process = supervisor.start(&[]);
    let admin = address(&mut process, "admin.listening");
    let done = program().args(["propose", "blue", "--admin", &admin]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    signal(&process, "-TERM");
    assert_eq!(process.exit_code(), 0);
}

#[test]
fn a_supervisor_that_is_not_there_is_told_once_and_holds_up_no_node() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program();
    command.env("NOTIFY_SOCKET", directory.path().join("nobody"));
    let mut process = Process::start_by(command, directory.path(), &["--port", "0"]);
    process.line("supervisor.deaf", |line| line["hint"].as_str().is_some());
    process.line("quorum.formed", |_| true);
    assert_eq!(process.leave(), 0);
    assert_eq!(process.count(|line| line["event"] == "supervisor.deaf"), 1);
}

#[test]
fn the_command_of_a_commit_does_not_speak_for_the_node() {
    let supervisor = Supervisor::new();
    let heard = supervisor.directory.path().join("heard");
    let command = format!(
        "printf '%s' \"${{NOTIFY_SOCKET-none}} ${{WATCHDOG_USEC-none}}\" > {0}.new && mv {0}.new {0}",
        heard.display()
    );
    let mut started = supervisor.program();
    started.env("WATCHDOG_USEC", "30000000");
    let data = supervisor.directory.path().join("data");
    let flags = ["--port", "0", "--propose", "blue", "--on-commit", &command];
    let _process = Process::start_by(started, &data, &flags);
    let told = eventually("the command runs", || std::fs::read_to_string(&heard).ok());
    assert_eq!(told, "none none");
}
