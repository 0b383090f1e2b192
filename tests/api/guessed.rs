//! What a stranger's program makes of `docs/openapi.yaml`: schemathesis reads it, makes up requests that
//! fit and requests that do not, and holds the answers against it. Where it is not installed, nothing runs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Served;

/// Where `.ci/run` and people may put it, beside what stands in the path.
const PLACE: &str = "target/tools/schemathesis";

/// How long it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Requests made up for each operation, beside those for the bounds of every parameter.
const GUESSES: &str = "40";

#[tokio::test]
async fn requests_made_up_from_the_description_are_answered_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join(PLACE).join("bin/schemathesis");
    let program = if own.exists() { own.as_path() } else { Path::new("schemathesis") };
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().await;
    if !found.is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: no requests were made up from docs/openapi.yaml: there is no schemathesis here; \
             python3 -m venv {PLACE} && {PLACE}/bin/pip install schemathesis"
        );
        return;
    }
    let served = Served::start(3).await;
    let directory = tempfile::tempdir().expect("a directory");
    let run = Command::new(program)
        .arg("--config-file")
        .arg(root.join("tests/api/schemathesis.toml"))
        .arg("run")
        .arg(root.join("docs/openapi.yaml"))
        .args(["--url", &format!("http://{}", served.server.address())])
        .args(["--exclude-operation-id", "events", "--exclude-operation-id", "frames"])
        .args(["--checks", "all", "--seed", "1", "--max-examples", GUESSES])
        .args(["--request-timeout", "60", "--continue-on-failure", "--no-color"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(PATIENCE, run).await.expect("it ends in time");
    let done = done.expect("it runs");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    assert!(told.contains("10 selected / 12 total"), "all but the stream and the upgrade: {told}");
    served.end().await;
}
