//! Real processes under a nemesis: killed, stopped in mid-air, cut off, misled and starved by their
//! disks, while clients ask; then the whole history is checked.
//!
//! `QUORATE_TEST_SECONDS` says for how long each cluster is struck; each kind of fault comes once without
//! it. `QUORATE_TEST_SEED` draws a schedule again.

mod bad_histories;
mod checks;
mod clients;
mod cluster;
mod dice;
mod door;
mod fault;
mod history;
mod nemesis;
mod netns;
mod operator;
mod proxy;
mod run;
mod shim;
mod wires;

#[path = "../support/program.rs"]
mod program;

use std::io::Write;

use cluster::Net;
use dice::{Dice, seed};
use fault::Kind;
use netns::Spaces;
use run::run;

/// Says what is not tested here and why; past the capture of what a test prints, so that it is seen.
fn skip(what: &str, why: &str) {
    let _ =
        writeln!(std::io::stderr(), "SKIPPED: {what}: {}", why.lines().next().unwrap_or_default());
}

/// Deals all kinds to the two sizes of clusters, each to one of them.
fn dealt(size: usize) -> Vec<Kind> {
    let mut kinds = Kind::ALL.to_vec();
    // Of three, whoever votes knows at once what is committed: only of five is anything torn off.
    kinds.retain(|kind| *kind != Kind::Torn);
    Dice::new(seed()).shuffle(&mut kinds);
    let (few, many) = kinds.split_at(kinds.len() / 2);
    if size == 3 { few.to_vec() } else { [many, &[Kind::Torn]].concat() }
}

#[test]
fn three_processes_behind_proxies_keep_their_word() {
    run("three behind proxies", 3, Net::proxies(3, seed()), &dealt(3));
}

#[test]
fn five_processes_behind_proxies_keep_their_word() {
    run("five behind proxies", 5, Net::proxies(5, seed()), &dealt(5));
}

fn in_namespaces(size: usize, kinds: &[Kind]) {
    match Spaces::make(size) {
        Ok(spaces) => run("namespaces", size, Net::Spaces(spaces), kinds),
        Err(why) => skip(&format!("{size} nodes in network namespaces"), &why),
    }
}

#[test]
fn three_processes_in_namespaces_keep_their_word() {
    in_namespaces(3, &[Kind::Plug, Kind::Minority, Kind::OneWay, Kind::KillProposer]);
}

#[test]
fn five_processes_in_namespaces_keep_their_word() {
    in_namespaces(5, &[Kind::Plug, Kind::Halves, Kind::Bridge, Kind::ProposerAlone]);
}
