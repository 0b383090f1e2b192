//! The table: which mistake is caught by which layers. Every mistake stands in it at least once.

use quorate::mutant::Mutant::{self, *};
use quorate::sim::Invariant::{self, PersistBeforeSend, ReplayEquality};

use crate::suites::Suite;

/// The programs of `tests/` that catch something.
pub(crate) const PROGRAMS: [&str; 3] = ["hostile_transport", "storage_crash", "transport"];

/// A way to catch a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Catch {
    /// Runs of the simulator, in which these invariants are not looked at.
    Seeds { unseen: &'static [Invariant] },
    /// What a person wrote down for the simulator: one of `tests/scenarios`, without its ending.
    Scenario(&'static str),
    /// These tests, each of which must fail.
    Tests { suite: Suite, names: &'static [&'static str], is_slow: bool },
}

impl Catch {
    /// For the table that is printed.
    pub(crate) fn layer(&self) -> String {
        match self {
            Self::Seeds { unseen: [] } => "simulation".to_owned(),
            Self::Seeds { unseen } => {
                let unseen: Vec<_> = unseen.iter().map(|it| format!("`{it}`")).collect();
                format!("simulation without {}", unseen.join(", "))
            }
            Self::Scenario(_) => "scenario".to_owned(),
            Self::Tests { suite, .. } => suite.name().to_owned(),
        }
    }

    /// Whether it is left to those who measure.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Tests { is_slow: true, .. })
    }
}

fn seeds(mutant: Mutant) -> (Mutant, Catch) {
    without(mutant, &[])
}

fn without(mutant: Mutant, unseen: &'static [Invariant]) -> (Mutant, Catch) {
    (mutant, Catch::Seeds { unseen })
}

fn scenario(mutant: Mutant, name: &'static str) -> (Mutant, Catch) {
    (mutant, Catch::Scenario(name))
}

fn unit(mutant: Mutant, name: &'static [&'static str; 1]) -> (Mutant, Catch) {
    (mutant, Catch::Tests { suite: Suite::Unit, names: name, is_slow: false })
}

fn tests(mutant: Mutant, program: &'static str, names: &'static [&str]) -> (Mutant, Catch) {
    (mutant, Catch::Tests { suite: Suite::Program(program), names, is_slow: false })
}

fn slow(mutant: Mutant, program: &'static str, names: &'static [&str]) -> (Mutant, Catch) {
    (mutant, Catch::Tests { suite: Suite::Program(program), names, is_slow: true })
}

/// Every mistake with every way to catch it, in the order of [`Mutant::ALL`].
pub(crate) fn table() -> Vec<(Mutant, Catch)> {
    let mut table = [consensus(), proposals_and_bounds(), messages_and_links(), disk()].concat();
    let missing: Vec<_> =
        Mutant::ALL.iter().filter(|mutant| table.iter().all(|(it, _)| it != *mutant)).collect();
    assert!(missing.is_empty(), "nothing is said to catch {missing:?}");
    table.sort_by_key(|(mutant, _)| *mutant);
    table
}

const NO_REPLAY: &[Invariant] = &[ReplayEquality];
const NO_WORD: &[Invariant] = &[ReplayEquality, PersistBeforeSend];

fn consensus() -> Vec<(Mutant, Catch)> {
    vec![
        seeds(VoteNotPersisted),
        without(VoteNotPersisted, NO_REPLAY),
        without(VoteNotPersisted, NO_WORD),
        seeds(PromiseNotPersisted),
        without(PromiseNotPersisted, NO_REPLAY),
        without(PromiseNotPersisted, NO_WORD),
        seeds(SentBeforeSync),
        without(SentBeforeSync, NO_WORD),
        seeds(LedBeforeSync),
        seeds(DeliveredBeforeDurable),
        seeds(AcknowledgedBeforeQuorum),
        seeds(CommitApartFromCut),
        without(CommitApartFromCut, NO_REPLAY),
        seeds(HalfIsQuorum),
        unit(
            HalfIsQuorum,
            &["consensus::tally::tests::any_two_quorums_meet_and_a_minority_may_fail"],
        ),
        seeds(QuorumOfLive),
        seeds(DuplicateVotesCounted),
        unit(DuplicateVotesCounted, &["consensus::tally::tests::nobody_counts_twice"]),
        seeds(OwnVoteTwice),
        seeds(OwnVoteMissing),
        seeds(RoundsAddedUp),
        unit(RoundsAddedUp, &["consensus::tally::tests::votes_of_two_rounds_are_never_added_up"]),
        seeds(StaleVoteAccepted),
        unit(
            StrangersVoteCounted,
            &["consensus::tests::rules::a_vote_of_a_stranger_is_not_counted"],
        ),
        unit(
            OtherEpochHeard,
            &["consensus::tests::rules::what_is_said_in_another_epoch_is_not_heard"],
        ),
        seeds(HashNotCompared),
        seeds(TipAsVote),
        scenario(TipAsVote, "tip_announced_as_vote"),
        unit(
            VotedBeyondProof,
            &["consensus::tests::rules::a_vote_goes_no_further_than_what_the_message_proved"],
        ),
        seeds(PromiseSlip),
        seeds(ExtendedBelowPromise),
        seeds(LeadsPastPromise),
        seeds(TailNotCarried),
        scenario(LowestTailCarried, "highest_round_carried_over_longest_log"),
        scenario(LongestTailCarried, "highest_round_carried_over_longest_log"),
        unit(
            StalePromiseCounted,
            &["consensus::tests::rules::a_promise_for_another_round_is_not_counted"],
        ),
        seeds(CandidateWaitsForEver),
        seeds(AdoptedInPieces),
        seeds(AdoptedBelowCommit),
        scenario(AdoptedBelowCommit, "adoption_refused_for_a_commit"),
        seeds(NoCatchUp),
        seeds(UncommittedLearnt),
        seeds(EndlessCatchUp),
        seeds(IdleProposerTrusted),
        unit(
            UnhealthyProposerTrusted,
            &[
                "consensus::tests::rules::a_proposer_whose_disk_stalls_is_replaced_though_its_heartbeats_come",
            ],
        ),
        unit(
            LoneSuspicionDeposes,
            &["consensus::tests::rules::one_member_that_does_not_hear_the_proposer_deposes_nobody"],
        ),
        unit(
            RoundOverflow,
            &["consensus::tests::rules::a_round_that_cannot_be_written_is_never_led"],
        ),
        unit(SendersClockTrusted, &["engine::tests::linked_engines_are_online_and_stay_so"]),
    ]
}

fn proposals_and_bounds() -> Vec<(Mutant, Catch)> {
    vec![
        seeds(RetryAppliedTwice),
        scenario(RetryAppliedTwice, "retry_is_applied_once"),
        seeds(RetrySwallowed),
        scenario(NoResubmit, "lost_submission_is_repeated"),
        seeds(NoRepair),
        seeds(AmbiguousRejected),
        unit(
            StaleNonceCounted,
            &["consensus::reads::tests::a_reply_to_an_older_barrier_does_not_count"],
        ),
        seeds(ReadTooEarly),
        seeds(LeaseRead),
        unit(
            ForgetfulBelieved,
            &[
                "consensus::others::tests::who_tells_less_than_before_counts_for_nothing_until_it_tells_as_much",
            ],
        ),
        unit(
            PendingUnbounded,
            &["consensus::proposals::tests::a_full_table_says_busy_before_acceptance"],
        ),
        seeds(WindowIgnored),
        seeds(NothingForgotten),
        unit(
            TallyGrows,
            &["consensus::tally::tests::a_member_has_one_line_however_many_rounds_it_votes_in"],
        ),
    ]
}

fn messages_and_links() -> Vec<(Mutant, Catch)> {
    vec![
        unit(
            ResendSwallowed,
            &["engine::tests::a_lost_acknowledgement_is_repaired_without_a_second_delivery"],
        ),
        unit(
            StatementSwallowed,
            &["dispatch::dispatcher::tests::a_repeated_statement_is_never_swallowed"],
        ),
        unit(
            NoResend,
            &[
                "dispatch::outbox::tests::re_sends_double_and_go_to_linked_peers_only_until_given_up",
            ],
        ),
        unit(
            DedupUnbounded,
            &["dispatch::seen::tests::a_flood_is_bounded_and_the_shorter_memory_is_said"],
        ),
        unit(
            DedupIgnoresSender,
            &["dispatch::seen::tests::an_id_of_one_peer_says_nothing_of_another"],
        ),
        unit(
            NamesRepeat,
            &["engine::names::tests::names_differ_within_a_life_between_lives_and_between_nodes"],
        ),
        unit(
            StrangersUnbounded,
            &["peers::table::tests::strangers_are_bounded_and_forgotten_when_their_link_is_gone"],
        ),
        unit(DialNumberOnly, &["transport::links::tests::the_rule_as_a_table"]),
        slow(
            DialNumberOnly,
            "hostile_transport",
            &["a_restarted_peer_takes_the_place_of_its_half_open_link"],
        ),
        unit(DoubleIdentity, &["transport::links::tests::the_rule_as_a_table"]),
        slow(DoubleIdentity, "transport", &["of_two_processes_of_one_count_exactly_one_goes_on"]),
        tests(SpoofedFrom, "hostile_transport", &["a_message_from_somebody_else_closes_the_link"]),
        tests(ProofNotChecked, "hostile_transport", &["a_proof_by_another_key_is_refused"]),
        tests(ProofReplayed, "hostile_transport", &["a_replayed_handshake_is_refused"]),
        unit(AllocatedBeforeCheck, &["wire::frame::tests::an_oversized_length_allocates_nothing"]),
        tests(WriterLeaked, "hostile_transport", &["no_task_outlives_its_connection"]),
        tests(StrangerLeaked, "hostile_transport", &["a_stranger_that_makes_room_is_let_go"]),
        unit(OutboxUnbounded, &["transport::outbox::tests::bytes_are_bounded_too"]),
    ]
}

fn disk() -> Vec<(Mutant, Catch)> {
    vec![
        seeds(LastRecordDropped),
        tests(LastRecordDropped, "storage_crash", &["a_crash_anywhere_keeps_every_synced_batch"]),
        seeds(CommitAheadOfEntries),
        tests(
            CommitAheadOfEntries,
            "storage_crash",
            &["a_crash_anywhere_keeps_every_synced_batch"],
        ),
        tests(RenameNotSynced, "storage_crash", &["lost::a_count_of_starts_survives_any_crash"]),
        tests(
            JournalNameNotSynced,
            "storage_crash",
            &["a_crash_anywhere_keeps_every_synced_batch"],
        ),
        seeds(SegmentNameNotSynced),
        tests(
            SegmentNameNotSynced,
            "storage_crash",
            &["a_crash_anywhere_keeps_every_synced_batch"],
        ),
        seeds(SyncErrorIgnored),
        tests(SyncErrorIgnored, "storage_crash", &["a_failed_sync_is_final"]),
        tests(SyncRetried, "storage_crash", &["a_failed_sync_is_final"]),
        unit(
            FailedSyncReported,
            &["runtime::disk::tests::what_could_not_be_synced_is_never_reported_as_durable"],
        ),
        unit(
            ChecksumWithoutPlace,
            &["storage::frame::tests::a_frame_holds_only_where_it_was_written"],
        ),
        tests(ChecksumWithoutPlace, "storage_crash", &["a_copied_record_is_not_valid_elsewhere"]),
        tests(DamageTakenForTear, "storage_crash", &["a_damaged_synced_batch_is_refused"]),
        seeds(TearTakenForDamage),
        tests(TearTakenForDamage, "storage_crash", &["a_torn_tail_is_cut"]),
        seeds(StaleBatchesTaken),
        tests(
            StaleBatchesTaken,
            "storage_crash",
            &["stale_batches_behind_the_end_are_not_taken_up"],
        ),
        unit(
            SaltIgnored,
            &["storage::journal::tests::a_frame_that_only_names_the_generation_is_not_taken_up"],
        ),
        tests(BodyNotChecked, "storage_crash", &["a_damaged_chain_is_refused"]),
        tests(
            LockIgnored,
            "storage_crash",
            &["a_real_directory_serves_one_process_and_many_readers"],
        ),
        seeds(LostLogIgnored),
        tests(
            LostLogIgnored,
            "storage_crash",
            &["lost::a_node_that_was_started_never_begins_with_less_than_its_last_start_had"],
        ),
    ]
}
