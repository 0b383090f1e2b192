//! A model check of the real consensus core: every order of deliveries, syncs, crashes and
//! take-overs within small bounds.
//!
//! Larger spaces take minutes: `QUORATE_MODEL=long cargo test --release --test model the_space -- --nocapture`.
//! Any other is named: `QUORATE_MODEL='members=3 rounds=2 slots=1 crashes=2 network=all disk=later'`; what
//! is left out is as small as it can be. `QUORATE_MODEL_STEPS` bounds each search, in millions; where it
//! ends one, that is said.

#[path = "model/bounds.rs"]
mod bounds;
#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/flaw.rs"]
mod flaw;
#[path = "model/network.rs"]
mod network;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/space.rs"]
mod space;

use std::time::Instant;

use bounds::{Bounds, Disk, Network};
use flaw::Flaw;
use oracle::Broken;
use stateright::{Checker, HasDiscoveries, Model};

/// Steps after which a search is given up, unless said otherwise: what it remembers by then fits in 3 GiB.
const STEPS_MAX: usize = 400_000_000;

/// Searches a space; whether to its end.
fn search(bounds: Bounds) -> bool {
    let steps_max = std::env::var("QUORATE_MODEL_STEPS")
        .map_or(STEPS_MAX, |text| text.parse::<usize>().expect("a number") * 1_000_000);
    let start = Instant::now();
    // In depth: only fingerprints are kept of what lies behind.
    let checker = bounds.checker().threads(2).target_state_count(steps_max).spawn_dfs().join();
    let unique = checker.unique_state_count();
    let is_whole = checker.state_count() < steps_max;
    println!(
        "{bounds}: {} steps, {unique} states, depth {}, {} s, {}",
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs(),
        if is_whole { "complete" } else { "NOT complete" }
    );
    for (name, path) in checker.discoveries() {
        if !name.starts_with("sometimes") {
            let broken = path.last_state().oracle.broken();
            for action in path.into_actions() {
                println!("    {action:?}");
            }
            panic!("{bounds}: {name}: {broken:?} after the steps above");
        }
    }
    if is_whole {
        checker.assert_properties();
    }
    is_whole
}

fn check(bounds: Bounds) {
    assert!(search(bounds), "{bounds}: the space was not searched to its end");
}

/// What the check says of a core that is right on a harness that is wrong.
fn found(bounds: Bounds) -> Broken {
    let checker = bounds
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(4_000_000)
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_iter().find_map(|(_, path)| {
        let broken = path.last_state().oracle.broken()?;
        println!("{bounds}: {broken:?} after {} states", checker.unique_state_count());
        Some((broken, path.into_actions()))
    });
    let (broken, actions) = broken.unwrap_or_else(|| panic!("{bounds}: nothing was found"));
    for action in actions {
        println!("    {action:?}");
    }
    broken
}

/// Searched one after the other by `QUORATE_MODEL=long`. Whatever a network that delivers once, in order or not, can
/// lead to is among those of `network=all`.
const LONG: [&str; 7] = [
    "members=3 rounds=2 slots=2 crashes=1 network=all",
    "members=3 rounds=1 slots=1 crashes=2 network=all disk=later",
    "members=3 rounds=2 slots=1 crashes=1 network=all pulls=later",
    "members=3 rounds=1 slots=2 crashes=1 disk=later",
    "members=4 rounds=1 slots=2 crashes=2",
    "members=5 rounds=1 slots=2 crashes=1",
    "members=3 rounds=2 slots=2 crashes=2",
];

#[test]
fn three_members_agree_on_two_slots_through_three_rounds_and_a_crash() {
    check(Bounds { crashes: 1, ..Bounds::new(3, 2, 2) });
}

#[test]
fn three_members_agree_on_two_values_of_one_round_through_a_crash() {
    check(Bounds { values: 2, crashes: 1, ..Bounds::new(3, 1, 2) });
}

#[test]
fn three_members_agree_though_pulled_entries_come_late_and_again() {
    check(Bounds { crashes: 1, network: Network::All, slow: true, ..Bounds::new(3, 1, 2) });
}

#[test]
fn three_members_agree_though_inputs_overtake_syncs_and_crashes_leave_any_batches() {
    let (network, disk) = (Network::All, Disk::Later);
    check(Bounds { crashes: 1, network, disk, slow: true, ..Bounds::new(3, 1, 1) });
}

#[test]
fn four_and_five_members_agree_through_two_rounds_and_a_crash() {
    check(Bounds { crashes: 1, ..Bounds::new(4, 1, 2) });
    check(Bounds { crashes: 1, ..Bounds::new(5, 1, 1) });
}

#[test]
fn the_space_asked_for() {
    let asked = std::env::var("QUORATE_MODEL");
    let spaces = match asked.as_deref() {
        Err(_) => return println!("SKIPPED: QUORATE_MODEL names no space"),
        Ok("long") => LONG.to_vec(),
        Ok(text) => vec![text],
    };
    for text in spaces {
        search(Bounds::read(text));
    }
}

/// A space in which a mistake shows soon.
fn flawed(flaw: Flaw) -> Bounds {
    Bounds { crashes: 1, network: Network::All, flaw: Some(flaw), ..Bounds::new(3, 1, 1) }
}

#[test]
fn the_check_sees_a_forgotten_vote() {
    assert_eq!(found(flawed(Flaw::VoteForgotten)), Broken::QuorumOfConfigured);
}

#[test]
fn the_check_sees_a_forgotten_promise() {
    assert_eq!(found(flawed(Flaw::PromiseForgotten)), Broken::PromiseMonotone);
}

#[test]
fn the_check_sees_a_word_before_its_sync() {
    assert_eq!(found(flawed(Flaw::SaidBeforeSync)), Broken::VoteRemembered);
}

#[test]
fn the_check_sees_a_tail_that_is_not_carried_over() {
    assert_eq!(found(flawed(Flaw::TailHidden)), Broken::CarryOver);
}

#[test]
fn the_check_sees_a_member_that_is_counted_twice() {
    // Of three, the own vote and one other are a quorum already.
    let flaw = Some(Flaw::VoteCountedTwice);
    let broken = found(Bounds { flaw, ..Bounds::new(4, 1, 1) });
    assert_eq!(broken, Broken::QuorumOfConfigured);
}
