//! Every option of the server and of the generator that an experiment can fix or vary: one row each.
//!
//! The row decides how the file is checked, how a value is read, which flag it becomes, and how an axis is labelled.

use super::value::Kind;

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Load,
    /// A measurement in a process of its own, without server and generator: `c10k probe`.
    Probe,
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
