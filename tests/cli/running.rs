//! A node as a process: what it tells, when it leaves, what it cannot share.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::process::{Machines, program};
use crate::said::{ask, fails, file, lone, node, signal};

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

#[cfg(unix)]
#[test]
fn a_signal_lets_it_leave_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["-TERM", "-INT"] {
        let (mut process, _) = lone(directory.path(), &[]);
        signal(&process.child, name);
        assert_eq!(process.exit_code(), 0, "{name}");
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

#[cfg(unix)]
#[test]
fn the_journal_gets_priorities_and_no_times() {
    use std::os::unix::fs::MetadataExt;

    let directory = tempfile::tempdir().unwrap();
    let lines = |name: &str, stream: &dyn Fn(&std::fs::Metadata) -> String| {
        let path = directory.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        let stream = stream(&file.metadata().unwrap());
        let status = program()
            .args(["--port", "0", "--bind", "127.0.0.1", "--no-admin", "--name", "n1"])
            .args(["--propose", "blue", "--exit-after-commit", "--data-dir"])
            .arg(directory.path().join(format!("{name}-data")))
            .env("JOURNAL_STREAM", stream)
            .stderr(file)
            .status();
        assert!(status.unwrap().success());
        std::fs::read_to_string(path).unwrap()
    };
    let journal = lines("journal", &|file| format!("{}:{}", file.dev(), file.ino()));
    assert!(journal.contains("\n<6> INFO value.committed slot=1 value=\"blue\" "), "{journal}");
    assert!(journal.lines().all(|line| line.starts_with("<6> INFO ")), "{journal}");
    // Led elsewhere since: no journal reads it.
    let file = lines("file", &|file| format!("{}:{}", file.dev(), file.ino() + 1));
    assert!(file.lines().all(|line| line.starts_with('2') && line.contains("Z  INFO ")), "{file}");
}
