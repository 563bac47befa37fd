//! Shares of a whole, in percent: `6.67%`. As a number a share is a fraction: 0.0667.

use crate::{ValueError, decimal};

/// Reads a number that is not negative and a percent sign; more than 100% is allowed.
///
/// # Errors
///
/// [`ValueError`] for other text.
pub fn parse(text: &str) -> Result<f64, ValueError> {
    let percent = text.strip_suffix('%').filter(|number| decimal::float(number).is_some());
    // Shifted as text: dividing the number by 100 would round a second time.
    percent
        .and_then(|percent| format!("{percent}e-2").parse().ok())
        .ok_or_else(|| ValueError::new(text, "a share such as 5% or 6.67%"))
}

/// Prints a share in percent with as many digits as it takes to read the same number again.
#[must_use]
pub fn exact(share: f64) -> String {
    let text = share.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let shifted = format!("{whole}{fraction:0<2}");
    let (whole, fraction) = shifted.split_at(whole.len() + 2);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    match fraction {
        "" => format!("{whole}%"),
        _ => format!("{whole}.{fraction}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        for (text, value) in [
            ("6.67%", 0.0667),
            ("100%", 1.0),
            ("250%", 2.5),
            ("0%", 0.0),
            ("0.5%", 0.005),
        ] {
            assert_eq!(parse(text), Ok(value));
            assert_eq!(exact(value), text);
        }
        for bad in ["", "%", "5", "-5%", "5 %", "1e1%"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_share() {
        for thousandths in 0..2000 {
            let share = f64::from(thousandths) / 1000.0 / 7.0;
            assert_eq!(parse(&exact(share)), Ok(share), "{}", exact(share));
        }
    }
}
