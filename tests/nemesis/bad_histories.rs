//! Made-up histories, each of which breaks one law: a check that finds nothing here could not fail.

use std::time::Duration;

use quorate::admin::api::{LogContent, LogEntry};
use quorate::types::{Digest, Epoch, ProposalId, Slot};

use crate::checks::{check, hash};
use crate::history::{Answer, At, Attempt, History, Isolation, Offer, Read};

fn at(millis: u64) -> At {
    Duration::from_millis(millis)
}

fn id(number: u64) -> ProposalId {
    ProposalId::from_u128(u128::from(number))
}

fn value(number: u64, until: Option<u64>) -> LogContent {
    LogContent::Value {
        request_id: id(number),
        value: format!("v{number}"),
        until: until.map(Slot),
    }
}

fn log(contents: Vec<LogContent>) -> Vec<LogEntry> {
    let mut parent = Digest::ZERO;
    let entry = |(slot, content)| {
        let mut entry = LogEntry { slot, hash: Digest::ZERO, epoch: Epoch(1), content };
        entry.hash = hash(parent, &entry);
        parent = entry.hash;
        entry
    };
    (1..).map(Slot).zip(contents).map(entry).collect()
}

/// Three values, asked for and acknowledged one after the other at three nodes, and read.
struct Made(History);

impl Made {
    fn good() -> Self {
        Self::of(vec![value(1, None), value(2, None), value(3, None)])
    }

    fn of(contents: Vec<LogContent>) -> Self {
        let log = log(contents);
        let mut made = Self(History { logs: vec![log; 3], ..History::default() });
        for number in 1..=3 {
            made.offer(number, None);
            let slot = Slot(number);
            let hash = made.0.logs[0][number as usize - 1].hash;
            let start = number * 10;
            made.attempt(number, 0, start, start + 5, Answer::Committed { slot, hash });
        }
        made.read(1, true, 40, 41, 3);
        made
    }

    fn offer(&mut self, number: u64, until: Option<u64>) {
        let value = format!("v{number}");
        self.0.offers.insert(id(number), Offer { value, until: until.map(Slot) });
    }

    fn attempt(&mut self, number: u64, node: usize, invoked: u64, completed: u64, answer: Answer) {
        let (invoked, completed) = (at(invoked), at(completed));
        self.0.attempts.push(Attempt { id: id(number), node, invoked, completed, answer });
    }

    fn read(
        &mut self,
        life: u32,
        linearizable: bool,
        invoked: u64,
        completed: u64,
        committed: u64,
    ) {
        let (invoked, completed, committed) = (at(invoked), at(completed), Slot(committed));
        self.0.reads.push(Read { node: 0, life, linearizable, invoked, completed, committed });
    }

    fn isolate(&mut self, node: usize, from: u64, to: u64) {
        self.0.isolations.push(Isolation { node, from: at(from), to: at(to) });
    }

    /// The laws that are broken, each once.
    fn broken(&self) -> Vec<&'static str> {
        let mut laws: Vec<_> = check(&self.0).into_iter().map(|found| found.law).collect();
        laws.dedup();
        laws
    }
}

#[test]
fn a_good_history_breaks_no_law() {
    let mut made = Made::good();
    // Unknown, committed all the same; asked again; a read of a life before; one that knew less then.
    made.attempt(2, 1, 21, 22, Answer::Unknown);
    made.attempt(2, 1, 60, 61, Answer::Duplicate { slot: Slot(2) });
    made.read(1, false, 5, 6, 0);
    made.read(2, false, 50, 51, 2);
    made.isolate(0, 26, 29);
    // It was asked for before the cut: the log knew it.
    made.isolate(1, 55, 65);
    // Asked for elsewhere; who hears and is not heard knows it.
    made.attempt(3, 2, 33, 34, Answer::Duplicate { slot: Slot(3) });
    made.isolate(2, 29, 36);
    assert_eq!(check(&made.0), []);
}

#[test]
fn two_logs_that_differ_are_found() {
    let mut made = Made::good();
    made.0.logs[0] = log(vec![value(1, None), value(3, None), value(2, None)]);
    assert_eq!(made.broken(), ["agreement"]);
    let mut made = Made::good();
    made.0.logs[1].pop();
    assert_eq!(made.broken(), ["logs_identical"]);
}

#[test]
fn an_entry_that_was_shown_and_is_not_there_is_found() {
    let mut made = Made::good();
    let other = log(vec![value(2, None)]).remove(0);
    made.0.shown.insert((Slot(1), other.hash), (at(35), Some(other.clone())));
    assert_eq!(made.broken(), ["agreement"]);
    let mut made = Made::good();
    made.0.shown.insert((Slot(1), other.hash), (at(35), None));
    assert_eq!(made.broken(), ["agreement"]);
    let mut made = Made::good();
    made.0.shown.insert((Slot(4), other.hash), (at(35), None));
    assert_eq!(made.broken(), ["agreement"]);
}

#[test]
fn a_hole_and_a_wrong_hash_are_found() {
    let mut made = Made::good();
    made.0.logs.iter_mut().for_each(|log| log[2].slot = Slot(4));
    assert_eq!(made.broken()[0], "integrity");
    let mut made = Made::good();
    made.0.logs.iter_mut().for_each(|log| log[1].epoch = Epoch(2));
    assert_eq!(made.broken(), ["integrity"]);
}

#[test]
fn a_value_that_nobody_offered_is_found() {
    let mut made = Made::good();
    made.0.offers.get_mut(&id(2)).unwrap().value = "another".to_owned();
    assert_eq!(made.broken(), ["validity"]);
    let mut made = Made::good();
    made.0.offers.get_mut(&id(2)).unwrap().until = Some(Slot(9));
    assert_eq!(made.broken(), ["validity"]);
    let mut made = Made::of(vec![value(1, None), value(2, None), value(3, None), value(4, None)]);
    made.read(1, true, 50, 51, 4);
    assert_eq!(made.broken(), ["validity"]);
    // Seen before anybody asked for it.
    let mut made = Made::good();
    let entry = made.0.logs[0][2].clone();
    made.0.shown.insert((Slot(3), entry.hash), (at(29), Some(entry)));
    assert_eq!(made.broken(), ["validity"]);
}

#[test]
fn a_lost_acknowledgement_is_found() {
    let mut made = Made::good();
    made.0.logs.iter_mut().for_each(|log| log.truncate(2));
    assert_eq!(made.broken(), ["durability"]);
    let mut made = Made::good();
    let slot = Slot(1);
    made.attempt(1, 0, 70, 71, Answer::Committed { slot, hash: Digest::ZERO });
    assert_eq!(made.broken(), ["durability"]);
    let mut made = Made::good();
    made.attempt(1, 0, 70, 71, Answer::Duplicate { slot: Slot(3) });
    assert_eq!(made.broken()[0], "durability");
}

#[test]
fn a_second_effect_is_found() {
    // A retry that was acknowledged in a second place.
    let mut made = Made::of(vec![value(1, None), value(2, None), value(3, None), value(1, None)]);
    made.attempt(1, 0, 70, 71, Answer::Duplicate { slot: Slot(4) });
    assert_eq!(made.broken(), ["exactly_once"]);
    // Behind its last slot it has none.
    let mut made =
        Made::of(vec![value(1, None), value(2, None), value(3, None), value(4, Some(3))]);
    made.offer(4, Some(3));
    made.attempt(4, 0, 50, 51, Answer::Duplicate { slot: Slot(4) });
    assert_eq!(made.broken(), ["exactly_once"]);
}

#[test]
fn an_effect_of_what_was_surely_rejected_is_found() {
    let contents = || vec![value(1, None), value(2, None), value(3, None), value(4, None)];
    for answer in [Answer::Rejected, Answer::Expired] {
        let mut made = Made::of(contents());
        made.offer(4, None);
        made.attempt(4, 0, 50, 51, answer);
        assert_eq!(made.broken(), ["rejected"]);
    }
    // Another attempt may have done it, unless none can.
    let mut made = Made::of(contents());
    made.offer(4, None);
    made.attempt(4, 0, 50, 51, Answer::Unknown);
    made.attempt(4, 0, 52, 53, Answer::Rejected);
    assert_eq!(made.broken(), [""; 0]);
    made.attempt(4, 0, 54, 55, Answer::Expired);
    assert_eq!(made.broken(), ["rejected"]);
}

#[test]
fn an_order_against_real_time_is_found() {
    let mut made = Made::good();
    // The third was asked for first at a time when the second was not yet offered: no fault.
    made.attempt(3, 0, 5, 6, Answer::Unknown);
    assert_eq!(made.broken(), [""; 0]);
    let mut made = Made::of(vec![value(1, None), value(2, None), value(3, None), value(4, None)]);
    made.offer(4, None);
    made.attempt(4, 0, 2, 3, Answer::Duplicate { slot: Slot(4) });
    made.read(2, true, 50, 51, 4);
    assert_eq!(made.broken(), ["real_time", "stale_read"], "the read at 40 is stale as well");
}

#[test]
fn a_stale_read_is_found() {
    let mut made = Made::good();
    made.read(2, true, 36, 37, 2);
    assert_eq!(made.broken(), ["stale_read"]);
    // Another client had seen more.
    let mut made = Made::good();
    made.read(2, false, 31, 32, 3);
    made.read(3, true, 33, 34, 2);
    assert_eq!(made.broken(), ["stale_read"]);
}

#[test]
fn a_log_that_shrinks_is_found() {
    let mut made = Made::good();
    made.read(1, false, 50, 51, 2);
    assert_eq!(made.broken(), ["stability"]);
}

#[test]
fn an_answer_of_a_cut_off_node_is_found() {
    let mut made = Made::good();
    made.isolate(0, 19, 26);
    assert_eq!(made.broken(), ["minority"]);
    let mut made = Made::good();
    made.isolate(0, 39, 42);
    assert_eq!(made.broken(), ["minority"]);
}
