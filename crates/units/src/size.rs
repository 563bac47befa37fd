//! Sizes in bytes: `92`, `6k`, `1.5m`. The multiples are binary: `k` is 1,024.

use crate::{ValueError, decimal};

const UNITS: &[(&str, u64)] = &[("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10), ("", 1)];

/// Reads a number of bytes, or of the multiples `k`, `m` and `g`.
///
/// # Errors
///
/// [`ValueError`] for other text, for a fraction of a byte, and for more than 2⁶⁴ − 1 bytes.
pub fn parse(text: &str) -> Result<u64, ValueError> {
    let (number, unit) = decimal::split(text);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    scale
        .and_then(|scale| decimal::scaled(number, scale))
        .ok_or_else(|| ValueError::new(text, "a size such as 92, 6k or 1m"))
}

/// Prints a size in the largest multiple in which it is whole: `6k`, `6145`.
#[must_use]
pub fn exact(bytes: u64) -> String {
    let whole = UNITS
        .iter()
        .find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    let (unit, scale) = whole.unwrap_or(&("", 1));
    format!("{}{unit}", bytes / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_multiples() {
        for (text, bytes) in [
            ("92", 92),
            ("6k", 6144),
            ("1.5k", 1536),
            ("1m", 1 << 20),
            ("2g", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "k", "6K", "-1", "6kb", "0.3k", "1.", "99999999999999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_size() {
        for bytes in [0, 1, 92, 1023, 1024, 1536, 6144, 6145, 1 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse(&exact(bytes)), Ok(bytes));
        }
        assert_eq!((exact(6144), exact(1536)), ("6k".to_owned(), "1536".to_owned()));
    }
}
