//! What the supervisor of this process is told, in systemd's words: it listens, reloads, leaves, lives.
//!
//! A node without a supervisor says nothing. One that reads nothing holds up no node: words go out on a
//! thread of their own.

use std::fmt;
use std::future::pending;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::runtime::Handle;

/// Words that wait to go out. Those beyond it are dropped: who reads none of these misses nothing.
const WORDS: usize = 16;

/// How long the program waits until its words are out.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked where the node stands.
const EVERY: Duration = Duration::from_secs(1);

/// The shortest wait between two signs of life, whatever is asked for.
const PULSE_MIN: Duration = Duration::from_millis(10);

/// How much of a state is told, in characters: a longer word than 4 KiB would not be heard at all.
const STATE_CHARS_MAX: usize = 500;

/// What can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// Peers and clients find somebody at the ports.
    Ready,
    /// The settings are read anew, until the next [`Word::Ready`].
    Reloading,
    /// It leaves.
    Stopping,
    /// Its own loop turns.
    Alive,
    /// How it stands, for people; one line.
    State(String),
}

/// Words that belong together, and who waits until they are out.
type Saying = (Vec<Word>, oneshot::Sender<()>);

/// Whoever started this process and wants to know how it does; possibly nobody.
pub(super) struct Supervisor {
    mouth: Option<SyncSender<Saying>>,
    /// Without a sign of life for so long it takes the process for dead.
    watches: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(super) fn find() -> Self {
        let (mouth, said) = sync_channel(WORDS);
        if !is_named() {
            return Self { mouth: None, watches: None };
        }
        // Detached: an end of the program does not wait for a supervisor that does not read.
        let speaker = std::thread::Builder::new().name("supervisor".to_owned());
        match speaker.spawn(move || speak_all(&said)) {
            Ok(_) => Self { mouth: Some(mouth), watches: watches() },
            Err(error) => {
                deaf(error);
                Self { mouth: None, watches: None }
            }
        }
    }

    /// The log is being read, which takes its time.
    pub(super) async fn starting(&self) {
        self.say(vec![Word::State("reads its log".to_owned())]).await;
    }

    /// The node listens, for peers and for clients. Whether a quorum is heard is another question: if a start
    /// waited for one, the first of three machines that are started in turn would never be up.
    pub(super) async fn ready(&self) {
        self.say(vec![Word::Ready, Word::State("listens".to_owned())]).await;
    }

    /// The settings are being read anew.
    pub(super) async fn reloading(&self) {
        self.say(vec![Word::Reloading]).await;
    }

    /// They were read, and taken or refused.
    pub(super) async fn reloaded(&self) {
        self.say(vec![Word::Ready]).await;
    }

    /// The node leaves in good order.
    pub(super) async fn stopping(&self) {
        self.say(vec![Word::Stopping, Word::State("leaves".to_owned())]).await;
    }

    /// Tells how the node stands whenever that changes, and that it lives as often as is asked for. Never ends.
    pub(super) async fn keep_told(&self, handle: &Handle) {
        if self.mouth.is_none() {
            return pending().await;
        }
        let every = self.watches.map_or(EVERY, |watches| EVERY.min(watches / 2).max(PULSE_MIN));
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            tick.tick().await;
            // The loop that owns the node answers this: no answer, no sign of life.
            let Ok(status) = handle.status().await else { return pending().await };
            let state = line(&status.verdict().text);
            let mut words = Vec::new();
            if self.watches.is_some() {
                words.push(Word::Alive);
            }
            if state != told {
                words.push(Word::State(state.clone()));
                told = state;
            }
            if !words.is_empty() {
                self.say(words).await;
            }
        }
    }

    async fn say(&self, words: Vec<Word>) {
        let Some(mouth) = &self.mouth else { return };
        let (told, is_told) = oneshot::channel();
        if mouth.try_send((words, told)).is_ok() {
            // Later is soon enough, never is no harm: the node does not live by what others know of it.
            let _ = timeout(PATIENCE, is_told).await;
        }
    }
}

/// One line of printable text, cut where it is long: a line end would begin another word.
fn line(text: &str) -> String {
    let clean = |symbol: char| if symbol.is_control() { ' ' } else { symbol };
    text.chars().take(STATE_CHARS_MAX).map(clean).collect()
}

/// Says everything, in order, as fast as the supervisor reads.
fn speak_all(said: &Receiver<Saying>) {
    let mut is_heard = true;
    for (words, told) in said {
        if let Err(error) = speak(&words)
            && std::mem::replace(&mut is_heard, false)
        {
            deaf(error);
        }
        // Who waited may have gone on.
        let _ = told.send(());
    }
}

fn deaf(error: impl fmt::Display) {
    tracing::warn!(
        target: crate::runtime::NODE_TARGET,
        %error,
        hint = "the node goes on; NOTIFY_SOCKET names whom it cannot tell so: start it without, or mend the path",
        "supervisor.deaf"
    );
}

/// Whether the environment names a supervisor.
fn is_named() -> bool {
    cfg!(unix) && std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty())
}

#[cfg(unix)]
fn watches() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|watches| !watches.is_zero())
}

#[cfg(not(unix))]
fn watches() -> Option<Duration> {
    None
}

#[cfg(unix)]
fn speak(words: &[Word]) -> std::io::Result<()> {
    use sd_notify::NotifyState;

    let mut states = Vec::new();
    for word in words {
        match word {
            Word::Ready => states.push(NotifyState::Ready),
            Word::Reloading => {
                // The moment tells this reload from one before it.
                states.extend([NotifyState::Reloading, NotifyState::monotonic_usec_now()?]);
            }
            Word::Stopping => states.push(NotifyState::Stopping),
            Word::Alive => states.push(NotifyState::Watchdog),
            Word::State(line) => states.push(NotifyState::Status(line)),
        }
    }
    sd_notify::notify(&states)
}

#[cfg(not(unix))]
fn speak(_words: &[Word]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_line_and_no_word_of_its_own() {
        assert_eq!(line("waits for a\nMAINPID=1\u{1b}"), "waits for a MAINPID=1 ");
        assert_eq!(line(&"é".repeat(4_096)).chars().count(), STATE_CHARS_MAX);
    }
}
