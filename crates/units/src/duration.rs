//! Durations, in whole nanoseconds: `250us`, `1.5ms`, `10s`, `2m`, `1h`.

use std::time::Duration;

use crate::{ValueError, decimal};

const UNITS: &[(&str, u64)] = &[
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a number and one of the units `ns`, `us` (or `µs`), `ms`, `s`, `m` and `h`; or `0`.
///
/// # Errors
///
/// [`ValueError`] for other text, for a fraction of a nanosecond (`0.5ns`), and for more than 2⁶⁴ − 1 nanoseconds
/// (about 584 years).
pub fn parse(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = decimal::split(text);
    let unit = if unit == "µs" { "us" } else { unit };
    let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => Some(*scale),
        None => (text == "0").then_some(1),
    };
    scale
        .and_then(|scale| decimal::scaled(number, scale))
        .map(Duration::from_nanos)
        .ok_or_else(|| ValueError::new(text, "a duration such as 250us, 1.5ms, 10s, 2m or 1h"))
}

/// Prints a duration in the largest unit that needs at most three digits after the point: `1.5us`, `90s`, `0`.
/// Minutes and hours are printed only where they are whole. What exceeds 2⁶⁴ − 1 nanoseconds is printed as that.
#[must_use]
pub fn exact(duration: Duration) -> String {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds == 0 {
        return "0".to_owned();
    }
    let fitting = UNITS.iter().filter(|(_, scale)| nanoseconds >= *scale);
    fitting
        .filter_map(|(unit, scale)| {
            let places = if *scale > 1_000_000_000 { 0 } else { 3 };
            decimal::in_units(nanoseconds, *scale, places).map(|number| number + unit)
        })
        .next()
        .unwrap_or_else(|| format!("{nanoseconds}ns"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        for (text, nanoseconds) in [
            ("500ns", 500),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("1.5us", 1_500),
            ("1.5ms", 1_500_000),
            ("0.000000001s", 1),
            ("10s", 10_000_000_000),
            ("2m", 120_000_000_000),
            ("0.5m", 30_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1 s",
            "1.s",
            ".5s",
            "1.2.3s",
            "0.5ns",
            "1e3s",
            "1S",
            "1min",
            "99999999999s",
            "0.00000000000000000000000000000000000000001s",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(
                error.to_string(),
                format!("'{text}' is not a duration such as 250us, 1.5ms, 10s, 2m or 1h")
            );
        }
    }

    #[test]
    fn a_duration_is_printed_in_the_largest_unit_that_fits() {
        for (nanoseconds, text) in [
            (0, "0"),
            (1, "1ns"),
            (1_500, "1.5us"),
            (1_234_567, "1234.567us"),
            (600_000_000, "600ms"),
            (90_000_000_000, "90s"),
            (120_000_000_000, "2m"),
            (7_200_000_000_000, "2h"),
        ] {
            assert_eq!(exact(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_duration() {
        let mut nanoseconds: u64 = 1;
        for _ in 0..10_000 {
            // A multiplicative generator: every magnitude occurs.
            nanoseconds = nanoseconds.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) | 1;
            let value = Duration::from_nanos(nanoseconds >> (nanoseconds % 60));
            assert_eq!(parse(&exact(value)), Ok(value), "{}", exact(value));
        }
        let longest = Duration::from_nanos(u64::MAX);
        assert_eq!(parse(&exact(longest)), Ok(longest));
    }
}
