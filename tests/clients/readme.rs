//! Every line of the clients' README is run as it stands.

use std::process::Command;

use crate::language::{Language, Running};
use crate::process::Machines;
use crate::root;

/// The lines that call an interpreter, without the prompt.
fn written() -> Vec<String> {
    let path = root().join("examples/clients/README.md");
    let text = std::fs::read_to_string(path).expect("a text");
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(|block| block.lines().skip(1));
    lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn every_line_of_the_readme_works() {
    let machines = Machines::start(3);
    let directory = tempfile::tempdir().expect("a directory");
    let languages = Language::all();
    let lines = written();
    for language in &languages {
        let own: Vec<_> = lines.iter().filter(|line| line.starts_with(language.written)).collect();
        assert!(own.len() >= 10, "{}: {own:?}", language.name);
        for line in own {
            let mut command: Command = language.command();
            command.current_dir(directory.path());
            // The default is the address of a node that is not this test's.
            if !line.contains(" --node ") {
                command.args(["--node", &machines.admins[0]]);
            }
            for word in line.split_whitespace().skip(2) {
                let mut word = word.trim_matches('\'').to_owned();
                for at in 0..3 {
                    word = word.replace(&format!("127.0.0.1:900{}", at + 1), &machines.admins[at]);
                    let peers = format!("127.0.0.1:{}", machines.ports[at]);
                    word = word.replace(&format!("127.0.0.1:800{}", at + 1), &peers);
                }
                if word == "cluster-3" {
                    "quorate".clone_into(&mut word);
                }
                if word == "tests/vectors" {
                    word = root().join(word).to_str().expect("a path in UTF-8").to_owned();
                }
                command.arg(word);
            }
            let mut running = Running::start(&mut command);
            let first = running.next();
            let is_endless = line.contains("--follow") || line.contains(" watch");
            if !is_endless {
                let ended = running.end();
                assert_eq!(ended.code, Some(0), "{line}: {}", ended.errors);
            }
            assert!(first.is_some(), "{line}: it prints nothing");
        }
    }
    let mut known = ["python3 examples/clients/python/", "node examples/clients/js/"].iter();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        assert!(known.clone().any(|start| line.starts_with(start)), "{line} was not run");
    }
    assert!(known.all(|start| lines.iter().any(|line| line.starts_with(start))));
}
