//! The invariants by name, and what is said when one is broken.

use std::fmt;

use crate::sim::clock::Moment;

macro_rules! invariants {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What must hold in every run, after every step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[$doc])* $variant,)*
        }

        impl Invariant {
            /// All of them.
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

invariants! {
    /// No two nodes hold different entries committed in one slot.
    Agreement => "agreement",
    /// What is committed was proposed.
    Validity => "validity",
    /// Commits are delivered in slot order, without a hole, each once.
    Integrity => "integrity",
    /// A committed prefix only grows.
    Stability => "stability",
    /// What is acknowledged is synced at a quorum by then.
    Durability => "durability",
    /// What is acknowledged stands before what is proposed later, and is seen by later reads.
    RealTime => "real_time",
    /// A promise never falls.
    PromiseMonotone => "promise_monotone",
    /// No vote in a round below the promise.
    NoVoteBelowPromise => "no_vote_below_promise",
    /// A vote that was sent is found again after a restart.
    VoteRemembered => "vote_remembered",
    /// All logs of one round are prefixes of its proposer's.
    OneLogPerRound => "one_log_per_round",
    /// Who accepted a round holds all of its base.
    AcceptedCoversBase => "accepted_covers_base",
    /// A commit was voted durably by a quorum of the configured members in one round.
    QuorumOfConfigured => "quorum_of_configured",
    /// The log of a higher round holds what was chosen in a lower one.
    CarryOver => "carry_over",
    /// What is said of durable state is durable.
    PersistBeforeSend => "persist_before_send",
    /// Machine, records and disk tell the same story.
    ReplayEquality => "replay_equality",
    /// One effective slot per proposal id.
    ExactlyOnce => "exactly_once",
    /// An epoch has one configuration and one base.
    OneConfigPerEpoch => "one_config_per_epoch",
    /// Nothing kept in memory grows past its limit.
    BuffersBounded => "buffers_bounded",
    /// A formed node always waits for some moment, and never spins on one.
    TimerArmed => "timer_armed",
    /// A text is given to an application at most once in the life of its process, and never acknowledged before.
    DeliveredOnce => "delivered_once",
    /// In a whole network a text reaches everyone whom it is for, as long as its sender lives.
    DeliveredAtLeastOnce => "delivered_at_least_once",
    /// No more message ids are remembered than texts were delivered.
    DedupBounded => "dedup_bounded",
    /// Nobody is suspected who was heard within T, unless its link broke.
    DetectorAccuracy => "detector_accuracy",
    /// Whoever is silent for longer than T and a heartbeat is suspected; nobody counts on who said good-bye.
    DetectorCompleteness => "detector_completeness",
    /// Who lost its directory or runs on an old copy of it takes part in nothing, and is told (R15).
    Excluded => "excluded",
    /// Honest nodes are not accused, and do not stop.
    NoFalseAlarm => "no_false_alarm",
    /// At rest all logs are equal.
    LogsIdentical => "logs_identical",
    /// Once faults stop, one proposer leads and everything pending is decided in time.
    Liveness => "liveness",
    /// The node's own assertions hold.
    Assertion => "assertion",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// At which node, counted from 1; none where it concerns the cluster.
    pub node: Option<usize>,
    /// When.
    pub at: Moment,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {}", self.invariant, self.at)?;
        if let Some(node) = self.node {
            write!(f, " at node {node}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A finding: the invariant broken and how.
pub(in crate::sim) type Finding = (Invariant, String);

/// What the judge says: nothing, or what is broken.
pub(in crate::sim) type Verdict = Result<(), Finding>;
