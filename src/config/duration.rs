//! Spans of time with their unit: `500ms`, `10s`, `2m`, `1h`.

use std::time::Duration;

/// Reads a whole number followed by its unit.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let expected =
        || format!("\"{text}\" is not a duration: write a whole number and ms, s, m or h");
    let milliseconds = match unit.trim_start() {
        "" if digits > 0 => {
            return Err(format!("\"{text}\" has no unit: write {text}ms or {text}s"));
        }
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let count: u64 = number.parse().map_err(|_| expected())?;
    count.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_known_and_none_is_guessed() {
        for (text, milliseconds) in
            [("500ms", 500), ("0s", 0), ("10 s", 10_000), ("2m", 120_000), (" 1h ", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert!(parse_duration("500").unwrap_err().contains("500ms"));
        for text in
            ["", "ms", "-1s", "1.5s", "1d", "1s2", "99999999999999999999s", "9999999999999999h"]
        {
            assert!(parse_duration(text).unwrap_err().contains("not a duration"), "{text}");
        }
    }
}
