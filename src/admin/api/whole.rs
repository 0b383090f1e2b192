//! Whole numbers as JSON has them: to it, 379.0 is the same number as 379.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use crate::limits;
use crate::types::Slot;

/// A slot, or none.
pub(super) fn slot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Slot>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let from_float = || {
        let float = number.as_f64()?;
        let fits = float.fract() == 0.0 && (0.0..=limits::INTEGER_MAX as f64).contains(&float);
        fits.then_some(float as u64)
    };
    let whole = number.as_u64().or_else(from_float);
    whole.map(|whole| Some(Slot(whole))).ok_or_else(|| {
        D::Error::custom(format!("{number} is not the number of a slot: write a whole one, from 0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
        let read = |text: &str| slot(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!(read("379"), Some(Some(Slot(379))));
        assert_eq!(read("379.0"), Some(Some(Slot(379))));
        assert_eq!(read("1e3"), Some(Some(Slot(1000))));
        assert_eq!(read("null"), Some(None));
        for wrong in ["379.5", "-1", "-1.0", "1e300", "\"379\"", "true"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
