//! One seed is one run, event for event.

use quorate::sim::{Options, run};

fn fingerprint(seed: u64) -> u64 {
    run(&Options { seed, ..Options::default() }).fingerprint
}

#[test]
fn a_seed_is_replayed_event_for_event() {
    for seed in 0..50 {
        let options = Options { seed, transcript: true, ..Options::default() };
        let (once, again) = (run(&options), run(&options));
        assert_eq!(once.transcript, again.transcript, "seed {seed}");
        assert_eq!(once.fingerprint, again.fingerprint, "seed {seed}");
        assert_eq!((once.steps, once.digest), (again.steps, again.digest), "seed {seed}");
    }
}

#[test]
fn a_transcript_changes_nothing() {
    for seed in 0..20 {
        let told = run(&Options { seed, transcript: true, ..Options::default() });
        assert!(!told.transcript.is_empty());
        assert_eq!(told.fingerprint, fingerprint(seed), "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let fingerprints: std::collections::BTreeSet<u64> = (0..200).map(fingerprint).collect();
    assert_eq!(fingerprints.len(), 200);
}
