//! The value of an option: read from an experiment, kept exactly, and printed as the flag of a command.

use std::time::Duration;

use c10k_units::display::{seconds, thousands};
use c10k_units::{duration, rate, share, size};

/// How its values are written and what unit they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Count,
    /// Requests per second; or percent of the measured saturation; or `max`.
    Rate,
    /// Bytes: `92`, `6k`.
    Size,
    /// A duration: `500ns`, `1.5ms`, `1h`. As a number it is in seconds.
    Duration,
    /// A word, which is passed on unchanged and cannot be an axis.
    Word,
}

impl Kind {
    /// A number in the unit of this kind, for the label of an axis.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Duration => seconds(value),
            _ => thousands(value),
        }
    }
}

/// A value of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Count(u64),
    /// Per second.
    Rate(f64),
    /// A share of the measured saturation, which is a rate.
    OfSaturation(f64),
    /// In bytes.
    Size(u64),
    Duration(Duration),
}

impl Value {
    /// Reads `text` as a value of `kind`; the error says what would be right.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        match kind {
            Kind::Word => Err("a word, which cannot be ordered along an axis".to_owned()),
            Kind::Count => text
                .parse()
                .map(Self::Count)
                .map_err(|_| format!("'{text}' is not a whole number")),
            Kind::Size => size::parse(text).map(Self::Size).map_err(|error| error.to_string()),
            Kind::Duration => duration::parse(text)
                .map(Self::Duration)
                .map_err(|error| error.to_string()),
            Kind::Rate => rate::parse(text)
                .map(Self::Rate)
                .or_else(|_| share::parse(text).map(Self::OfSaturation))
                .map_err(|_| {
                    format!("'{text}' is not a rate such as 1000, or a share of the saturation such as 6.67%")
                }),
        }
    }

    /// A share of the saturation becomes a whole number of requests per second; other values stay as they are.
    pub(crate) fn resolved(self, saturation: f64) -> Self {
        match self {
            Self::OfSaturation(share) => Self::Rate((share * saturation).round()),
            other => other,
        }
    }

    /// The number that records and axes have: seconds, bytes, requests per second.
    pub(crate) fn number(self) -> f64 {
        match self {
            Self::Count(count) | Self::Size(count) => count as f64,
            Self::Rate(number) | Self::OfSaturation(number) => number,
            Self::Duration(duration) => duration.as_secs_f64(),
        }
    }

    /// The text that a command takes: it reads the same value from it.
    pub(crate) fn flag(self) -> String {
        match self {
            Self::Count(count) | Self::Size(count) => count.to_string(),
            Self::Rate(per_second) => rate::exact(per_second),
            Self::OfSaturation(fraction) => share::exact(fraction),
            Self::Duration(length) => duration::exact(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_its_kind() {
        for (kind, text, expected) in [
            (Kind::Count, "6000", Value::Count(6000)),
            (Kind::Size, "92", Value::Size(92)),
            (Kind::Size, "6k", Value::Size(6144)),
            (Kind::Duration, "500ns", Value::Duration(Duration::from_nanos(500))),
            (Kind::Duration, "1.5ms", Value::Duration(Duration::from_micros(1500))),
            (Kind::Duration, "1h", Value::Duration(Duration::from_secs(3600))),
            (Kind::Rate, "1000", Value::Rate(1000.0)),
            (Kind::Rate, "0.25", Value::Rate(0.25)),
            (Kind::Rate, "6.67%", Value::OfSaturation(0.0667)),
        ] {
            assert_eq!(Value::parse(kind, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_error_for_another_text_says_what_would_be_right() {
        for (kind, text, right) in [
            (Kind::Count, "many", "a whole number"),
            (Kind::Size, "6q", "a size such as"),
            (Kind::Duration, "5", "a duration such as"),
            (Kind::Duration, "0.5ns", "a duration such as"),
            (Kind::Rate, "-3", "a rate such as"),
            (Kind::Word, "x", "a word"),
        ] {
            let error = Value::parse(kind, text).expect_err(text);
            assert!(error.contains(right), "{text}: {error}");
        }
    }

    #[test]
    fn a_flag_is_the_value_that_was_written() {
        for (kind, text) in [
            (Kind::Duration, "500ns"),
            (Kind::Duration, "1.5us"),
            (Kind::Duration, "1234.567ms"),
            (Kind::Rate, "0.25"),
            (Kind::Count, "6000"),
        ] {
            let value = Value::parse(kind, text).expect(text);
            assert_eq!(value.flag(), text);
            assert_eq!(Value::parse(kind, &value.flag()), Ok(value));
        }
    }

    #[test]
    fn a_share_of_the_saturation_becomes_a_rate() {
        let share = Value::parse(Kind::Rate, "6.67%").expect("a share");
        assert_eq!(share.resolved(30_000.0), Value::Rate(2001.0));
        assert_eq!(Value::Rate(5.0).resolved(30_000.0), Value::Rate(5.0));
    }
}
