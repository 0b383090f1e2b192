//! Standard output: results and nothing else.

use std::io::{self, IsTerminal, Write};

use crate::cli::failure::{Code, Failure};

/// Whether the environment allows colours (no-color.org).
pub(super) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a result. Whoever closed the pipe has read enough: that is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_on(text).map(|_| ())
}

/// Writes one of many results; says whether anybody reads on.
pub(super) fn print_on(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Failure::new(Code::CheckFailed, format!("the result cannot be written: {error}"))
                .at("standard output")
                .hint("free some space where it is written to"))
        }
    }
}

/// Says something beside the result, to standard error. Where nobody reads it, nothing is lost.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Colours, where standard output is a terminal and nobody asked to do without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// As standard output and the environment allow.
    pub(super) fn of_stdout() -> Self {
        Self { on: io::stdout().is_terminal() && colours_wanted() }
    }

    fn dye(self, colour: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// As it should be.
    pub(super) fn good(self, text: &str) -> String {
        self.dye("32", text)
    }

    /// Worth a look.
    pub(super) fn odd(self, text: &str) -> String {
        self.dye("33", text)
    }

    /// Wrong.
    pub(super) fn bad(self, text: &str) -> String {
        self.dye("31", text)
    }
}
