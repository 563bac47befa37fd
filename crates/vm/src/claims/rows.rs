//! The claims, one row each.

use super::cells::Cells;
use super::claim::Claim;

pub(super) const SIGNALS: &str = "rt-signal/accept-all";
const PER_FD: &str = "signal-per-fd/accept-all";
const SELECT_ONE: &str = "select/accept-one";
const SELECT_ALL: &str = "select/accept-all";
const DEV_POLL: &str = "dev-poll-kernel/accept-all";
const DEV_POLL_ONE: &str = "dev-poll-kernel/accept-one";
const EPOLL: &str = "epoll-edge/accept-all";

pub(super) const CONNECTIONS: &str = "vm/idle-connections";
const IDLE_252: &str = "vm/throughput-252-1b";
const IDLE_6000: &str = "vm/throughput-6000-1b";
const IDLE_6000_6K: &str = "vm/throughput-6000-6k";
pub(super) const TABLE_1: &str = "vm/table-1";

const NO_CLAIM: Claim = Claim {
    id: "",
    studies: &[],
    about: "",
    text: "",
    what: "",
    value: |_| None,
    at_least: None,
    at_most: None,
    live: &[],
};

/// All of them.
pub(super) static CLAIMS: &[Claim] = &[
    Claim {
        id: "replies-match",
        studies: &[CONNECTIONS],
        about: "figure 3",
        text: "The reply rate of signals matches the request rate at all points",
        what: "replies ÷ requests due, smallest",
        value: |cells| cells.least_share(SIGNALS),
        at_least: Some(0.97),
        live: &[("paper/idle-connections", "rate-holds")],
        ..NO_CLAIM
    },
    Claim {
        id: "select-replies-match",
        studies: &[CONNECTIONS],
        about: "figure 3",
        text: "The reply rate of select matches the request rate at all points",
        what: "replies ÷ requests due, smallest",
        value: |cells| cells.least_share(SELECT_ALL),
        at_least: Some(0.97),
        live: &[("paper/idle-connections", "rate-holds")],
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-replies-fall",
        studies: &[CONNECTIONS],
        about: "figure 3",
        text: "The reply rate of /dev/poll falls with many connections",
        what: "replies ÷ requests due, smallest",
        value: |cells| cells.least_share(DEV_POLL),
        at_most: Some(0.97),
        ..NO_CLAIM
    },
    Claim {
        id: "signals-flat",
        studies: &[CONNECTIONS],
        about: "figure 4",
        text: "The CPU usage of signals does not depend on the number of connections",
        what: "CPU with 6,000 connections ÷ with 250, 2,000 requests a second",
        value: |cells| cells.grows(SIGNALS, Cells::cpu),
        at_least: Some(0.75),
        at_most: Some(1.25),
        live: &[("paper/idle-connections", "rt-signal-flat")],
    },
    Claim {
        id: "select-saturates",
        studies: &[CONNECTIONS],
        about: "figure 4",
        text: "The CPU usage of select grows with connections until it is saturated",
        what: "share of the CPU with 3,000 connections, 1,000 requests a second",
        value: |cells| cells.cpu(SELECT_ALL, "connections=3000 rate=1000"),
        at_least: Some(0.95),
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-grows",
        studies: &[CONNECTIONS],
        about: "figure 4",
        text: "The CPU usage of /dev/poll grows with connections",
        what: "CPU with 6,000 connections ÷ with 250, 2,000 requests a second",
        value: |cells| cells.grows(DEV_POLL, Cells::cpu),
        at_least: Some(1.5),
        ..NO_CLAIM
    },
    Claim {
        id: "epoll-flat",
        studies: &[CONNECTIONS],
        about: "figure 4",
        text: "Today's epoll: its CPU usage does not depend on the number of connections",
        what: "CPU with 6,000 connections ÷ with 250, 2,000 requests a second",
        value: |cells| cells.grows(EPOLL, Cells::cpu),
        at_least: Some(0.75),
        at_most: Some(1.25),
        live: &[("paper/idle-connections", "epoll-flat")],
    },
    Claim {
        id: "signals-double",
        studies: &[CONNECTIONS],
        about: "section 3.1",
        text: "The CPU usage of signals doubles with the request rate (6.67% and 13.25%)",
        what: "CPU at twice the rate ÷ CPU, 3,000 connections",
        value: |cells| {
            cells.ratio(
                Cells::cpu,
                (SIGNALS, "connections=3000 rate=2000"),
                (SIGNALS, "connections=3000 rate=1000"),
            )
        },
        at_least: Some(1.7),
        at_most: Some(2.3),
        live: &[("paper/idle-connections", "rt-signal-doubles")],
    },
    Claim {
        id: "response-flat",
        studies: &[CONNECTIONS],
        about: "figure 5",
        text: "The response time of signals does not depend on the number of connections",
        what: "with 6,000 connections ÷ with 250, 2,000 requests a second",
        value: |cells| cells.grows(SIGNALS, Cells::response),
        at_least: Some(0.75),
        at_most: Some(1.25),
        live: &[("paper/idle-connections", "response-flat")],
    },
    Claim {
        id: "select-response-grows",
        studies: &[CONNECTIONS],
        about: "figure 5",
        text: "The response time of select grows with connections",
        what: "with 6,000 connections ÷ with 250, 2,000 requests a second",
        value: |cells| cells.grows(SELECT_ALL, Cells::response),
        at_least: Some(1.5),
        ..NO_CLAIM
    },
    Claim {
        id: "signals-later",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (a) to 8 (a)",
        text: "Signals saturate at a higher load than single-accept select",
        what: "peak of signals ÷ peak of single-accept select",
        value: |cells| cells.peaks(SIGNALS, SELECT_ONE),
        at_least: Some(1.02),
        live: &[
            ("paper/throughput-252-idle-1b", "signals-later"),
            ("paper/throughput-6000-idle-1b", "signals-later"),
            ("paper/throughput-6000-idle-6k", "signals-later"),
        ],
        ..NO_CLAIM
    },
    Claim {
        id: "multi-accept-peak",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "section 4.2",
        text: "Accepting all connections at once raises the peak of select",
        what: "peak of multi-accept select ÷ peak of single-accept",
        value: |cells| cells.peaks(SELECT_ALL, SELECT_ONE),
        at_least: Some(1.02),
        live: &[
            ("paper/throughput-252-idle-1b", "multi-accept-peak"),
            ("paper/throughput-6000-idle-1b", "multi-accept-peak"),
            ("paper/throughput-6000-idle-6k", "multi-accept-peak"),
        ],
        ..NO_CLAIM
    },
    Claim {
        id: "multi-accept-near-signals",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (a) to 8 (a)",
        text: "Multi-accept select sustains the throughput of signals",
        what: "peak of multi-accept select ÷ peak of signals",
        value: |cells| cells.peaks(SELECT_ALL, SIGNALS),
        at_least: Some(0.9),
        live: &[
            ("paper/throughput-252-idle-1b", "multi-accept-near-signals"),
            ("paper/throughput-6000-idle-1b", "multi-accept-near-signals"),
            ("paper/throughput-6000-idle-6k", "multi-accept-near-signals"),
        ],
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-overload",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (a) to 8 (a)",
        text: "The reply rate of /dev/poll falls dramatically under overload",
        what: "single-accept /dev/poll: replies at the highest rate ÷ peak",
        value: |cells| cells.keeps(DEV_POLL_ONE),
        at_most: Some(0.9),
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-early",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (a) to 8 (a)",
        text: "/dev/poll saturates much before signals",
        what: "peak of single-accept /dev/poll ÷ peak of signals",
        value: |cells| cells.peaks(DEV_POLL_ONE, SIGNALS),
        at_most: Some(0.9),
        ..NO_CLAIM
    },
    Claim {
        id: "signals-cheaper",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (b) to 8 (b)",
        text: "Signals use much less CPU than multi-accept select",
        what: "CPU of signals ÷ CPU of multi-accept select, 8,000 requests a second",
        value: |cells| cells.ratio(Cells::cpu, (SIGNALS, "rate=8000"), (SELECT_ALL, "rate=8000")),
        at_most: Some(0.9),
        live: &[
            ("paper/throughput-252-idle-1b", "signals-cheaper"),
            ("paper/throughput-6000-idle-1b", "signals-cheaper"),
            ("paper/throughput-6000-idle-6k", "signals-cheaper"),
        ],
        ..NO_CLAIM
    },
    Claim {
        id: "signals-linear",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 6 (b) to 8 (b)",
        text: "The CPU usage of signals grows linearly with the load",
        what: "half of: CPU at 8,000 requests a second ÷ CPU at 4,000",
        value: |cells| Some(cells.ratio(Cells::cpu, (SIGNALS, "rate=8000"), (SIGNALS, "rate=4000"))? / 2.0),
        at_least: Some(0.9),
        at_most: Some(1.1),
        ..NO_CLAIM
    },
    Claim {
        id: "select-always-busy",
        studies: &[IDLE_6000, IDLE_6000_6K],
        about: "figures 7 (b), 8 (b)",
        text: "With 6,000 idle connections select and multi-accept select use all of the CPU at every rate",
        what: "share of the CPU at 1,000 requests a second, the lesser of the two",
        value: |cells| {
            let cpu = |server| cells.cpu(server, "rate=1000");
            Some(cpu(SELECT_ONE)?.min(cpu(SELECT_ALL)?))
        },
        at_least: Some(0.95),
        live: &[
            ("paper/throughput-6000-idle-1b", "select-full-from-the-start"),
            ("paper/throughput-6000-idle-6k", "select-full-from-the-start"),
        ],
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-always-busy",
        studies: &[IDLE_6000, IDLE_6000_6K],
        about: "figures 7 (b), 8 (b)",
        text: "With 6,000 idle connections /dev/poll uses all of the CPU at every rate",
        what: "share of the CPU at 1,000 requests a second",
        value: |cells| cells.cpu(DEV_POLL, "rate=1000"),
        at_least: Some(0.95),
        ..NO_CLAIM
    },
    Claim {
        id: "multi-accept-responds",
        studies: &[IDLE_252],
        about: "figure 9 (a)",
        text: "Multi-accept select answers as fast as signals up to high loads",
        what: "median of multi-accept select ÷ median of signals, 12,000 requests a second",
        value: |cells| cells.ratio(Cells::median, (SELECT_ALL, "rate=12000"), (SIGNALS, "rate=12000")),
        at_most: Some(1.5),
        live: &[("paper/throughput-252-idle-1b", "multi-accept-responds")],
        ..NO_CLAIM
    },
    Claim {
        id: "response-falls",
        studies: &[IDLE_6000],
        about: "figure 9 (b)",
        text: "The response time of multi-accept select falls with load before it is overloaded",
        what: "at 4,000 requests a second ÷ at 1,000",
        value: |cells| cells.ratio(Cells::response, (SELECT_ALL, "rate=4000"), (SELECT_ALL, "rate=1000")),
        at_most: Some(0.95),
        live: &[("paper/throughput-6000-idle-1b", "response-falls-with-load")],
        ..NO_CLAIM
    },
    Claim {
        id: "select-response-high",
        studies: &[IDLE_6000, IDLE_6000_6K],
        about: "figures 9 (b), 9 (c)",
        text: "Single-accept select is overloaded at all loads",
        what: "its response time at 1,000 requests a second ÷ that of multi-accept select",
        value: |cells| cells.ratio(Cells::response, (SELECT_ONE, "rate=1000"), (SELECT_ALL, "rate=1000")),
        at_least: Some(10.0),
        ..NO_CLAIM
    },
    Claim {
        id: "response-gradual",
        studies: &[IDLE_6000_6K],
        about: "figure 9 (c)",
        text: "The response time of multi-accept select rises only gradually with load",
        what: "at 20,000 requests a second ÷ at 8,000",
        value: |cells| cells.ratio(Cells::response, (SELECT_ALL, "rate=20000"), (SELECT_ALL, "rate=8000")),
        at_most: Some(5.0),
        live: &[("paper/throughput-6000-idle-6k", "response-rises-gradually")],
        ..NO_CLAIM
    },
    Claim {
        id: "signals-fastest",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 9 (a) to 9 (c)",
        text: "Signals have a lower response time than select until they are overloaded",
        what: "mean of signals ÷ mean of multi-accept select, 8,000 requests a second",
        value: |cells| cells.ratio(Cells::response, (SIGNALS, "rate=8000"), (SELECT_ALL, "rate=8000")),
        at_most: Some(1.0),
        ..NO_CLAIM
    },
    Claim {
        id: "dev-poll-response",
        studies: &[IDLE_252, IDLE_6000, IDLE_6000_6K],
        about: "figures 9 (a) to 9 (c)",
        text: "/dev/poll answers fast at low loads and much more slowly than the others under overload",
        what: "mean of single-accept /dev/poll ÷ mean of multi-accept select, 20,000 requests a second",
        value: |cells| {
            cells.ratio(
                Cells::response,
                (DEV_POLL_ONE, "rate=20000"),
                (SELECT_ALL, "rate=20000"),
            )
        },
        at_least: Some(2.0),
        ..NO_CLAIM
    },
    Claim {
        id: "below-saturation",
        studies: &[TABLE_1],
        about: "table 1",
        text: "Below saturation the queue does not overflow",
        what: "overflows of signals at 14,000 and 15,000 requests a second",
        value: |cells| cells.sum(SIGNALS, |cell| cell.overflows, |rate| rate <= 15_000.0),
        at_most: Some(0.0),
        live: &[("paper/queue-overflow", "none-below-saturation")],
        ..NO_CLAIM
    },
    Claim {
        id: "past-saturation",
        studies: &[TABLE_1],
        about: "table 1",
        text: "Past saturation the queue overflows",
        what: "overflows of signals at 17,000 requests a second and more",
        value: |cells| cells.sum(SIGNALS, |cell| cell.overflows, |rate| rate >= 17_000.0),
        at_least: Some(1.0),
        live: &[("paper/queue-overflow", "overflows-above-saturation")],
        ..NO_CLAIM
    },
    Claim {
        id: "nothing-but-overflows",
        studies: &[TABLE_1],
        about: "table 1",
        text: "Past saturation nothing but overflows is read",
        what: "overflows ÷ signals taken from the queue, 20,000 requests a second",
        value: |cells| {
            Some(
                cells.sum(SIGNALS, |cell| cell.overflows, |rate| rate >= 20_000.0)?
                    / cells.sum(SIGNALS, |cell| cell.signals, |rate| rate >= 20_000.0)?,
            )
        },
        at_least: Some(0.95),
        live: &[("paper/queue-overflow", "nothing-but-overflows")],
        ..NO_CLAIM
    },
    Claim {
        id: "per-fd-later-252",
        studies: &[TABLE_1],
        about: "section 4.2",
        text: "Signal-per-fd carries a slightly higher load than signals before it saturates, with 252 idle connections",
        what: "the highest rate that is answered in full ÷ that of signals",
        value: |cells| Some(cells.carries(PER_FD, "idle=252")? / cells.carries(SIGNALS, "idle=252")?),
        at_least: Some(1.01),
        ..NO_CLAIM
    },
    Claim {
        id: "per-fd-later-6000",
        studies: &[TABLE_1],
        about: "section 4.2",
        text: "Signal-per-fd carries a slightly higher load than signals before it saturates, with 6,000 idle connections",
        what: "the highest rate that is answered in full ÷ that of signals",
        value: |cells| Some(cells.carries(PER_FD, "idle=6000")? / cells.carries(SIGNALS, "idle=6000")?),
        at_least: Some(1.01),
        ..NO_CLAIM
    },
    Claim {
        id: "per-fd-never",
        studies: &[TABLE_1],
        about: "section 3",
        text: "With one signal for each descriptor the queue does not overflow",
        what: "overflows of signal-per-fd at all rates",
        value: |cells| cells.sum(PER_FD, |cell| cell.overflows, |_| true),
        at_most: Some(0.0),
        live: &[("paper/queue-overflow", "signal-per-fd-none")],
        ..NO_CLAIM
    },
];
