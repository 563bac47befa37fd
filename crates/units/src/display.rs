//! Numbers for the eye: rounded, with the unit that suits them. No parser reads them back.

/// Three significant digits, without an exponent: `0.0123`, `12.3`, `123457`.
#[must_use]
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", usize::try_from(digits.clamp(0, 9)).unwrap_or_default());
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A whole number with its thousands set apart: `1,234,567`.
#[must_use]
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" {
        text.insert(0, '-');
    }
    text
}

/// A time in the unit that suits it, with three significant digits: `500 ns`, `1.5 µs`, `30 ms`, `2.5 s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    let (number, unit) = match seconds.abs() {
        0.0 => return "0".to_owned(),
        size if size < 1e-6 => (seconds * 1e9, "ns"),
        size if size < 1e-3 => (seconds * 1e6, "µs"),
        size if size < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    format!("{} {unit}", significant(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (1.0, "1"),
            (12.345, "12.3"),
            (6000.0, "6000"),
            (123_456.7, "123457"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (-1_234_567.0, "-1,234,567"),
            (-0.2, "0"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (value, text) in [
            (0.0, "0"),
            (500e-9, "500 ns"),
            (1e-6, "1 µs"),
            (1.5e-6, "1.5 µs"),
            (0.03, "30 ms"),
            (2.5, "2.5 s"),
            (-0.008, "-8 ms"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }
}
