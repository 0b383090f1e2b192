//! What the log finds after crashes, damage and full disks, on a disk that forgets what was not synced.

#[path = "support/bytes.rs"]
mod bytes;
#[path = "storage_crash/lost.rs"]
mod lost;
#[path = "support/scribe.rs"]
mod scribe;

use bytes::{flip, frames, newest_journal, overwrite};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use quorate::consensus::{Content, Entry, Kind, Proposal, Record, State};
use quorate::storage::{
    Disk, DiskFile, DurableLog, Log, LogError, LogReader, MemoryDisk, RealDisk, Recovered,
    Settings, inspect, read_file,
};
use quorate::types::{Epoch, NodeId, Position, ProposalId, Round, Slot, Value};
use scribe::{Scribe, bare, final_entries, open, small, written};

fn refusal<D: Disk>(disk: &D) -> String {
    let error = DurableLog::open(disk, small()).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    error.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    /// Crash wherever the disk is changed: all that was synced is found, of the rest a prefix.
    #[test]
    fn a_crash_anywhere_keeps_every_synced_batch(seed in any::<u64>()) {
        let disk = MemoryDisk::default();
        let changes = run(&disk, seed, None, 0).1;
        for stop in 0..changes {
            let disk = MemoryDisk::default();
            let (states, _, synced) = run(&disk, seed, Some(stop), 0);
            for crash in 0..3 {
                let found = disk.crashed(seed ^ (stop << 8) ^ crash);
                check(&found, &states, synced, seed ^ stop)?;
            }
            check(&disk.durable_image(), &states, synced, seed)?;
        }
    }

    /// Any bytes behind any prefix of the journal.
    #[test]
    fn a_prefix_with_garbage_recovers_to_a_prefix(
        seed in any::<u64>(),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let disk = MemoryDisk::default();
        let (mut log, _) = open(&disk);
        let mut scribe = Scribe::new(seed);
        let mut states = vec![State::default()];
        let opening = scribe.opening();
        let first = scribe.state.clone();
        log.append(&opening).unwrap();
        states.push(bare(first));
        // Not synced one by one, so that every cut is one that a crash may make.
        for _ in 0..12 {
            log.append(&scribe.batch()).unwrap();
            states.push(bare(scribe.state.clone()));
        }
        log.sync().unwrap();
        let (name, bytes) = newest_journal(&disk);
        let starts = frames(&bytes);
        let snapshot_end = starts[1];
        let end = *starts.last().unwrap();
        let cut = snapshot_end + cut.index(end - snapshot_end + 1);
        let mut torn = bytes[..cut].to_vec();
        torn.extend_from_slice(&garbage);
        torn.resize(bytes.len().max(torn.len()), 0);
        overwrite(&disk, name, 0, &torn);
        let whole = starts[1..starts.len() - 1]
            .iter()
            .take_while(|start| {
                let length = u32::from_be_bytes(*bytes[**start..].first_chunk().unwrap());
                let frame = **start..**start + 32 + length as usize;
                torn[frame.clone()] == bytes[frame]
            })
            .count();
        let found = bare(inspect(&disk, &small()).unwrap().state);
        let first = states.len() - (starts.len() - 1);
        prop_assert_eq!(&found, &states[first + whole]);
    }
}

/// Runs a scribe's batches until the disk fails: the states after each batch, the changes made to
/// the disk, and how many batches were surely synced.
fn run(disk: &MemoryDisk, seed: u64, stop: Option<u64>, skip: u64) -> (Vec<State>, u64, usize) {
    let mut scribe = Scribe::new(seed);
    let mut states = vec![State::default()];
    let mut synced = 0;
    if let Some(stop) = stop {
        disk.fail_after(stop + skip);
    }
    let Ok((mut log, _)) = DurableLog::open(disk, small()) else {
        return (states, disk.changes(), synced);
    };
    for batch in 0..40 {
        let records = if batch == 0 { scribe.opening() } else { scribe.batch() };
        states.push(scribe.state.clone());
        if log.append(&records).is_err() {
            break;
        }
        if scribe.roll(3) > 0 {
            if log.sync().and_then(|()| log.tidy()).is_err() {
                break;
            }
            synced = states.len() - 1;
        }
    }
    (states, disk.changes(), synced)
}

fn check(
    found: &MemoryDisk,
    states: &[State],
    synced: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    // A second crash, while the log is being opened, changes nothing.
    let twice = found.durable_image();
    twice.fail_after(seed % 12);
    let _ = DurableLog::open(&twice, small());
    for disk in [found.clone(), twice.crashed(seed)] {
        let opened = DurableLog::open(&disk, small());
        prop_assert!(opened.is_ok(), "{}", opened.unwrap_err());
        let (mut log, recovered) = opened.unwrap();
        let bare_found = bare(recovered.state.clone());
        let which = states.iter().position(|state| bare(state.clone()) == bare_found);
        prop_assert!(
            states[synced..].iter().any(|state| bare(state.clone()) == bare_found),
            "found batch {which:?}, synced {synced} of {}",
            states.len() - 1
        );
        let expected = final_entries(&states[which.unwrap()]);
        prop_assert_eq!(log.read(Slot(1), Slot(u64::MAX), usize::MAX).unwrap(), expected.clone());
        let ids: Vec<_> = expected
            .iter()
            .filter_map(|entry| Some((entry.proposal()?.id, entry.slot())))
            .collect();
        prop_assert_eq!(&recovered.proposals, &ids);
        // The next opening finds the same, and nothing torn any more.
        let whole = Recovered { torn: false, ..recovered };
        prop_assert_eq!(inspect(&disk, &small()).unwrap(), whole);
    }
    Ok(())
}

#[test]
fn a_log_goes_on_over_crashes_and_other_settings() {
    let mut disk = MemoryDisk::default();
    let mut scribe = Scribe::new(5);
    let (mut log, _) = open(&disk);
    log.append(&scribe.opening()).unwrap();
    for crash in 0..30 {
        for _ in 0..20 {
            log.append(&scribe.batch()).unwrap();
        }
        log.sync().unwrap();
        disk = disk.crashed(crash);
        let settings = Settings {
            journal_bytes: (8 << 10) << (crash % 3),
            segment_bytes: 1000 + 700 * (crash % 4),
            ..small()
        };
        let (next, recovered) = DurableLog::open(&disk, settings).unwrap();
        assert_eq!(bare(recovered.state), bare(scribe.state.clone()));
        log = next;
    }
    let all = final_entries(&scribe.state);
    let segments = disk.list().unwrap().iter().filter(|name| name.starts_with("chain-")).count();
    assert!(all.len() > 300 && segments > 20, "{} entries in {segments} segments", all.len());
    let reader = log.reader();
    for from in 1..=all.len() {
        let through = (from + 17).min(all.len());
        let read = reader.read(Slot(from as u64), Slot(through as u64), usize::MAX).unwrap();
        assert_eq!(read, all[from - 1..through]);
    }
    assert!(reader.read(Slot(1), Slot(9), 1).unwrap().len() == 1, "one entry, whatever its weight");
    assert!(reader.read(Slot(all.len() as u64 + 1), Slot(u64::MAX), 1000).unwrap().is_empty());
}

#[test]
fn a_torn_tail_is_cut() {
    let (disk, mut scribe) = written(3, 10);
    let (mut log, _) = open(&disk);
    let before = scribe.state.clone();
    log.append(&scribe.batch()).unwrap();
    log.sync().unwrap();
    let (name, bytes) = newest_journal(&disk);
    let end = *frames(&bytes).last().unwrap();
    flip(&disk, name, end - 12);
    let (_, recovered) = open(&disk);
    assert!(recovered.torn);
    assert_eq!(bare(recovered.state), bare(before));
    // What was cut is gone: the next opening finds a clean end.
    assert!(!open(&disk).1.torn);
}

#[test]
fn a_damaged_synced_batch_is_refused() {
    let (disk, _) = written(3, 12);
    let (name, bytes) = newest_journal(&disk);
    let starts = frames(&bytes);
    assert!(starts.len() > 4);
    let before = disk.changes();
    for &start in &starts[..starts.len() - 2] {
        for at in [start + 1, start + 5, start + 20, start + 33] {
            flip(&disk, name, at);
            let text = refusal(&disk);
            assert!(text.contains(&format!("{name} is damaged at byte {start}: ")), "{text}");
            assert!(text.contains("the other members hold the log"), "{text}");
            flip(&disk, name, at);
        }
    }
    let flips = 2 * 2 * 4 * (starts.len() as u64 - 2);
    assert_eq!(disk.changes(), before + flips, "a refusal changes nothing");
    open(&disk);
}

#[test]
fn a_damaged_chain_is_refused() {
    let (disk, _) = written(8, 200);
    drop(open(&disk));
    let names: Vec<_> =
        disk.list().unwrap().into_iter().filter(|name| name.starts_with("chain-")).collect();
    assert!(names.len() > 3);
    let (first, last) = (&names[0], &names[names.len() - 1]);
    let spots = |name| {
        let len = read_file(&disk, name).unwrap().unwrap().len();
        (0..len).step_by(11).map(move |at| (name, at))
    };
    for (name, at) in spots(first).chain(spots(last)) {
        flip(&disk, name, at);
        let refused = DurableLog::open(&disk, small())
            .and_then(|(mut log, _)| log.read(Slot(1), Slot(u64::MAX), usize::MAX));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("is damaged at byte"), "{text}");
        flip(&disk, name, at);
    }
    disk.remove(&names[1]).unwrap();
    assert!(refusal(&disk).contains("does not continue"));
}

#[test]
fn a_copied_record_is_not_valid_elsewhere() {
    let (disk, scribe) = written(3, 6);
    let (name, bytes) = newest_journal(&disk);
    let starts = frames(&bytes);
    let end = *starts.last().unwrap();
    let last = starts[starts.len() - 2];
    overwrite(&disk, name, end, &bytes[last..end]);
    let (_, recovered) = open(&disk);
    assert_eq!(bare(recovered.state), bare(scribe.state));
}

#[test]
fn stale_batches_behind_the_end_are_not_taken_up() {
    // Many generations over the same two files, and after each batch the same state is found.
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk);
    let mut scribe = Scribe::new(11);
    log.append(&scribe.opening()).unwrap();
    for _ in 0..400 {
        log.append(&scribe.batch()).unwrap();
        log.sync().unwrap();
        let found = inspect(&disk.durable_image(), &small()).unwrap();
        assert!(!found.torn, "stale batches of other generations are no tail");
        assert_eq!(bare(found.state), bare(scribe.state.clone()));
    }
    let (_, bytes) = newest_journal(&disk);
    assert!(u64::from_be_bytes(*bytes[8..].first_chunk().unwrap()) > 6, "many generations");
}

#[test]
fn a_batch_larger_than_the_journal_fits() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk);
    let mut scribe = Scribe::new(1);
    log.append(&scribe.opening()).unwrap();
    let contents = (0..40).map(|id| Content {
        epoch: Epoch(1),
        kind: Kind::Value(Proposal {
            id: ProposalId::from_u128(id),
            value: Value::new("x".repeat(1000)).unwrap(),
            until: None,
        }),
    });
    let entries = Entry::chain(scribe.state.last(), contents);
    let append = scribe.apply(Record::Append { voted: entries[39].position(), entries });
    log.append(&[append]).unwrap();
    log.sync().unwrap();
    let (mut log, recovered) = open(&disk.durable_image());
    assert_eq!(bare(recovered.state), bare(scribe.state.clone()));
    let commit = scribe.apply(Record::Commit { committed: scribe.state.last() });
    log.append(&[commit]).unwrap();
    assert_eq!(log.read(Slot(1), Slot(40), usize::MAX).unwrap(), final_entries(&scribe.state));
}

#[test]
fn a_failed_sync_is_final() {
    let (disk, mut scribe) = written(2, 5);
    let (mut log, _) = open(&disk);
    log.append(&scribe.batch()).unwrap();
    disk.fail_after(1);
    let error = log.sync().unwrap_err().to_string();
    assert!(error.contains("cannot sync") && error.contains("journal-"), "{error}");
    disk.fail_after(u64::MAX);
    assert_eq!(log.sync().unwrap_err().to_string(), error);
    assert_eq!(log.append(&[]).unwrap_err().to_string(), error);
    assert_eq!(log.read(Slot(1), Slot(1), 1).unwrap_err().to_string(), error);
}

#[test]
fn a_full_disk_is_final_and_says_so() {
    let (disk, mut scribe) = written(2, 5);
    let (mut log, _) = open(&disk);
    disk.full_at(20_000);
    let error = (0..1000)
        .find_map(|_| log.append(&scribe.batch()).and_then(|()| log.sync()).err())
        .expect("the chain outgrows the disk")
        .to_string();
    assert!(error.contains("the disk is full: free some space"), "{error}");
    disk.full_at(u64::MAX);
    assert_eq!(log.sync().unwrap_err().to_string(), error);
}

#[test]
fn lost_names_are_refused() {
    let (disk, _) = written(8, 100);
    let without = |lost: &[&str]| {
        let disk = disk.durable_image();
        for name in lost {
            disk.remove(name).unwrap();
        }
        refusal(&disk)
    };
    assert!(without(&["journal-0", "journal-1"]).contains("journal is missing"));
    assert!(without(&["format"]).contains("whose log this is"));
    assert!(without(&["chain-0000000000000001"]).contains("chain-"));
}

#[test]
fn the_log_of_another_node_is_refused() {
    let (disk, _) = written(2, 1);
    let other = Settings { node: NodeId::from_u128(2), ..small() };
    let error = DurableLog::open(&disk, other).unwrap_err();
    assert!(matches!(error, LogError::Foreign { .. }));
    assert!(error.to_string().contains("holds the log of node"), "{error}");
    overwrite(&disk, "format", 0, b"quorate log 2\n");
    let error = DurableLog::open(&disk, small()).unwrap_err();
    assert!(matches!(error, LogError::Format { .. }), "{error}");
}

#[test]
fn a_repeated_proposal_keeps_its_first_slot() {
    let settings = Settings { proposal_ids_slots: 10, ..small() };
    let disk = MemoryDisk::default();
    let (mut log, _) = DurableLog::open(&disk, settings.clone()).unwrap();
    let mut scribe = Scribe::new(1);
    log.append(&scribe.opening()).unwrap();
    let value = |id, until| Content {
        epoch: Epoch(1),
        kind: Kind::Value(Proposal {
            id: ProposalId::from_u128(id),
            value: Value::new("x").unwrap(),
            until,
        }),
    };
    let noop = || Content { epoch: Epoch(1), kind: Kind::Noop };
    let mut contents =
        vec![value(1, None), value(2, None), value(1, None), value(3, Some(Slot(3)))];
    contents.extend(std::iter::repeat_with(noop).take(6));
    // Slot 11 repeats slot 1 while that is remembered; slot 13 comes after it was forgotten.
    contents.extend([value(1, None), value(2, None), value(2, None), value(4, Some(Slot(14)))]);
    let entries = Entry::chain(scribe.state.last(), contents);
    let committed = entries.last().unwrap().position();
    let learn = scribe.apply(Record::Learn { after: scribe.state.last(), entries, committed });
    log.append(&[learn]).unwrap();
    log.sync().unwrap();
    for _ in 0..2 {
        // Once from the journal, once from the chain.
        let (_, recovered) = DurableLog::open(&disk, settings.clone()).unwrap();
        let expected = [(2, 13), (4, 14)].map(|(id, slot)| (ProposalId::from_u128(id), Slot(slot)));
        assert_eq!(recovered.proposals, expected);
    }
}

#[test]
fn a_real_directory_serves_one_process_and_many_readers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/the/way");
    let disk = RealDisk::open(&path).unwrap();
    let error = RealDisk::open(&path).unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    let (mut log, _) = DurableLog::open(&disk, small()).unwrap();
    let mut scribe = Scribe::new(4);
    log.append(&scribe.opening()).unwrap();
    std::thread::scope(|threads| {
        let reader = log.reader();
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        threads.spawn(move || {
            let mut seen = Position::GENESIS;
            while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                for entry in reader.read(seen.slot.next(), Slot(u64::MAX), 5000).unwrap() {
                    assert!(entry.follows(seen));
                    seen = entry.position();
                }
                std::thread::yield_now();
            }
        });
        for _ in 0..300 {
            log.append(&scribe.batch()).unwrap();
            log.sync().unwrap();
        }
        drop(done);
    });
    drop(log);
    drop(disk);
    let disk = RealDisk::open(&path).unwrap();
    let (mut log, recovered) = DurableLog::open(&disk, small()).unwrap();
    assert_eq!(bare(recovered.state), bare(scribe.state.clone()));
    assert_eq!(
        log.read(Slot(1), Slot(u64::MAX), usize::MAX).unwrap(),
        final_entries(&scribe.state)
    );
}

#[test]
fn memory_holds_what_the_settings_say_however_long_the_log_is() {
    let settings = Settings { retained_slots: 4, ..small() };
    let disk = MemoryDisk::default();
    let (mut log, _) = DurableLog::open(&disk, settings.clone()).unwrap();
    let mut scribe = Scribe::new(9);
    log.append(&scribe.opening()).unwrap();
    for round in 1..60 {
        let after = scribe.state.last();
        let entries = scribe.entries(after, 5);
        let committed = entries[4].position();
        let learn = scribe.apply(Record::Learn { after, entries, committed });
        let adopt = Record::Adopt { round: Round(round), after: committed, entries: Vec::new() };
        log.append(&[learn, scribe.apply(adopt)]).unwrap();
        log.sync().unwrap();
        let found = inspect(&disk.durable_image(), &settings).unwrap().state;
        assert_eq!(bare(found.clone()), bare(scribe.state.clone()));
        assert!(found.tail.len() <= 4, "memory holds what the settings say");
    }
    // One that would take a commit back is none that a correct machine makes.
    let after = scribe.state.tail.position(Slot(100)).unwrap();
    let wrong = Record::Adopt { round: Round(60), after, entries: Vec::new() };
    assert!(matches!(log.append(&[wrong]), Err(LogError::Misfit(_))));
}

#[test]
fn what_a_crash_left_behind_the_mark_is_cut_from_the_chain() {
    let (disk, mut scribe) = written(21, 60);
    let (mut log, _) = open(&disk);
    let last = disk.list().unwrap().into_iter().rfind(|name| name.starts_with("chain-")).unwrap();
    drop(log);
    let len = read_file(&disk, &last).unwrap().unwrap().len();
    overwrite(&disk, &last, len, &[0xa5; 300]);
    disk.create("chain-0000000000999999").unwrap().write_at(0, &[0xa5; 80]).unwrap();
    let recovered;
    (log, recovered) = open(&disk);
    assert_eq!(bare(recovered.state), bare(scribe.state.clone()));
    assert!(read_file(&disk, "chain-0000000000999999").unwrap().is_none());
    assert!(read_file(&disk, &last).unwrap().unwrap().len() < len + 300);
    for _ in 0..60 {
        log.append(&scribe.batch()).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let (mut log, recovered) = open(&disk);
    assert_eq!(bare(recovered.state), bare(scribe.state.clone()));
    let read = log.read(Slot(1), Slot(u64::MAX), usize::MAX).unwrap();
    assert_eq!(read, final_entries(&scribe.state));
}
