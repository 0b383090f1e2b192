//! The rules by which `cargo bench --bench cluster -- soak` judges: each on a run that keeps it and on one
//! that breaks it.

#[path = "../benches/cluster/soak/verdict.rs"]
mod verdict;

use verdict::{
    Finding, Look, Quiet, Verdict, bytes_per_entry, flat, median, memory, returned, slope,
    tail_latency,
};

const MIB: f64 = 1024.0 * 1024.0;

/// An hour, a look every ten seconds; `resident` by the number of the look.
fn looks(resident: impl Fn(usize) -> f64) -> Vec<Look> {
    let look = |at| Look {
        hours: at as f64 / 360.0,
        resident: resident(at),
        entries: at as f64 * 3_000.0,
        crowd: 30.0,
    };
    (0..360).map(look).collect()
}

/// The same, with a crowd of so many in the middle of it.
fn crowded(crowd: f64, resident: impl Fn(usize) -> f64) -> Vec<Look> {
    let mut looks = looks(resident);
    looks[180..].iter_mut().for_each(|look| look.crowd = crowd);
    looks
}

/// Up to a MiB up and down, the same in every run.
fn noise(at: usize) -> f64 {
    (at * 7_919 % 101) as f64 / 50.0 * MIB - MIB
}

#[test]
fn the_slope_is_that_of_the_line_whatever_a_few_points_say() {
    let mut points: Vec<_> = (0..100).map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0)).collect();
    for at in [3, 50, 51, 52, 97] {
        points[at].1 = 1e9;
    }
    assert!((slope(&points) - 3.0).abs() < 0.01, "{}", slope(&points));
    assert_eq!(slope(&[(1.0, 1.0), (1.0, 9.0)]), 0.0);
    assert_eq!(median([9.0, 1.0, 5.0]), 5.0);
}

#[test]
fn noise_is_no_growth_and_a_leak_below_it_is() {
    let steady = memory("m", &looks(|at| 20.0 * MIB + noise(at)), 0.0);
    assert_eq!(steady.verdict, Verdict::Pass, "{steady}");
    let leak =
        memory("m", &looks(|at| 20.0 * MIB + noise(at) + at as f64 / 360.0 * 1.5 * MIB), 0.0);
    assert_eq!(leak.verdict, Verdict::Fail, "{leak}");
}

#[test]
fn growth_that_the_log_explains_is_allowed() {
    let grown = looks(|at| 20.0 * MIB + at as f64 * 3_000.0 * 8.0);
    assert_eq!(memory("m", &grown, 8.0).verdict, Verdict::Pass);
    assert_eq!(memory("m", &grown, 1.0).verdict, Verdict::Fail);
}

#[test]
fn what_a_crowd_leaves_is_no_leak_and_explains_no_more_than_its_share() {
    let stepped = |at: usize| 20.0 * MIB + if at < 180 { 0.0 } else { 4.0 * MIB };
    assert_eq!(memory("m", &crowded(170.0, stepped), 0.0).verdict, Verdict::Pass);
    assert_eq!(memory("m", &looks(stepped), 0.0).verdict, Verdict::Fail);
    let leak = |at: usize| 20.0 * MIB + at as f64 / 360.0 * 6.0 * MIB;
    assert_eq!(memory("m", &crowded(170.0, leak), 0.0).verdict, Verdict::Fail);
}

#[test]
fn a_run_that_is_too_short_is_not_judged() {
    let few = looks(|_| MIB);
    assert_eq!(memory("m", &few[..3], 0.0).verdict, Verdict::Unjudged);
    assert_eq!(flat("f", 1, &[9; 3]).verdict, Verdict::Unjudged);
    assert_eq!(bytes_per_entry("b", &[(0.0, 0.0); 3]).verdict, Verdict::Unjudged);
    assert_eq!(tail_latency("t", &[]).verdict, Verdict::Unjudged);
}

#[test]
fn one_count_above_the_baseline_fails() {
    assert_eq!(flat("f", 4, &[4; 20]).verdict, Verdict::Pass);
    let mut counts = [4; 20];
    counts[11] = 5;
    assert_eq!(flat("f", 4, &counts).verdict, Verdict::Fail);
    assert_eq!(returned("r", 13, 13).verdict, Verdict::Pass);
    assert_eq!(returned("r", 13, 14).verdict, Verdict::Fail);
}

#[test]
fn entries_that_become_longer_on_disk_fail() {
    let disk = |later: f64| -> Finding {
        let bytes = |at: usize| at.min(50) as f64 * 500.0 + at.saturating_sub(50) as f64 * later;
        let points: Vec<_> = (0..=100).map(|at| (at as f64, bytes(at))).collect();
        bytes_per_entry("b", &points)
    };
    assert_eq!(disk(500.0).verdict, Verdict::Pass);
    assert_eq!(disk(520.0).verdict, Verdict::Fail);
    assert_eq!(disk(480.0).verdict, Verdict::Fail);
}

#[test]
fn a_late_tail_fails_unless_the_machine_was_late_as_well() {
    let run = |commit: f64, floor: f64| {
        let mut windows = vec![Quiet { commit: 0.004, floor: 0.001 }; 90];
        windows.extend([Quiet { commit, floor }; 10]);
        tail_latency("t", &windows).verdict
    };
    assert_eq!(run(0.004, 0.001), Verdict::Pass);
    assert_eq!(run(0.016, 0.001), Verdict::Fail);
    assert_eq!(run(0.016, 0.004), Verdict::Pass);
}
