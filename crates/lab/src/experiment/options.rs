//! Every option of the server and of the generator that an experiment can fix or vary: one row each.
//!
//! The row decides how the file is checked, how a value is read, which flag it becomes, and how an axis is labelled.

use std::sync::LazyLock;

use c10k_record::OptionKind;

use super::value::{Kind, Value};
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionRow {
    /// Its name in the file and, with two dashes, on the command line.
    pub(crate) name: &'static str,
    pub(crate) side: Side,
    pub(crate) kind: Kind,
    /// The words that the process takes as well.
    pub(crate) words: Words,
    /// The smallest number that the process takes.
    pub(crate) smallest: Smallest,
    /// Its label where it is an axis, with its unit; durations have theirs with each number.
    pub(crate) label: &'static str,
}

/// The words that an option takes as well as values of its kind. A value of an axis is never a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    None,
    /// `max`: as many as the server answers.
    Max,
    /// `adaptive`, or `adaptive:` and a duration.
    Adaptive,
}

impl Words {
    /// Whether the text is one of them.
    pub(crate) fn contain(self, text: &str) -> bool {
        match self {
            Self::None => false,
            Self::Max => text == "max",
            Self::Adaptive => match text.split_once(':') {
                None => text == "adaptive",
                Some((word, most)) => word == "adaptive" && Value::parse(Kind::Duration, most).is_ok(),
            },
        }
    }
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
        words: match kind {
            Kind::Rate => Words::Max,
            _ => Words::None,
        },
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

/// A row that takes words as well.
const fn or_words(words: Words, row: OptionRow) -> OptionRow {
    OptionRow { words, ..row }
}

static OPTIONS: &[OptionRow] = &[
    row("model", Side::Server, Kind::Word, "model"),
    row("mechanism", Side::Server, Kind::Word, "mechanism"),
    row("accept", Side::Server, Kind::Word, "accept policy"),
    row("accept-sharing", Side::Server, Kind::Word, "accept sharing"),
    or_words(
        Words::Adaptive,
        row("spin", Side::Server, Kind::Duration, "spin before a sleep"),
    ),
    row("recycle", Side::Server, Kind::Word, "time of a worker"),
    row("tcp-migrate-req", Side::Server, Kind::Count, "tcp_migrate_req"),
    above_zero("events-per-wait", Side::Server, Kind::Count, "events per wait"),
    row("submission", Side::Server, Kind::Word, "submission"),
    row("ring", Side::Server, Kind::Word, "ring options"),
    above_zero("workers", Side::Server, Kind::Count, "workers"),
    row("work", Side::Server, Kind::Duration, "work per request"),
    row("signal-queue", Side::Server, Kind::Count, "signal queue [signals]"),
    row("on-overflow", Side::Server, Kind::Word, "on overflow"),
    row("root", Side::Server, Kind::Word, "root"),
    above_zero("helpers", Side::Server, Kind::Count, "helpers"),
    above_zero("concurrency", Side::Server, Kind::Count, "threads that may run"),
    above_zero("disk-files", Side::Server, Kind::Count, "files"),
    above_zero("disk-file-size", Side::Server, Kind::Size, "file size [bytes]"),
    row("disk-delay", Side::Server, Kind::Duration, "delay of each access"),
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
    row(OTHER[0], Side::Load, Kind::Word, "path of the other requests"),
    row(OTHER[1], Side::Load, Kind::Count, "% other requests"),
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

/// Options of `[server]` that are settings of the network in which a cell runs, and not of the server: with their paths below
/// `/proc/sys/net`.
pub(crate) const NETWORK: [(&str, &str); 1] = [("tcp-migrate-req", "ipv4/tcp_migrate_req")];
/// Options of `[load]` that become a mix of requests: the other request than that of `path` or `reply`, and its share in percent.
pub(crate) const OTHER: [&str; 2] = ["other-path", "other-share"];

/// Options of `[server]` for which the lab makes a directory, `--disk`.
pub(crate) const DISK: [&str; 3] = ["disk-files", "disk-file-size", "disk-delay"];

/// Former names, which the experiments of stored studies still use.
const FORMER: [(&str, &str); 2] = [("beside-rate", BACKGROUND[0]), ("beside-spin", BACKGROUND[1])];

/// `name`, which selects the probe, and the options of the registered probes; one that several probes take is one option.
static PROBE_OPTIONS: LazyLock<Vec<OptionRow>> = LazyLock::new(|| {
    let mut rows = vec![row("name", Side::Probe, Kind::Word, "probe")];
    for option in rows::get().probes.iter().flat_map(|probe| &probe.options) {
        if rows.iter().all(|row| row.name != option.name) {
            let kind = match option.kind {
                OptionKind::Word | OptionKind::Directory => Kind::Word,
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
