//! Standard output: results and nothing else.

use std::io::{self, Write};

use crate::cli::failure::{Code, Failure};

/// Whether the environment allows colours (no-color.org).
pub(super) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a result. Whoever closed the pipe has read enough: that is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::CheckFailed, format!("the result cannot be written: {error}"))
                .at("standard output"))
        }
        _ => Ok(()),
    }
}
