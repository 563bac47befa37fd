//! Rates, per second: `1000`, `0.25`.

use crate::{ValueError, decimal};

/// Reads a number that is not negative.
///
/// # Errors
///
/// [`ValueError`] for other text, signs and exponents included.
pub fn parse(text: &str) -> Result<f64, ValueError> {
    decimal::float(text).ok_or_else(|| ValueError::new(text, "a rate per second such as 1000 or 0.5"))
}

/// Prints a rate with as many digits as it takes to read the same number again.
#[must_use]
pub fn exact(per_second: f64) -> String {
    per_second.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_plain_number() {
        for (text, value) in [("1000", 1000.0), ("0.25", 0.25), ("0", 0.0)] {
            assert_eq!(parse(text), Ok(value));
        }
        for bad in ["", "-3", "+3", "1e3", "inf", "nan", "1000/s", "1,000"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_rate() {
        for value in [0.0, 0.25, 1.0 / 3.0, 1e9, 1234.5] {
            assert_eq!(parse(&exact(value)), Ok(value));
        }
    }
}
