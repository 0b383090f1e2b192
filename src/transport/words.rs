//! The words of others, made fit for people: whoever has proven nothing could write anything to a terminal.

use crate::wire::Refusal;

/// How much is shown. The longest reason that a node gives stays whole.
const CHARS_MAX: usize = 500;

/// The text without control characters, cut where it is long.
pub(crate) fn fit(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut fit: String = text.chars().take(CHARS_MAX).map(shown).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        fit.push('…');
    }
    fit
}

/// What another node says when it refuses.
pub(crate) fn fit_refusal(Refusal { code, reason }: Refusal) -> Refusal {
    Refusal { code: fit(&code), reason: fit(&reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_control_nothing() {
        assert_eq!(fit("give both the same --cluster: ❄"), "give both the same --cluster: ❄");
        assert_eq!(fit("\u{1b}[2Jgone\n"), "\u{fffd}[2Jgone\u{fffd}");
        let longest = "ö".repeat(CHARS_MAX);
        assert_eq!(fit(&longest), longest);
        assert_eq!(fit(&format!("{longest}ö")), format!("{longest}…"));
        let refusal = Refusal { code: "full\r".to_owned(), reason: "\u{7}".to_owned() };
        let fit = Refusal { code: "full\u{fffd}".to_owned(), reason: "\u{fffd}".to_owned() };
        assert_eq!(fit_refusal(refusal), fit);
    }
}
