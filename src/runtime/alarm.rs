//! The alarm of the driver: when the engine wants to be woken.
//!
//! On Linux it is a timer of the kernel. The runtime's own timers stand in a wheel of coarse slots, which wakes the
//! thread once more on the way to every moment beyond the slot at hand, and again for each that is set earlier than
//! it knew of: an idle node woke a third more often for that.

use std::io;

use tokio::time::Instant;

#[cfg(target_os = "linux")]
pub(super) use kernel::Alarm;
#[cfg(not(target_os = "linux"))]
pub(super) use wheel::Alarm;

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::File;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use super::{Instant, io};

    /// The shortest wait: what comes due within it is done together.
    const GRAIN: Duration = Duration::from_millis(1);

    pub(in crate::runtime) struct Alarm {
        /// Read as a pipe is.
        timer: Receiver,
        /// When the timer goes off; not later than what is wanted.
        set: Option<Instant>,
        wanted: Instant,
    }

    impl Alarm {
        /// One that rings at once.
        ///
        /// # Errors
        /// The system has no timer to give.
        pub(in crate::runtime) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = File::from(timerfd_create(TimerfdClockId::Monotonic, flags)?);
            let timer = Receiver::from_file_unchecked(timer)?;
            Ok(Self { timer, set: None, wanted: Instant::now() })
        }

        /// From now on it is to ring then, or as soon as it is waited for if that is over.
        pub(in crate::runtime) fn set(&mut self, at: Instant) {
            self.wanted = at;
        }

        /// Waits for the moment.
        pub(in crate::runtime) async fn ring(&mut self) {
            loop {
                let left = self.wanted.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                // One that goes off too early is set anew then: moments move on far more often than they come.
                if self.set.is_none_or(|set| set > self.wanted) {
                    self.start(left.max(GRAIN));
                    self.set = Some(self.wanted);
                }
                self.timer.readable().await.expect("the runtime runs this");
                match self.timer.try_read(&mut [0; 8]) {
                    Ok(_) => self.set = None,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => panic!("a timer that was made can be read: {error}"),
                }
            }
        }

        fn start(&self, left: Duration) {
            let it_value = Timespec::try_from(left).expect("nothing is due in ages");
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let value = Itimerspec { it_interval, it_value };
            let set = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
            set.expect("a timer that was made can be set");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod wheel {
    use std::pin::Pin;

    use tokio::time::{Sleep, sleep_until};

    use super::{Instant, io};

    pub(in crate::runtime) struct Alarm(Pin<Box<Sleep>>);

    impl Alarm {
        /// One that rings at once.
        ///
        /// # Errors
        /// None.
        pub(in crate::runtime) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(sleep_until(Instant::now()))))
        }

        /// From now on it is to ring then, or as soon as it is waited for if that is over.
        pub(in crate::runtime) fn set(&mut self, at: Instant) {
            if self.0.deadline() != at || self.0.is_elapsed() {
                self.0.as_mut().reset(at);
            }
        }

        /// Waits for the moment.
        pub(in crate::runtime) async fn ring(&mut self) {
            self.0.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How long what must happen may take before a test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_rings_when_it_is_due_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        alarm.ring().await;
        for wait in [3, 0, 1, 7].map(Duration::from_millis) {
            let due = Instant::now() + wait;
            alarm.set(due);
            alarm.ring().await;
            assert!(Instant::now() >= due);
        }
    }

    #[tokio::test]
    async fn what_was_set_last_counts() {
        let mut alarm = Alarm::new().unwrap();
        let [soon, later, never] = [20, 40, 3_600_000].map(Duration::from_millis);
        for (first, then) in [(soon, later), (never, soon), (never, later)] {
            let replaced = Instant::now() + first;
            alarm.set(replaced);
            let early = tokio::time::timeout(Duration::from_millis(1), alarm.ring()).await;
            assert!(early.is_err() || Instant::now() >= replaced, "it waits");
            let due = Instant::now() + then;
            alarm.set(due);
            tokio::time::timeout(PATIENCE, alarm.ring()).await.expect("it rings");
            assert!(Instant::now() >= due);
        }
    }
}
