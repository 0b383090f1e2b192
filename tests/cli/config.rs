//! Settings: written, checked, shown.

use std::path::Path;

use quorate::config::Key;
use serde_json::Value as Json;

use crate::process::program;
use crate::said::{fails, file, json, node};

#[test]
fn a_first_file_explains_everything_and_holds_what_was_asked_for() {
    let explained =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/node.toml"));
    assert_eq!(node(&["config", "init"]).out, explained.unwrap());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml").display().to_string();
    let flags = ["--port", "7001", "--peers", "a:7001,[::1]:7002", "--name", "n1", "--no-admin"];
    assert_eq!(node(&[&["config", "init", "--output", &path], &flags[..]].concat()).code, 0);
    let told = node(&["config", "show", "--origin", "--config", &path]);
    for line in
        ["port = 7001", "peers = [\"a:7001\", \"[::1]:7002\"]", "name = \"n1\"", "admin = false"]
    {
        let found = told.out.lines().find(|told| told.starts_with(line)).expect(line);
        assert!(found.contains(&format!("# {path}:")), "{found}");
    }
    assert_eq!(
        told.out.matches("the built-in default").count(),
        Key::ALL.len() - 4,
        "{}",
        told.out
    );
    fails(&node(&["config", "init", "--output", &path]), 10, "cannot be written");
    fails(&node(&["config", "init", "--port", "x", "--cluster", "a b"]), 78, "a b");
    fails(&node(&["config", "init", "--config", &path]), 78, "--config names a file to read");
}

#[test]
fn what_is_shown_can_be_used_and_tells_where_each_setting_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let first = file(directory.path(), "first.toml", b"\ncluster = \"blue\"\nport = 7001\n");
    let show = |path: &str, more: &[&str]| {
        let mut command = program();
        command.args(["config", "show", "--config", path]).args(more);
        command.env("QUORATE_PORT", "7002").env("QUORATE_SUSPECT_AFTER", "1500ms");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let shown = show(&first, &["--name", "n1"]);
    let again = file(directory.path(), "again.toml", shown.as_bytes());
    assert_eq!(node(&["config", "show", "--config", &again]).out, shown);

    let told: Json = serde_json::from_str(&show(&first, &["--name", "n1", "--json"])).unwrap();
    assert_eq!(told["schema"], 1);
    let told = &told["settings"];
    let origin = |key: &str| told[key]["origin"].to_string();
    assert_eq!(
        (&told["port"]["value"], &told["admin_port"]["value"]),
        (&7002.into(), &8002.into())
    );
    assert_eq!(origin("port"), r#"{"kind":"environment","variable":"QUORATE_PORT"}"#);
    assert_eq!(origin("name"), r#"{"flag":"--name","kind":"flag"}"#);
    assert_eq!(origin("admin_port"), r#"{"kind":"default"}"#);
    assert_eq!(told["cluster"]["origin"]["line"], 2);
    assert_eq!(told["advertise"]["value"], Json::Null);
    assert_eq!(
        (&told["log_level"]["reloadable"], &told["port"]["reloadable"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn a_check_tells_all_faults_or_that_there_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let good = file(directory.path(), "good.toml", b"port = 7001\n");
    let said = node(&["config", "check", "--config", &good]);
    assert!(
        said.out.starts_with(&format!("sound: 1 of {} settings are written", Key::ALL.len())),
        "{said:?}"
    );
    assert_eq!(json(&node(&["config", "check", "--config", &good, "--json"]))["schema"], 1);
    let bad = file(directory.path(), "bad.toml", b"prot = 7001\nlog_level = \"loud\"\n");
    let said = node(&["config", "check", "--config", &bad]);
    fails(&said, 78, "prot is not a setting");
    assert!(said.err.contains("hint: did you mean port?"), "{said:?}");
    assert!(said.err.contains(&format!("where: {bad}:2")), "{said:?}");
    let done =
        program().args(["config", "check"]).env("QUORATE_CONFIG", "no/such").output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert!(err.contains("where: QUORATE_CONFIG in the environment"), "{err}");
}

#[test]
fn what_an_orchestrator_puts_into_the_environment_stops_nothing_and_is_explained() {
    let links = [
        ("QUORATE_PORT", "tcp://10.0.0.1:8001"),
        ("QUORATE_SERVICE_HOST", "10.0.0.1"),
        ("QUORATE_PORT_8001_TCP_ADDR", "10.0.0.1"),
    ];
    let done = program().args(["config", "check"]).envs(links).output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{err}");
    assert_eq!(err.matches("warning: ").count(), 1, "{err}");
    assert!(err.contains("Kubernetes") && err.contains("enableServiceLinks: false"), "{err}");
    let done = program().args(["config", "check"]).env("QUORATE_PORT", "tcp://x").output().unwrap();
    assert_eq!(done.status.code(), Some(78), "{done:?}");

    let directory = tempfile::tempdir().unwrap();
    let done = program()
        .args(["--bind", "127.0.0.1", "--no-admin", "--propose", "x", "--exit-after-commit"])
        .args(["--log-format", "json", "--config"])
        .arg(file(directory.path(), "node.toml", b"port = 0\n"))
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .envs(links)
        .output()
        .unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{err}");
    assert!(err.contains("setting.ignored") && err.contains("enableServiceLinks"), "{err}");
}

/// A node of one whose settings lie in a file, and what is in force at it.
#[cfg(unix)]
mod reload {
    use std::fs;
    use std::path::{Path, PathBuf};

    use serde_json::Value as Json;

    use crate::nobody::Nobody;
    use crate::process::{Process, free_ports};
    use crate::said::signal;

    struct Reloaded {
        path: PathBuf,
        process: Process,
    }

    impl Reloaded {
        fn start(directory: &Path, text: &str) -> Self {
            let path = directory.join("node.toml");
            fs::write(&path, text).unwrap();
            let arguments = ["--config", path.to_str().unwrap()];
            let mut process = Process::start(&directory.join("data"), &arguments);
            process.line("node.listening", |_| true);
            Self { path, process }
        }

        fn hang_up(&self, text: &str) {
            fs::write(&self.path, text).unwrap();
            signal(&self.process.child, "-HUP");
        }
    }

    #[test]
    fn other_levels_and_addresses_take_effect_without_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let own = free_ports(1)[0];
        // Held until the other one takes them.
        let [at_first, behind, never] = [(); 3].map(|()| Nobody::new());
        let listed = |other: &Nobody| {
            let list = format!("peers = [\"127.0.0.1:{own}\", \"{}\"]\n", other.address);
            format!("port = {own}\nname = \"n1\"\n{list}")
        };
        let first = listed(&at_first);
        let mut node = Reloaded::start(directory.path(), &first);
        // Nobody has been met: the list still says who belongs.
        let moved = listed(&behind);
        node.hang_up(&moved);
        let told = node.process.line("config.refused", |_| true);
        assert!(told["what"].as_str().unwrap().contains("not formed yet"), "{told}");
        assert_eq!(told["place"], format!("{}:3", node.path.display()));

        let second_at = |place: Nobody, peers: &str| {
            let port = place.address.rsplit(':').next().unwrap().to_owned();
            drop(place);
            let arguments = ["--port", &port, "--peers", peers, "--name", "n2"];
            Process::start(&directory.path().join("second"), &arguments)
        };
        let both = format!("127.0.0.1:{own},{}", at_first.address);
        let mut second = second_at(at_first, &both);
        node.process.line("epoch.formed", |_| true);
        // Before that, another list would be another cluster to it.
        second.line("epoch.formed", |_| true);
        second.kill();

        // The other one moves to a port that its list does not give away, and never dials.
        let mut second = second_at(behind, &never.address);
        second.line("node.listening", |_| true);
        node.hang_up(&format!("{moved}log_level = \"debug\"\nredial_max = \"1s\"\n"));
        let told = node.process.line("config.reloaded", |_| true);
        assert_eq!(told["changed"], "peers,redial_max,log_level");
        node.process.line("link.up", |line| line["name"] == "n2" && line["level"] == "DEBUG");

        node.hang_up(&format!("{moved}log_level = \"off\"\nredial_max = \"1s\"\n"));
        let admin = node.process.admin().expect("it serves HTTP");
        crate::process::eventually("lines are off", || {
            let others = |line: &Json| line["event"] != "value.committed";
            let before = node.process.count(others);
            let said = crate::said::node(&["propose", "told all the same", "--admin", &admin]);
            assert_eq!(said.code, 0, "{said:?}");
            node.process.line("value.committed", |_| true);
            (node.process.count(others) == before).then_some(())
        });
        assert_eq!(node.process.leave(), 0);
        assert_eq!(second.leave(), 0);
    }

    #[test]
    fn one_fault_or_one_fixed_setting_keeps_all_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut node = Reloaded::start(directory.path(), "port = 0\nname = \"n1\"\n");
        let path = node.path.display().to_string();
        node.hang_up("port = 0\nnam = \"n1\"\nlog_level = \"debug\"\nredial_max = \"1ms\"\n");
        for (what, line) in [("nam is not a setting", 2), ("redial_max: 1ms is not between", 4)] {
            let told = node.process.line("config.refused", |line| {
                line["what"].as_str().is_some_and(|told| told.contains(what))
            });
            assert_eq!(
                (&told["level"], &told["place"]),
                (&"ERROR".into(), &format!("{path}:{line}").into())
            );
        }
        node.hang_up("port = 0\nname = \"n9\"\nlog_level = \"debug\"\nsuspect_after = \"2s\"\n");
        for (what, line) in [("name needs a restart", 2), ("suspect_after needs a restart", 4)] {
            let told = node.process.line("config.refused", |line| {
                line["what"].as_str().is_some_and(|told| told.contains(what))
            });
            assert!(told["what"].as_str().unwrap().contains("nothing was changed"), "{told}");
            assert_eq!(told["place"], format!("{path}:{line}"));
        }
        node.hang_up("port = 0\nname = \"n1\"\nlog_level = \"info\"\n");
        let told = node.process.line("config.reloaded", |_| true);
        assert_eq!(told["changed"], "nothing", "the old settings stayed in force");
        assert_eq!(node.process.leave(), 0);
    }

    #[test]
    fn without_a_file_the_signal_does_what_the_system_says() {
        // Under nohup the system says: nothing. Children are told the same.
        let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = own.lines().find_map(|line| line.strip_prefix("SigIgn:\t"));
        if ignored.is_some_and(|mask| u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & 1 == 1))
        {
            return eprintln!(
                "SKIPPED: this test runs where the signal HUP is ignored, as under nohup"
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::start(directory.path(), &["--port", "0"]);
        process.line("node.listening", |_| true);
        signal(&process.child, "-HUP");
        let child = &mut process.child;
        let ended = crate::process::eventually("it ends", || child.try_wait().unwrap());
        assert_eq!(ended.code(), None, "ended by the signal: {ended}");
    }
}
