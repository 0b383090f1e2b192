//! Log lines: to standard error, as text or JSON; commits at any level.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::failure::{Code, Failure};
use crate::cli::lines::{Lines, Rest};
use crate::cli::output::colours_wanted;
use crate::config::{LogFormat, Settings};
use crate::runtime::{COMMIT_TARGET, NODE_TARGET};

/// Starts printing, until the first it returns is dropped; the second counts the lines that found no room.
/// Once per process.
pub(super) fn start(settings: &Settings) -> Result<(Rest, Arc<AtomicU64>), Failure> {
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    let wrong = |error: String| {
        Failure::new(Code::Configuration, format!("log_level = \"{}\": {error}", settings.log_level))
            .hint("write error, warn, info, debug or trace, or pairs such as info,quorate::transport=debug")
    };
    let commits = format!("{COMMIT_TARGET}=info").parse().expect("a target and a level");
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::OFF.into())
        .parse(&settings.log_level)
        .map_err(|error| wrong(error.to_string()))?
        .add_directive(commits);
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
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    let started = match settings.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && colours_wanted();
            lines.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    };
    started.map_err(|error| wrong(error.to_string()))?;
    Ok((rest, dropped))
}
