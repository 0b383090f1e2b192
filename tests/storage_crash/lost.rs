//! What is missing from a directory is noticed, and no node begins with less than it had.

use crate::scribe::{Scribe, small, written};
use quorate::storage::{
    Disk, DiskFile, DurableLog, Log, LogError, MemoryDisk, count_start, read_file, starts,
    write_file,
};

/// A copy of `disk` without the files that `lost` names.
fn without(disk: &MemoryDisk, lost: impl Fn(&str) -> bool) -> MemoryDisk {
    let left = disk.durable_image();
    for name in left.list().unwrap().into_iter().filter(|name| lost(name)) {
        left.remove(&name).unwrap();
    }
    left
}

#[test]
fn a_node_that_was_started_never_begins_with_less_than_its_last_start_had() {
    let disk = MemoryDisk::default();
    let start = |disk: &MemoryDisk| {
        let (log, _) = DurableLog::open(disk, small())?;
        assert!(count_start(disk, log.generation())? > 0);
        Ok::<_, LogError>(log)
    };
    let mut log = start(&disk).unwrap();
    let scribe = Scribe::new(3);
    log.append(&scribe.opening()).unwrap();
    log.sync().unwrap();
    drop(log);
    let older = disk.durable_image();
    start(&disk).unwrap();

    let all = without(&disk, |name| name != "boot");
    let journals = without(&disk, |name| name.starts_with("journal-"));
    let old_log = older.durable_image();
    write_file(&old_log, "boot", &read_file(&disk, "boot").unwrap().unwrap()).unwrap();
    for (left, is_older) in [(all, false), (journals, false), (old_log, true)] {
        let error = start(&left).unwrap_err();
        let LogError::Lost { starts: 2, is_older: told, .. } = error else { panic!("{error}") };
        assert_eq!(told, is_older, "{error}");
        assert!(error.to_string().contains("put the whole directory back"), "{error}");
        assert_eq!(starts(&left).unwrap(), Some(2), "a refused start does not count");
    }
    start(&older).unwrap();
}

#[test]
fn a_log_older_than_its_last_start_is_not_begun_with_however_often_its_journal_changed() {
    let disk = MemoryDisk::default();
    let mut scribe = Scribe::new(5);
    let (mut log, _) = DurableLog::open(&disk, small()).unwrap();
    count_start(&disk, log.generation()).unwrap();
    log.append(&scribe.opening()).unwrap();
    let mut older = None;
    for _ in 0..3 {
        let before = log.generation();
        while log.generation() < before + 3 {
            log.append(&scribe.batch()).unwrap();
            log.sync().unwrap();
        }
        older.get_or_insert_with(|| disk.durable_image());
    }
    drop(log);
    let (log, _) = DurableLog::open(&disk, small()).unwrap();
    count_start(&disk, log.generation()).unwrap();
    let older = older.unwrap();
    // By its count of starts alone, a log of so many generations could be newer.
    write_file(&older, "boot", b"2\n").unwrap();
    DurableLog::open(&older.durable_image(), small()).unwrap();
    write_file(&older, "boot", &read_file(&disk, "boot").unwrap().unwrap()).unwrap();
    let error = DurableLog::open(&older, small()).unwrap_err();
    assert!(matches!(error, LogError::Lost { starts: 2, is_older: true, .. }), "{error}");
}

#[test]
fn a_journal_that_was_emptied_is_missed() {
    let (disk, scribe) = written(11, 40);
    let (mut log, _) = DurableLog::open(&disk, small()).unwrap();
    log.append(&[]).unwrap();
    drop((log, scribe));
    for name in ["journal-0", "journal-1"] {
        let left = disk.durable_image();
        left.open(name).unwrap().unwrap().set_len(0).unwrap();
        let error = DurableLog::open(&left, small()).unwrap_err();
        assert!(matches!(error, LogError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn one_journal_is_not_taken_for_both() {
    let (disk, _) = written(2, 5);
    assert_eq!(count_start(&disk, 1).unwrap(), 1);
    let refused = |lost: &str| {
        let error = DurableLog::open(&without(&disk, |name| name == lost), small()).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        error
    };
    // The first generation is in the one; the other's name tells that there was never a later one.
    assert!(matches!(refused("journal-1"), LogError::Lost { is_older: false, .. }));
    assert!(matches!(refused("journal-0"), LogError::Damaged { .. }));
}

#[test]
fn a_count_of_starts_survives_any_crash() {
    for stop in 0.. {
        let disk = MemoryDisk::default();
        assert_eq!(starts(&disk).unwrap(), None);
        assert_eq!(count_start(&disk, 1).unwrap(), 1);
        disk.fail_after(stop);
        let counted = count_start(&disk, 1);
        for crash in 0..20 {
            let found = starts(&disk.crashed(crash)).unwrap();
            assert!(matches!(found, Some(1 | 2)), "{found:?}");
            assert!(counted.is_err() || found == Some(2), "{found:?}");
        }
        if counted.is_ok() {
            break;
        }
    }
    let disk = MemoryDisk::default();
    write_file(&disk, "boot", b"soon").unwrap();
    let error = DurableLog::open(&disk, small()).unwrap_err().to_string();
    assert!(error.contains("boot") && error.contains("count of starts"), "{error}");
}
