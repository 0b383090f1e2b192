//! Mistakes that the check must find, made by the harness around a core that makes none.

use quorate::consensus::Record;

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The disk says that a vote is synced and has not written it.
    VoteForgotten,
    /// The disk says that a promise is synced and has not written it.
    PromiseForgotten,
    /// The node is told of a sync that a crash then takes back.
    SaidBeforeSync,
    /// A vote arrives in the name of another member, too.
    VoteCountedTwice,
    /// A promise tells of no log, whatever its sender holds.
    TailHidden,
}

impl Flaw {
    /// Whether the disk leaves this record out.
    pub(super) fn forgets(self, record: &Record) -> bool {
        match self {
            Self::VoteForgotten => matches!(record, Record::Append { .. }),
            Self::PromiseForgotten => matches!(record, Record::Promise { .. }),
            Self::SaidBeforeSync | Self::VoteCountedTwice | Self::TailHidden => false,
        }
    }
}
