//! Plots as inline SVG: lines, columns, stacked bars. Colours come from the page around them.

use std::fmt::Write as _;

use crate::cli::bench::html::axis::Axis;
use crate::sim::escaped;

/// Of the whole picture and of what lies around the plane of the plot, in pixels of its own.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 38.0;

/// Of a stacked bar with its label.
const ROW: f64 = 40.0;
const BAR: f64 = 16.0;

/// How many colours the page has.
const COLOURS: usize = 6;

/// Up to how many points are each drawn as one, with their value under the pointer.
const DOTS_MAX: usize = 12;

/// A line of a plot.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// A card with a picture, what its colours mean, and what else must be known.
fn card(title: &str, svg: &str, legend: &str, note: &str) -> String {
    let mut out = format!("<section class=\"plot\"><h2>{}</h2>\n{svg}", escaped(title));
    if !legend.is_empty() {
        let _ = writeln!(out, "<p class=\"legend\">{legend}</p>");
    }
    if !note.is_empty() {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
    out + "</section>\n"
}

fn legend(label: &str, colour: usize, is_dashed: bool) -> String {
    let dashed = if is_dashed { " dashed" } else { "" };
    let label = escaped(label);
    format!("<span><i class=\"c{}{dashed}\"></i>{label}</span>", colour % COLOURS)
}

fn open(title: &str, height: f64) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        escaped(title)
    )
}

fn x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

/// The grid and what is written around it.
fn frame(out: &mut String, across: &Axis, up: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, name) in &up.ticks {
        let y = y(up, *value);
        let _ = writeln!(
            out,
            "<line class=\"grid-line\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 5.0,
            y + 4.0,
            escaped(name)
        );
    }
    for (value, name) in &across.ticks {
        let x = x(across, *value);
        let _ = writeln!(
            out,
            "<line class=\"grid-line\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 14.0,
            escaped(name)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text x=\"4\" y=\"11\">{}</text>",
        HEIGHT - 6.0,
        escaped(&across.title),
        escaped(&up.title)
    );
}

/// Lines over one plane.
pub(super) fn lines(title: &str, note: &str, across: &Axis, up: &Axis, lines: &[Line]) -> String {
    let mut out = open(title, HEIGHT);
    frame(&mut out, across, up);
    let mut named = String::new();
    for line in lines {
        let (colour, dashed) = (line.colour % COLOURS, if line.is_dashed { " dashed" } else { "" });
        let places = line.points.iter().map(|(a, u)| (x(across, *a), y(up, *u)));
        let places: Vec<_> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline class=\"c{colour}{dashed}\" points=\"{}\"/>",
            places.join(" ")
        );
        if line.points.len() <= DOTS_MAX {
            for (place, (a, u)) in places.iter().zip(&line.points) {
                let (x, y) = place.split_once(',').expect("it was written above");
                let title = escaped(&format!("{}: {a:.0}, {u:.0}", line.label));
                let _ = writeln!(
                    out,
                    "<circle class=\"c{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"3\"><title>{title}</title></circle>"
                );
            }
        }
        named += &legend(&line.label, line.colour, line.is_dashed);
    }
    out += "</svg>\n";
    card(title, &out, &named, note)
}

/// Columns from 0 upwards, each from one value to another, and a mark at 0 across.
pub(super) fn columns(
    title: &str,
    note: &str,
    across: &Axis,
    up: &Axis,
    columns: &[(f64, f64, f64)],
) -> String {
    let mut out = open(title, HEIGHT);
    frame(&mut out, across, up);
    for (from, to, height) in columns {
        let (left, right, top) = (x(across, *from), x(across, *to), y(up, *height));
        let _ = writeln!(
            out,
            "<rect class=\"c0\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{from:.0} to {to:.0}: {height}</title></rect>",
            (right - left).max(0.5),
            HEIGHT - BOTTOM - top
        );
    }
    let zero = x(across, 0.0);
    let bottom = HEIGHT - BOTTOM;
    let _ = writeln!(
        out,
        "<line class=\"now\" x1=\"{zero:.1}\" y1=\"{TOP}\" x2=\"{zero:.1}\" y2=\"{bottom}\"/>\n</svg>"
    );
    card(title, &out, "", note)
}

/// A bar per row, of parts beside each other; `written` says how a value is written.
pub(super) fn stacks(
    title: &str,
    note: &str,
    parts: &[&str],
    rows: &[(String, Vec<f64>)],
    written: &dyn Fn(f64) -> String,
) -> String {
    let most = rows.iter().map(|(_, values)| values.iter().sum::<f64>()).fold(1.0, f64::max);
    let height = ROW * rows.len() as f64 + 4.0;
    let mut out = open(title, height);
    for (number, (label, values)) in rows.iter().enumerate() {
        let top = ROW * number as f64;
        let all: Vec<_> = values.iter().map(|value| written(*value)).collect();
        let _ = writeln!(
            out,
            "<text class=\"label\" x=\"2\" y=\"{:.1}\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            top + 14.0,
            escaped(label),
            WIDTH - 2.0,
            top + 14.0,
            escaped(&all.join(" + "))
        );
        let mut left = 2.0;
        for (colour, value) in values.iter().enumerate() {
            let width = value / most * (WIDTH - 4.0);
            let title = escaped(&format!("{}: {}", parts[colour], written(*value)));
            let _ = writeln!(
                out,
                "<rect class=\"c{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\">\
                 <title>{title}</title></rect>",
                colour % COLOURS,
                top + 19.0
            );
            left += width;
        }
    }
    out += "</svg>\n";
    let named: String =
        parts.iter().enumerate().map(|(colour, part)| legend(part, colour, false)).collect();
    card(title, &out, &named, note)
}
