//! One link per pair of nodes, whatever the interleaving of dials, restarts and closes.
//!
//! Both ends see the same connections, in orders of their own, and must keep the same one without
//! asking each other. So the rule is a total order of connections, and each end keeps the greatest
//! it has seen: by the peer's boot and instance, then by who dialled (the smaller id wins), then by the dial's number
//! ("newest", as the side that dialled counts it: arrival differs between the ends).

use std::cmp::Ordering;

use crate::mutant::{self, Mutant};
use crate::types::NodeId;
use crate::wire::Hex;

/// What tells connections between this node and one peer apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The peer's count of starts.
    pub(crate) boot: u64,
    /// Drawn by the peer at that start.
    pub(crate) instance: Hex<16>,
    /// Who dialled: this node or the peer.
    pub(crate) initiator: NodeId,
    /// The number of the dial, as the initiator counts.
    pub(crate) dial: u64,
}

impl Candidate {
    /// Lives follow each other by their count of starts. Two of one count are a directory and its copy:
    /// what they drew decides, so that everyone decides alike and one of them goes on.
    fn life(&self) -> (u64, [u8; 16]) {
        (self.boot, self.instance.0)
    }
}

/// Which of two connections to one peer stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The one that is there.
    Existing,
    /// The one that came.
    New,
    /// The one that is there; what came is an older process under the same identity.
    Duplicate,
}

/// Chooses between the link that is there and a connection that came.
pub(crate) fn choose(existing: &Candidate, new: &Candidate) -> Keep {
    match new.life().cmp(&existing.life()) {
        _ if mutant::is(Mutant::DialNumberOnly) => {}
        Ordering::Less if mutant::is(Mutant::DoubleIdentity) => return Keep::New,
        Ordering::Greater => return Keep::New,
        Ordering::Less => return Keep::Duplicate,
        Ordering::Equal => {}
    }
    let is_better = if new.initiator == existing.initiator {
        new.dial > existing.dial
    } else {
        new.initiator < existing.initiator
    };
    if is_better { Keep::New } else { Keep::Existing }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const A: NodeId = NodeId::from_u128(1);
    const B: NodeId = NodeId::from_u128(2);

    fn candidate(boot: u64, instance: u8, initiator: NodeId, dial: u64) -> Candidate {
        Candidate { boot, instance: Hex([instance; 16]), initiator, dial }
    }

    #[test]
    fn the_rule_as_a_table() {
        let existing = candidate(5, 1, B, 7);
        for (new, keep) in [
            (candidate(6, 2, B, 1), Keep::New),
            (candidate(4, 0, A, 9), Keep::Duplicate),
            (candidate(5, 2, A, 9), Keep::New),
            (candidate(5, 0, A, 9), Keep::Duplicate),
            (candidate(5, 1, B, 8), Keep::New),
            (candidate(5, 1, B, 6), Keep::Existing),
            (candidate(5, 1, A, 1), Keep::New),
        ] {
            assert_eq!(choose(&existing, &new), keep, "{new:?}");
        }
        assert_eq!(choose(&candidate(5, 1, A, 1), &candidate(5, 1, B, 9)), Keep::Existing);
    }

    /// An end: the connection that it holds, and what it has yet to hear, in order.
    #[derive(Default)]
    struct End {
        holds: Option<usize>,
        hears: VecDeque<Event>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// The handshake of this connection is through.
        Up(usize),
        /// The other end closed this connection.
        Closed(usize),
    }

    proptest! {
        /// Each end hears of the connections in an order of its own, a close at any later time, and what
        /// happens at the two ends interleaves freely.
        #[test]
        fn two_ends_keep_the_same_one_link(
            dials in prop::collection::vec(any::<bool>(), 1..6),
            orders in prop::collection::vec(any::<prop::sample::Index>(), 64),
        ) {
            let connections: Vec<_> = dials
                .iter()
                .zip(1..)
                .map(|(by_a, dial)| candidate(1, 1, if *by_a { A } else { B }, dial))
                .collect();
            let mut orders = orders.into_iter().cycle();
            let mut draw = |n: usize| orders.next().unwrap().index(n);
            let mut ends = [End::default(), End::default()];
            for end in &mut ends {
                let mut rest: Vec<_> = (0..connections.len()).collect();
                while !rest.is_empty() {
                    let next = rest.swap_remove(draw(rest.len()));
                    end.hears.push_back(Event::Up(next));
                }
            }
            let mut closed = vec![[false; 2]; connections.len()];
            while ends.iter().any(|end| !end.hears.is_empty()) {
                let mut at = draw(2);
                if ends[at].hears.is_empty() {
                    at = 1 - at;
                }
                let drops = match ends[at].hears.pop_front().unwrap() {
                    Event::Closed(id) => {
                        if ends[at].holds == Some(id) {
                            ends[at].holds = None;
                        }
                        closed[id][at] = true;
                        None
                    }
                    // It broke before its handshake was through.
                    Event::Up(id) if closed[id][at] => None,
                    Event::Up(id) => match ends[at].holds {
                        None => {
                            ends[at].holds = Some(id);
                            None
                        }
                        Some(held) => match choose(&connections[held], &connections[id]) {
                            Keep::New => {
                                ends[at].holds = Some(id);
                                Some(held)
                            }
                            Keep::Existing => Some(id),
                            Keep::Duplicate => unreachable!("one process at each end"),
                        },
                    },
                };
                if let Some(id) = drops {
                    closed[id][at] = true;
                    let hears = &mut ends[1 - at].hears;
                    let place = draw(hears.len() + 1);
                    hears.insert(place, Event::Closed(id));
                }
            }
            prop_assert!(ends[0].holds.is_some());
            prop_assert_eq!(ends[0].holds, ends[1].holds);
        }
    }
}
