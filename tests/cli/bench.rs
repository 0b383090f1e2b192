//! `node bench`: what it measures is there, whatever the figures are.

use crate::process::Machines;
use crate::said::{fails, json, node};

const SHORT: [&str; 6] = ["--duration", "300ms", "--warm-up", "100ms", "--repeat", "1"];

#[test]
fn a_closed_and_an_open_loop_commit_at_nodes_that_are_started_for_it() {
    for (load, name, count) in [("--in-flight", "in_flight", 5), ("--rate", "rate", 300)] {
        let flags = ["bench", load, &count.to_string(), "--size", "64", "--json"];
        let told = json(&node(&[&flags[..], &SHORT].concat()));
        assert_eq!((&told["schema"], &told["nodes"]), (&1.into(), &3.into()), "{told}");
        assert!(told["floor_us"]["before"]["one_commit"].as_f64().unwrap() > 0.0, "{told}");
        let [run] = told["runs"].as_array().unwrap().as_slice() else { panic!("{told}") };
        assert_eq!((&run["via"], &run[name]), (&"frames".into(), &count.into()), "{run}");
        assert!(run["commits"].as_u64().unwrap() > 0 && run["other_answers"] == 0, "{run}");
        let latency = |share: &str| run["latency_us"][share].as_u64().unwrap();
        assert!(0 < latency("p50") && latency("p50") <= latency("max"), "{run}");
        assert!(run["per_commit"]["syncs_of_all_nodes"].as_f64().unwrap() > 0.0, "{run}");
    }
}

#[test]
fn nodes_that_run_already_can_be_measured_by_both_ways() {
    let machines = Machines::start(3);
    let admins = machines.admins.join(",");
    let flags = ["bench", "--admin", &admins, "--via", "frames,http", "--in-flight", "6"];
    let said = node(&[&flags[..], &SHORT].concat());
    assert_eq!(said.code, 0, "{said:?}");
    for part in ["floor ", "frames ", "http ", "6 in flight", "commits/s", "p99.9", "per commit"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
}

#[test]
fn what_cannot_be_measured_is_said_before_anything_starts() {
    for (flags, part) in [
        (&["--in-flight", "0"][..], "not within 1 to"),
        (&["--in-flight", "5000"], "not within 1 to 3072"),
        (&["--size", "7"], "not within 8 to"),
        (&["--rate", "10", "--via", "http"], "--rate goes by frames alone"),
        (&["--duration", "0s"], "nothing is to be measured"),
        (&["--nodes", "0"], "--nodes 0"),
    ] {
        fails(&node(&[&["bench"], flags].concat()), 78, part);
    }
    fails(&node(&["bench", "--admin", "127.0.0.1:1"]), 5, "no node answers");
}
