//! What the demo prints.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Instant;

use crate::cli::output::{colours_wanted, print};

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";

/// Standard output, with the time since the start before every line.
pub(super) struct Screen {
    started: Instant,
    colours: bool,
    /// Steps told so far.
    steps: RefCell<usize>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let colours = io::stdout().is_terminal() && colours_wanted();
        Self { started: Instant::now(), colours, steps: RefCell::new(0) }
    }

    /// Since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn title(&self, directory: &Path) {
        self.write(
            &self.paint(BOLD, "quorate demo: three processes of this program on this machine"),
        );
        self.write(&self.paint(
            DIM,
            &format!("their logs lie in {}, for as long as this runs", directory.display()),
        ));
    }

    /// A new part of the story.
    pub(super) fn step(&self, what: &str) {
        *self.steps.borrow_mut() += 1;
        let step = format!("{}. {what}", self.steps.borrow());
        self.write("");
        self.write(&self.paint(BOLD, &step));
    }

    /// Something that happened.
    pub(super) fn event(&self, who: &str, what: &str) {
        let time = self.paint(DIM, &format!("{:>6.2} s", self.seconds()));
        self.write(&format!("{time}  {who:<4} {what}"));
    }

    /// Something that came true.
    pub(super) fn good(&self, what: &str) {
        let time = self.paint(DIM, &format!("{:>6.2} s", self.seconds()));
        self.write(&format!("{time}  {}", self.paint(GREEN, &format!("✓ {what}"))));
    }

    /// Something beside the story.
    pub(super) fn aside(&self, what: &str) {
        self.write(&self.paint(DIM, &format!("          {what}")));
    }

    /// Lines that stand for themselves.
    pub(super) fn block(&self, text: &str) {
        for line in text.lines() {
            self.write(&format!("          {line}"));
        }
    }

    /// The last lines of every process.
    pub(super) fn tails(&self, tails: &[(String, Vec<String>)]) {
        for (name, lines) in tails {
            self.write("");
            self.write(&self.paint(RED, &format!("last lines of {name}")));
            for line in lines {
                self.write(&format!("  {line}"));
            }
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn write(&self, line: &str) {
        // Nobody reads on: the exit code still tells how it ended.
        let _ = print(&format!("{line}\n"));
    }
}
