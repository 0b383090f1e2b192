//! `node bench`: what it measures is there, whatever the figures are.

use serde_json::Value as Json;

use crate::process::Machines;
use crate::said::{Said, fails, in_time, json, node};

const SHORT: [&str; 6] = ["--duration", "300ms", "--warm-up", "100ms", "--repeat", "1"];

fn bench(flags: &[&str]) -> Json {
    json(&measured(&[&["--json"], flags, &SHORT].concat()))
}

fn measured(flags: &[&str]) -> Said {
    in_time(|| node(&[&["bench"], flags].concat()))
}

fn runs(told: &Json) -> &[Json] {
    told["runs"].as_array().unwrap()
}

fn count(of: &Json) -> u64 {
    of.as_u64().unwrap_or_else(|| panic!("{of}"))
}

#[test]
fn a_closed_and_an_open_loop_commit_at_nodes_that_are_started_for_it() {
    for (load, name, wanted) in [("--in-flight", "in_flight", 5), ("--rate", "rate", 300)] {
        let told = bench(&[load, &wanted.to_string(), "--size", "64"]);
        assert_eq!((&told["schema"], &told["clusters"][0]["nodes"]), (&1.into(), &3.into()));
        assert!(told["floor_us"]["before"]["one_commit"].as_f64().unwrap() > 0.0, "{told}");
        let [run] = runs(&told) else { panic!("{told}") };
        assert_eq!((&run["via"], &run["nodes"]), (&"frames".into(), &3.into()), "{run}");
        assert_eq!((&run[name], &run["value_bytes"]), (&wanted.into(), &64.into()), "{run}");
        assert!(count(&run["commits"]) > 0, "{run}");
        assert_eq!((&run["became"]["busy"], &run["became"]["unknown"]), (&0.into(), &0.into()));
        let latency = |share: &str| count(&run["latency_us"][share]);
        assert!(0 < latency("p50") && latency("p50") <= latency("max"), "{run}");
        for what in ["syncs_of_all_nodes", "frames_between_nodes", "bytes_between_nodes"] {
            assert!(run["per_commit"][what].as_f64().unwrap() > 0.0, "{what}: {run}");
        }
        let memory = told["clusters"][0]["memory_bytes"]["after"].as_array().unwrap();
        assert_eq!(memory.len(), 3, "{told}");
        assert!(memory.iter().all(|node| node["resident"].as_u64() <= node["most"].as_u64()));
    }
}

#[test]
fn what_is_due_beyond_what_can_be_done_is_accounted_for_and_the_way_back_is_timed() {
    // Far more than any machine does: hardly any of it finds a place.
    let told = bench(&["--rate", "2000000", "--connections", "6", "--size", "8"]);
    let [run] = runs(&told) else { panic!("{told}") };
    let became = |what: &str| count(&run["became"][what]);
    let all = ["committed", "busy", "rejected", "unknown", "not_taken"].map(became);
    // 400 ms at this rate, each share of it rounded up.
    assert!((800_000..=800_000 + 18).contains(&all.iter().sum::<u64>()), "{run}");
    assert!(became("committed") > 0 && became("not_taken") > 0, "{run}");
    assert_eq!((became("rejected"), became("unknown")), (0, 0), "{run}");
    assert!(count(&run["recovery_us"]["unloaded"]) > 0, "{run}");
    assert!(count(&run["recovery_us"]["after"]) > 0, "{run}");
}

#[test]
fn the_longest_values_are_proposed_in_frames_that_hold_them() {
    // More than one frame holds. They take long where much else goes on.
    let load = ["--json", "--in-flight", "9", "--size", "1048576", "--nodes", "1"];
    let spans = ["--duration", "3s", "--warm-up", "0s", "--repeat", "1"];
    let told = json(&measured(&[&load[..], &spans].concat()));
    assert!(count(&runs(&told)[0]["commits"]) > 0, "{told}");
}

#[test]
fn clusters_of_several_sizes_are_measured_with_nodes_down_and_slow() {
    let flags = ["--nodes", "3,4", "--down", "1", "--slow", "1", "--in-flight", "2"];
    let told = bench(&[&flags[..], &["--size", "8,64"]].concat());
    let all: Vec<_> =
        runs(&told).iter().map(|run| (count(&run["nodes"]), count(&run["value_bytes"]))).collect();
    assert_eq!(all, [(3, 8), (3, 64), (4, 8), (4, 64)]);
    for cluster in told["clusters"].as_array().unwrap() {
        let names = |what: &str| cluster[what].as_array().unwrap().clone();
        assert!(names("down").len() == 1 && names("slow").len() == 1, "{cluster}");
        assert_ne!(names("down"), names("slow"), "{cluster}");
    }
}

#[test]
fn a_log_is_filled_and_a_start_is_timed_at_each_length() {
    let told = bench(&["--fill", "100,300", "--in-flight", "1", "--size", "32"]);
    let clusters = told["clusters"].as_array().unwrap();
    for ((cluster, run), least) in clusters.iter().zip(runs(&told)).zip([100, 300]) {
        let filled = &cluster["filled"];
        assert!(count(&filled["slots"]) >= least && count(&run["log_slots"]) >= least, "{told}");
        let again = &filled["started_again"];
        assert!(count(&again["listening_us"]) > 0, "{told}");
        assert!(again["listening_us"].as_u64() <= again["caught_up_us"].as_u64(), "{told}");
        assert!(count(&again["memory_bytes"]) > 0, "{told}");
    }
    assert_eq!(clusters.len(), 2);
}

#[test]
fn killed_and_stopped_proposers_are_followed_by_commits_and_a_page_shows_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html").display().to_string();
    let flags = ["--kills", "2", "--pauses", "1", "--in-flight", "1,8", "--html", &page];
    let told = bench(&[&flags[..], &["--via", "frames,http"]].concat());
    for (blow, times) in [("kills_us", 2), ("pauses_us", 1)] {
        let gaps = &told["clusters"][0][blow];
        assert_eq!(gaps["all"].as_array().unwrap().len(), times, "{told}");
        assert!(0 < count(&gaps["least"]) && count(&gaps["median"]) <= count(&gaps["most"]));
        let missed = &gaps["missed_by_all"];
        assert!(0 < count(&missed["least"]) && count(&missed["median"]) <= count(&missed["most"]));
    }
    let html = std::fs::read_to_string(page).unwrap();
    for plot in [
        "<h2>Latency by percentile: 3 nodes, frames, 256 B</h2>",
        "<h2>Latency by percentile: 3 nodes, http, 256 B</h2>",
        "<h2>Latency against load</h2>",
        "<h2>Where the time of a commit goes: ",
        "<h2>Commits around a kill of the proposer, median of 2</h2>",
        "<h2>Commits around a stop of the proposer, median of 1</h2>",
    ] {
        assert_eq!(html.matches(plot).count(), 1, "{plot}: {html}");
    }
    assert_eq!(html.matches("<svg ").count(), 6);
    well_formed(&html);
}

/// Every element is closed where it should be, and nothing comes from elsewhere.
fn well_formed(html: &str) {
    for elsewhere in ["://", "src=", "href=", "url(", "@import", "<script", "NaN", "inf"] {
        assert!(!html.replace("info", "").contains(elsewhere), "{elsewhere}");
    }
    let mut open = Vec::new();
    for tag in html.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.ends_with('/') || tag.starts_with('!') || tag.starts_with("meta ") => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn texts_to_everyone_are_timed_at_own_nodes_and_at_those_that_run() {
    let told = bench(&["--broadcasts", "3", "--nodes", "2,3", "--size", "64"]);
    assert!(runs(&told).is_empty(), "no load was asked for: {told}");
    for cluster in told["clusters"].as_array().unwrap() {
        let texts = &cluster["broadcasts_us"];
        assert_eq!((count(&texts["bytes"]), count(&texts["times"])), (64, 3), "{told}");
        assert!(0 < count(&texts["least"]) && count(&texts["p90"]) <= count(&texts["most"]));
    }
    let machines = Machines::start(3);
    let flags = ["--admin", &machines.admins.join(","), "--broadcasts", "2"];
    let said = measured(&[&flags[..], &SHORT].concat());
    assert!(said.code == 0 && said.out.contains("text to everyone, 256 B, 2 times"), "{said:?}");
}

#[test]
fn nodes_that_run_already_can_be_measured_by_both_ways() {
    let machines = Machines::start(3);
    let admins = machines.admins.join(",");
    let flags = ["--admin", &admins, "--via", "frames,http", "--in-flight", "6"];
    let said = measured(&[&flags[..], &SHORT].concat());
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "floor ",
        "frames ",
        "http ",
        "6 in flight",
        "commits/s",
        "p99.9",
        "per commit",
        " syncs",
        " frames and ",
        " bytes sent to others",
        "at the clients",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
}

#[test]
fn what_cannot_be_measured_is_said_before_anything_starts() {
    for (flags, part) in [
        (&["--in-flight", "0"][..], "not within 1 to"),
        (&["--in-flight", "5000"], "not within 1 to 3072"),
        (&["--in-flight", "2050", "--down", "1"], "not within 1 to 2048"),
        (&["--size", "7"], "not within 8 to"),
        (&["--rate", "10", "--via", "http"], "--rate goes by frames alone"),
        (&["--rate", "many"], "invalid value 'many'"),
        (&["--duration", "0s"], "nothing is to be measured"),
        (&["--nodes", "0"], "--nodes 0"),
        (&["--nodes", "3,x"], "invalid value 'x'"),
        (&["--connections", "0"], "--connections 0 is not within 1 to 32"),
        (&["--down", "2"], "--down 2 leaves no majority of 3 nodes"),
        (&["--slow", "3"], "--slow 3 leaves no node of 3 for the clients"),
        (&["--kills", "1", "--nodes", "3,2"], "--kills leaves no majority of 2 nodes"),
        (
            &["--pauses", "1", "--down", "1"],
            "--pauses leaves no majority of 3 nodes, 1 of them down",
        ),
        (&["--fill", "9,8"], "--fill goes up"),
        (&["--fill", "9", "--size", "8,9"], "--fill goes with one --size"),
        (&["--fill", "9", "--nodes", "1"], "--fill kills a follower"),
        (&["--fill", "-1"], "'-1'"),
        (
            &["--kills", "1", "--admin", "127.0.0.1:1"],
            "--kills is for nodes that this command starts",
        ),
        (&["--html", "/nowhere/page.html"], "--html cannot be written"),
    ] {
        fails(&node(&[&["bench"], flags].concat()), 78, part);
    }
    fails(&node(&["bench", "--admin", "127.0.0.1:1"]), 5, "no node answers");
}
