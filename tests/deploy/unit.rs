//! `deploy/systemd/quorate.service`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::files::{exit_codes, said, settings, text, tool};

/// What systemd 252 knows, as far as it is used: a word that it does not know it only warns of.
const KNOWN: &str = "\
    After AmbientCapabilities CapabilityBoundingSet Description DevicePolicy DynamicUser \
    Environment EnvironmentFile ExecReload ExecStart KeyringMode LimitCORE LimitNOFILE \
    LockPersonality MemoryDenyWriteExecute NoNewPrivileges NotifyAccess OOMScoreAdjust \
    PrivateDevices PrivateIPC PrivateTmp PrivateUsers ProtectClock ProtectControlGroups \
    ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables \
    ProtectProc ProtectSystem RemoveIPC Restart RestartPreventExitStatus RestartSec \
    RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID \
    StartLimitIntervalSec StateDirectory StateDirectoryMode SystemCallArchitectures \
    SystemCallErrorNumber SystemCallFilter TimeoutStartSec TimeoutStopSec Type UMask WantedBy \
    Wants WatchdogSec";

/// The keys of the unit, each with all its values.
pub(crate) fn unit() -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text("deploy/systemd/quorate.service").lines() {
        match (line.strip_prefix('['), line.split_once('=')) {
            _ if line.is_empty() || line.starts_with('#') => {}
            (Some(name), _) => name.trim_end_matches(']').clone_into(&mut section),
            (None, Some((key, value))) => {
                assert!(KNOWN.split(' ').any(|known| known == key), "{key} is no key");
                keys.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
            }
            (None, None) => panic!("{line:?} is no line of a unit"),
        }
    }
    keys
}

#[track_caller]
fn one<'u>(unit: &'u BTreeMap<String, Vec<String>>, key: &str) -> &'u str {
    match unit.get(key).map(Vec::as_slice) {
        Some([value]) => value,
        other => panic!("{key} is {other:?}, not one value"),
    }
}

#[test]
fn a_restart_is_tried_for_what_it_can_mend_and_for_nothing_else() {
    let unit = unit();
    assert_eq!(one(&unit, "Service.Restart"), "on-failure");
    assert_eq!(one(&unit, "Unit.StartLimitIntervalSec"), "0");
    let told = exit_codes();
    let hopeless: BTreeSet<&str> = one(&unit, "Service.RestartPreventExitStatus")
        .split(' ')
        .map(|code| told[&code.parse::<u8>().expect("a number")].split(':').next().expect("a word"))
        .collect();
    assert_eq!(hopeless, ["configuration", "identity"].into());
}

#[test]
fn the_unit_waits_for_words_that_the_program_says() {
    let unit = unit();
    assert_eq!(one(&unit, "Service.Type"), "notify");
    assert_eq!(one(&unit, "Service.NotifyAccess"), "main");
    assert_eq!(one(&unit, "Service.ExecReload"), "/bin/kill -HUP $MAINPID");
    let seconds = |key| one(&unit, key).strip_suffix('s').expect("seconds").parse::<u64>().unwrap();
    // The node looks up at least every second.
    assert!(seconds("Service.WatchdogSec") >= 10);
    // A command of --on-commit gets five seconds, links half a one.
    assert!(seconds("Service.TimeoutStopSec") >= 10);
}

#[test]
fn the_program_knows_what_the_unit_says_to_it() {
    let unit = unit();
    let mut words = one(&unit, "Service.ExecStart").split(' ');
    assert!(words.next().expect("a program").ends_with("/node"));
    let words: Vec<_> = words.collect();
    let [flag, file] = words.as_slice() else { panic!("{words:?}") };
    assert!(said(&["--help"]).contains(&format!("{flag} <FILE>")), "{flag}");
    assert!(file.starts_with("/etc/quorate/"), "{file}");
    let variables: BTreeMap<String, String> = unit["Service.Environment"]
        .iter()
        .map(|line| line.split_once('=').expect("a variable"))
        .map(|(name, value)| (name.to_owned(), value.replace("%S", "/var/lib")))
        .collect();
    let shown = settings(&[], &variables);
    let directory = format!("/var/lib/{}", one(&unit, "Service.StateDirectory"));
    assert_eq!(shown["data_dir"], Json::from(directory), "the only place that it may write");
    // What the default name of a node is made of must be seen.
    assert!(!unit.contains_key("Service.ProcSubset"));
}

#[test]
fn the_unit_keeps_the_node_from_what_it_does_not_need() {
    let unit = unit();
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("NoNewPrivileges", "yes"),
        ("PrivateDevices", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
    ] {
        assert_eq!(one(&unit, &format!("Service.{key}")), value, "{key}");
    }
    assert_eq!(unit["Service.SystemCallFilter"], ["@system-service", "~@privileged @resources"]);
    let families = one(&unit, "Service.RestrictAddressFamilies");
    assert_eq!(families, "AF_INET AF_INET6 AF_UNIX");
}

#[test]
fn systemd_takes_the_unit_and_finds_it_well_closed() {
    let Some(mut verify) = tool("systemd-analyze", &["--version"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quorate.service");
    let written = text("deploy/systemd/quorate.service");
    let here = written.replace("/usr/local/bin/node", env!("CARGO_BIN_EXE_node"));
    assert_ne!(written, here);
    std::fs::write(&path, here).unwrap();
    let done = verify.arg("verify").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    // What it says of other units of this machine is not ours to mend.
    assert!(done.status.success() && !told.contains("quorate.service"), "{told}");

    let Some(mut security) = tool("systemd-analyze", &["security", "--offline=true", "--help"])
    else {
        return;
    };
    let done = security.args(["security", "--offline=true", "--no-pager", "--threshold=15"]);
    let done = done.arg(&path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
