//! Every option of the server and of the generator that an experiment can fix or vary: one row each.
//!
//! The row drives the check of the file, the reading of its value, the flag, and the label on an axis.

use c10k_units::display::{seconds, thousands};

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Load,
    /// A measurement in a process of its own, without server and generator: `c10k probe`.
    Probe,
}

/// How its values are written and what unit they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Count,
    /// Requests per second; or percent of the measured saturation; or `max`.
    Rate,
    /// Bytes: `92`, `6k`.
    Size,
    /// A duration: `250us`, `10ms`, `5s`. The number is in seconds.
    Duration,
    /// A word, passed on as it is. Cannot be an axis.
    Word,
}

impl Kind {
    /// A value beside the label of its axis.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Duration => seconds(value),
            _ => thousands(value),
        }
    }
}

/// One option.
#[derive(Debug)]
pub(crate) struct OptionRow {
    /// Its name in the file and, with two dashes, on the command line.
    pub(crate) name: &'static str,
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    /// Its label where it is an axis, with its unit; durations have theirs with each number.
    pub(crate) label: &'static str,
}

const fn row(name: &'static str, side: Side, kind: Kind, label: &'static str) -> OptionRow {
    OptionRow {
        name,
        side,
        kind,
        label,
    }
}

pub(crate) const OPTIONS: &[OptionRow] = &[
    row("model", Side::Server, Kind::Word, "model"),
    row("mechanism", Side::Server, Kind::Word, "mechanism"),
    row("accept", Side::Server, Kind::Word, "accept policy"),
    row("accept-sharing", Side::Server, Kind::Word, "accept sharing"),
    row("submission", Side::Server, Kind::Word, "submission"),
    row("workers", Side::Server, Kind::Count, "workers"),
    row("work", Side::Server, Kind::Duration, "work per request"),
    row("signal-queue", Side::Server, Kind::Count, "signal queue [signals]"),
    row("on-overflow", Side::Server, Kind::Word, "on overflow"),
    row("root", Side::Server, Kind::Word, "root"),
    row("rate", Side::Load, Kind::Rate, "requests per second"),
    row("connect-rate", Side::Load, Kind::Count, "connects per second"),
    row("connections", Side::Load, Kind::Count, "connections"),
    row("idle", Side::Load, Kind::Count, "idle connections"),
    row(
        "requests-per-connection",
        Side::Load,
        Kind::Count,
        "requests per connection",
    ),
    row("duration", Side::Load, Kind::Duration, "duration"),
    row("warmup", Side::Load, Kind::Duration, "warm-up"),
    row("timeout", Side::Load, Kind::Duration, "time limit"),
    row("arrival", Side::Load, Kind::Word, "arrival"),
    row("threads", Side::Load, Kind::Count, "threads of the generator"),
    row("burst", Side::Load, Kind::Count, "requests due at once"),
    row("max-lag", Side::Load, Kind::Duration, "send lag allowed"),
    row("pace", Side::Load, Kind::Word, "pace"),
    row(
        "pipeline",
        Side::Load,
        Kind::Count,
        "requests on one connection at once",
    ),
    row("path", Side::Load, Kind::Word, "path"),
    row("reply", Side::Load, Kind::Size, "reply size [bytes]"),
    row("beside-rate", Side::Load, Kind::Rate, "requests beside, per second"),
    row(
        "beside-spin",
        Side::Load,
        Kind::Duration,
        "CPU time of a request beside",
    ),
    row("name", Side::Probe, Kind::Word, "probe"),
    row("time", Side::Probe, Kind::Duration, "measured time"),
    row("by", Side::Probe, Kind::Word, "by"),
    row("place", Side::Probe, Kind::Word, "place"),
    row("parent-mib", Side::Probe, Kind::Count, "MiB of the parent's memory"),
    row("tasks", Side::Probe, Kind::Count, "tasks in the ring"),
    row("blocked", Side::Probe, Kind::Count, "blocked tasks"),
    row("sources", Side::Probe, Kind::Count, "sources"),
    row("active", Side::Probe, Kind::Count, "active sources"),
    row("subscribers", Side::Probe, Kind::Count, "subscribers"),
    row("sample", Side::Probe, Kind::Duration, "work for a sample"),
];

/// Options of `[load]` that are for the second generator and not for the measured one.
pub(crate) const BACKGROUND: &[&str] = &["beside-rate", "beside-spin"];

pub(crate) fn find(name: &str) -> Option<&'static OptionRow> {
    OPTIONS.iter().find(|row| row.name == name)
}

/// The names of one side, for messages.
pub(crate) fn names(side: Side) -> String {
    let names: Vec<&str> = OPTIONS
        .iter()
        .filter(|row| row.side == side)
        .map(|row| row.name)
        .collect();
    names.join(", ")
}

/// A value as the file has it, read as a number in the unit of its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// In the unit of the kind.
    Absolute(f64),
    /// A fraction of the measured saturation.
    OfSaturation(f64),
}

/// Reads `text` as a value of `kind`; the error says what would be right.
pub(crate) fn number(kind: Kind, text: &str) -> Result<Number, String> {
    let wrong = |right: &str| format!("'{text}' is not {right}");
    match kind {
        Kind::Word => Err("a word, which cannot be ordered along an axis".to_owned()),
        Kind::Count => text
            .parse::<u64>()
            .map(|count| Number::Absolute(count as f64))
            .map_err(|_| wrong("a whole number")),
        Kind::Size => size(text)
            .map(Number::Absolute)
            .ok_or_else(|| wrong("a size such as 92 or 6k")),
        Kind::Duration => duration_s(text)
            .map(Number::Absolute)
            .ok_or_else(|| wrong("a duration such as 250us, 10ms or 5s")),
        Kind::Rate => rate(text).ok_or_else(|| wrong("a rate such as 1000, or 6.67% of the saturation")),
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value >= 0.0)
}

fn rate(text: &str) -> Option<Number> {
    match text.strip_suffix('%') {
        Some(percent) => positive(percent).map(|percent| Number::OfSaturation(percent / 100.0)),
        None => positive(text).map(Number::Absolute),
    }
}

fn size(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let units = [("k", 1024.0), ("m", 1024.0 * 1024.0), ("g", 1024.0 * 1024.0 * 1024.0)];
    for (unit, factor) in units {
        if let Some(count) = lower.strip_suffix(unit) {
            return count.parse::<u32>().ok().map(|count| f64::from(count) * factor);
        }
    }
    lower.parse::<u32>().ok().map(f64::from)
}

/// Reads `250us`, `10ms`, `5s`, `2m` as seconds.
pub(crate) fn duration_s(text: &str) -> Option<f64> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    units
        .iter()
        .find_map(|(unit, factor)| positive(text.strip_suffix(unit)?).map(|count| count * factor))
}

/// A number of `kind` as the command line wants it.
pub(crate) fn as_flag(kind: Kind, value: f64) -> String {
    match kind {
        Kind::Duration => format!("{:.0}us", value * 1e6),
        Kind::Rate => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_the_unit_of_their_kind() {
        let cases = [
            (Kind::Count, "6000", Number::Absolute(6000.0)),
            (Kind::Size, "92", Number::Absolute(92.0)),
            (Kind::Size, "6k", Number::Absolute(6144.0)),
            (Kind::Duration, "250us", Number::Absolute(250e-6)),
            (Kind::Duration, "2m", Number::Absolute(120.0)),
            (Kind::Rate, "1000", Number::Absolute(1000.0)),
            (Kind::Rate, "6.67%", Number::OfSaturation(0.0667)),
        ];
        for (kind, text, expected) in cases {
            let (Number::Absolute(found) | Number::OfSaturation(found)) = number(kind, text).expect(text);
            let (Number::Absolute(wanted) | Number::OfSaturation(wanted)) = expected;
            assert!((found - wanted).abs() < 1e-9, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_not_a_value_of_the_kind_says_what_would_be() {
        for (kind, text) in [
            (Kind::Count, "many"),
            (Kind::Size, "6q"),
            (Kind::Duration, "5"),
            (Kind::Rate, "-3"),
            (Kind::Word, "x"),
        ] {
            assert!(number(kind, text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_reach_the_command_line_in_microseconds() {
        assert_eq!(as_flag(Kind::Duration, 0.8), "800000us");
        assert_eq!(as_flag(Kind::Count, 6000.0), "6000");
    }
}
