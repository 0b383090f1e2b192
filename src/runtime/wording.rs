//! How things are written in a line of the log.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// How much of a text a line shows, in characters.
pub(super) const SHOWN_CHARS_MAX: usize = 120;

/// The beginning of `text`, written to `into` if it is not all of it; what writes the line escapes it.
pub(super) fn shown<'t>(text: &'t str, into: &'t mut String) -> &'t str {
    let end = match text.as_bytes().get(..=SHOWN_CHARS_MAX) {
        None => return text,
        Some(head) if head.is_ascii() => SHOWN_CHARS_MAX,
        Some(_) => match text.char_indices().nth(SHOWN_CHARS_MAX) {
            None => return text,
            Some((end, _)) => end,
        },
    };
    into.clear();
    into.push_str(&text[..end]);
    into.push('…');
    into
}

/// A name as one word of a line: quoted where a peer chose one that could be taken for more.
pub(super) fn word(name: &str) -> Cow<'_, str> {
    let is_word = |symbol: char| symbol.is_alphanumeric() || "-_.:".contains(symbol);
    if !name.is_empty() && name.chars().all(is_word) {
        name.into()
    } else {
        format!("{name:?}").into()
    }
}

/// Votes counted, of so many members.
pub(super) struct Votes(pub(super) Option<(usize, usize)>);

impl fmt::Display for Votes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((counted, members)) => {
                counted.fmt(f)?;
                f.write_str("/")?;
                members.fmt(f)
            }
            None => f.write_str("learned"),
        }
    }
}

/// A span as a person reads it.
pub(super) struct Took(pub(super) Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        let (whole, unit) = match micros {
            0..10_000_000 => (micros / 1_000, "ms"),
            _ => (micros / 1_000_000, "s"),
        };
        whole.fmt(f)?;
        if micros < 10_000 {
            f.write_str(".")?;
            (micros % 1_000 / 100).fmt(f)?;
        }
        f.write_str(unit)
    }
}
