//! `deploy/prometheus/alerts.yaml`: the alarms of docs/OPERATIONS.md, no more and no fewer.

use std::collections::BTreeSet;

use crate::files::{at, text, tool, yaml};

/// An alarm: its name, its expression, how long it must hold, who is told, and why.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alarm {
    name: String,
    expression: String,
    holds: String,
    severity: &'static str,
    why: String,
}

/// The tables of the document.
fn documented() -> BTreeSet<Alarm> {
    let text = text("docs/OPERATIONS.md");
    let (_, rest) = text.split_once("Wake somebody up:").expect("the first table");
    let (page, rest) = rest.split_once("Look at it in the morning:").expect("the second table");
    let (ticket, _) = rest.split_once("Not worth an alarm").expect("what follows the tables");
    let alarms = |table: &str, severity| -> Vec<Alarm> {
        let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [name, expression, holds, why] = cells[..] else { panic!("{row}") };
            Alarm {
                name: name.to_owned(),
                expression: expression.trim_matches('`').to_owned(),
                holds: holds.to_owned(),
                severity,
                why: why.to_owned(),
            }
        })
        .collect()
    };
    alarms(page, "page").into_iter().chain(alarms(ticket, "ticket")).collect()
}

/// `nothing commits` as `QuorateNothingCommits`.
fn rule_name(alarm: &str) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    "Quorate".to_owned() + &alarm.split(' ').map(capital).collect::<String>()
}

#[test]
fn every_alarm_of_the_document_is_a_rule_and_every_rule_is_documented() {
    let rules = &yaml("deploy/prometheus/alerts.yaml")[0];
    let mut found = BTreeSet::new();
    for (group, severity) in [(0, "page"), (1, "ticket")] {
        for rule in at(rules, &format!("/groups/{group}/rules")).as_array().expect("rules") {
            let text = |pointer: &str| at(rule, pointer).as_str().expect("a text").to_owned();
            assert_eq!(text("/labels/severity"), severity);
            assert_eq!(text("/alert"), rule_name(&text("/annotations/summary")));
            found.insert(Alarm {
                name: text("/annotations/summary"),
                expression: text("/expr"),
                holds: text("/for"),
                severity,
                why: text("/annotations/description"),
            });
        }
    }
    let documented = documented();
    assert!(documented.len() > 10, "{documented:?}");
    let missing: Vec<_> = documented.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&documented).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "lacks {missing:#?}\nand has {unknown:#?}");
    if let Some(mut promtool) = tool("promtool", &["--version"]) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/alerts.yaml");
        let done = promtool.args(["check", "rules", file]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}
