//! What a chart is drawn from: who said what to whom, who did what, and what went wrong, in order.

use crate::sim::clock::Moment;

/// A run, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// How many nodes there are.
    pub nodes: usize,
    /// What happened, by its moment.
    pub marks: Vec<Mark>,
    /// Who was down when it begins: nodes, counted from 0.
    pub down: Vec<usize>,
    /// Whether the network was split when it begins.
    pub is_split: bool,
    /// How many marks before it were left out.
    pub left_out: usize,
}

/// One thing that happened. Nodes are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A frame on its way from one node to another.
    Arrow {
        /// Who said it.
        from: usize,
        /// Who heard it, or did not.
        to: usize,
        /// When it left.
        sent: Moment,
        /// When it arrived, or was found to be lost.
        at: Moment,
        /// What kind of message it is.
        class: Class,
        /// What it says, in a word.
        what: &'static str,
        /// Whether nobody heard it.
        is_lost: bool,
    },
    /// Something that a node did or said.
    Deed {
        /// Who.
        node: usize,
        /// When.
        at: Moment,
        /// Of what kind.
        class: Class,
        /// What.
        text: String,
    },
    /// Something that came over the cluster.
    World {
        /// When.
        at: Moment,
        /// What.
        text: String,
        /// Whether the network is split from now on; none if that is not changed.
        splits: Option<bool>,
    },
}

/// What a mark is about: it is drawn in a colour of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A heartbeat.
    Beat,
    /// A proposal on its way into the log.
    Propose,
    /// A vote.
    Vote,
    /// A round change: prepare, promise.
    Round,
    /// Anything else that is said about the log.
    Other,
    /// An application's text.
    Text,
    /// What clients ask and are answered.
    Client,
    /// A commit.
    Commit,
    /// A process comes up.
    Up,
    /// A process is gone.
    Down,
    /// A doubt about somebody.
    Doubt,
    /// An invariant is broken.
    Broken,
}

/// Which part of a run is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before this moment.
    pub from: Moment,
    /// Not behind this moment.
    pub to: Moment,
    /// At most so many deeds and sayings, the last ones.
    pub last: usize,
    /// Heartbeats, too.
    pub heartbeats: bool,
}

impl Mark {
    /// When it happened: a frame when it arrived.
    pub fn at(&self) -> Moment {
        match self {
            Self::Arrow { at, .. } | Self::Deed { at, .. } | Self::World { at, .. } => *at,
        }
    }

    fn is_beat(&self) -> bool {
        match self {
            Self::Arrow { class, .. } | Self::Deed { class, .. } => *class == Class::Beat,
            Self::World { .. } => false,
        }
    }
}

impl Story {
    /// The part of it that the window shows. A frame is shown if it left and arrived within.
    pub fn seen_through(&self, window: &Window) -> Self {
        let is_wanted = |mark: &&Mark| window.heartbeats || !mark.is_beat();
        let is_counted = |mark: &&Mark| !matches!(mark, Mark::Arrow { .. });
        let within = |mark: &&Mark| (window.from..=window.to).contains(&mark.at());
        let counted: Vec<Moment> = self
            .marks
            .iter()
            .filter(is_wanted)
            .filter(within)
            .filter(is_counted)
            .map(Mark::at)
            .collect();
        let too_many = counted.len().saturating_sub(window.last);
        let from = counted.get(too_many).copied().unwrap_or(window.from).max(window.from);
        let mut part = Self { nodes: self.nodes, down: self.down.clone(), ..Self::default() };
        for mark in &self.marks {
            let left = match mark {
                Mark::Arrow { sent, .. } => *sent,
                Mark::Deed { at, .. } | Mark::World { at, .. } => *at,
            };
            if left < from {
                part.note(mark);
                part.left_out += usize::from(is_wanted(&mark) && is_counted(&mark));
            } else if mark.at() <= window.to && is_wanted(&mark) {
                part.marks.push(mark.clone());
            }
        }
        part
    }

    /// What a mark before its beginning leaves behind.
    fn note(&mut self, mark: &Mark) {
        match mark {
            Mark::Deed { node, class: Class::Up, .. } => self.down.retain(|down| down != node),
            Mark::Deed { node, class: Class::Down, .. } => self.down.push(*node),
            Mark::World { splits: Some(splits), .. } => self.is_split = *splits,
            Mark::Arrow { .. } | Mark::Deed { .. } | Mark::World { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    fn deed(node: usize, millis: u64, class: Class) -> Mark {
        Mark::Deed { node, at: at(millis), class, text: String::new() }
    }

    #[test]
    fn a_window_shows_the_last_and_knows_what_stood_before() {
        let split = Mark::World { at: at(2), text: String::new(), splits: Some(true) };
        let arrow = |sent, came| Mark::Arrow {
            from: 0,
            to: 1,
            sent: at(sent),
            at: at(came),
            class: Class::Vote,
            what: "vote",
            is_lost: false,
        };
        let marks = vec![
            deed(0, 0, Class::Up),
            deed(1, 1, Class::Down),
            split,
            arrow(1, 4),
            deed(0, 4, Class::Beat),
            deed(0, 5, Class::Commit),
            arrow(5, 6),
            deed(0, 6, Class::Commit),
            deed(0, 9, Class::Commit),
        ];
        let story = Story { nodes: 2, marks, ..Story::default() };
        let window = Window { from: at(0), to: at(8), last: 2, heartbeats: false };
        let part = story.seen_through(&window);
        assert_eq!(part.marks, story.marks[5..8]);
        assert_eq!((part.down, part.is_split, part.left_out), (vec![1], true, 3));
        let all = story.seen_through(&Window { last: 99, heartbeats: true, ..window });
        assert_eq!((all.marks.len(), all.left_out, all.down), (8, 0, vec![]));
    }
}
