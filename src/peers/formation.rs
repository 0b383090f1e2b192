//! How founders meet and become epoch 1.
//!
//! Every machine starts with a list of peers. Who has met someone at every line knows a set: all
//! whom it met, and itself (so lists with and without the own address make the same set). It
//! announces that set in its heartbeats. Who hears every node of its set announce the same set
//! starts epoch 1 with these founders. A founder that missed the moment (slow, or crashed before
//! it stored the epoch) says that it is forming still; a node that holds epoch 1 answers with its founders as
//! long as anyone does, and who finds itself among them joins. Who does not is a stranger, and knows it, whoever
//! else of its list is gone.
//!
//! Why it is safe. Epoch 1 of a set starts at some node only after all of the set announced that set:
//! one founder with another list is enough to stop it. A node stores one epoch 1 in its life and
//! announces nothing afterwards. Whoever joins later is told of a set that was announced by all of
//! it, and joins only if it is one of them: its id is bound to its data directory, so a wiped node
//! is another node and no founder. Before anything commits in epoch 1 a majority of its founders must
//! have stored it (a vote needs that record): should lists change half-way, so that a set that only some
//! have stored is given up for another, then either nothing was committed under the first, or
//! a majority of it is bound to it for ever. Two clusters can grow only from lists without a common
//! majority, and each holds its own log.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::peers::{Beat, Event};
use crate::types::NodeId;

/// How far the forming has come, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Lines of the list.
    pub listed: usize,
    /// Lines at which nobody answered yet.
    pub unmet: Vec<usize>,
    /// Founders, once all lines are met, that do not announce the same set yet.
    pub waiting_for: Vec<NodeId>,
}

#[derive(Clone, Debug)]
pub(super) struct Formation {
    me: NodeId,
    listed: usize,
    met: BTreeMap<usize, NodeId>,
    /// What linked peers that are forming announce: nothing until they met all. Bounded by the table of peers.
    announced: BTreeMap<NodeId, Option<Vec<NodeId>>>,
    /// What was last said of a peer's list: to say it once. Bounded like `announced`.
    complaints: BTreeMap<NodeId, Event>,
    formed: Option<Formed>,
}

#[derive(Clone, Debug)]
struct Formed {
    members: Vec<NodeId>,
    is_first: bool,
}

/// What a heartbeat's words on formation lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hearing {
    /// The founders agree.
    pub(super) found: Option<Vec<NodeId>>,
    /// The peer is to be answered at once.
    pub(super) answer: bool,
    /// To be told.
    pub(super) complaint: Option<Event>,
}

impl Formation {
    pub(super) fn new(me: NodeId, listed: usize) -> Self {
        Self {
            me,
            listed,
            met: BTreeMap::new(),
            announced: BTreeMap::new(),
            complaints: BTreeMap::new(),
            formed: None,
        }
    }

    pub(super) fn is_formed(&self) -> bool {
        self.formed.is_some()
    }

    pub(super) fn formed(&mut self, members: Vec<NodeId>, is_first: bool) {
        self.formed = Some(Formed { members, is_first });
    }

    pub(super) fn met(&mut self, listed: usize, node: NodeId) {
        if listed < self.listed {
            self.met.insert(listed, node);
        }
    }

    /// The peer's link is gone, and with it what it announced.
    pub(super) fn unlinked(&mut self, peer: NodeId) {
        self.announced.remove(&peer);
        self.complaints.remove(&peer);
    }

    /// Writes this node's part of a heartbeat.
    pub(super) fn speak(&self, beat: &mut Beat) {
        match &self.formed {
            None => (beat.forming, beat.founders) = (true, self.founders()),
            Some(formed) if formed.is_first && !self.announced.is_empty() => {
                beat.founded = Some(formed.members.clone());
            }
            Some(_) => {}
        }
    }

    /// Takes a peer's part of a heartbeat.
    pub(super) fn hear(&mut self, from: NodeId, beat: &Beat) -> Result<Hearing, &'static str> {
        for set in [&beat.founders, &beat.founded].into_iter().flatten() {
            if set.len() > limits::MEMBERS_MAX || !set.is_sorted_by(|one, next| one < next) {
                return Err("its set of founders is too large or not in ascending order");
            }
        }
        let mut hearing = Hearing::default();
        if !is_forming(beat) {
            self.announced.remove(&from);
        } else if self.announced.get(&from) != Some(&beat.founders) {
            self.announced.insert(from, beat.founders.clone());
            hearing.answer = self.formed.is_some();
        }
        hearing.found = self.joined(beat).or_else(|| self.agreed());
        hearing.complaint = match self.objection(from, beat) {
            Some(event) if self.complaints.get(&from) != Some(&event) => {
                self.complaints.insert(from, event.clone());
                Some(event)
            }
            Some(_) => None,
            None => {
                self.complaints.remove(&from);
                None
            }
        };
        Ok(hearing)
    }

    /// The founders, if this node is not formed and all of them announce the same set.
    pub(super) fn agreed(&self) -> Option<Vec<NodeId>> {
        let founders = self.founders().filter(|_| self.formed.is_none())?;
        let agrees = |node: &NodeId| *node == self.me || self.announces(node, &founders);
        founders.iter().all(agrees).then_some(founders)
    }

    fn announces(&self, node: &NodeId, founders: &[NodeId]) -> bool {
        self.announced.get(node).is_some_and(|theirs| theirs.as_deref() == Some(founders))
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        if self.formed.is_some() {
            return None;
        }
        let unmet = (0..self.listed).filter(|line| !self.met.contains_key(line)).collect();
        let founders = self.founders().unwrap_or_default();
        let agrees = |node: &NodeId| *node == self.me || self.announces(node, &founders);
        let waiting_for = founders.iter().filter(|node| !agrees(node)).copied().collect();
        Some(Progress { listed: self.listed, unmet, waiting_for })
    }

    /// What stands against a common cluster, of each linked peer that something stands against.
    pub(super) fn objections(&self) -> impl Iterator<Item = &Event> {
        self.complaints.values()
    }

    pub(super) fn is_bounded(&self) -> bool {
        let peers_max = limits::MEMBERS_MAX + limits::STRANGERS_MAX;
        self.met.len() <= self.listed
            && self.announced.len() <= peers_max
            && self.complaints.len() <= peers_max
    }

    /// Everyone met and this node itself, once every line is met.
    fn founders(&self) -> Option<Vec<NodeId>> {
        (self.met.len() == self.listed).then(|| {
            let founders: BTreeSet<NodeId> = self.met.values().copied().chain([self.me]).collect();
            founders.into_iter().collect()
        })
    }

    /// The founders that a formed peer names, if this node is one of them and missed the start.
    fn joined(&self, beat: &Beat) -> Option<Vec<NodeId>> {
        let founded = beat.founded.as_ref().filter(|_| self.formed.is_none())?;
        let is_one = founded.contains(&self.me);
        let is_own = self.founders().is_none_or(|founders| founders == *founded);
        (is_one && is_own).then(|| founded.clone())
    }

    /// What stands against a common cluster.
    fn objection(&self, from: NodeId, beat: &Beat) -> Option<Event> {
        let differ = |theirs: &Vec<NodeId>, ours: &Vec<NodeId>| {
            let (theirs, ours) = (theirs.clone(), ours.clone());
            (theirs != ours).then_some(Event::ListsDiffer { peer: from, theirs, ours })
        };
        match (&self.formed, &beat.founders, &beat.founded) {
            (Some(formed), _, _) if is_forming(beat) && !formed.members.contains(&from) => {
                Some(Event::NotAMember { node: from, members: formed.members.clone() })
            }
            (Some(formed), Some(theirs), _) => differ(theirs, &formed.members),
            (None, _, Some(founded)) if !founded.contains(&self.me) => {
                Some(Event::NotAMember { node: self.me, members: founded.clone() })
            }
            (None, _, Some(theirs)) | (None, Some(theirs), None) => {
                self.founders().and_then(|ours| differ(theirs, &ours))
            }
            (Some(_), None, _) | (None, None, None) => None,
        }
    }
}

/// Whoever announces founders is forming, whether it says so or not.
fn is_forming(beat: &Beat) -> bool {
    beat.forming || beat.founders.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> NodeId {
        NodeId::from_u128(n)
    }

    fn ids<const N: usize>(bits: [u128; N]) -> Vec<NodeId> {
        bits.map(id).to_vec()
    }

    /// A node that has met these, in the order of its list.
    fn node<const N: usize>(me: u128, list: [u128; N]) -> Formation {
        let mut formation = Formation::new(id(me), N);
        for (line, other) in list.into_iter().enumerate() {
            formation.met(line, id(other));
        }
        formation
    }

    fn said(formation: &Formation) -> Beat {
        let mut beat = Beat::default();
        formation.speak(&mut beat);
        beat
    }

    fn tell(to: &mut Formation, from: &Formation) -> Hearing {
        let hearing = to.hear(from.me, &said(from)).expect("an honest heartbeat");
        if let Some(members) = hearing.found.clone() {
            to.formed(members, true);
        }
        hearing
    }

    #[test]
    fn nothing_is_announced_before_every_line_is_met() {
        let mut formation = Formation::new(id(1), 2);
        formation.met(0, id(1));
        for not_listed in [2, 7] {
            formation.met(not_listed, id(9));
        }
        assert!(formation.is_bounded());
        assert_eq!(said(&formation).founders, None);
        assert_eq!(formation.progress().unwrap().unmet, [1]);
        formation.met(1, id(2));
        assert_eq!(said(&formation).founders, Some(ids([1, 2])));
        assert_eq!(formation.progress().unwrap().waiting_for, ids([2]));
    }

    #[test]
    fn an_empty_list_founds_a_cluster_of_one() {
        assert_eq!(node(1, []).agreed(), Some(ids([1])));
        assert_eq!(node(1, [1]).agreed(), Some(ids([1])));
    }

    #[test]
    fn lists_with_and_without_the_own_address_make_one_cluster() {
        let (mut a, mut b, mut c) = (node(1, [1, 2, 3]), node(2, [1, 3]), node(3, [3, 2, 1]));
        assert_eq!(tell(&mut a, &b).found, None);
        assert_eq!(tell(&mut a, &c).found, Some(ids([1, 2, 3])));
        assert_eq!(tell(&mut b, &c).found, None);
        // a hears b and c announce still, so it says what was formed.
        assert_eq!(said(&a).founded, Some(ids([1, 2, 3])));
        assert_eq!(tell(&mut b, &a).found, Some(ids([1, 2, 3])));
        assert_eq!(tell(&mut c, &a).found, Some(ids([1, 2, 3])));
    }

    #[test]
    fn one_other_list_stops_the_forming_and_is_told_once() {
        let (mut a, b, c) = (node(1, [2, 3]), node(2, [1, 3]), node(3, [1, 2, 4]));
        assert_eq!(tell(&mut a, &b), Hearing::default());
        let differ =
            Event::ListsDiffer { peer: id(3), theirs: ids([1, 2, 3, 4]), ours: ids([1, 2, 3]) };
        assert_eq!(tell(&mut a, &c).complaint, Some(differ));
        assert_eq!(tell(&mut a, &c), Hearing::default());
        assert_eq!(a.agreed(), None);
        let mended = node(3, [1, 2]);
        assert_eq!(tell(&mut a, &mended).found, Some(ids([1, 2, 3])));
    }

    #[test]
    fn a_founder_joins_before_it_has_met_all_of_its_list() {
        let (mut a, mut b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        let mut late = Formation::new(id(2), 5);
        assert_eq!(tell(&mut late, &a).found, Some(ids([1, 2])));
        assert_eq!(tell(&mut b, &a).found, Some(ids([1, 2])));
    }

    #[test]
    fn a_founder_whose_own_list_says_otherwise_does_not_join() {
        let (mut a, b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        let mut other = node(2, [1, 3]);
        let hearing = tell(&mut other, &a);
        assert_eq!(hearing.found, None);
        let differ = Event::ListsDiffer { peer: id(1), theirs: ids([1, 2]), ours: ids([1, 2, 3]) };
        assert_eq!(hearing.complaint, Some(differ));
    }

    #[test]
    fn a_wiped_member_is_named_on_both_sides() {
        let (mut a, b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        let mut wiped = node(9, [1, 9]);
        let hearing = tell(&mut a, &wiped);
        let stranger = |node| Event::NotAMember { node: id(node), members: ids([1, 2]) };
        assert_eq!(hearing, Hearing { found: None, answer: true, complaint: Some(stranger(9)) });
        assert_eq!(tell(&mut wiped, &a).complaint, Some(stranger(9)));
        assert_eq!(tell(&mut a, &wiped), Hearing::default());
    }

    #[test]
    fn a_founder_that_announces_still_is_told_of_if_its_list_differs() {
        let (mut a, b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        assert_eq!(tell(&mut a, &b), Hearing::default());
        let differ = Event::ListsDiffer { peer: id(2), theirs: ids([1, 2, 3]), ours: ids([1, 2]) };
        assert_eq!(tell(&mut a, &node(2, [1, 3])).complaint, Some(differ));
    }

    #[test]
    fn a_node_that_is_not_among_the_founders_does_not_join() {
        let (mut a, b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        let mut other = Formation::new(id(9), 5);
        let stranger = Event::NotAMember { node: id(9), members: ids([1, 2]) };
        let hearing = tell(&mut other, &a);
        assert_eq!(hearing, Hearing { complaint: Some(stranger), ..Hearing::default() });
        assert!(!other.is_formed());
    }

    #[test]
    fn a_wiped_member_and_a_late_founder_are_answered_though_another_is_gone() {
        let (mut a, b, c) = (node(1, [1, 2, 3]), node(2, [1, 3]), node(3, [1, 2]));
        tell(&mut a, &b);
        tell(&mut a, &c);
        // From here on nobody meets 2 any more.
        let mut late = Formation::new(id(3), 3);
        late.met(0, id(1));
        assert!(tell(&mut a, &late).answer);
        assert_eq!(tell(&mut late, &a).found, Some(ids([1, 2, 3])));
        let mut wiped = Formation::new(id(9), 3);
        wiped.met(0, id(1));
        let stranger = Some(Event::NotAMember { node: id(9), members: ids([1, 2, 3]) });
        assert_eq!(tell(&mut a, &wiped).complaint, stranger);
        assert_eq!(tell(&mut wiped, &a).complaint, stranger);
    }

    #[test]
    fn a_formed_node_says_so_only_while_someone_announces() {
        let (mut a, b) = (node(1, [1, 2]), node(2, [1]));
        tell(&mut a, &b);
        assert!(said(&a).founded.is_some());
        a.unlinked(id(2));
        assert_eq!(said(&a), Beat::default());
    }

    #[test]
    fn members_of_a_later_epoch_are_no_founders_to_join() {
        let mut a = node(1, [1, 2]);
        a.formed(ids([1, 3]), false);
        tell(&mut a, &node(2, [1]));
        assert_eq!(said(&a), Beat::default());
    }

    #[test]
    fn a_set_that_no_honest_peer_sends_is_refused() {
        let mut a = node(1, [1, 2]);
        let unsorted = Beat { founders: Some(ids([2, 1])), ..Beat::default() };
        assert!(a.hear(id(2), &unsorted).is_err());
        let twice = Beat { founders: Some(ids([1, 2, 2])), ..Beat::default() };
        assert!(a.hear(id(2), &twice).is_err());
        let most = || (1..=limits::MEMBERS_MAX as u128).map(id);
        let many = [id(0)].into_iter().chain(most()).collect();
        let large = Beat { founded: Some(many), ..Beat::default() };
        assert!(a.hear(id(2), &large).is_err());
        assert_eq!(a.agreed(), None);
        let largest = Beat { founders: Some(most().collect()), ..Beat::default() };
        assert!(a.hear(id(2), &largest).is_ok());
    }
}
