//! Where a process can be killed: between any two of its deeds.

/// A point between two deeds at which a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// The next batch is made, the disk has none of it.
    BeforeAppend,
    /// The next batch is appended, nothing was sent.
    BeforeSend,
    /// This many more messages about the log have left.
    AfterSends(u32),
    /// The next sync is under way: its records survive or not.
    DuringSync,
    /// The next sync is done, the process does not know it yet.
    AfterSync,
    /// The next commit or answer is due to be published.
    BeforePublish,
}

impl Doom {
    /// What is drawn from; a torn sync is worth seeing more often.
    pub(super) const ALL: [Self; 7] = [
        Self::DuringSync,
        Self::BeforeAppend,
        Self::BeforeSend,
        Self::AfterSends(1),
        Self::DuringSync,
        Self::AfterSync,
        Self::BeforePublish,
    ];
}
