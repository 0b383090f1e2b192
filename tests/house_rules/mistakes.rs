//! Mistakes that one line could make: the wall clock in a timer, and known mistakes in a release.

use std::collections::BTreeMap;

use super::source::Source;
use super::{Finding, PURE, broken, inspect, room_of};

/// Who may read the wall clock, to write the time on what people read. Timers go by a clock that nobody sets.
const WALL_CLOCK: [&str; 4] = [
    "src/admin/requests.rs",
    "src/cli/doctor/network.rs",
    "src/cli/format.rs",
    "src/transport/wall.rs",
];

/// A clock that people set, where it could end up in a timer. (Pure floors name no clock at all.)
pub(crate) fn wall_clocks(file: &str, source: &Source) -> Vec<Finding> {
    let names = source.names.iter().filter(|name| name.line < source.tests_from);
    names
        .filter(|name| name.path.iter().any(|part| part == "SystemTime"))
        .filter(|_| !WALL_CLOCK.contains(&file) && !PURE.contains(&room_of(file)))
        .map(|name| Finding {
            file: file.to_owned(),
            line: name.line,
            rule: "the wall clock is read".to_owned(),
            cure: "Instant for what is measured or waited for",
        })
        .collect()
}

/// Known mistakes reach no release: their feature is switched on by hand alone, and never outside of debug builds.
pub(crate) fn made_on_purpose(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let find = |file: &str, line, rule: &str, cure| Finding {
        file: file.to_owned(),
        line,
        rule: rule.to_owned(),
        cure,
    };
    let mut findings = Vec::new();
    let manifest = files.get("Cargo.toml").map_or("", String::as_str);
    let features = manifest.split("[features]").nth(1).unwrap_or("");
    let features = features.split("\n[").next().unwrap_or("");
    for line in features.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.contains("mutants") && line.trim() != "mutants = []" {
            let rule = format!("`{}` brings known mistakes along", line.trim());
            findings.push(find(
                "Cargo.toml",
                1,
                &rule,
                "write `mutants = []`, in no other feature",
            ));
        }
    }
    let mutant = files.get("src/mutant.rs").map_or("", String::as_str);
    if !mutant.is_empty()
        && !mutant
            .contains("#[cfg(all(feature = \"mutants\", not(debug_assertions)))]\ncompile_error!")
    {
        let rule = "a release could be built with known mistakes";
        findings.push(find("src/mutant.rs", 1, rule, "put the compile_error! back"));
    }
    for (file, text) in files.iter().filter(|(file, _)| file.starts_with("src/")) {
        if ["src/mutant.rs", "src/lib.rs"].contains(&file.as_str()) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if line.contains("feature = \"mutants\"") || line.contains("QUORATE_MUTANT") {
                let rule = "a known mistake stands outside of its switch";
                let cure = "ask `mutant::is(Mutant::…)`; only src/mutant.rs knows the feature";
                findings.push(find(file, index + 1, rule, cure));
            }
        }
    }
    findings
}

#[test]
fn the_wall_clock_in_a_timer_is_found() {
    let text = "use std::time::SystemTime;";
    let found = broken(&[("src/runtime/driver.rs", text)]);
    assert_eq!(found, ["src/runtime/driver.rs:2: the wall clock is read"]);
    assert_eq!(broken(&[("src/transport/wall.rs", text)]), [""; 0]);
}

#[test]
fn a_way_for_known_mistakes_into_a_release_is_found() {
    let inspected = |file: &str, text: &str| inspect(&[(file.to_owned(), text.to_owned())].into());
    for line in ["default = [\"mutants\"]", "all = [\"mutants\"]", "mutants = [\"x\"]"] {
        assert_eq!(inspected("Cargo.toml", &format!("[features]\n{line}\n[lib]\n")).len(), 1);
    }
    assert!(inspected("Cargo.toml", "[features]\nmutants = []\n[lib]\n# mutants").is_empty());
    assert_eq!(broken(&[("src/mutant.rs", "fn is() {}")]).len(), 1);
    let named = "#[cfg(feature = \"mutants\")]\nfn f() {}";
    assert_eq!(broken(&[("src/peers/a.rs", named)]).len(), 1);
}
