//! How often the rare branches were taken: a run that never takes them proves little.

use std::fmt;
use std::ops::AddAssign;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened sometimes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl AddAssign for Counters {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Entries delivered at all nodes together.
    commits,
    /// A round above 0 was started.
    round_changes,
    /// A round was started with entries of an earlier one that were not known to be committed (R3).
    tails_carried,
    /// Something was refused (R1, R5, R6).
    refusals,
    /// An adoption was refused because it lacked a commit (R5).
    adoptions_refused_for_a_commit,
    /// A log was cut by what was learned (R9).
    tails_cut,
    /// A log was cut by an adoption (R5).
    logs_replaced,
    /// Committed entries were read from the disk for a peer.
    fetches_from_disk,
    /// A process was killed.
    kills,
    /// A process was killed after it spoke and before its last batch was synced.
    kills_between_send_and_sync,
    /// A crash took away records that were not synced.
    unsynced_records_lost,
    /// A log file ended in a torn record, which was cut.
    torn_tails_cut,
    /// A disk failed, and its process stopped.
    disks_failed,
    /// A process was stopped for a while.
    pauses,
    /// The network was split.
    partitions,
    /// The leading process was killed or cut off.
    leaders_struck,
    /// A proposal that was asked for again was answered with the slot that it had (R13).
    duplicates,
    /// A client asked again for what it had asked before.
    retries,
    /// An answer was lost on its way to the client.
    answers_lost,
    /// A read barrier was passed (R12).
    reads,
    /// A suspicion was raised (R10).
    suspicions,
    /// A cluster was formed from nothing.
    formations,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.each() {
            writeln!(f, "  {:<34}{count:>12}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
