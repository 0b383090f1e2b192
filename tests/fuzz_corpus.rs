//! The inputs that fuzzing found worth keeping, played again, and then changed a little for a while.
//!
//! The harness is the one that the fuzz targets call; see `fuzz/`. What is changed and how is drawn
//! from a seed that is printed; `QUORATE_TEST_SECONDS=60` goes on for that long with each target, and
//! `QUORATE_TEST_SEED` with other changes. An input that fails is written to `target/fuzz/`.

#[path = "../fuzz/harness/mod.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets use it, too")]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of all kept inputs together, so that they stay a part of the project that nobody minds.
const CORPUS_BYTES_MAX: u64 = 1 << 20;

/// How long one target's inputs are changed, unless said otherwise.
const CHANGES: Duration = Duration::from_millis(500);

/// What numbers in an input may become.
const NUMBERS: [u64; 8] =
    [0, 1, (1 << 31) - 1, u32::MAX as u64, (1 << 53) - 1, 1 << 53, u64::MAX - 1, u64::MAX];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// A small generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % sides as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.roll(items.len())]
    }

    /// One change of `input`, perhaps by a piece of `other`.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.roll(input.len() + 1);
        let end = (at + 1 + self.roll(16)).min(input.len());
        match self.roll(8) {
            0 | 1 if at < input.len() => input[at] ^= 1 << self.roll(8),
            2 if at < input.len() => input[at] = self.roll(256) as u8,
            3 => drop(input.drain(at..end)),
            4 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let bytes = self.pick(&NUMBERS).to_be_bytes();
                let from = 8 - *self.pick(&[1, 2, 4, 8]);
                let end = (at + 8 - from).min(input.len());
                input.splice(at..end, bytes[from..].iter().copied());
            }
            6 => {
                let digits = self.pick(&NUMBERS).to_string();
                input.splice(at..end, digits.into_bytes());
            }
            _ if !other.is_empty() => {
                let from = self.roll(other.len());
                let to = (from + self.roll(64) + 1).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => {}
        }
    }
}

/// Keeps the input under way when the harness panics.
struct Kept<'a> {
    target: &'a str,
    input: &'a [u8],
    from: &'a str,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let directory = root().join("target/fuzz");
            let path =
                directory.join(format!("{}-{:08x}", self.target, crc32fast::hash(self.input)));
            let written =
                fs::create_dir_all(&directory).and_then(|()| fs::write(&path, self.input));
            println!("{}: {} fails; input in {path:?}: {written:?}", self.target, self.from);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The kept inputs of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = root().join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn play(target: &str, run: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(corpus.len() >= 10, "{target}: {} kept inputs: has the corpus moved?", corpus.len());
    let check = |input: &[u8], from: &str| {
        let _kept = Kept { target, input, from };
        run(input);
    };
    check(&[], "nothing");
    for (name, input) in &corpus {
        check(input, name);
    }
    let seed = number("QUORATE_TEST_SEED").unwrap_or(1);
    let span = number("QUORATE_TEST_SECONDS").map_or(CHANGES, Duration::from_secs);
    println!("{target}: {} kept inputs, then changes of seed {seed} for {span:?}", corpus.len());
    let mut dice = Dice(seed);
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed() < span {
        let (_, mut input) = dice.pick(&corpus).clone();
        for _ in 0..=dice.roll(4) {
            let (_, other) = dice.pick(&corpus);
            dice.change(&mut input, other);
        }
        check(&input, &format!("run {runs} of seed {seed}"));
        runs += 1;
    }
    println!("{target}: {runs} changed inputs");
}

#[test]
fn streams_of_frames() {
    play("frames", harness::frames::run);
}

#[test]
fn messages() {
    play("message", harness::message::run);
}

#[test]
fn hellos() {
    play("hello", harness::hello::run);
}

#[test]
fn directories_of_a_log() {
    play("log", harness::log::run);
}

#[test]
fn settings_of_every_origin() {
    play("config", harness::config::run);
}

#[test]
fn bodies_of_the_http_interface() {
    play("admin", harness::admin::run);
}

#[test]
fn a_node_told_anything() {
    play("node", harness::node::run);
}

#[test]
fn the_kept_inputs_are_few_and_small() {
    let (mut files, mut bytes) = (0, 0);
    for target in fs::read_dir(root().join("fuzz/corpus")).unwrap() {
        for file in fs::read_dir(target.unwrap().path()).unwrap() {
            files += 1;
            bytes += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!(files < 1_000 && bytes < CORPUS_BYTES_MAX, "{files} files, {bytes} bytes");
}
