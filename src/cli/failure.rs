//! How the program ends badly: an exit code, and sentences that say what, where and the next step.

use std::fmt;

use crate::config::Fault;
use crate::runtime::FailureClass;

/// Why the program ends, as a number. Told in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The value is surely not committed by this request.
    Rejected,
    /// It may still commit.
    Unknown,
    /// No node answers there.
    Unreachable,
    /// Too few members are heard.
    NoQuorum,
    /// The node could not start, or had to stop.
    Node(FailureClass),
    /// What was to be shown did not come true.
    CheckFailed,
    /// Flags, environment or file.
    Configuration,
}

impl Code {
    /// The exit code.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Rejected => 3,
            Self::Unknown => 4,
            Self::Unreachable => 5,
            Self::NoQuorum => 6,
            Self::Node(class) => class.exit_code(),
            Self::CheckFailed => 10,
            Self::Configuration => 78,
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    what: String,
    place: Option<String>,
    hint: Option<String>,
}

/// Why the program ends, as a number and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For the caller.
    pub(super) code: Code,
    troubles: Vec<Trouble>,
}

impl Failure {
    /// A failure that says only what.
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, troubles: vec![Trouble { what: what.into(), place: None, hint: None }] }
    }

    /// With the place where it happened.
    #[must_use]
    pub(super) fn at(mut self, place: impl fmt::Display) -> Self {
        for trouble in &mut self.troubles {
            trouble.place = Some(place.to_string());
        }
        self
    }

    /// With the next step.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        for trouble in &mut self.troubles {
            trouble.hint = Some(hint.clone());
        }
        self
    }
}

impl Failure {
    /// What there is to tell: what, where, and the next step.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        self.troubles.iter().map(|trouble| {
            (trouble.what.as_str(), trouble.place.as_deref(), trouble.hint.as_deref())
        })
    }

    /// The same, told already: only the exit code is left.
    pub(super) fn told(self) -> Self {
        Self { troubles: Vec::new(), ..self }
    }
}

impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        let told = |fault: Fault| Trouble {
            what: fault.what,
            place: Some(fault.origin.to_string()),
            hint: Some(fault.hint),
        };
        Self { code: Code::Configuration, troubles: faults.into_iter().map(told).collect() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for trouble in &self.troubles {
            writeln!(f, "error: {}", trouble.what)?;
            if let Some(place) = &trouble.place {
                writeln!(f, "  where: {place}")?;
            }
            if let Some(hint) = &trouble.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        Ok(())
    }
}
