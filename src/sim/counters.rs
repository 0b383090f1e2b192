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
    /// Bytes of an older life of the file stood behind a torn record.
    stale_bytes_behind_torn,
    /// A file was gone after a crash, for its directory had not been synced.
    names_lost,
    /// The power failed while a process opened its log.
    openings_cut,
    /// A process was started again.
    restarts,
    /// Several processes, but not all, were killed at one moment.
    several_killed_at_once,
    /// All processes, more than one, were killed at one moment.
    all_killed_at_once,
    /// A disk failed, and its process stopped.
    disks_failed,
    /// That was a sync.
    syncs_failed,
    /// That was a read.
    reads_failed,
    /// That was a write for which there was no room.
    disks_full,
    /// A process did not start, for its disk had no room.
    starts_refused,
    /// A sync took longer than a node calls healthy (R10).
    slow_syncs,
    /// A process said good-bye and ended.
    leaves,
    /// A good-bye was heard.
    goodbyes_heard,
    /// A process was stopped for a while.
    pauses,
    /// Its clock stood still meanwhile.
    clocks_stood_still,
    /// A clock ran at another rate from one moment on.
    clock_rates_changed,
    /// A wall clock was set.
    wall_clocks_set,
    /// The network was split.
    partitions,
    /// … into halves.
    halves,
    /// … with a minority cut off.
    minorities,
    /// … into halves that overlap in one node.
    bridges,
    /// … into a ring.
    rings,
    /// … into a chain.
    chains,
    /// … into a star.
    stars,
    /// … with one node that nobody hears.
    mutes,
    /// … with one node that hears nobody.
    deafs,
    /// … into nodes that are all alone.
    shatterings,
    /// One way between two nodes was cut, in one direction.
    ways_cut,
    /// Some ways were slower than the ways back.
    lopsided_networks,
    /// All frames took longer for a while.
    delays,
    /// A link broke between living processes.
    links_broken,
    /// A frame was lost on a way that carries.
    frames_lost,
    /// A frame was said into a partition.
    frames_cut_off,
    /// A frame arrived twice.
    frames_doubled,
    /// A frame was overtaken by later ones.
    frames_overtaken,
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
    /// A node started the epoch of its founders.
    formations,
    /// A peer was suspected, by silence or for its link broke.
    peers_suspected,
    /// A peer was taken for offline.
    peers_lost,
    /// An application sent a text, to one or to all.
    texts_sent,
    /// A text was delivered.
    texts_delivered,
    /// A text went out again.
    texts_sent_again,
    /// A text came again to a process that had it, and was not delivered again.
    texts_repeated,
    /// A text was acknowledged by everyone whom it was for.
    texts_done,
    /// A data directory was lost, and another node came into its place.
    directories_wiped,
    /// A log was lost and its key was not, and the node was not started on what was left.
    logs_lost,
    /// A stranger was named by a member.
    strangers_named,
    /// A member started on an older copy of its directory.
    copies_restored,
    /// A member that had forgotten was told so, and stopped (R15).
    forgetful_stopped,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.each() {
            writeln!(f, "  {:<34}{count:>12}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
