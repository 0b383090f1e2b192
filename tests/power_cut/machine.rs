//! A machine's disk that can lose its power: an ext4 image on a loop device of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::eventually;

/// Stands in the name of every directory that is mounted here, before the id of the process.
const PREFIX: &str = "quorate-power-cut-";

/// Of an image: room for a minute of values.
const IMAGE_BYTES: u64 = 256 << 20;

/// Shuts file systems down at once: nothing more reaches their images, not even their journals.
const CUT: &str = r#"
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <sys/ioctl.h>
#define SHUTDOWN _IOR('X', 125, __u32)
int main(int count, char **paths) {
    int files[64];
    __u32 no_log_flush = 2;
    for (int i = 1; i < count; i++)
        if ((files[i] = open(paths[i], O_RDONLY | O_DIRECTORY)) < 0) { perror(paths[i]); return 1; }
    for (int i = 1; i < count; i++)
        if (ioctl(files[i], SHUTDOWN, &no_log_flush) < 0) { perror(paths[i]); return 1; }
    return 0;
}
"#;

/// A library whose syncs do nothing and say that they did.
const LIE: &str = r"
int fsync(int file) { (void)file; return 0; }
int fdatasync(int file) { (void)file; return 0; }
";

/// Whether a sync does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Kept,
    Faked,
}

/// What this machine lacks; none if power can be cut here.
pub(crate) fn lacking() -> Option<String> {
    let is_root = fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    if !is_root {
        return Some("only root may mount".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".to_owned());
    }
    let tools = ["mkfs.ext4", "losetup", "mount", "umount", "cc"];
    let is_there = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    tools.iter().find(|tool| !is_there(tool)).map(|tool| format!("{tool} is not installed"))
}

/// The tools of one test, compiled in its directory, and its disks. All is undone when it is dropped.
pub(crate) struct Workshop {
    directory: PathBuf,
    cut: PathBuf,
    lie: PathBuf,
    pub(crate) disks: Vec<Disk>,
}

/// A disk with a file system.
pub(crate) struct Disk {
    image: PathBuf,
    device: String,
    /// Where it is mounted.
    pub(crate) path: PathBuf,
}

impl Workshop {
    /// With this many disks, mounted. What earlier runs left behind is cleared away.
    pub(crate) fn open(count: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        clear_leftovers();
        let name =
            format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory of its own");
        let (cut, lie) = (directory.join("cut"), directory.join("lie.so"));
        let mut workshop = Self { directory, cut, lie, disks: Vec::new() };
        workshop.compile("cut.c", CUT, &workshop.cut, &[]);
        workshop.compile("lie.c", LIE, &workshop.lie, &["-shared", "-fPIC"]);
        for number in 1..=count {
            let disk = Disk::make(&workshop.directory, number);
            workshop.disks.push(disk);
        }
        workshop
    }

    /// The library to be loaded before all others where syncs are to be lies.
    pub(crate) fn lie(&self) -> &Path {
        &self.lie
    }

    /// Power is gone for these disks.
    pub(crate) fn cut(&self, disks: &[usize]) {
        run(Command::new(&self.cut).args(disks.iter().map(|at| &self.disks[*at].path)));
    }

    fn compile(&self, name: &str, source: &str, to: &Path, flags: &[&str]) {
        let from = self.directory.join(name);
        fs::write(&from, source).expect("room for a file");
        run(Command::new("cc").args(flags).args(["-O1", "-o"]).arg(to).arg(from));
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.disks.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Disk {
    fn make(directory: &Path, number: usize) -> Self {
        let image = directory.join(format!("image-{number}"));
        let path = directory.join(format!("disk-{number}"));
        fs::create_dir(&path).expect("a place to mount");
        let file = fs::File::create(&image).expect("an image");
        file.set_len(IMAGE_BYTES).expect("a sparse file");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image));
        let disk = Self { image, device, path };
        disk.mount();
        disk
    }

    /// The file system writes nothing of its own accord for ten minutes: only what is synced is safe.
    fn mount(&self) {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "commit=600,noauto_da_alloc"])
            .args([Path::new(&self.device), &self.path]));
    }

    /// Power is back: the file system is mounted as the cut left it, and replays its journal.
    pub(crate) fn restore(&self) {
        eventually("nobody uses the disk", || {
            Command::new("umount").arg(&self.path).output().ok()?.status.success().then_some(())
        });
        self.mount();
    }

    /// Makes all of it durable, from outside of the node.
    pub(crate) fn flush(&self) {
        run(Command::new("sync").arg("-f").arg(&self.path));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).output();
        let _ = fs::remove_file(&self.image);
    }
}

/// Unmounts and removes what a run left behind that was killed.
fn clear_leftovers() {
    let entries = fs::read_dir(std::env::temp_dir()).expect("a temporary directory");
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        for number in 1.. {
            let image = entry.path().join(format!("image-{number}"));
            if !image.exists() {
                break;
            }
            let path = entry.path().join(format!("disk-{number}"));
            let _ = Command::new("umount").arg("--lazy").arg(path).output();
            let devices =
                run(Command::new("losetup").args(["--noheadings", "-O", "NAME", "-j"]).arg(&image));
            for device in devices.lines() {
                let _ = Command::new("losetup").arg("--detach").arg(device.trim()).output();
            }
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// What a command prints; it must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
