//! Log lines: to standard error, as text or JSON; commits at any level.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::failure::{Code, Failure};
use crate::cli::format::Format;
use crate::cli::lines::{Lines, Rest};
use crate::cli::output::colours_wanted;
use crate::config::{LogFormat, Settings};
use crate::runtime::{COMMIT_TARGET, NODE_TARGET};

/// The lines of this process, until it is dropped: then the last ones are waited for.
#[must_use = "the last lines are waited for when this is dropped"]
pub(super) struct Logs {
    _rest: Rest,
    /// Lines that found no room.
    pub(super) dropped: Arc<AtomicU64>,
    filter: Box<dyn Fn(Targets)>,
    /// Whether a machine reads: to it, whatever is no line is a line that it cannot read.
    is_for_machines: bool,
}

/// Puts every event among the lines.
struct Printer {
    format: Format,
    lines: Lines,
}

impl<S: Subscriber> Layer<S> for Printer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.format.with_line(event, |line| self.lines.put(line.as_bytes()));
    }
}

impl Logs {
    /// From now on, lets through what this filter does.
    pub(super) fn set_filter(&self, filter: Targets) {
        (self.filter)(filter);
    }

    /// Why the program ends: to a machine as lines like all others, unless errors are kept from it; for
    /// people it is told behind the last line.
    pub(super) fn tell(&self, failure: Failure) -> Failure {
        if !self.is_for_machines || !tracing::enabled!(target: NODE_TARGET, Level::ERROR) {
            return failure;
        }
        let code = failure.code.number();
        for (what, place, hint) in failure.troubles() {
            tracing::error!(target: NODE_TARGET, code, what, place, hint, "node.failed");
        }
        failure.told()
    }
}

/// What lets lines of this level through, and every commit.
pub(super) fn filter(log_level: &str) -> Result<Targets, String> {
    let filter: Targets = log_level.parse().map_err(|error| format!("{error}"))?;
    Ok(filter.with_target(COMMIT_TARGET, Level::INFO))
}

/// Starts printing. Once per process.
pub(super) fn start(settings: &Settings) -> Result<Logs, Failure> {
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    let wrong = |error: String| {
        Failure::new(Code::Configuration, format!("log_level = \"{}\": {error}", settings.log_level))
            .hint("write error, warn, info, debug or trace, or pairs such as info,quorate::transport=debug")
    };
    let filter = filter(&settings.log_level).map_err(wrong)?;
    let (lines, rest) = Lines::start(io::stderr(), move |lines| {
        counted.fetch_add(lines, Ordering::Relaxed);
        tracing::warn!(
            target: NODE_TARGET,
            lines,
            hint = "whoever reads standard error is too slow or stands still; `node log` has every commit",
            "log.lines_dropped"
        );
    })
    .map_err(|error| Failure::new(Code::Configuration, format!("no thread for log lines: {error}")))?;
    let format = Format {
        format: settings.log_format,
        journal: is_journal(),
        colours: io::stderr().is_terminal() && colours_wanted(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let subscriber = tracing_subscriber::registry().with(filter).with(Printer { format, lines });
    subscriber.try_init().map_err(|error| wrong(error.to_string()))?;
    // It fails only when the lines have ended, and then nothing is let through anyway.
    let filter = Box::new(move |filter| drop(handle.reload(filter)));
    let is_for_machines = format.journal || format.format == LogFormat::Json;
    Ok(Logs { _rest: rest, dropped, filter, is_for_machines })
}

/// Whether standard error is the system's journal: it names the stream that it gave to the service,
/// which the service may have led elsewhere since.
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let found = rustix::fs::fstat(rustix::stdio::stderr());
    found.is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}
