//! What is going to happen, in the order of time; at one moment, in the order of planning.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::sim::clock::Moment;

/// Things to come.
#[derive(Clone, Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Planned<T>>,
    planned: u64,
}

#[derive(Clone, Debug)]
struct Planned<T> {
    at: Moment,
    order: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at: Moment, what: T) {
        self.planned += 1;
        self.heap.push(Planned { at, order: self.planned, what });
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|planned| planned.at)
    }

    /// All that is planned, in no order.
    #[cfg(test)]
    pub(super) fn planned(&self) -> impl Iterator<Item = (Moment, &T)> {
        self.heap.iter().map(|planned| (planned.at, &planned.what))
    }

    pub(super) fn pop(&mut self) -> Option<(Moment, T)> {
        self.heap.pop().map(|planned| (planned.at, planned.what))
    }
}

impl<T> Ord for Planned<T> {
    /// Earliest is greatest, for the heap gives out its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Planned<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_forward_and_ties_keep_their_order() {
        let mut queue = Queue::new();
        for (millis, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            queue.plan(Moment::ZERO + Duration::from_millis(millis), name);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, "abcd");
    }
}
