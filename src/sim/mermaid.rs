//! A story as the text of a Mermaid sequence diagram.

use std::fmt::Write as _;

use crate::sim::story::{Mark, Story};
use crate::sim::transcript::name;

/// Draws `story` as a Mermaid sequence diagram: a text that many viewers of Markdown show as a picture.
pub fn mermaid(story: &Story, title: &str) -> String {
    let mut out = format!("---\ntitle: {}\n---\nsequenceDiagram\n", plain(title));
    let mut line = |text: String| {
        let _ = writeln!(out, "    {text}");
    };
    (0..story.nodes).for_each(|node| line(format!("participant {}", name(node))));
    let all = match story.nodes {
        0 | 1 => name(0),
        nodes => format!("{},{}", name(0), name(nodes - 1)),
    };
    if story.left_out > 0 {
        line(format!("Note over {all}: {} marks before this are left out", story.left_out));
    }
    for mark in &story.marks {
        match mark {
            Mark::Arrow { from, to, at, what, is_lost, .. } => {
                let arrow = if *is_lost { "-x" } else { "->>" };
                line(format!("{}{arrow}{}: {at} {what}", name(*from), name(*to)));
            }
            Mark::Deed { node, at, text, .. } => {
                line(format!("Note right of {}: {at} {}", name(*node), plain(text)));
            }
            Mark::World { at, text, .. } => {
                line(format!("Note over {all}: {at} {}", plain(text)));
            }
        }
    }
    out
}

/// Without the signs that mean something to Mermaid.
fn plain(text: &str) -> String {
    let sign = |sign: char| match sign {
        ';' => ',',
        '#' => 'n',
        '<' => '(',
        '>' => ')',
        ':' => '\u{a789}',
        control if control.is_control() => ' ',
        other => other,
    };
    text.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::Moment;
    use crate::sim::story::Class;

    #[test]
    fn a_story_is_told_in_mermaids_words() {
        let at = Moment::ZERO;
        let arrow = |is_lost| Mark::Arrow {
            from: 0,
            to: 1,
            sent: at,
            at,
            class: Class::Vote,
            what: "vote",
            is_lost,
        };
        let text = "COMMITS 1:\"a;b\"".to_owned();
        let deed = Mark::Deed { node: 1, at, class: Class::Commit, text };
        let world = Mark::World { at, text: "it heals".to_owned(), splits: Some(false) };
        let marks = vec![arrow(false), arrow(true), deed, world];
        let story = Story { nodes: 2, marks, ..Story::default() };
        let told = mermaid(&story, "seed 1");
        let lines: Vec<_> = told.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "---",
                "title: seed 1",
                "---",
                "sequenceDiagram",
                "participant n1",
                "participant n2",
                "n1->>n2: 0.000ms vote",
                "n1-xn2: 0.000ms vote",
                "Note right of n2: 0.000ms COMMITS 1\u{a789}\"a,b\"",
                "Note over n1,n2: 0.000ms it heals",
            ]
        );
    }
}
