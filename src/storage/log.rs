//! The log and its promise.

use crate::consensus::{Entry, Record, State};
use crate::storage::LogError;
use crate::types::{ProposalId, Slot};

/// A durable log of records.
///
/// The promise: after [`Log::sync`] returns, every record appended before is found by the next
/// opening, whatever happens to the process or the machine, in the same order and whole; of what was
/// appended later a prefix may be found, never a part of a record, never a record behind a lost one.
/// After an error the log is unusable and says the same error again: a failed sync is never retried.
pub trait Log {
    /// See [`Log::reader`].
    type Reader: LogReader;

    /// Adds records behind all that was added before, as one batch: a crash keeps all or none of them.
    ///
    /// # Errors
    /// [`LogError`]; the node must stop.
    fn append(&mut self, records: &[Record]) -> Result<(), LogError>;

    /// Makes all appended records durable.
    ///
    /// # Errors
    /// [`LogError`]; the node must stop.
    fn sync(&mut self) -> Result<(), LogError>;

    /// Does what nobody waits for: to be called when what became durable has been told. Left out, it is made up for
    /// where it must be, and whoever is served then waits for it.
    ///
    /// # Errors
    /// [`LogError`]; the node must stop.
    fn tidy(&mut self) -> Result<(), LogError>;

    /// Brings what is committed to where its readers find it.
    ///
    /// # Errors
    /// [`LogError`]; the node must stop.
    fn show(&mut self) -> Result<(), LogError>;

    /// Reads what was shown, from any thread, while the log grows.
    fn reader(&self) -> Self::Reader;

    /// [`LogReader::read`] of all that is committed.
    ///
    /// # Errors
    /// [`LogError`]; the node must stop.
    fn read(
        &mut self,
        from: Slot,
        through: Slot,
        weight_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.show()?;
        self.reader().read(from, through, weight_max)
    }
}

/// The committed entries of a log.
pub trait LogReader {
    /// Committed entries in order from `from` through at most `through`, as many as can be read and
    /// fit in `weight_max` (at least one, if there is one).
    ///
    /// # Errors
    /// [`LogError`] if the disk does not give what was written; the node must stop.
    fn read(&self, from: Slot, through: Slot, weight_max: usize) -> Result<Vec<Entry>, LogError>;
}

/// What an opened log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The state that all durable records make.
    pub state: State,
    /// The ids that are remembered (R13), each with the slot in which it took effect, in slot order.
    pub proposals: Vec<(ProposalId, Slot)>,
    /// Behind the last record something of a later batch was found, not whole: it was not synced when the machine
    /// stopped, nothing had been said of it, and it is cut.
    pub torn: bool,
}
