//! Which proposals the log holds (R13): the table that every commit asks and adds to.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::mutant::{self, Mutant};
use crate::types::{ProposalId, Slot};

/// The ids of the committed proposals that are remembered, each with the slot that took effect.
/// Made from the log alone, so that every node answers alike.
///
/// A ring of ids in slot order, and an open-addressed index over it (linear probing, at most five eighths full). Clients
/// choose ids: `key`, which they do not know, keeps them from choosing those that share a place.
#[derive(Clone, Debug)]
pub struct Known {
    ages: VecDeque<(Slot, ProposalId)>,
    /// How many were forgotten; the first in `ages` has this number.
    forgotten: u32,
    /// As many as a power of two.
    places: Vec<Place>,
    key: u64,
    remembered: u64,
}

/// A place of the index: free, or of the id with this number.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The id's hash, which says where it is looked for first; its highest bit is set, and a free place has none.
    tag: u32,
    /// Counted round and round.
    number: u32,
}

impl Known {
    /// The table that `recovered` ids, in slot order, make. `key` differs between nodes and lives.
    pub fn new(remembered: u64, recovered: Vec<(ProposalId, Slot)>, key: u64) -> Self {
        let (ages, places) = (VecDeque::new(), vec![Place::default(); 16]);
        let mut known = Self { ages, forgotten: 0, places, key, remembered };
        for (id, slot) in recovered {
            known.learn(id, slot);
        }
        known
    }

    /// Has memory bring the places of `ids`, all at once: who is asked for one after the other waits for each. Changes
    /// no answer.
    pub(super) fn fetch(&self, ids: impl Iterator<Item = ProposalId>) {
        let last = self.places.len() - 1;
        let tags = ids.map(|id| self.places[self.tag(id) as usize & last].tag);
        std::hint::black_box(tags.fold(0, |all, tag| all ^ tag));
    }

    /// The ids that are forgotten next, in order.
    pub(super) fn oldest(&self) -> impl Iterator<Item = ProposalId> {
        self.ages.iter().map(|(_, id)| *id)
    }

    /// The slot in which this id took effect.
    pub(super) fn slot(&self, id: ProposalId) -> Option<Slot> {
        let tag = self.tag(id);
        let alike = self.probe(tag).filter(|(_, place)| place.tag == tag);
        let alike = alike.map(|(_, place)| place.number.wrapping_sub(self.forgotten) as usize);
        alike.map(|index| self.ages[index]).find(|(_, known)| *known == id).map(|(slot, _)| slot)
    }

    /// Remembers an effective slot; forgets what lies too far behind it. Answers the slot that
    /// took effect before, if there is one.
    pub fn learn(&mut self, id: ProposalId, slot: Slot) -> Option<Slot> {
        while self.ages.front().is_some_and(|(oldest, _)| oldest.0 + self.remembered < slot.0) {
            self.forget_oldest();
        }
        if let Some(before) = self.slot(id)
            && !mutant::is(Mutant::RetryAppliedTwice)
        {
            return Some(before);
        }
        if 8 * (self.ages.len() + 1) > 5 * self.places.len() {
            self.grow();
        }
        let number = self.forgotten.wrapping_add(self.ages.len() as u32);
        self.ages.push_back((slot, id));
        self.put(number, id);
        None
    }

    /// The ids that are remembered when `committed` is, each with the slot that took effect, in slot order.
    pub fn remembered(self, committed: Slot) -> Vec<(ProposalId, Slot)> {
        let is_remembered =
            |(slot, _): &(Slot, ProposalId)| slot.0 + self.remembered >= committed.0;
        self.ages.into_iter().filter(is_remembered).map(|(slot, id)| (id, slot)).collect()
    }

    fn grow(&mut self) {
        self.places = vec![Place::default(); 2 * self.places.len()];
        for index in 0..self.ages.len() {
            self.put(self.forgotten.wrapping_add(index as u32), self.ages[index].1);
        }
    }

    /// To the first free place.
    fn put(&mut self, number: u32, id: ProposalId) {
        let tag = self.tag(id);
        let last = self.places.len() - 1;
        let mut at = tag as usize & last;
        while self.places[at].tag != 0 {
            at = (at + 1) & last;
        }
        self.places[at] = Place { tag, number };
    }

    /// Takes the oldest out, and moves those behind it up to where they are looked for.
    fn forget_oldest(&mut self) {
        let Some((_, oldest)) = self.ages.pop_front() else { return };
        let last = self.places.len() - 1;
        let found = self.probe(self.tag(oldest)).find(|(_, place)| place.number == self.forgotten);
        let (mut free, _) = found.expect("what is in the ring is in the index");
        let mut at = free;
        loop {
            at = (at + 1) & last;
            let place = self.places[at];
            if place.tag == 0 {
                break;
            }
            // From its home to where it stands: does the free place lie between?
            let home = place.tag as usize;
            if (at.wrapping_sub(home) & last) >= (at.wrapping_sub(free) & last) {
                self.places[free] = place;
                free = at;
            }
        }
        self.places[free] = Place::default();
        self.forgotten = self.forgotten.wrapping_add(1);
    }

    /// The places at which an id with this tag may stand, up to the first free one.
    fn probe(&self, tag: u32) -> impl Iterator<Item = (usize, Place)> {
        let last = self.places.len() - 1;
        let places = (tag as usize..).map(move |at| (at & last, self.places[at & last]));
        places.take_while(|(_, place)| place.tag != 0)
    }

    /// Both halves of the id folded by multiplication.
    fn tag(&self, id: ProposalId) -> u32 {
        let bits = u128::from_be_bytes(*id.as_bytes());
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let mixed = fold((bits >> 64) as u64 ^ self.key, bits as u64 ^ self.key.rotate_left(32));
        let hash = fold(mixed ^ bits as u64, 0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as u32 | 1 << 31
    }
}

/// The index follows from the ring; the key changes no answer.
impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        (self.remembered, &self.ages) == (other.remembered, &other.ages)
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.remembered, &self.ages).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(bits: u128) -> ProposalId {
        ProposalId::from_u128(bits)
    }

    #[test]
    fn a_second_occurrence_of_an_id_names_the_first() {
        let mut known = Known::new(10, Vec::new(), 1);
        assert_eq!(known.learn(id(1), Slot(3)), None);
        assert_eq!(known.learn(id(1), Slot(9)), Some(Slot(3)));
    }

    #[test]
    fn an_id_is_remembered_for_the_stated_number_of_slots() {
        let mut known = Known::new(10, Vec::new(), 1);
        known.learn(id(1), Slot(3));
        known.learn(id(2), Slot(13));
        assert_eq!(known.slot(id(1)), Some(Slot(3)));
        known.learn(id(3), Slot(14));
        assert_eq!(known.slot(id(1)), None);
    }

    /// Beside a tree that does the same: ids that crowd, come again, and are forgotten while others stand behind them.
    #[test]
    fn a_table_that_is_full_answers_as_a_tree_does() {
        for (key, remembered) in [(0, 7), (1, 100), (u64::MAX, 1_000)] {
            let mut known = Known::new(remembered, Vec::new(), key);
            let mut tree: BTreeMap<ProposalId, u64> = BTreeMap::new();
            known.forgotten = u32::MAX - 50;
            let mut bits = key;
            for slot in 1..6_000 {
                bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let next = id(u128::from((bits >> 33) % (2 * remembered)) << (32 * (slot % 4)));
                tree.retain(|_, learnt| *learnt + remembered >= slot);
                let before = tree.get(&next).copied();
                assert_eq!(known.learn(next, Slot(slot)), before.map(Slot), "slot {slot}");
                tree.entry(next).or_insert(slot);
                assert_eq!(known.ages.len(), tree.len());
            }
            for (id, slot) in &tree {
                assert_eq!(known.slot(*id), Some(Slot(*slot)));
            }
            let taken = known.places.iter().filter(|place| place.tag != 0).count();
            assert_eq!(taken, tree.len());
            assert!(known.places.len() <= 4 * known.ages.len().max(8));
        }
    }

    #[test]
    fn ids_that_are_counted_up_find_places_of_their_own() {
        for shift in [0, 32, 64, 96] {
            let ids = (0..10_000_u128).map(|count| (id(count << shift), Slot(1 + count as u64)));
            let known = Known::new(10_000, ids.collect(), 0x0123_4567_89ab_cdef);
            let probes: usize =
                (0..10_000).map(|count| known.probe(known.tag(id(count << shift))).count()).sum();
            assert!(probes < 80_000, "{probes} with the bits at {shift}");
        }
    }
}
