//! What an acknowledged value promises when the machine loses power, on file systems whose unsynced writes are
//! really dropped.
//!
//! Opt-in: `QUORATE_POWER_CUT_SECONDS=60 cargo test --test power_cut -- --nocapture`, as root. It mounts loop devices,
//! so it is never run by surprise. Needs mkfs.ext4, mount, losetup and a C compiler.
//!
//! Each of three nodes has its data directory on an ext4 image of its own. Clients propose at all of them. At a
//! drawn moment the file systems of one node, of two or of all are shut down without flushing their journal
//! (`EXT4_IOC_SHUTDOWN`): from then on the image is what a disk would hold. The processes are killed, the images
//! unmounted, mounted again (the journal is replayed) and the nodes started. Then every acknowledged value must be
//! there and all logs the same.
//!
//! The test can fail: with a library that makes every sync a lie, acknowledged values are lost.
//!
//! It does not show what a drive does with its own cache: the image lies in the page cache of this machine. The node
//! asks for a flush (`fdatasync`), and a drive that confirms what it has not stored breaks every promise.
#![cfg(target_os = "linux")]

#[path = "power_cut/machine.rs"]
mod machine;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "the cluster is one of its own, on disks of its own")]
mod process;
#[path = "power_cut/rounds.rs"]
mod rounds;

use std::io::Write as _;
use std::time::Duration;

/// For how long power is cut again and again; none if nobody asked for it, or the machine lacks what it takes.
fn wanted() -> Option<Duration> {
    let Ok(text) = std::env::var("QUORATE_POWER_CUT_SECONDS") else {
        return skip("power is cut only where QUORATE_POWER_CUT_SECONDS=60 asks for it, as root");
    };
    let seconds = text.parse().expect("QUORATE_POWER_CUT_SECONDS is a number of seconds");
    if let Some(lack) = machine::lacking() {
        return skip(&lack);
    }
    Some(Duration::from_secs(seconds))
}

/// Says so past the harness, which keeps what passing tests print to itself.
fn skip(why: &str) -> Option<Duration> {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    None
}

#[test]
fn an_acknowledged_value_survives_a_power_cut() {
    let Some(span) = wanted() else { return };
    let story = rounds::play(span, machine::Syncs::Kept, rounds::seed());
    println!("{story}");
    assert_eq!(story.lost, 0, "{story}");
    assert!(story.cuts_of_all > 0 && story.cuts_of_one > 0, "{story}");
}

/// The negative control: were a sync nothing, this is what the test above would see.
#[test]
fn without_syncs_acknowledged_values_are_lost() {
    let Some(span) = wanted() else { return };
    let story = rounds::play(span / 4, machine::Syncs::Faked, rounds::seed());
    println!("without syncs: {story}");
    assert!(story.lost > 0, "a sync that does nothing was not noticed: {story}");
}
