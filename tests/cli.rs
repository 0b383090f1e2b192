//! The program as people use it: what it takes, what it says, and the code it ends with.

#[path = "support/process.rs"]
mod process;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process::{Machines, Process, eventually, free_ports, program};
use serde_json::Value as Json;

/// What a run of the program to its end said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program to its end.
fn node(arguments: &[&str]) -> Said {
    let mut command = program();
    let done = command.args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    Said {
        code: done.status.code().expect("it ends by itself"),
        out: String::from_utf8(done.stdout).expect("UTF-8"),
        err: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// Writes a file and says how it is named on a command line.
fn file(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("room");
    path.to_str().expect("UTF-8").to_owned()
}

/// Runs a command that asks one of them.
fn ask(machines: &Machines, at: usize, arguments: &[&str]) -> Said {
    node(&[arguments, &["--admin", &machines.admins[at]]].concat())
}

fn json(said: &Said) -> Json {
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Every error has one shape: what, where, the next step.
#[track_caller]
fn fails(said: &Said, code: i32, what: &str) {
    assert_eq!(said.code, code, "{said:?}");
    assert!(said.err.starts_with("error: ") || said.err.contains("\nerror: "), "{said:?}");
    assert!(said.err.contains(what), "{what:?} is not in {said:?}");
    assert!(!said.err.contains('\u{1b}'), "colours where nobody sees them: {said:?}");
}

/// A node of its own cluster, and where it serves HTTP.
fn lone(directory: &Path, arguments: &[&str]) -> (Process, String) {
    let mut process = Process::start(directory, &[&["--port", "0"], arguments].concat());
    let admin = process.admin().expect("no port was asked for");
    process.line("quorum.formed", |_| true);
    (process, admin)
}

/// Everything it said until it ended.
fn all_words(process: &mut Process) -> String {
    assert!(process.line_or_end(|_| false).is_none());
    process.raw.join("\n")
}

#[test]
fn help_names_every_command_and_exit_code() {
    let said = node(&["--help"]);
    assert_eq!(said.code, 0);
    for word in
        ["propose", "status", "peers", "log", "send", "simulate", "demo", "--peers", "--data-dir"]
    {
        assert!(said.out.contains(word), "{word}");
    }
    for code in [0, 3, 4, 5, 6, 7, 8, 9, 10, 78] {
        assert!(said.out.contains(&format!("\n  {code:>2}  ")), "{code}");
    }
    assert_eq!(node(&["version"]).out, concat!("node ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_flag_is_told_with_the_right_one() {
    let said = node(&["--prot", "1"]);
    fails(&said, 78, "'--prot'");
    assert!(said.err.contains("hint: a similar argument exists: '--port'"), "{said:?}");
    fails(&node(&["status", "--admin", "nowhere"]), 78, "has no port");
    fails(&node(&["propose", "x", "--request-id", "7"]), 78, "\"7\" is not a request id");
    fails(&node(&["simulate", "--nodes", "65"]), 78, "65 nodes");
}

#[test]
fn all_faults_of_flags_environment_and_file_are_told_at_once_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "node.toml", b"suspect_after = \"1ms\"\npers = []\n");
    let done = program()
        .args([
            "--config",
            &path,
            "--peers",
            "a:8001,b,a:8001",
            "--propose",
            "",
            "--request-id",
            "x",
        ])
        .env("QUORATE_PORT", "70000")
        .env("QUORATE_LOG_LEVE", "info")
        .output()
        .unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(78));
    for (what, place) in [
        ("suspect_after: 1ms is not between", format!("{path}:1")),
        ("pers is not a setting", format!("{path}:2")),
        ("peers: \"b\" has no port", "--peers on the command line".to_owned()),
        ("peers: a:8001 stands twice", "--peers on the command line".to_owned()),
        ("port: \"70000\" is not a port", "QUORATE_PORT in the environment".to_owned()),
        ("QUORATE_LOG_LEVE is not a setting", "QUORATE_LOG_LEVE in the environment".to_owned()),
        ("the value is empty", "--propose on the command line".to_owned()),
        ("\"x\" is not a request id", "--request-id on the command line".to_owned()),
    ] {
        let told = err.lines().position(|line| line.contains(what));
        let told = told.unwrap_or_else(|| panic!("{what} is not in\n{err}"));
        let mut after = err.lines().skip(told + 1);
        assert_eq!(after.next(), Some(format!("  where: {place}").as_str()), "{err}");
        assert!(after.next().unwrap().starts_with("  hint: "), "{err}");
    }
}

#[test]
fn a_lone_node_takes_values_and_shows_them_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, admin) = lone(&directory.path().join("data"), &["--name", "n1"]);
    let ask = |arguments: &[&str]| node(&[arguments, &["--admin", &admin]].concat());

    let said = ask(&["propose", "blue\n\"sea\"", "--json"]);
    let answer = json(&said);
    assert_eq!(
        (&answer["schema"], &answer["outcome"], &answer["slot"]),
        (&1.into(), &"committed".into(), &1.into())
    );
    process.line("value.committed", |line| line["slot"] == 1);
    let id = answer["request_id"].as_str().unwrap();
    let again = ask(&["propose", "blue\n\"sea\"", "--request-id", id]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("committed slot=1 "), "{again:?}");
    let path = file(directory.path(), "value", "grün\n".as_bytes());
    assert!(ask(&["propose", &format!("@{path}")]).out.starts_with("committed slot=2 "));

    assert_eq!(ask(&["log", "--format", "raw"]).out, "blue\n\"sea\"\ngrün\n");
    assert_eq!(ask(&["log", "--format", "raw", "--from", "2", "--limit", "1"]).out, "grün\n");
    assert_eq!(ask(&["log", "--format", "raw", "--follow", "--limit", "2"]).out.lines().count(), 3);
    let text = ask(&["log", "--local"]).out;
    assert!(text.lines().next().unwrap().ends_with("\"blue\\n\\\"sea\\\"\""), "{text}");
    for line in ask(&["log", "--json"]).out.lines() {
        let entry: Json = serde_json::from_str(line).unwrap();
        assert_eq!((&entry["schema"], &entry["kind"]), (&1.into(), &"value".into()));
    }

    let status = json(&ask(&["status", "--json"]));
    assert_eq!((&status["schema"], &status["name"]), (&1.into(), &"n1".into()));
    assert_eq!((&status["ready"], &status["committed"]["slot"]), (&true.into(), &2.into()));
    let text = ask(&["status"]).out;
    assert!(
        text.contains("n1") && text.contains("committed to 2") && text.contains("1 of 1"),
        "{text}"
    );
    assert_eq!(json(&ask(&["peers", "--json"]))["peers"], Json::Array(Vec::new()));
    assert_eq!(ask(&["peers"]).out, "no peers are known\n");
    assert_eq!(process.leave(), 0);
    fails(&ask(&["status"]), 5, "no node answers there");
}

#[test]
fn commits_are_told_at_any_level_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    for level in ["error", "off"] {
        let data = directory.path().join(level);
        let done = program()
            .args(["--port", "0", "--bind", "127.0.0.1", "--log-level", level])
            .args([
                "--propose",
                "blue",
                "--propose",
                "@@green",
                "--exit-after-commit",
                "--data-dir",
            ])
            .arg(&data)
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        assert_eq!(done.status.code(), Some(0), "{err}");
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), 2, "{err}");
        assert!(
            lines[0].contains("INFO value.committed slot=1 value=\"blue\" votes=1/1 round=0"),
            "{err}"
        );
        assert!(lines[1].contains("INFO value.committed slot=2 value=\"@green\""), "{err}");
        assert!(!err.contains('\u{1b}'), "{err}");
        assert_eq!(out.lines().count(), 2, "{out}");
        assert!(out.starts_with("committed slot=1 "), "{out}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_with_the_bound() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, admin) = lone(&directory.path().join("data"), &[]);
    let ask = |arguments: &[&str]| node(&[arguments, &["--admin", &admin]].concat());
    fails(&ask(&["propose", ""]), 3, "the value is empty");
    let over = file(directory.path(), "over", &vec![b'x'; 256 * 1024 + 1]);
    fails(&ask(&["propose", &format!("@{over}")]), 3, "the limit is 262144");
    let most = file(directory.path(), "most", &vec![b'x'; 256 * 1024]);
    assert_eq!(ask(&["propose", &format!("@{most}")]).code, 0);
    fails(&ask(&["propose", "@no/such/file"]), 3, "no/such/file cannot be read");
    fails(&ask(&["send", "x", "--to", "nobody"]), 3, "nobody");
}

#[cfg(unix)]
#[test]
fn a_signal_lets_it_leave_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let (mut process, _) = lone(directory.path(), &[]);
        let sent = Command::new("kill").args([signal, &process.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(process.exit_code(), 0, "{signal}");
    }
}

#[test]
fn a_taken_port_and_a_taken_directory_have_their_own_codes() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("first");
    let (mut process, admin) = lone(&data, &[]);
    let port = process.line("node.listening", |_| true)["address"].as_str().unwrap().to_owned();
    let port = port.rsplit(':').next().unwrap();
    let other = directory.path().join("second").display().to_string();
    let common = ["--bind", "127.0.0.1", "--data-dir"];

    let said = node(&[&["--port", port], &common[..], &[&other]].concat());
    fails(&said, 9, port);
    let admin_port = admin.rsplit(':').next().unwrap();
    let said =
        node(&[&["--port", "0", "--admin-port", admin_port], &common[..], &[&other]].concat());
    fails(&said, 9, admin_port);
    let first = data.display().to_string();
    let said = node(&[&["--port", "0"], &common[..], &[&first]].concat());
    fails(&said, 8, &first);
    let in_a_file = file(directory.path(), "plain", b"no directory");
    fails(&node(&[&["--port", "0"], &common[..], &[&in_a_file]].concat()), 8, &in_a_file);
    // Rights mean nothing to a superuser; where the system makes files, not even it can.
    let mut closed = directory.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut rights = std::fs::metadata(&closed).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(&closed, rights).unwrap();
    if cfg!(target_os = "linux") && std::fs::write(closed.join("x"), "").is_ok() {
        closed = "/proc/closed".into();
    }
    let closed = closed.display().to_string();
    let said = node(&[&["--port", "0"], &common[..], &[&closed]].concat());
    fails(&said, 8, &closed);
    assert!(said.err.contains("then start the node again"), "{said:?}");
    assert_eq!(process.leave(), 0, "it was disturbed by none of them");
}

#[test]
fn three_processes_agree_send_and_say_when_they_cannot() {
    let mut machines = Machines::start(3);
    let answer = json(&ask(&machines, 0, &["propose", "blue", "--json"]));
    assert_eq!(answer["slot"], 1);
    for process in &mut machines.processes {
        let line = process.line("value.committed", |line| line["slot"] == 1);
        assert_eq!(line["value"], "blue");
    }
    let peers = json(&ask(&machines, 0, &["peers", "--json"]));
    let statuses: Vec<_> =
        peers["peers"].as_array().unwrap().iter().map(|peer| &peer["status"]).collect();
    assert_eq!(statuses, ["Online", "Online"]);
    assert!(ask(&machines, 0, &["peers"]).out.contains("n2"));

    let said = ask(&machines, 0, &["send", "hello", "--to", "n2"]);
    assert_eq!((said.code, said.out.as_str()), (0, "delivered to n2\n"), "{said:?}");
    machines.processes[1].line("message.received", |line| line["text"] == "hello");
    assert_eq!(
        json(&ask(&machines, 0, &["send", "all", "--json"]))["by"].as_array().unwrap().len(),
        2
    );

    machines.processes[1].kill();
    machines.processes[2].kill();
    eventually("the quorum is missed", || {
        (json(&ask(&machines, 0, &["status", "--json"]))["ready"] == false).then_some(())
    });
    fails(&ask(&machines, 0, &["propose", "red", "--timeout", "200ms"]), 6, "no quorum: 1 of 2");
    fails(&ask(&machines, 0, &["log"]), 6, "no quorum");
    assert_eq!(ask(&machines, 0, &["log", "--local", "--format", "raw"]).out, "blue\n");
}

#[test]
fn garbage_on_the_port_disturbs_nobody() {
    let mut machines = Machines::start(3);
    let mut held = Vec::new();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x02{}",
        b"",
    ] {
        for port in &machines.ports {
            let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
            // A node may hang up before all of it is written.
            let _ = stream.write_all(bytes);
            held.push(stream);
        }
    }
    assert_eq!(ask(&machines, 0, &["propose", "blue"]).code, 0);
    machines.processes[0].line("connection.refused", |_| true);
    for stream in &mut held {
        // It ends, by the node's doing, with an answer or without.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    for process in &mut machines.processes {
        process.line("value.committed", |_| true);
        assert_eq!(process.leave(), 0);
    }
}

#[test]
fn a_value_from_standard_input_is_taken_before_the_node_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = program()
        .args([
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--no-admin",
            "--propose",
            "-",
            "--exit-after-commit",
        ])
        .arg("--data-dir")
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe\n").unwrap();
    let done = child.wait_with_output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{err}");
    assert!(err.contains("value.committed slot=1 value=\"from a pipe\""), "{err}");
    assert!(!err.contains("admin.listening"), "{err}");
}

#[test]
fn different_lists_are_told_by_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports(3);
    let list = |count: usize| {
        let list: Vec<_> = ports[..count].iter().map(|port| format!("127.0.0.1:{port}")).collect();
        list.join(",")
    };
    let start = |at: usize, listed: usize| {
        let (name, port) = (format!("n{}", at + 1), ports[at].to_string());
        let arguments = ["--name", &name, "--port", &port, "--peers", &list(listed)];
        Process::start(&directory.path().join(&name), &arguments)
    };
    let (mut short, _second, mut long) = (start(0, 2), start(1, 3), start(2, 3));
    let told = short.line("lists.differ", |line| line["peer"] == "n3");
    assert!(told["hint"].as_str().unwrap().contains("the same --peers"), "{told}");
    long.line("lists.differ", |line| line["peer"] == "n1");
    assert!(short.raw.iter().all(|line| !line.contains("epoch.formed")));
}

#[test]
fn another_cluster_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports(2);
    let list = format!("127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let start = |at: usize, cluster: &str| {
        let port = ports[at].to_string();
        let arguments = ["--cluster", cluster, "--port", &port, "--peers", &list];
        Process::start(&directory.path().join(cluster), &arguments)
    };
    let (mut red, _blue) = (start(0, "red"), start(1, "blue"));
    let refused = |line: &Json| {
        ["dial.failed", "connection.refused"].contains(&line["message"].as_str().unwrap_or(""))
    };
    let both = |line: &Json| {
        let reason = line["reason"].as_str().unwrap_or("");
        refused(line) && reason.contains("\"red\"") && reason.contains("\"blue\"")
    };
    let told = red.any_line(both);
    assert!(told["reason"].as_str().unwrap().contains("--cluster"), "{told}");
}

#[test]
fn a_copied_directory_beside_its_original_stops_one_of_the_two() {
    let mut machines = Machines::start(3);
    assert_eq!(ask(&machines, 0, &["propose", "before"]).code, 0);

    let copy = machines.directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(machines.data(1)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let arguments = ["--port", "0", "--peers", &machines.list(), "--name", "copy"];
    let mut copy = Process::start(&copy, &arguments);
    assert_eq!(ask(&machines, 0, &["propose", "meanwhile"]).code, 0);

    let original = &mut machines.processes[1];
    assert_eq!(original.exit_code(), 7);
    let told = all_words(original);
    for part in
        ["error: a newer process runs as node ", "start 1", "n2", "stop one", "copied", "empty"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(ask(&machines, 2, &["propose", "after"]).code, 0);
    machines.admins[1] = copy.admin().expect("no port was asked for");
    assert_eq!(ask(&machines, 1, &["propose", "through the copy"]).code, 0);
    copy.line("value.committed", |line| line["value"] == "through the copy");
    assert_eq!(copy.leave(), 0);
    for at in [0, 2] {
        assert_eq!(machines.processes[at].leave(), 0);
    }
}

#[test]
fn a_killed_member_that_returns_at_once_is_never_taken_for_a_second_one() {
    let mut machines = Machines::start(3);
    for _ in 0..5 {
        machines.processes[1].kill();
        machines.restart(1);
    }
    assert_eq!(ask(&machines, 1, &["propose", "back"]).code, 0);
    for mut process in machines.processes {
        assert_eq!(process.leave(), 0);
        let told = all_words(&mut process);
        assert!(!told.contains("duplicate_identity") && !told.contains("newer process"), "{told}");
    }
}

#[test]
fn a_member_that_lost_its_directory_is_a_stranger_and_founds_no_cluster() {
    let mut machines = Machines::start(3);
    machines.processes[2].kill();
    std::fs::remove_dir_all(machines.data(2)).unwrap();
    machines.restart(2);
    for at in [2, 0, 1] {
        let told = machines.processes[at].line("node.unknown", |line| line["node"] == "n3");
        let hint = told["hint"].as_str().unwrap();
        assert!(hint.contains("data directory was lost") && hint.contains("--peers"), "{told}");
    }
    assert_eq!(ask(&machines, 0, &["propose", "without it"]).code, 0);
    fails(&ask(&machines, 2, &["propose", "alone", "--timeout", "500ms"]), 3, "not formed");
    assert_eq!(json(&ask(&machines, 2, &["status", "--json"]))["ready"], false);
    let wiped = &mut machines.processes[2];
    assert_eq!(wiped.leave(), 0);
    let told = all_words(wiped);
    for never in ["epoch.formed", "quorum.formed", "value.committed"] {
        assert!(!told.contains(never), "{told}");
    }
}
