//! The settings of a server.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_http::{Date, Disk, Files, Host, Limits, Resources, Stage};

use crate::accept::Listen;
use crate::{DiskStore, Recycle, RingOptions, Root};

/// Everything that can be chosen about a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Default 127.0.0.1:0.
    pub listen: Listen,
    /// The event mechanism. Models that are not driven by one ignore it.
    pub mechanism: Mechanism,
    /// Options of the mechanism.
    pub event_options: c10k_event::Options,
    /// How many connections to accept each time the listener is ready. Default all.
    pub accept: AcceptPolicy,
    /// CPU time to spend on every request. Default none.
    pub work: Duration,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// How large a request may be.
    pub limits: Limits,
    /// The number of worker threads or processes, for models that can have several. Default: the model's own.
    pub workers: Option<NonZeroUsize>,
    /// How many threads of the pool run at once, for models that limit this. Default: the number of CPUs.
    pub concurrency: Option<NonZeroUsize>,
    /// How event loops in several threads share connections. Default reuseport.
    pub accept_sharing: AcceptSharing,
    /// How many threads do work that may block, for models that hand it over. Default 32 (nginx: `thread_pool`, 32; libuv: 4;
    /// tokio: 512). A thread that waits for a disk uses no CPU, and a disk needs many requests at once to reach its throughput.
    pub helpers: NonZeroUsize,
    /// How much work may wait for one of them. What is beyond is refused (503). Default 65536 (nginx: `max_queue`, 65536; libuv
    /// and tokio: no limit).
    pub helper_queue: usize,
    /// How long a loop polls for events before it sleeps. Default 0: it sleeps at once.
    pub spin: Spin,
    /// When workers are replaced. Default never.
    pub recycle: Option<Recycle>,
    /// The most events that a loop fetches in one wait. Default 512 (nginx: `epoll_events` 512).
    pub events_per_wait: NonZeroU16,
    /// How requests of an io_uring are submitted. Default by the call that waits.
    pub submission: Submission,
    /// Options of the rings of an io_uring. Default none.
    pub ring: RingOptions,
    /// The directory whose files are served at `/`. Default none.
    pub root: Option<Root>,
    /// The directory for `/file` and `/mail`, which are resources of the lab. Default none.
    pub disk: Option<DiskStore>,
    /// Whether the resources of the lab are offered: `/spin`, `/sleep`, `/echo`, `/headers` and `/stats`, and `/bytes` with a root. Default
    /// [`Resources::Plain`]: a server with a root serves its files only, one without serves `/bytes` only.
    pub resources: Resources,
    /// The most bytes of request bodies that are held for replies, of all connections together. A request beyond is refused
    /// (503). Default 64 MiB (nginx: none).
    pub held_bodies: u64,
    /// The user to become when the server listens; only root can. Default: the user does not change.
    pub user: Option<String>,
    /// How the server is confined when it listens. Default not at all.
    pub confinement: Confinement,
    /// The most connections that are open at once. Default: as many as the descriptor limit allows, or the model's own limit.
    pub max_connections: Option<usize>,
}

impl Config {
    /// A server on a free port of 127.0.0.1 with defaults.
    #[must_use]
    pub fn new(mechanism: Mechanism) -> Config {
        Config {
            listen: Listen::from(SocketAddr::from(([127, 0, 0, 1], 0))),
            mechanism,
            event_options: c10k_event::Options::default(),
            accept: AcceptPolicy::All,
            work: Duration::ZERO,
            deadlines: Deadlines::default(),
            limits: Limits::default(),
            workers: None,
            concurrency: None,
            accept_sharing: AcceptSharing::Reuseport,
            helpers: const { NonZeroUsize::new(32).expect("not 0") },
            helper_queue: 65_536,
            spin: Spin::For(Duration::ZERO),
            recycle: None,
            events_per_wait: const { NonZeroU16::new(512).unwrap() },
            submission: Submission::Enter,
            ring: RingOptions::default(),
            root: None,
            disk: None,
            resources: Resources::Plain,
            held_bodies: 64 << 20,
            user: None,
            confinement: Confinement::None,
            max_connections: None,
        }
    }

    /// The settings of the request machine.
    pub(crate) fn host(&self, date: Date) -> Host {
        Host {
            date,
            limits: self.limits,
            work: self.work,
            stage: Stage::Serving,
            resources: self.resources,
            disk: if self.disk.is_some() { Disk::Present } else { Disk::None },
            files: if self.root.is_some() {
                Files::Served
            } else {
                Files::None
            },
        }
    }
}

/// How many connections are accepted at most each time the listener is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptPolicy {
    /// All that wait.
    All,
    /// That many. 1 is the single accept of the paper.
    UpTo(NonZeroU32),
}

impl AcceptPolicy {
    /// One connection at a time.
    pub const ONE: AcceptPolicy = AcceptPolicy::UpTo(NonZeroU32::MIN);

    pub(crate) fn most(self) -> u32 {
        match self {
            AcceptPolicy::All => u32::MAX,
            AcceptPolicy::UpTo(most) => most.get(),
        }
    }
}

/// How event loops in several threads share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptSharing {
    /// Each has its own listener on the same port, and the kernel distributes connections by hash.
    Reuseport,
    /// All watch one listener, and the kernel wakes one or few of them for a connection (`EPOLLEXCLUSIVE`).
    Exclusive,
    /// All watch one listener, and all are woken.
    Shared,
    /// One thread accepts and hands connections to the loops in turn.
    Handoff,
}

impl AcceptSharing {
    /// All, with their names on the command line.
    pub const ALL: &'static [(&'static str, AcceptSharing)] = &[
        ("reuseport", AcceptSharing::Reuseport),
        ("exclusive", AcceptSharing::Exclusive),
        ("shared", AcceptSharing::Shared),
        ("handoff", AcceptSharing::Handoff),
    ];
}

/// How long a loop polls for events before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spin {
    /// That long each time; 0 is not at all.
    For(Duration),
    /// That long while at least half of the last events came within that time, and not at all otherwise.
    Adaptive(Duration),
}

impl Spin {
    /// How long an adaptive spin is unless something else is given: 200 µs, as long as the kernel polls in a guest before it
    /// halts the CPU (`guest_halt_poll_ns`). A longer sleep than this costs little in comparison; waking a thread takes a few
    /// microseconds, and tens of them if its CPU sleeps too.
    pub const ADAPTIVE_MOST: Duration = Duration::from_micros(200);
}

/// Why a text says nothing about how long to poll.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give a duration such as 50us, `adaptive`, or `adaptive:` with a duration above 0, such as adaptive:200us")]
#[non_exhaustive]
pub struct SpinError;

impl FromStr for Spin {
    type Err = SpinError;

    /// Reads `50us`, `adaptive` or `adaptive:200us`.
    fn from_str(text: &str) -> Result<Spin, SpinError> {
        let time = |text| c10k_units::duration::parse(text).map_err(|_| SpinError);
        match text.split_once(':') {
            None if text == "adaptive" => Ok(Spin::Adaptive(Spin::ADAPTIVE_MOST)),
            None => time(text).map(Spin::For),
            Some(("adaptive", most)) => match time(most)? {
                Duration::ZERO => Err(SpinError),
                most => Ok(Spin::Adaptive(most)),
            },
            Some(_) => Err(SpinError),
        }
    }
}

/// How requests of an io_uring are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// By the call that waits for completions, `io_uring_enter`.
    Enter,
    /// By a kernel thread that polls for them (`IORING_SETUP_SQPOLL`). Its CPU time counts as the server's.
    Sqpoll,
    /// The same, by one kernel thread for all workers (`IORING_SETUP_ATTACH_WQ`).
    SqpollShared,
}

impl Submission {
    /// All, with their names on the command line.
    pub const ALL: &'static [(&'static str, Submission)] = &[
        ("enter", Submission::Enter),
        ("sqpoll", Submission::Sqpoll),
        ("sqpoll-shared", Submission::SqpollShared),
    ];
}

/// How a server is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Not at all.
    None,
    /// It can only read below its root and listen on its port (Landlock). With a model that has [`concurrency`](Config::concurrency) it
    /// can also read what `/proc` shows of its own threads.
    Landlock,
}

/// The time limits for clients, and for a drain. They pass up to 128 ms late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first byte of a head to its last. Default 60 s (nginx: `client_header_timeout` 60s).
    pub head: Duration,
    /// From the end of a head to the end of the body. Default 60 s (nginx: `client_body_timeout` 60s, between two reads).
    pub body: Duration,
    /// How often the server checks a client that is slow to read its reply. It must have read
    /// [`min_send_rate`](Self::min_send_rate) × this time since the last check. Default 10 s (nginx: `send_timeout` 60s,
    /// between two writes).
    pub send: Duration,
    /// The lowest rate at which a client may read its reply, in bytes per second. Default 500 (nginx: none).
    pub min_send_rate: u32,
    /// From the end of a reply, or the start of the connection, to the first byte of a request. Default 75 s
    /// (nginx: `keepalive_timeout` 75s).
    pub idle: Duration,
    /// How long a connection must have been idle before it may be closed to make room. Default 1 s (nginx: none).
    pub spare: Duration,
    /// How long accepting pauses when descriptors, memory or workers are used up. It resumes earlier when a connection of the
    /// worker, or of an acceptor's server, ends. Default 100 ms (nginx: 500 ms).
    pub back_off: Duration,
    /// How long input is dropped after the server has closed its half. Default 2 s (nginx: `lingering_timeout` 5s).
    pub linger: Duration,
    /// How long a drain may take. Default 10 s (nginx: `worker_shutdown_timeout`, no limit).
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            head: Duration::from_secs(60),
            body: Duration::from_secs(60),
            send: Duration::from_secs(10),
            min_send_rate: 500,
            idle: Duration::from_secs(75),
            spare: Duration::from_secs(1),
            back_off: Duration::from_millis(100),
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_is_a_duration_or_adaptive() {
        for (text, expected) in [
            ("0", Spin::For(Duration::ZERO)),
            ("50us", Spin::For(Duration::from_micros(50))),
            ("adaptive", Spin::Adaptive(Duration::from_micros(200))),
            ("adaptive:1ms", Spin::Adaptive(Duration::from_millis(1))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "5",
            "adaptive:",
            "adaptive:0",
            "adaptive:5",
            "fixed:5us",
            "adaptive:1us:2us",
        ] {
            assert_eq!(text.parse::<Spin>(), Err(SpinError), "{text}");
        }
    }
}
