//! What a node prints. One test that listens within a program: how tracing remembers who listens spans all threads.

#[path = "support/process.rs"]
#[expect(dead_code, reason = "others need more of it")]
mod process;

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use process::{eventually, program};
use quorate::{Node, NodeConfig, Outcome, Value};

/// How long what must happen may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One life of a node, in which it agrees with itself on `values`.
async fn live(config: &NodeConfig, values: &[&str]) {
    let node = Node::start(config.clone()).await.expect("a start");
    node.handle().wait_ready().await.expect("it runs");
    for text in values {
        let outcome = node.handle().propose(Value::new(*text).expect("a value")).await;
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
    node.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_commit_is_told_once_even_after_a_restart() {
    let page = Page::default();
    let writer = page.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = NodeConfig {
        name: "n1".to_owned(),
        bind: Some([127, 0, 0, 1].into()),
        port: 0,
        ..NodeConfig::new(directory.path())
    };
    let lives = async {
        live(&config, &["red", "green", "blue"]).await;
        live(&config, &["white"]).await;
    };
    tokio::time::timeout(PATIENCE, lives).await.expect("it happens in time");

    let bytes = page.0.lock().expect("nobody panics while writing").clone();
    let text = String::from_utf8(bytes).expect("text");
    let told = |what: &str| text.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    for (slot, value) in (1..).zip(["red", "green", "blue", "white"]) {
        let lines = told(&format!("value=\"{value}\""));
        assert_eq!(lines.len(), 1, "{text}");
        let line = format!("value.committed slot={slot} value=\"{value}\" votes=1/1 round=");
        assert!(lines[0].contains(&line), "{text}");
    }
    let recovered = told("log.recovered");
    assert_eq!(recovered.len(), 2, "{text}");
    assert!(recovered[0].contains("entries=0 committed=0"), "{text}");
    assert!(recovered[1].contains("entries=3 committed=3"), "{text}");
    assert_eq!(told("node.listening").len(), 2, "{text}");
    assert_eq!(told("node.exposed").len(), 0, "{text}");
}

#[test]
fn a_node_whose_log_lines_nobody_reads_commits_and_leaves_all_the_same() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Few, for each is synced before the next; of four bytes a character, so that a pipe does not hold their lines.
    let values: Vec<_> = (0..200).map(|n| format!("value {n} {}", "𝄞".repeat(120))).collect();
    let mut child = program()
        .args(["--port", "0", "--bind", "127.0.0.1", "--no-admin", "--exit-after-commit"])
        .arg("--data-dir")
        .arg(directory.path())
        .args(values.iter().flat_map(|value| ["--propose", value]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = child.stdout.take().expect("asked for");
    let out = std::thread::spawn(|| std::io::read_to_string(stdout).expect("UTF-8"));
    eventually("all is committed", || out.is_finished().then_some(()));
    let out = out.join().expect("it read");
    assert_eq!(
        out.lines().filter(|line| line.contains("committed")).count(),
        values.len(),
        "{out}"
    );
    let status = eventually("the process ends", || child.try_wait().expect("it is a child"));
    assert_eq!(status.code(), Some(0));
    let mut lines = Vec::new();
    child.stderr.take().expect("asked for").read_to_end(&mut lines).expect("readable");
    let told = String::from_utf8_lossy(&lines).matches("value.committed").count();
    assert!((1..values.len()).contains(&told), "the pipe was full: {told} lines are in it");
}
