//! Who hears whom: directed ways between nodes that are cut, the shapes of partitions, and whom they
//! leave without a quorum.

use std::fmt;

use crate::dice::Dice;

/// The ways that carry nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Cuts {
    nodes: usize,
    cut: Vec<bool>,
}

impl Cuts {
    /// Everyone hears everyone.
    pub(crate) fn none(nodes: usize) -> Self {
        Self { nodes, cut: vec![false; nodes * nodes] }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// What `from` says is not heard by `to`.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from * self.nodes + to] = from != to;
    }

    pub(crate) fn cuts(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.nodes + to]
    }

    /// Every way, cut or not.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let nodes = self.nodes;
        (0..nodes * nodes)
            .map(move |way| (way / nodes, way % nodes))
            .filter(|(from, to)| from != to)
    }

    /// Only the ways for which `carries` says so are left.
    fn keeping(nodes: usize, carries: impl Fn(usize, usize) -> bool) -> Self {
        let mut cuts = Self::none(nodes);
        for (from, to) in cuts.ways() {
            if !carries(from, to) {
                cuts.cut(from, to);
            }
        }
        cuts
    }

    /// One group hears only itself, and so does the rest.
    pub(crate) fn apart(nodes: usize, group: &[usize]) -> Self {
        Self::keeping(nodes, |from, to| group.contains(&from) == group.contains(&to))
    }

    /// Two groups that have only one node in common.
    pub(crate) fn bridge(order: &[usize]) -> Self {
        let middle = order.len() / 2;
        let side =
            |node| order.iter().position(|it| *it == node).expect("all are in it").cmp(&middle);
        Self::keeping(order.len(), |from, to| {
            side(from).is_eq() || side(to).is_eq() || side(from) == side(to)
        })
    }

    /// Each has two neighbours; of three, each hears only the one before it.
    pub(crate) fn ring(order: &[usize]) -> Self {
        let nodes = order.len();
        let place = |node| order.iter().position(|it| *it == node).expect("all are in it");
        Self::keeping(nodes, |from, to| {
            let step = (place(to) + nodes - place(from)) % nodes;
            step == 1 || (nodes > 3 && step == nodes - 1)
        })
    }

    /// Some ways are cut in one direction alone.
    pub(crate) fn one_way(order: &[usize], dice: &mut Dice) -> Self {
        let (nodes, victim) = (order.len(), order[0]);
        match dice.below(3) {
            // Mute, deaf, or here and there.
            0 => Self::keeping(nodes, |from, _| from != victim),
            1 => Self::keeping(nodes, |_, to| to != victim),
            _ => {
                let mut cuts = Self::none(nodes);
                for (from, to) in cuts.ways() {
                    if !cuts.cuts(to, from) && dice.chance(40) {
                        cuts.cut(from, to);
                    }
                }
                cuts
            }
        }
    }

    /// Nobody hears anybody.
    pub(crate) fn shattered(nodes: usize) -> Self {
        Self::keeping(nodes, |_, _| false)
    }

    /// Who surely cannot commit: with fewer than a quorum there is a way there and a way back, over
    /// however many others, through nodes that run.
    pub(crate) fn without_quorum(&self, runs: &[bool]) -> Vec<bool> {
        let reached = |start: usize, backwards: bool| {
            let mut found = vec![false; self.nodes];
            let mut next = vec![start];
            while let Some(here) = next.pop() {
                if !runs[here] || std::mem::replace(&mut found[here], true) {
                    continue;
                }
                next.extend((0..self.nodes).filter(|other| match backwards {
                    true => !self.cuts(*other, here),
                    false => !self.cuts(here, *other),
                }));
            }
            found
        };
        (0..self.nodes)
            .map(|node| {
                let (there, back) = (reached(node, false), reached(node, true));
                let both = there.iter().zip(back).filter(|(there, back)| **there && *back).count();
                both < self.nodes / 2 + 1
            })
            .collect()
    }
}

impl fmt::Debug for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut: Vec<_> = self
            .ways()
            .filter(|(from, to)| self.cuts(*from, *to))
            .map(|(from, to)| format!("{}>{}", from + 1, to + 1))
            .collect();
        f.write_str(&cut.join(" "))
    }
}

#[test]
fn who_is_left_without_a_quorum_is_known() {
    let all = [true; 5];
    assert_eq!(Cuts::none(5).without_quorum(&all), [false; 5]);
    assert_eq!(Cuts::shattered(5).without_quorum(&all), [true; 5]);
    let apart = Cuts::apart(5, &[1, 3]);
    assert_eq!(apart.without_quorum(&all), [false, true, false, true, false]);
    // One of the three has stopped: nobody is left.
    assert_eq!(apart.without_quorum(&[true, true, false, true, true]), [true; 5]);
    // A bridge and a ring let news through to all, by detours.
    assert_eq!(Cuts::bridge(&[4, 0, 2, 1, 3]).without_quorum(&all), [false; 5]);
    assert_eq!(Cuts::ring(&[4, 0, 2, 1, 3]).without_quorum(&all), [false; 5]);
    assert_eq!(Cuts::ring(&[2, 0, 1]).without_quorum(&[true; 3]), [false; 3]);
    // The mute one gets no answer for itself.
    let mut mute = Cuts::none(3);
    mute.cut(0, 1);
    mute.cut(0, 2);
    assert_eq!(mute.without_quorum(&[true; 3]), [true, false, false]);
}
