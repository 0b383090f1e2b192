//! Log lines leave through a thread of their own: whoever does not read them holds up no node.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may wait to be written. As many again may be on their way.
const WAITING_MAX: usize = 4 << 20;

/// What an idle buffer may keep of the room that a burst needed, in bytes.
const KEPT_MAX: usize = 256 << 10;

/// How long the end of the program waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long lines gather before they are written together: a wake-up for each would cost a busy node more
/// than the writing. Nobody who reads along notices.
const GATHER: Duration = Duration::from_millis(10);

/// How long to wait before a full pipe that does not block is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// Where lines are put. What is put is written in order; a line that finds no room is dropped and counted.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits and nothing is on its way.
    drained: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that found no room since the last that did.
    dropped: u64,
    /// Whether the thread sleeps.
    asleep: bool,
    /// Whether nobody is left to write.
    ended: bool,
}

/// Waits, when it goes, until the lines put so far are written, but not for long.
#[must_use = "the last lines are waited for when this is dropped"]
pub(super) struct Rest(Lines);

impl Lines {
    /// Starts the thread that writes to `out`. `missed` is told, on that thread, how many lines
    /// were dropped, as soon as lines flow again.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        missed: impl Fn(u64) + Send + 'static,
    ) -> io::Result<(Self, Rest)> {
        let lines = Self(Arc::new(Shared {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        }));
        let writer = lines.clone();
        thread::Builder::new().name("log lines".to_owned()).spawn(move || {
            let _ended = Ended(&writer);
            writer.write_all(out, missed);
        })?;
        Ok((lines.clone(), Rest(lines)))
    }

    fn write_all(&self, mut out: impl Write, missed: impl Fn(u64)) {
        let mut taken = Vec::new();
        loop {
            self.wait();
            thread::sleep(GATHER);
            let dropped = self.take(&mut taken);
            // A reader that is gone misses its lines; there is nobody else to tell.
            let _ = patiently(&mut out, &taken);
            taken.clear();
            taken.shrink_to(KEPT_MAX);
            if dropped > 0 {
                missed(dropped);
            }
        }
    }

    /// Waits for lines.
    fn wait(&self) {
        let mut waiting = self.waiting();
        while waiting.bytes.is_empty() {
            waiting.asleep = true;
            self.0.drained.notify_all();
            waiting = self.0.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
    }

    /// Takes all that wait.
    fn take(&self, taken: &mut Vec<u8>) -> u64 {
        let mut waiting = self.waiting();
        std::mem::swap(&mut waiting.bytes, taken);
        std::mem::take(&mut waiting.dropped)
    }

    /// A whole line, or several.
    pub(super) fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > WAITING_MAX {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes.extend_from_slice(line);
        if waiting.asleep {
            waiting.asleep = false;
            drop(waiting);
            self.0.filled.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Lines(shared) = &self.0;
        let deadline = Instant::now() + LAST_LINES;
        let mut waiting = self.0.waiting();
        while !(waiting.ended || waiting.asleep && waiting.bytes.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = shared.drained.wait_timeout(waiting, left);
            (waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Says so when the thread ends, which it does only by a panic of `out`.
struct Ended<'l>(&'l Lines);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.waiting().ended = true;
        self.0.0.drained.notify_all();
    }
}

/// Writes all of it, also to a descriptor that somebody else made non-blocking.
fn patiently(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes what comes when it is let.
    struct Gate {
        open: Receiver<()>,
        page: SyncSender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once nobody holds the gate it stands open.
            let _ = self.open.recv();
            let _ = self.page.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_costs_lines_beyond_the_bound_and_nothing_else() {
        let (open, gate) = sync_channel(8);
        let (page, read) = sync_channel(8);
        let (tell, missed) = sync_channel(8);
        let (lines, rest) =
            Lines::start(Gate { open: gate, page }, move |count| tell.send(count).unwrap())
                .unwrap();
        let line = [b'x'; 1 << 10];
        lines.put(b"first\n");
        open.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), b"first\n");
        lines.put(b"taken, and stuck\n");
        while !lines.waiting().bytes.is_empty() {
            thread::yield_now();
        }
        for _ in 0..WAITING_MAX / line.len() + 7 {
            lines.put(&line);
        }
        drop(open);
        assert_eq!(read.recv().unwrap(), b"taken, and stuck\n");
        assert_eq!(read.recv().unwrap().len(), WAITING_MAX);
        assert_eq!(missed.recv().unwrap(), 7);
        lines.put(b"last\n");
        let began = Instant::now();
        drop(rest);
        let is_in_time = began.elapsed() < LAST_LINES;
        let last = if is_in_time { read.try_recv().unwrap() } else { read.recv().unwrap() };
        assert_eq!(last, b"last\n");
    }

    #[test]
    fn a_pipe_that_does_not_block_gets_everything() {
        struct Full(u32, Vec<u8>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 % 3 {
                    0 => Err(ErrorKind::WouldBlock.into()),
                    1 => Err(ErrorKind::Interrupted.into()),
                    _ => {
                        self.1.push(bytes[0]);
                        Ok(1)
                    }
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Full(0, Vec::new());
        patiently(&mut out, b"whole").unwrap();
        assert_eq!(out.1, b"whole");
    }
}
