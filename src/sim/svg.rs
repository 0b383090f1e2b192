//! A story as a picture: a lane per node, time downwards, frames as arrows from when they left to when they came.
//!
//! The axis keeps the order of moments and not their distance: quiet stretches are drawn short, and what
//! happens at one moment is written one below the other. The moments stand at the left. Nothing outside of
//! the file is needed to show it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::sim::clock::Moment;
use crate::sim::story::{Class, Mark, Story};
use crate::sim::transcript::name;

/// Pixels: of the axis, of a lane, of a line of text, of the heading.
const AXIS: usize = 96;
const LANE: usize = 232;
const LINE: usize = 13;
const HEAD: usize = 84;

/// How many signs of a text fit in a lane; a pointer over it shows the rest.
const SIGNS: usize = 31;

/// The shortest and the longest way from one moment to the next.
const STEP: (usize, usize) = (7, 34);

/// How far apart the moments stand that are written at the axis.
const TICK: usize = 26;

const STYLE: &str = "\
text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#222}\
.t{paint-order:stroke;stroke:#fff;stroke-width:3px}.h{font-size:13px;font-weight:bold}\
.a,.s{fill:#777;font-size:10px}.g{stroke:#bbb}.up{stroke:#444}.down{stroke:#ccc;stroke-dasharray:2 4}\
.split{fill:#fdecea}.w{stroke:#c0392b;stroke-dasharray:6 3}\
.lost{stroke-dasharray:3 3;opacity:.55}";

/// A story as an SVG picture.
pub fn svg(story: &Story, title: &str) -> String {
    let rows = Rows::of(story);
    let (width, height) = (AXIS + LANE * story.nodes + 16, rows.end + 40);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    backdrop(&mut out, story, &rows, width);
    heading(&mut out, story, title);
    lanes(&mut out, story, &rows);
    axis(&mut out, &rows);
    for mark in &story.marks {
        if let Mark::Arrow { .. } = mark {
            arrow(&mut out, mark, &rows);
        }
    }
    let mut used = BTreeMap::new();
    for mark in &story.marks {
        words(&mut out, mark, &rows, &mut used, width);
    }
    out.push_str("</svg>\n");
    out
}

/// Where each moment stands.
struct Rows {
    at: BTreeMap<Moment, usize>,
    end: usize,
}

impl Rows {
    fn of(story: &Story) -> Self {
        // How many lines of text each moment needs: one below the other in a lane, and across all lanes.
        let mut lines: BTreeMap<Moment, BTreeMap<Option<usize>, usize>> = BTreeMap::new();
        for mark in &story.marks {
            let lane = match mark {
                Mark::Arrow { sent, .. } => {
                    lines.entry(*sent).or_default();
                    lines.entry(mark.at()).or_default();
                    continue;
                }
                Mark::Deed { node, .. } => Some(*node),
                Mark::World { .. } => None,
            };
            *lines.entry(mark.at()).or_default().entry(lane).or_default() += 1;
        }
        let mut at = BTreeMap::new();
        let mut y = HEAD;
        let mut before = None;
        // From where on there is room for a line of text, by lane.
        let mut room: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        for (moment, lines) in lines {
            let passed = before.map_or(0, |before| moment.since(before).as_micros() / 60);
            y += usize::try_from(passed).unwrap_or(STEP.1).clamp(STEP.0, STEP.1);
            y = lines.keys().filter_map(|lane| room.get(lane)).fold(y, |y, free| y.max(*free));
            if lines.contains_key(&None) {
                // What comes over all is written above its line, which lies across all lanes.
                y = room.values().fold(y, |y, free| y.max(free + LINE));
            }
            at.insert(moment, y);
            room.extend(lines.iter().map(|(lane, count)| (*lane, y + count * LINE)));
            let world = lines.get(&None).copied().unwrap_or_default();
            let most = lines.iter().filter(|(lane, _)| lane.is_some()).map(|(_, n)| *n).max();
            y += (world + most.unwrap_or_default()).saturating_sub(1) * LINE;
            before = Some(moment);
        }
        Self { at, end: y + 24 }
    }

    fn y(&self, moment: Moment) -> usize {
        self.at[&moment]
    }
}

fn x(node: usize) -> usize {
    AXIS + LANE * node + 14
}

/// Stretches in which the network was split.
fn backdrop(out: &mut String, story: &Story, rows: &Rows, width: usize) {
    let mut since = story.is_split.then_some(HEAD - 8);
    let mut band = |from: usize, to: usize| {
        let (x, width, height) = (AXIS - 8, width - AXIS, to.saturating_sub(from));
        let _ = writeln!(
            out,
            "<rect class=\"split\" x=\"{x}\" y=\"{from}\" width=\"{width}\" height=\"{height}\"/>"
        );
    };
    for mark in &story.marks {
        if let Mark::World { at, splits: Some(splits), .. } = mark {
            match (since, splits) {
                (Some(from), false) => {
                    band(from, rows.y(*at));
                    since = None;
                }
                (None, true) => since = Some(rows.y(*at)),
                (Some(_), true) | (None, false) => {}
            }
        }
    }
    if let Some(from) = since {
        band(from, rows.end);
    }
}

fn heading(out: &mut String, story: &Story, title: &str) {
    let _ = writeln!(out, "<text class=\"h\" x=\"8\" y=\"20\">{}</text>", escaped(title));
    let mut x = 8;
    let classes = [
        (Class::Propose, "propose"),
        (Class::Vote, "vote"),
        (Class::Round, "round change"),
        (Class::Other, "other"),
        (Class::Text, "text"),
        (Class::Client, "client"),
        (Class::Commit, "COMMIT"),
        (Class::Doubt, "doubt"),
    ];
    for (class, word) in classes {
        let colour = colour(class);
        let _ = writeln!(
            out,
            "<text class=\"s\" style=\"fill:{colour}\" x=\"{x}\" y=\"38\">{word}</text>"
        );
        x += word.len() * 7 + 16;
    }
    let mut notes = "dashed: lost, or down; red ground: the network is split".to_owned();
    if story.left_out > 0 {
        let _ = write!(notes, "; {} marks before this are left out", story.left_out);
    }
    let _ = writeln!(out, "<text class=\"s\" x=\"8\" y=\"54\">{notes}</text>");
}

/// The life line of every node: broken while it is down.
fn lanes(out: &mut String, story: &Story, rows: &Rows) {
    for node in 0..story.nodes {
        let x = x(node);
        let _ = writeln!(
            out,
            "<text class=\"h\" x=\"{}\" y=\"{}\">{}</text>",
            x - 6,
            HEAD - 12,
            name(node)
        );
        let mut line = |from: usize, to: usize, is_up: bool| {
            let class = if is_up { "up" } else { "down" };
            let _ = writeln!(
                out,
                "<line class=\"{class}\" x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\"/>"
            );
        };
        let (mut from, mut is_up) = (HEAD - 8, !story.down.contains(&node));
        for mark in &story.marks {
            if let Mark::Deed { node: other, at, class, .. } = mark
                && *other == node
                && matches!(class, Class::Up | Class::Down)
            {
                line(from, rows.y(*at), is_up);
                (from, is_up) = (rows.y(*at), *class == Class::Up);
            }
        }
        line(from, rows.end, is_up);
    }
}

fn axis(out: &mut String, rows: &Rows) {
    let mut free = 0;
    for (moment, y) in rows.at.iter().filter(|(_, y)| **y > 0) {
        if *y >= free {
            let _ = writeln!(
                out,
                "<text class=\"a\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{moment}</text>\
                 <line class=\"g\" x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>",
                AXIS - 16,
                y + 3,
                AXIS - 12,
                AXIS - 6
            );
            free = y + TICK;
        }
    }
}

fn arrow(out: &mut String, mark: &Mark, rows: &Rows) {
    let Mark::Arrow { from, to, sent, at, class, what, is_lost } = mark else { return };
    let colour = colour(*class);
    let (x1, mut x2, y1, mut y2) = (x(*from), x(*to), rows.y(*sent), rows.y(*at));
    if *is_lost {
        (x2, y2) = (x1.midpoint(x2), y1.midpoint(y2).max(y1 + 6));
    }
    let style = if *is_lost { " class=\"lost\"" } else { "" };
    let (from, to) = (name(*from), name(*to));
    let _ = write!(
        out,
        "<g{style} stroke=\"{colour}\" fill=\"{colour}\"><title>{from} to {to}: {what}, {sent} to {at}</title>\
         <line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
    );
    let _ = match (*is_lost, x2 > x1) {
        (true, _) => write!(
            out,
            "<path d=\"M{} {}l6 6m0 -6l-6 6\" fill=\"none\" stroke-dasharray=\"none\"/>",
            x2 - 3,
            y2 - 3
        ),
        (false, true) => write!(out, "<path d=\"M{x2} {y2}l-7 -3v6z\" stroke=\"none\"/>"),
        (false, false) => write!(out, "<path d=\"M{x2} {y2}l7 -3v6z\" stroke=\"none\"/>"),
    };
    out.push_str("</g>\n");
}

/// The text of a mark, below what is written already at this moment.
fn words(
    out: &mut String,
    mark: &Mark,
    rows: &Rows,
    used: &mut BTreeMap<(Moment, Option<usize>), usize>,
    width: usize,
) {
    match mark {
        Mark::Arrow { .. } => {}
        Mark::Deed { node, at, class, text } => {
            let above = used.get(&(*at, None)).copied().unwrap_or_default();
            let line = used.entry((*at, Some(*node))).or_insert(above);
            let (x, y, colour) = (x(*node), rows.y(*at) + *line * LINE, colour(*class));
            *line += 1;
            let weight = match class {
                Class::Commit | Class::Up | Class::Down | Class::Broken => ";font-weight:bold",
                _ => "",
            };
            let short: String = match text.chars().count() > SIGNS {
                true => text.chars().take(SIGNS - 1).chain(['…']).collect(),
                false => text.clone(),
            };
            let _ = writeln!(
                out,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/><text class=\"t\" \
                 style=\"fill:{colour}{weight}\" x=\"{}\" y=\"{}\">{}<title>{at} {}</title></text>",
                x + 7,
                y + 4,
                escaped(&short),
                escaped(text)
            );
        }
        Mark::World { at, text, .. } => {
            let line = used.entry((*at, None)).or_default();
            let y = rows.y(*at) + *line * LINE;
            *line += 1;
            let _ = writeln!(
                out,
                "<line class=\"w\" x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/><text class=\"t\" \
                 style=\"fill:#c0392b\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                AXIS - 8,
                width - 8,
                width - 12,
                y - 3,
                escaped(text)
            );
        }
    }
}

fn colour(class: Class) -> &'static str {
    match class {
        Class::Beat => "#bbbbbb",
        Class::Propose => "#1f5fbf",
        Class::Vote => "#2a8f83",
        Class::Round => "#7d3cb5",
        Class::Other => "#777777",
        Class::Text => "#b8860b",
        Class::Client => "#555599",
        Class::Commit => "#1e8e3e",
        Class::Up => "#222222",
        Class::Down | Class::Broken => "#c0392b",
        Class::Doubt => "#d2691e",
    }
}

/// Text as it may stand in a picture or a page.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
