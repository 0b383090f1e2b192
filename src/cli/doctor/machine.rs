//! What a node needs of its machine: descriptors, a directory, a disk that syncs, ports.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::admin::Client;
use crate::cli::doctor::{Book, Patient};
use crate::cli::failure::Failure;
use crate::limits;
use crate::storage::{self, LogError, RealDisk};
use crate::transport::{Ear, Identity, StartError};
use crate::types::NodeId;

/// Descriptors of a node with all its bounds reached: links, strangers, HTTP, files.
const DESCRIPTORS: u64 = (limits::LINKS_MAX + limits::HANDSHAKES_MAX + 256 + 64) as u64;

/// Descriptors without which a small cluster does not run either.
const DESCRIPTORS_MIN: u64 = 64 + 2 * limits::MEMBERS_MAX as u64;

/// Free space below which a node soon stops: both journals and two segments.
const FREE_MIN: u64 = (2 * 16 + 2 * 64) << 20;

/// Free space worth a warning.
const FREE_LOW: u64 = 1 << 30;

/// How often the disk is asked to sync.
const SYNCS: usize = 32;

/// What a record of a small batch takes, in bytes.
const WRITE_BYTES: usize = 4096;

/// A sync that takes longer is felt by every client.
const SYNC_SLOW: Duration = Duration::from_millis(20);

pub(super) fn check(patient: &Patient, book: &mut Book) -> Result<(), Failure> {
    descriptors(book)?;
    let place = directory(patient, book)?;
    if let Some(place) = place {
        disk(&place, patient.config.suspect_after, book)?;
        space(&place, book)?;
        file_system(&place, book)?;
    }
    ports(patient, book)
}

fn descriptors(book: &mut Book) -> Result<(), Failure> {
    let name = "descriptors";
    let hint = "raise it: `ulimit -n 4096`, or LimitNOFILE=4096 in the service unit";
    match getrlimit(Resource::Nofile).current {
        None => book.good(name, "without limit"),
        Some(limit) if limit >= DESCRIPTORS => {
            book.good(name, format!("{limit}, of which at most {DESCRIPTORS} are used"))
        }
        Some(limit) if limit >= DESCRIPTORS_MIN => {
            let what = format!("{limit}, fewer than the {DESCRIPTORS} that a node may come to use");
            book.warning(name, what, hint)
        }
        Some(limit) => {
            book.failed(name, format!("{limit}, and {DESCRIPTORS_MIN} are needed"), hint)
        }
    }
}

/// Checks the data directory; gives it, or where it will be made, if that can be written.
fn directory(patient: &Patient, book: &mut Book) -> Result<Option<PathBuf>, Failure> {
    let name = "data directory";
    let path = &patient.config.data_dir;
    let shown = path.display();
    let place = match existing(path) {
        Ok(place) => place,
        Err(what) => {
            book.failed(name, what, "name a directory on a local disk with --data-dir")?;
            return Ok(None);
        }
    };
    if let Err(error) = scratch(&place).map(|(path, _)| fs::remove_file(path)) {
        let what = format!("nothing can be written to {}: {error}", place.display());
        book.failed(name, what, "mend owner and permissions, or free some space")?;
        return Ok(None);
    }
    if place != *path {
        match &patient.running {
            None => book.good(name, format!("{shown} is made at the first start"))?,
            Some((client, _)) => elsewhere(format!("{shown} does not exist"), client, book)?,
        }
        return Ok(Some(place));
    }
    let owner = match Identity::who_lives_in(path) {
        Ok(owner) => owner,
        Err(error) => {
            book.failed(name, error.to_string(), "see docs/STORAGE.md for what lies there")?;
            return Ok(Some(place));
        }
    };
    if is_locked(path) {
        in_use(patient, owner, book)?;
        return Ok(Some(place));
    }
    match (log(path, owner), &patient.running) {
        (Ok(what), None) => book.good(name, format!("{shown}: {what}"))?,
        (Ok(_), Some((client, _))) => elsewhere(format!("nobody uses {shown}"), client, book)?,
        (Err(error), _) => book.failed(name, error.to_string(), "nothing was changed")?,
    }
    Ok(Some(place))
}

/// A node answers where these settings say, and lives in another directory.
fn elsewhere(what: String, client: &Client, book: &mut Book) -> Result<(), Failure> {
    book.warning(
        "data directory",
        format!("{what}, and at {} a node answers that lives elsewhere", client.address()),
        "if that is this node, name its directory with --data-dir, or with QUORATE_DATA_DIR as its service does",
    )
}

/// Some process has the directory: this node, it is hoped.
fn in_use(patient: &Patient, owner: Option<NodeId>, book: &mut Book) -> Result<(), Failure> {
    let name = "data directory";
    let path = patient.config.data_dir.display();
    match (&patient.running, owner) {
        (Some((client, status)), Some(owner)) if status.id == owner => {
            let at = client.address();
            book.good(name, format!("{path} is in use by the node itself, which answers at {at}"))
        }
        (Some((client, status)), Some(owner)) => {
            let at = client.address();
            let what = format!(
                "{path} belongs to {owner} and is in use, and at {at} another node answers, {} ({})",
                status.name, status.id
            );
            book.failed(name, what, "give this node a port and a directory of its own")
        }
        _ => book.warning(
            name,
            format!("{path} is in use by a process that does not answer where these settings say"),
            "if that is this node, give doctor the same flags as it; if not, name another --data-dir",
        ),
    }
}

/// Whether a process holds the lock. Nothing is made.
fn is_locked(path: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(path.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Reads the whole log and changes nothing.
fn log(path: &Path, owner: Option<NodeId>) -> Result<String, LogError> {
    let Some(owner) = owner else {
        return Ok("nobody lives there yet".to_owned());
    };
    let disk = RealDisk::open(path)?;
    let found = storage::inspect(&disk, &storage::Settings::new(owner))?;
    let committed = found.state.committed.slot;
    Ok(format!("node {owner}, its log is whole, {committed} entries are committed"))
}

/// The path, or the nearest directory above it that exists.
fn existing(path: &Path) -> Result<PathBuf, String> {
    for above in path.ancestors() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match fs::metadata(above) {
            Ok(found) if found.is_dir() => return Ok(above.to_owned()),
            Ok(_) => return Err(format!("{} is no directory", above.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", above.display())),
        }
    }
    Err(format!("nothing above {} exists", path.display()))
}

/// A new file of our own in a directory.
fn scratch(place: &Path) -> io::Result<(PathBuf, File)> {
    let path = place.join(format!("doctor-{}.tmp", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok((path, file))
}

fn disk(place: &Path, suspect_after: Duration, book: &mut Book) -> Result<(), Failure> {
    let name = "disk";
    let mut spans = match syncs(place) {
        Ok(spans) => spans,
        Err(error) => {
            let what = format!("a sync in {} failed: {error}", place.display());
            let hint = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space, or name a directory on another disk with --data-dir"
                }
                _ => "look for disk errors in the system's log",
            };
            return book.failed(name, what, hint);
        }
    };
    spans.sort_unstable();
    let (median, max) = (spans[spans.len() / 2], spans[spans.len() - 1]);
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    let what = format!(
        "a write of 4 KiB and its sync take {:.2} ms, at most {:.2} ms of {SYNCS}",
        ms(median),
        ms(max)
    );
    if median >= suspect_after {
        let hint = "that is as long as suspect_after: the node would be replaced as proposer all the time; \
                    use another disk, or raise suspect_after on every node";
        book.failed(name, what, hint)
    } else if median >= SYNC_SLOW || max >= suspect_after {
        book.warning(
            name,
            what,
            "every commit waits for such a sync at a majority: use a faster disk",
        )
    } else {
        book.good(name, what)
    }
}

fn syncs(place: &Path) -> io::Result<Vec<Duration>> {
    let (path, mut file) = scratch(place)?;
    let measured = (0..SYNCS)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[0x5a; WRITE_BYTES])?;
            file.sync_data()?;
            Ok(started.elapsed())
        })
        .collect();
    fs::remove_file(path)?;
    measured
}

fn space(place: &Path, book: &mut Book) -> Result<(), Failure> {
    let name = "free space";
    let found = match rustix::fs::statvfs(place) {
        Ok(found) => found,
        Err(error) => return book.warning(name, format!("not known: {error}"), "see `df`"),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let what = format!("{} MiB", free >> 20);
    let hint = "the log keeps all that was ever agreed: free some space, or use a larger disk";
    match free {
        0..FREE_MIN => book.failed(name, what, hint),
        FREE_MIN..FREE_LOW => book.warning(name, what, hint),
        FREE_LOW.. => book.good(name, what),
    }
}

#[cfg(target_os = "linux")]
fn file_system(place: &Path, book: &mut Book) -> Result<(), Failure> {
    let name = "file system";
    let Ok(found) = rustix::fs::statfs(place) else {
        return book.skipped(name, "the system does not say");
    };
    // The numbers of linux/magic.h.
    match found.f_type as u64 {
        0x0102_1994 | 0x8584_58f6 => book.warning(
            name,
            "it lies in memory: nothing survives the machine's end",
            "name a directory on a disk; what is acknowledged must outlive a power cut",
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x6573_5546 => book.warning(
            name,
            "it is of another machine, or made by a program: its locks and syncs may not hold",
            "name a directory on a local disk",
        ),
        _ => book.good(name, "a local one"),
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path, book: &mut Book) -> Result<(), Failure> {
    book.skipped("file system", "only Linux tells its kind")
}

fn ports(patient: &Patient, book: &mut Book) -> Result<(), Failure> {
    let config = &patient.config;
    let name = "port for peers";
    match Ear::listen(config.bind, config.port) {
        _ if config.port == 0 => book.skipped(name, "the system chooses one")?,
        Ok(_) => book.good(name, format!("{} is free", config.port))?,
        Err(StartError::AddressInUse { address }) => match is_ours(patient, config.port) {
            true => book.good(name, format!("{} is the running node's", config.port))?,
            false => book.failed(
                name,
                format!("{address} is in use by another process"),
                "stop that one, or choose another port with --port",
            )?,
        },
        Err(error) => book.failed(name, error.to_string(), "see --bind and --port")?,
    }
    let name = "port for HTTP";
    let Some(admin) = &config.admin else { return book.skipped(name, "not wanted") };
    let address = SocketAddr::new(admin.bind, admin.port);
    match TcpListener::bind(address) {
        _ if admin.port == 0 => book.skipped(name, "the system chooses one"),
        Ok(_) => book.good(name, format!("{address} is free")),
        Err(_) if patient.running.is_some() => {
            book.good(name, format!("at {address} the running node answers"))
        }
        Err(error) => {
            let what = format!("{address} cannot be had: {error}");
            book.failed(name, what, "stop who has it, or choose another with --admin-port")
        }
    }
}

/// Whether the node that runs is the one that listens there.
fn is_ours(patient: &Patient, port: u16) -> bool {
    let running = patient.running.as_ref();
    let address = running.and_then(|(_, status)| status.address.parse::<SocketAddr>().ok());
    address.is_some_and(|address| address.port() == port)
}
