//! From files to a state: what a log holds when it is opened.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use crate::consensus::{Entry, Known, State};
use crate::storage::chain::Chain;
use crate::storage::codec::{Malformed, proposal_in};
use crate::storage::disk::{read_file, write_file};
use crate::storage::journal::{self, Batches, Generation};
use crate::storage::segment::{self, Mark, Want};
use crate::storage::starts;
use crate::storage::{Disk, LogError, Recovered, Settings};
use crate::types::{NodeId, Position, ProposalId, Slot};

/// Names the format and the node.
const FORMAT: &str = "format";
/// The first line of the file `format`: which layout of bytes the directory holds.
pub const LOG_FORMAT: &str = "quorate log 1";

/// What the files of a log amount to.
pub(super) struct Recovery<D: Disk> {
    /// The last generation of the journal; 0 if none has begun.
    pub(super) generation: u64,
    /// What all records make.
    pub(super) state: State,
    /// The chain as the last generation began.
    pub(super) chain: Chain<D>,
    /// What followed since; none if no generation has begun.
    pub(super) replay: Option<Replay>,
    /// What the machine is built from.
    pub(super) recovered: Recovered,
}

/// The last generation of the journal, from its beginning.
pub(super) struct Replay {
    path: PathBuf,
    begun_with: State,
    batches: Batches,
}

impl Replay {
    /// What its records make; shows every entry that is committed by them, in order. Beside the file
    /// itself, no more than one batch and what the log keeps is in memory.
    pub(super) fn run(
        &self,
        settings: &Settings,
        mut committed: impl FnMut(&Entry) -> Result<(), LogError>,
    ) -> Result<State, LogError> {
        let mut state = self.begun_with.clone();
        for (offset, records) in self.batches.iter() {
            let damaged = |what| LogError::damaged(&self.path, offset, what);
            let before = state.committed.slot;
            for record in &records.map_err(|Malformed(what)| damaged(what))? {
                state.apply(record).map_err(|misfit| damaged(misfit.0))?;
            }
            let through = state.committed.slot;
            let entries = state.tail.behind(before);
            entries.take_while(|entry| entry.slot() <= through).try_for_each(&mut committed)?;
            state.trim(through, settings.retained_slots, settings.retained_bytes);
        }
        Ok(state)
    }
}

/// What an opening of this disk would find; nothing is changed, not even what a crash tore off.
///
/// # Errors
/// As [`crate::storage::DurableLog::open`].
pub fn inspect<D: Disk>(disk: &D, settings: &Settings) -> Result<Recovered, LogError> {
    recover(disk, settings).map(|found| found.recovered)
}

/// Reads everything and changes nothing.
pub(super) fn recover<D: Disk>(disk: &D, settings: &Settings) -> Result<Recovery<D>, LogError> {
    let is_bound = check_format(disk, settings.node)?;
    let found = journal::find(disk)?;
    starts::check(disk, found.as_ref().map_or(0, |generation| generation.number))?;
    let open = |mark, end| Chain::open(disk, mark, end, settings.segment_bytes);
    match found {
        None => {
            let names = disk.list().map_err(LogError::io("list", disk.path("")))?;
            if let Some(name) = names.iter().find(|name| segment::first_slot(name).is_some()) {
                let what = "it belongs to a log whose journal is missing";
                return Err(LogError::damaged(&disk.path(name), 0, what));
            }
            Ok(Recovery {
                generation: 0,
                state: State::default(),
                chain: open(Mark::default(), Position::GENESIS)?,
                replay: None,
                recovered: Recovered::default(),
            })
        }
        Some(_) if !is_bound => {
            let what = "the file is missing, and with it whose log this is";
            Err(LogError::damaged(&disk.path(FORMAT), 0, what))
        }
        Some(Generation { number: generation, snapshot, batches, torn }) => {
            let chain = open(snapshot.chain, snapshot.committed)?;
            let path = disk.path(journal::name(generation));
            let (before, retained) = retained(&chain, snapshot.held_behind)?;
            let begun_with = snapshot.into_state(before, retained).ok_or_else(|| {
                LogError::damaged(&path, 0, "its first state does not continue the chain")
            })?;
            let mut ids = ids(&chain, settings)?;
            let replay = Replay { path, begun_with, batches };
            let state = replay.run(settings, |entry| {
                if let Some(proposal) = entry.proposal() {
                    see(&mut ids, proposal.id, proposal.until, entry.slot());
                }
                Ok(())
            })?;
            let mut kept = state.clone();
            kept.trim(kept.committed.slot, settings.retained_slots, settings.retained_bytes);
            let proposals = ids.remembered(kept.committed.slot);
            let recovered = Recovered { state: kept, proposals, torn };
            Ok(Recovery { generation, state, chain, replay: Some(replay), recovered })
        }
    }
}

/// The ids that are remembered where the chain ends. What is remembered then may have been repeated while an id was
/// remembered that no longer is: the same rule is followed from twice as far back.
fn ids<D: Disk>(chain: &Chain<D>, settings: &Settings) -> Result<Known, LogError> {
    let memory = settings.proposal_ids_slots;
    let mut ids = Known::new(memory, Vec::new(), RandomState::new().hash_one(memory));
    let end = chain.reader().end().slot;
    let from = Slot(end.0.saturating_sub(memory.saturating_mul(2)) + 1);
    chain.reader().visit(from, end, Want::Head, |step| {
        if let Some((id, until)) = proposal_in(step.head()) {
            see(&mut ids, id, until, step.position.slot);
        }
        Ok(true)
    })?;
    Ok(ids)
}

/// The rule of R13: an id takes effect once while it is remembered, and not beyond its end.
fn see(ids: &mut Known, id: ProposalId, until: Option<Slot>, slot: Slot) {
    if until.is_none_or(|until| slot <= until) {
        ids.learn(id, slot);
    }
}

/// The entries of the chain behind `slot`, and what they follow.
fn retained<D: Disk>(chain: &Chain<D>, slot: Slot) -> Result<(Position, Vec<Entry>), LogError> {
    let end = chain.reader().end();
    let mut before = end;
    let mut entries = Vec::new();
    chain.reader().visit(slot.next(), end.slot, Want::Whole, |step| {
        if entries.is_empty() {
            before = step.parent;
        }
        entries.push(step.entry()?);
        Ok(true)
    })?;
    Ok((before, entries))
}

/// Whether the directory is bound to `node`; not yet if it is new.
fn check_format<D: Disk>(disk: &D, node: NodeId) -> Result<bool, LogError> {
    let io = LogError::io("read", disk.path(FORMAT));
    let Some(bytes) = read_file(disk, FORMAT).map_err(io)? else { return Ok(false) };
    let text = String::from_utf8_lossy(&bytes);
    let format = || LogError::Format {
        path: disk.path(FORMAT),
        found: text.lines().next().unwrap_or_default().chars().take(64).collect(),
        expected: LOG_FORMAT,
    };
    let mut lines = text.lines();
    if lines.next() != Some(LOG_FORMAT) {
        return Err(format());
    }
    let found: NodeId = lines
        .next()
        .and_then(|line| line.strip_prefix("node ")?.parse().ok())
        .ok_or_else(|| LogError::damaged(&disk.path(FORMAT), 0, "it names no node"))?;
    if found == node {
        Ok(true)
    } else {
        Err(LogError::Foreign { path: disk.path(""), found, expected: node })
    }
}

/// Whether the directory was bound to a node, or a node was started on it.
pub(super) fn is_begun<D: Disk>(disk: &D) -> Result<bool, LogError> {
    let format = disk.open(FORMAT).map_err(LogError::io("open", disk.path(FORMAT)))?;
    Ok(format.is_some() || starts::starts(disk)?.is_some_and(|starts| starts > 0))
}

/// Binds a new directory to `node`, before anything else is written to it.
pub(super) fn bind<D: Disk>(disk: &D, node: NodeId) -> Result<(), LogError> {
    if check_format(disk, node)? {
        return Ok(());
    }
    let text = format!("{LOG_FORMAT}\nnode {node}\n");
    write_file(disk, FORMAT, text.as_bytes()).map_err(LogError::io("write", disk.path(FORMAT)))
}
