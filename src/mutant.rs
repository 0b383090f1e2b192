//! Known mistakes, made on purpose: each must be caught by a named layer of the tests.
//!
//! A switch `if mutant::is(Mutant::…)` stands where the mistake would be made. It is `false` for the
//! compiler, and nothing of a mistake is ever built, outside of the crate's own unit tests and of debug
//! builds with the feature `mutants`, which no other feature brings along. `tests/gallery.rs` makes each of them.

// Public where the gallery needs it, which stands outside of the crate.
#![cfg_attr(not(feature = "mutants"), allow(unreachable_pub))]

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` makes nodes err on purpose: it is for debug builds alone");

macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[$doc])* $variant,)*
        }

        #[cfg(any(test, feature = "mutants"))]
        impl Mutant {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as in `docs/TESTING.md`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

mutants! {
    // What must be durable, and when.
    /// A vote is cast, and the record of it holds the entries alone.
    VoteNotPersisted => "vote not persisted",
    /// A promise is given without a record of it.
    PromiseNotPersisted => "promise not persisted",
    /// What is written is said at once.
    SentBeforeSync => "frame sent before the sync",
    /// Round 0 is led before its record is synced (R2).
    LedBeforeSync => "round 0 led before its record is synced",
    /// A commit is delivered before the own disk holds it.
    DeliveredBeforeDurable => "commit acknowledged, not persisted",
    /// A proposer answers as soon as its own disk holds the entry.
    AcknowledgedBeforeQuorum => "acknowledged before the quorum",
    /// What is learnt is recorded without the commit, which follows by itself (R9).
    CommitApartFromCut => "commit saved apart from the cut",

    // Counting.
    /// Half of the members are taken for a majority.
    HalfIsQuorum => "n/2",
    /// A majority of the members heard lately is taken for a quorum.
    QuorumOfLive => "quorum of live peers",
    /// Every vote counts, however often a member sends it.
    DuplicateVotesCounted => "duplicate votes counted",
    /// The own vote counts when it is cast, and once more.
    OwnVoteTwice => "own vote twice",
    /// The own vote is said to others, and not counted.
    OwnVoteMissing => "own vote missing from the own tally",
    /// Votes of several rounds count together.
    RoundsAddedUp => "rounds added up",
    /// A vote of an older round replaces what its member voted since.
    StaleVoteAccepted => "stale-round vote accepted",
    /// Whoever votes is counted, and heard.
    StrangersVoteCounted => "vote from a non-member",
    /// What is said in another epoch is heard.
    OtherEpochHeard => "old epoch's member counted",
    /// A commit is taken for the own entry in its slot.
    HashNotCompared => "commit learnt without comparing hashes",

    // Promises and votes.
    /// The end of the log is announced as voted.
    TipAsVote => "tip announced as vote",
    /// The vote moves to the end of the log, whatever the message proved (R6).
    VotedBeyondProof => "acknowledging more than the message proved",
    /// A round promised is refused like one below the promise.
    PromiseSlip => "`>=` for `>` in the promise check",
    /// A proposer is followed in its round, whatever was promised since (R6).
    ExtendedBelowPromise => "no promise check when extending",
    /// A node goes on leading though it has promised a higher round (R2).
    LeadsPastPromise => "leading outlives its promise",

    // Choosing the log.
    /// A new round starts from the commit, without the tail.
    TailNotCarried => "tail not carried over",
    /// Of several tails the one of the lowest round is carried.
    LowestTailCarried => "tail of the lowest round carried",
    /// Of several tails the longest is carried, whatever its round.
    LongestTailCarried => "longest log over highest round",
    /// A promise of another round counts (R3).
    StalePromiseCounted => "promise of another round counted",
    /// A candidate neither leaves out a promise nor gives up (R3).
    CandidateWaitsForEver => "candidate waits for ever for a dead node's tail",
    /// A log is adopted one entry at a time.
    AdoptedInPieces => "adoption in pieces",
    /// A log is adopted that lacks a commit.
    AdoptedBelowCommit => "adoption below a commit",

    // Learning.
    /// Nobody asks for commits that are missing.
    NoCatchUp => "no catch-up",
    /// All that a peer sends is taken for committed.
    UncommittedLearnt => "catch-up takes uncommitted entries",
    /// Missing commits are asked for again and again, without a pause.
    EndlessCatchUp => "endless catch-up loop",

    // Suspecting and taking over.
    /// A proposer that does not lead is suspected by nobody, if it is heard (R10).
    IdleProposerTrusted => "healthy proposer that does not lead never suspected",
    /// A proposer is trusted as long as its heartbeats come (R10).
    UnhealthyProposerTrusted => "unhealthy proposer kept alive by heartbeats",
    /// The own suspicion is enough for taking over (R11).
    LoneSuspicionDeposes => "disruptive rejoin",
    /// Rounds grow without an end.
    RoundOverflow => "round overflow",
    /// The moment that a message names is taken for the moment at which it came.
    SendersClockTrusted => "wall clock in a timer",

    // Proposals and reads.
    /// A proposal takes effect as often as it is placed.
    RetryAppliedTwice => "retry applied twice",
    /// Who asks again for what is in the log is not answered.
    RetrySwallowed => "dedup swallows a retry",
    /// A proposal is submitted once.
    NoResubmit => "no re-send timer: proposals",
    /// Entries are sent once (R4).
    NoRepair => "a message sent once and lost for ever",
    /// A proposal without an answer in time is called rejected.
    AmbiguousRejected => "ambiguous outcome reported as failure",
    /// An own reply to an older barrier counts.
    StaleNonceCounted => "stale read nonce counted",
    /// A read does not wait for what others may have acknowledged.
    ReadTooEarly => "read served before the commit is known",
    /// Who leads answers reads alone.
    LeaseRead => "lease by clock",
    /// A member that forgot its promises is believed (R15).
    ForgetfulBelieved => "wiped node back under the old id",

    // Bounds of consensus.
    /// Any number of proposals waits.
    PendingUnbounded => "unbounded proposals",
    /// A proposer runs ahead of the commit as far as it likes.
    WindowIgnored => "window ignored",
    /// No entry is ever forgotten.
    NothingForgotten => "log in memory grows for ever",
    /// The tally keeps a vote of every round.
    TallyGrows => "memory that grows with future rounds",

    // Messages and peers.
    /// A text that was seen is not acknowledged again.
    ResendSwallowed => "dedup swallows a re-send",
    /// A repeated statement of consensus is dropped.
    StatementSwallowed => "dedup swallows a statement",
    /// A text is sent once.
    NoResend => "no re-send timer: texts",
    /// Ids are remembered for ever.
    DedupUnbounded => "unbounded dedup",
    /// An id is one id, whoever sent it.
    DedupIgnoresSender => "dedup without the sender",
    /// A later life of a node uses the names of the one before.
    NamesRepeat => "message ids start anew with a restart",
    /// Any number of strangers is remembered.
    StrangersUnbounded => "memory that grows with strangers",

    // Links.
    /// Of two links the one with the higher number of its dial stays, whoever's life it is of.
    DialNumberOnly => "dedup by sequence only",
    /// The same identity may run twice.
    DoubleIdentity => "same identity running twice",
    /// A message is believed to come from whom it names.
    SpoofedFrom => "spoofed `from` accepted",
    /// Any signature proves an id.
    ProofNotChecked => "proof of identity not checked",
    /// A proof signs no nonce of the listener.
    ProofReplayed => "replayed proof accepted",
    /// Memory is taken as announced, then the length is checked.
    AllocatedBeforeCheck => "frame length checked after allocating",
    /// A link that ended leaves its writer behind.
    WriterLeaked => "connection task leaked: writer",
    /// A stranger that has to make room stays.
    StrangerLeaked => "connection task leaked: stranger",
    /// Any number of frames waits for a peer that does not read.
    OutboxUnbounded => "memory that grows with a dead peer",

    // The log on disk.
    /// A start drops the last record, though it is whole.
    LastRecordDropped => "recovery drops the last good record",
    /// The journal forgets entries before the chain is synced.
    CommitAheadOfEntries => "commit persisted ahead of entries",
    /// A renamed file's directory is not synced.
    RenameNotSynced => "directory not synced: rename",
    /// A new journal's directory is not synced.
    JournalNameNotSynced => "directory not synced: journal",
    /// A new segment's directory is not synced.
    SegmentNameNotSynced => "directory not synced: segment",
    /// A failed sync counts as done.
    SyncErrorIgnored => "sync error ignored",
    /// A sync is tried again after it failed.
    SyncRetried => "sync error retried",
    /// The disk thread reports what it could not sync.
    FailedSyncReported => "sync error not told",
    /// A frame's checksum does not cover its place.
    ChecksumWithoutPlace => "checksum not bound to position",
    /// A damaged batch is cut like a torn one.
    DamageTakenForTear => "corruption taken for a torn tail",
    /// A torn batch is refused like a damaged one.
    TearTakenForDamage => "torn tail taken for corruption",
    /// Batches of an older generation are taken up.
    StaleBatchesTaken => "stale batches taken up",
    /// Bytes that name the generation are taken up, whoever wrote them.
    SaltIgnored => "bytes of another's making taken up",
    /// The checksum of an entry's body is not looked at, nor its hash.
    BodyNotChecked => "damage in an entry not noticed",
    /// The lock on the directory is not taken.
    LockIgnored => "directory used by two processes",
    /// What the count of starts says of a log is not asked (R15).
    LostLogIgnored => "lost log taken for a new one",
}

#[cfg(not(any(test, feature = "mutants")))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(any(test, feature = "mutants"))]
pub use made::{is, with};

#[cfg(any(test, feature = "mutants"))]
mod made {
    use std::cell::Cell;

    use crate::mutant::Mutant;

    /// Names the mistake that a whole process makes.
    #[cfg(feature = "mutants")]
    const VARIABLE: &str = "QUORATE_MUTANT";

    thread_local! {
        static MADE: Cell<Option<Mutant>> = Cell::new(of_process());
    }

    /// Whether this mistake is made now, on this thread.
    pub fn is(mutant: Mutant) -> bool {
        MADE.get() == Some(mutant)
    }

    /// Makes the mistake on this thread as long as `act` takes.
    pub fn with<T>(mutant: Mutant, act: impl FnOnce() -> T) -> T {
        struct Undone(Option<Mutant>);
        impl Drop for Undone {
            fn drop(&mut self) {
                MADE.set(self.0);
            }
        }
        let _undone = Undone(MADE.replace(Some(mutant)));
        act()
    }

    #[cfg(not(feature = "mutants"))]
    fn of_process() -> Option<Mutant> {
        None
    }

    #[cfg(feature = "mutants")]
    fn of_process() -> Option<Mutant> {
        use std::sync::OnceLock;

        static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok()?;
            let named = Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name);
            Some(named.unwrap_or_else(|| panic!("{VARIABLE}: there is no mistake called {name:?}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mistake_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }

    #[test]
    fn a_mistake_lasts_as_long_as_it_is_asked_for() {
        let made = || is(Mutant::HalfIsQuorum);
        assert!(!made());
        assert!(with(Mutant::HalfIsQuorum, made));
        assert!(!made());
    }
}
