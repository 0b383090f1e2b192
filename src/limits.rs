//! Every bound that is not a setting, with its reason. Settings have their defaults in `config/`.

use std::time::Duration;

/// The longest value, in bytes of UTF-8. Larger things are stored elsewhere and agreed on by digest.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The longest frame before a peer has said who it is, in bytes of JSON: a hello fits, a flood does not.
pub const HELLO_FRAME_BYTES_MAX: usize = 8 * 1024;

/// The longest frame of a peer that has proven who it is and is not known: no member, nor met at a listed address
/// while the cluster forms. A heartbeat that names as many nodes as it can has a tenth of it, and reading so much at
/// once costs nothing.
pub const STRANGER_FRAME_BYTES_MAX: usize = 64 * 1024;

/// The longest frame of a known peer, in bytes of JSON.
///
/// An adoption carries a proposer's whole open window in one piece (R5), and JSON may
/// write one byte of a value as six: 1 MiB of window and one value of control
/// characters at 6 MiB fit.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest integer in a message: every JSON reader holds it exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// How deep JSON may nest in a message. The deepest known payload needs seven.
pub const JSON_DEPTH_MAX: usize = 32;

/// How far beyond the rounds seen so far a statement may speak. Rounds go up by little more than the members in
/// a timeout, so no honest node is ever this far ahead; one statement of the last round that can be
/// written would otherwise leave none to lead in.
pub const ROUNDS_AHEAD_MAX: u64 = 1 << 32;

/// The most members an epoch may have: every entry goes from the proposer to each.
pub const MEMBERS_MAX: usize = 64;

/// How far a proposer may run ahead of the commit, in entries: bounds every buffer
/// and what a round change carries.
pub const WINDOW_SLOTS: u64 = 4_096;

/// How far a proposer may run ahead of the commit, in bytes as weighed by [`crate::consensus::Entry::weight`].
pub const WINDOW_BYTES: usize = 1024 * 1024;

/// The most entries' weight in one `propose` or `entries` message, except where a single
/// entry or an adoption needs more.
pub const BATCH_BYTES: usize = 256 * 1024;

/// How many such messages answer one `fetch`: a member that is far behind learns so many batches in a round trip.
pub const FETCH_BATCHES: usize = 4;

/// Committed entries kept in memory behind the commit, to bring members in without the disk: as many as a proposer may
/// run ahead, for what a member announced may be as old as what it lacks.
pub const RETAINED_SLOTS: usize = 4_096;

/// The weight of committed entries kept in memory behind the commit.
pub const RETAINED_BYTES: usize = 2 * 1024 * 1024;

/// How many slots a proposal id is remembered after its own slot (R13).
pub const PROPOSAL_IDS_SLOTS: u64 = 100_000;

/// Proposals that one node holds for its clients before it answers `busy`.
pub const PENDING_PROPOSALS_MAX: usize = 4_096;

/// The weight of the proposals that one node holds for its clients before it answers `busy`.
pub const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads that wait for a barrier before further ones are answered `busy`.
pub const PENDING_READS_MAX: usize = 4_096;

/// How long a delivered `Data` id is remembered, unless the table is full: all senders share it, so whoever sends
/// more than [`SEEN_ENTRIES_MAX`] texts sooner shortens the memory for the texts of all.
pub const SEEN_AGE_MIN: Duration = Duration::from_secs(120);

/// How many `Data` ids one generation of the table holds; there are two.
pub const SEEN_ENTRIES_MAX: usize = 65_536;

/// The longest `Data` text, in bytes of UTF-8.
pub const DATA_BYTES_MAX: usize = 256 * 1024;

/// Own `Data` messages that wait for acknowledgement before the caller is told `busy`.
pub const UNACKNOWLEDGED_MAX: usize = 1_024;

/// The longest cluster name and node name, in bytes: they stand in every hello and in log lines.
pub const NAME_BYTES_MAX: usize = 64;

/// How long a handshake may take, from the connection to the proof.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long one address may take to accept a connection before the next one is tried.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// Incoming connections that have not yet proven who they are. The oldest makes room for a new one,
/// so that a crowd of silent strangers keeps nobody out for longer than it takes to connect.
pub const HANDSHAKES_MAX: usize = 256;

/// Links held at once: every member and learner of a full mesh, with room for changes.
pub const LINKS_MAX: usize = 256;

/// Links held at once to nodes that are not members: a crowd of them leaves every member its place.
pub const LINKS_TO_STRANGERS_MAX: usize = LINKS_MAX - MEMBERS_MAX;

/// Silence after which a link is closed, whatever TCP believes: fifty default heartbeats. Longer where heartbeats are
/// rare, see [`LINK_SILENCE_BEATS_MIN`].
pub const LINK_SILENCE_MAX: Duration = Duration::from_secs(5);

/// So many of the configured heartbeats at least make up that silence: one that is late, or lost, ends no link.
pub const LINK_SILENCE_BEATS_MIN: u32 = 3;

/// Frames that wait for one peer to read.
pub const OUTBOX_FRAMES_MAX: usize = 16_384;

/// Bytes that wait for one peer to read: two of the longest frames. As many again may be on their way into its
/// socket.
pub const OUTBOX_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// The bytes of own `Data` messages that wait for acknowledgement before the caller is told `busy`.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long an own `Data` message waits for its first re-send; doubles with each.
pub const RESEND_AFTER: Duration = Duration::from_secs(1);

/// How long an own `Data` message is kept before who did not acknowledge it is called missing.
/// Well below [`SEEN_AGE_MIN`]: no re-send comes after its id is forgotten.
pub const UNACKNOWLEDGED_AGE_MAX: Duration = Duration::from_secs(30);

/// Linked nodes that do not belong to the cluster and are still listened to for formation.
pub const STRANGERS_MAX: usize = 64;
