//! When to leave: asked by a signal, or because standard input ended.

use std::io;

use tokio::sync::oneshot;

/// SIGINT and SIGTERM (Ctrl-C elsewhere), as often as they come.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP, as often as it comes; never where it is not wanted.
///
/// Where nobody listens, the signal does what the system, or `nohup`, says.
pub(super) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Listens from now on, if that is wanted.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no such signal"))]
    pub(super) fn listen(wanted: bool) -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signal = if wanted { Some(signal(SignalKind::hangup())?) } else { None };
            Ok(Self { signal })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Comes true when standard input ends; never if that is not wanted.
pub(super) async fn stdin_ends(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (ended, wait) = oneshot::channel::<()>();
    // A thread, not a task: a read of standard input cannot be abandoned, and must not hold up the end.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ended);
    });
    let _ = wait.await;
}
