//! What people read before anything runs, and whether it is true.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Machines, eventually, program};
use crate::said::{fails, in_time, json, node, run, signal};

/// Every command, as typed; the first is none.
const COMMANDS: [&[&str]; 20] = [
    &[],
    &["config"],
    &["config", "init"],
    &["config", "check"],
    &["config", "show"],
    &["propose"],
    &["status"],
    &["peers"],
    &["log"],
    &["watch"],
    &["send"],
    &["ping"],
    &["doctor"],
    &["demo"],
    &["simulate"],
    &["bench"],
    &["completions"],
    &["man"],
    &["version"],
    &["help"],
];

fn help(command: &[&str], flag: &str) -> String {
    let said = node(&[command, &[flag]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.out
}

#[test]
fn help_names_every_command_and_exit_code() {
    let told = help(&[], "--help");
    for command in COMMANDS.iter().filter(|command| command.len() == 1) {
        assert!(told.contains(&format!("\n  {}", command[0])), "{command:?}");
    }
    let listed = told.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let listed = listed.lines().filter(|line| !line.starts_with("   ")).count();
    assert_eq!(listed, COMMANDS.iter().filter(|command| command.len() == 1).count(), "{told}");
    for flag in ["--peers", "--data-dir", "--config"] {
        assert!(told.contains(flag), "{flag}");
    }
    for code in [0, 3, 4, 5, 6, 7, 8, 9, 10, 78] {
        assert!(told.contains(&format!("\n  {code:>2}  ")), "{code}");
    }
}

#[test]
fn the_short_help_is_short_and_the_long_one_has_examples_and_exit_codes() {
    for command in COMMANDS.iter().filter(|command| **command != ["help"]) {
        let (short, long) = (help(command, "-h"), help(command, "--help"));
        assert!(short.len() < long.len(), "{command:?}");
        assert!(!short.contains("Examples:") && short.contains("--help"), "{short}");
        assert!(!examples(&long).is_empty(), "{long}");
        assert!(long.contains("Exit codes:\n   0  "), "{long}");
        for line in long.lines() {
            assert!(line.chars().count() <= 100 && !line.contains('\u{1b}'), "{line}");
        }
    }
}

/// The lines behind `Examples:`.
fn examples(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("Examples:\n") else { return Vec::new() };
    rest.lines().take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
}

/// A shell in `directory` that runs a line as people type it; `node` is the built program.
fn shell(directory: &Path, line: &str, admin_port: &str) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    // Only what a node itself listens on is told by the environment, so that no fixed port is needed.
    let runs_a_node = line.contains("node -") || line.contains("node doctor");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUORATE_") {
            command.env_remove(name);
        }
    }
    if runs_a_node {
        command.env("QUORATE_PORT", "0");
    }
    command
        .args(["-c", line])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", directory.join("bin").display()))
        .env("QUORATE_ADMIN_PORT", if runs_a_node { "0" } else { admin_port })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[cfg(unix)]
#[test]
fn every_example_of_the_help_runs_as_printed() {
    let machines = Machines::start(3);
    let admin_port = machines.admins[0].rsplit(':').next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("bin")).unwrap();
    let target = directory.path().join("bin/node");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_node"), target).unwrap();
    let mut ran = 0;
    // `config` stands early in the list: its examples write the files that others read.
    let commands = COMMANDS.iter().filter(|command| **command != ["help"]);
    for command in commands.clone().skip(1).chain(commands.take(1)) {
        for line in examples(&help(command, "--help")) {
            ran += 1;
            let is_endless =
                ["--watch", "--follow", "--peers", "node watch"].iter().any(|it| line.contains(it))
                    && !line.contains("config")
                    && !line.contains("watch --from")
                    || line == "node bench";
            if !is_endless {
                let said = in_time(|| run(&mut shell(directory.path(), &line, admin_port)));
                assert_eq!(said.code, 0, "{line}: {said:?}");
                continue;
            }
            let line = format!("exec {line}");
            let mut child = shell(directory.path(), &line, admin_port).spawn().unwrap();
            let stream: &mut dyn Read =
                match line.contains("--peers") || line.contains("node watch") {
                    true => child.stderr.as_mut().unwrap(),
                    false => child.stdout.as_mut().unwrap(),
                };
            assert_eq!(stream.read(&mut [0]).unwrap(), 1, "{line} says nothing");
            assert!(child.try_wait().unwrap().is_none(), "{line} ended by itself");
            signal(&child, "-TERM");
            let ended = eventually("it ends", || child.try_wait().unwrap());
            // Whoever has nothing to close in good order is simply ended by the signal.
            let by_signal =
                ["log ", "watch"].iter().any(|it| line.contains(it)) && ended.code().is_none();
            let is_cut_short = line.ends_with("node bench") && ended.code() == Some(10);
            assert!(ended.success() || by_signal || is_cut_short, "{line}: {ended}");
        }
    }
    assert!(ran > 40, "{ran}");
    assert!(directory.path().join("man/node-config-init.1").exists());
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = node(&["completions", shell]);
        assert_eq!(said.code, 0);
        for word in ["propose", "--data-dir", "completions"] {
            // Fish writes long flags without their dashes.
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(said.out.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let mut bash = Command::new("bash");
            let checked = bash.args(["-n", "/dev/stdin"]).stdin(Stdio::piped()).spawn();
            let Ok(mut checked) = checked else {
                eprintln!("SKIPPED: there is no bash to read its script");
                continue;
            };
            std::io::Write::write_all(&mut checked.stdin.take().unwrap(), said.out.as_bytes())
                .unwrap();
            assert!(checked.wait().unwrap().success());
        }
    }
    fails(&node(&["completions", "csh"]), 78, "'csh'");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("man");
    assert_eq!(node(&["man", "--dir", dir.to_str().unwrap()]).code, 0);
    for command in COMMANDS.iter().filter(|command| **command != ["help"]) {
        let name = [&["node"], *command].concat().join("-");
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).expect(&name);
        assert!(page.contains(".TH") && page.contains(".SH NAME"), "{page}");
        assert!(page.contains("Examples:") && page.contains("Exit codes:"), "{page}");
    }
    assert!(node(&["man"]).out.contains(".TH"));
    let file = directory.path().join("plain");
    std::fs::write(&file, "").unwrap();
    fails(&node(&["man", "--dir", file.to_str().unwrap()]), 10, "cannot be written");
}

#[test]
fn the_version_tells_the_formats_that_it_speaks() {
    let said = node(&["version"]);
    assert!(said.out.starts_with(concat!("node ", env!("CARGO_PKG_VERSION"), "\n")), "{said:?}");
    for part in ["commit ", "protocol ", "log format  quorate log "] {
        assert!(said.out.contains(part), "{said:?}");
    }
    let told = json(&node(&["version", "--json"]));
    assert_eq!((&told["schema"], &told["version"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(told["protocol"]["max"], quorate::wire::PROTOCOL);
    assert_eq!(told["log_format"], quorate::storage::LOG_FORMAT);
    let short = node(&["--version"]);
    assert_eq!(short.out, concat!("node ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[cfg(unix)]
#[test]
fn colours_are_for_terminals_alone_and_can_be_declined() {
    // `script` runs a command on a terminal of its own.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let line =
        format!("{} doctor --port 0 --wait 0s --data-dir {data}", env!("CARGO_BIN_EXE_node"));
    let on_a_terminal = |no_color: &str| {
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", no_color);
        command.stdin(Stdio::null()).output()
    };
    let Ok(done) = on_a_terminal("") else {
        eprintln!("SKIPPED: there is no `script` to make a terminal");
        return;
    };
    assert!(String::from_utf8_lossy(&done.stdout).contains("\u{1b}[32mok"), "{done:?}");
    let done = on_a_terminal("1").unwrap();
    assert!(String::from_utf8_lossy(&done.stdout).contains("ok  "), "{done:?}");
    assert!(!String::from_utf8_lossy(&done.stdout).contains('\u{1b}'), "{done:?}");
    let mut piped = program();
    piped.args(line.split(' ').skip(1));
    assert!(!String::from_utf8_lossy(&piped.output().unwrap().stdout).contains('\u{1b}'));
}
