//! Known mistakes, made on purpose: the simulator must catch each of them.
//!
//! A switch `if mutant::is(Mutant::…)` stands where the mistake would be made. Outside of the crate's own
//! tests it is `false` for the compiler, and nothing of a mistake is ever built.

/// One mistake. The names are those of `docs/TESTING.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mutant {
    /// A vote is cast without a record of it.
    VoteNotPersisted,
    /// A promise is given without a record of it.
    PromiseNotPersisted,
    /// What is written is said at once.
    SentBeforeSync,
    /// A start drops the last record, though it is whole.
    LastRecordDropped,
    /// Half of the members are taken for a majority.
    HalfIsQuorum,
    /// A majority of the members heard lately is taken for a quorum.
    QuorumOfLive,
    /// Every vote counts, however often a member sends it.
    DuplicateVotesCounted,
    /// Votes of several rounds count together.
    RoundsAddedUp,
    /// A vote of an older round replaces what its member voted since.
    StaleVoteAccepted,
    /// A new round starts from the commit, without the tail.
    TailNotCarried,
    /// Of several tails the one of the lowest round is carried.
    LowestTailCarried,
    /// Of several tails the longest is carried, whatever its round.
    LongestTailCarried,
    /// A log is adopted one entry at a time.
    AdoptedInPieces,
    /// A log is adopted that lacks a commit.
    AdoptedBelowCommit,
    /// The end of the log is announced as voted.
    TipAsVote,
}

#[cfg(not(test))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(test)]
pub(crate) use made::{is, with};

#[cfg(test)]
mod made {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static MADE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this mistake is made now, on this thread.
    pub(crate) fn is(mutant: Mutant) -> bool {
        MADE.get() == Some(mutant)
    }

    /// Makes the mistake on this thread as long as `act` takes.
    pub(crate) fn with<T>(mutant: Mutant, act: impl FnOnce() -> T) -> T {
        struct Undone;
        impl Drop for Undone {
            fn drop(&mut self) {
                MADE.set(None);
            }
        }
        let _undone = Undone;
        MADE.set(Some(mutant));
        act()
    }
}
