//! Every option of the server and of the generator that an experiment can fix or vary: one row each.
//!
//! The row decides how the file is checked, how a value is read, which flag it becomes, and how an axis is labelled.

use std::sync::LazyLock;

use c10k_record::OptionKind;

use super::value::Kind;
use crate::rows;

/// The process that takes an option.
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
    /// The smallest number that the process takes.
    pub(crate) smallest: Smallest,
    /// Its label where it is an axis, with its unit; durations have theirs with each number.
    pub(crate) label: &'static str,
}

/// The smallest number that an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smallest {
    Zero,
    AboveZero,
}

const fn row(name: &'static str, side: Side, kind: Kind, label: &'static str) -> OptionRow {
    OptionRow {
        name,
        side,
        kind,
        smallest: Smallest::Zero,
        label,
    }
}

/// A row whose values are above 0.
const fn above_zero(name: &'static str, side: Side, kind: Kind, label: &'static str) -> OptionRow {
    OptionRow {
        smallest: Smallest::AboveZero,
        ..row(name, side, kind, label)
    }
}

static OPTIONS: &[OptionRow] = &[
    row("model", Side::Server, Kind::Word, "model"),
    row("mechanism", Side::Server, Kind::Word, "mechanism"),
    row("accept", Side::Server, Kind::Word, "accept policy"),
    row("accept-sharing", Side::Server, Kind::Word, "accept sharing"),
    row("spin", Side::Server, Kind::Duration, "spin before a sleep"),
    row("submission", Side::Server, Kind::Word, "submission"),
    row("ring", Side::Server, Kind::Word, "ring options"),
    above_zero("workers", Side::Server, Kind::Count, "workers"),
    row("work", Side::Server, Kind::Duration, "work per request"),
    row("signal-queue", Side::Server, Kind::Count, "signal queue [signals]"),
    row("on-overflow", Side::Server, Kind::Word, "on overflow"),
    row("root", Side::Server, Kind::Word, "root"),
    above_zero("rate", Side::Load, Kind::Rate, "requests per second"),
    above_zero("connect-rate", Side::Load, Kind::Count, "connects per second"),
    above_zero("connections", Side::Load, Kind::Count, "connections"),
    row("idle", Side::Load, Kind::Count, "idle connections"),
    above_zero(
        "requests-per-connection",
        Side::Load,
        Kind::Count,
        "requests per connection",
    ),
    above_zero("duration", Side::Load, Kind::Duration, "duration"),
    row("warmup", Side::Load, Kind::Duration, "warm-up"),
    above_zero("timeout", Side::Load, Kind::Duration, "time limit"),
    row("arrival", Side::Load, Kind::Word, "arrival"),
    above_zero("threads", Side::Load, Kind::Count, "threads of the generator"),
    above_zero("burst", Side::Load, Kind::Count, "requests due at once"),
    row("max-lag", Side::Load, Kind::Duration, "send lag allowed"),
    row("pace", Side::Load, Kind::Word, "pace"),
    above_zero(
        "pipeline",
        Side::Load,
        Kind::Count,
        "requests on one connection at once",
    ),
    row("path", Side::Load, Kind::Word, "path"),
    row("reply", Side::Load, Kind::Size, "reply size [bytes]"),
    above_zero(
        "background-rate",
        Side::Load,
        Kind::Rate,
        "background requests per second",
    ),
    above_zero(
        OVERLOAD,
        Side::Load,
        Kind::Rate,
        "requests per second during the overload",
    ),
    row(
        "background-spin",
        Side::Load,
        Kind::Duration,
        "CPU time of a background request",
    ),
];

/// The option of `[load]` that is the rate of an overload in the middle of the measured time.
pub(crate) const OVERLOAD: &str = "overload";

/// Options of `[load]` that are for the background load and not for the measured generator: its rate, and the CPU time of
/// each of its requests.
pub(crate) const BACKGROUND: [&str; 2] = ["background-rate", "background-spin"];

/// Former names, which the experiments of stored studies still use.
const FORMER: [(&str, &str); 2] = [("beside-rate", BACKGROUND[0]), ("beside-spin", BACKGROUND[1])];

/// `name`, which selects the probe, and the options of the registered probes; one that several probes take is one option.
static PROBE_OPTIONS: LazyLock<Vec<OptionRow>> = LazyLock::new(|| {
    let mut rows = vec![row("name", Side::Probe, Kind::Word, "probe")];
    for option in rows::get().probes.iter().flat_map(|probe| &probe.options) {
        if rows.iter().all(|row| row.name != option.name) {
            let kind = match option.kind {
                OptionKind::Word => Kind::Word,
                OptionKind::Count => Kind::Count,
                OptionKind::Duration => Kind::Duration,
            };
            rows.push(row(&option.name, Side::Probe, kind, &option.label));
        }
    }
    rows
});

/// The current name of an option.
pub(crate) fn current(name: &str) -> &str {
    FORMER
        .iter()
        .find(|(former, _)| *former == name)
        .map_or(name, |(_, current)| current)
}

/// The options of one side.
pub(crate) fn of(side: Side) -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS
        .iter()
        .chain(PROBE_OPTIONS.iter())
        .filter(move |row| row.side == side)
}

/// The option of that name, by its current or its former name.
pub(crate) fn find(side: Side, name: &str) -> Option<&'static OptionRow> {
    of(side).find(|row| row.name == current(name))
}

/// The option of that name, of whichever side: for its kind.
pub(crate) fn find_any(name: &str) -> Option<&'static OptionRow> {
    [Side::Server, Side::Load, Side::Probe]
        .into_iter()
        .find_map(|side| find(side, name))
}

/// The names of one side, for messages.
pub(crate) fn names(side: Side) -> String {
    of(side).map(|row| row.name).collect::<Vec<_>>().join(", ")
}
