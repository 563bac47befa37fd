//! What a server is told to be.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_http::{Date, Files, Host, Limits, Stage};

use crate::{Model, Root};

/// Everything that can be chosen about a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 lets the kernel choose. Default 127.0.0.1:0.
    pub listen: SocketAddr,
    /// The concurrency model.
    pub model: Model,
    /// The event mechanism. Models without one ignore it.
    pub mechanism: Mechanism,
    /// Options of the mechanism.
    pub event_options: c10k_event::Options,
    /// How many connections to accept per readiness of the listener. Default all.
    pub accept: AcceptPolicy,
    /// CPU time to spend on every request. Default none.
    pub work: Duration,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// How large a request may be.
    pub limits: Limits,
    /// Worker threads or processes of the models that have several. `None`: the model's own default.
    pub workers: Option<NonZeroUsize>,
    /// How the workers of `loop-per-core` come to their connections. Default reuseport.
    pub accept_sharing: AcceptSharing,
    /// Who takes what `io-uring` submits. Default the call that waits.
    pub submission: Submission,
    /// The directory whose files are served at `/`. Default none.
    pub root: Option<Root>,
    /// The user to become once the server listens; only the superuser can. Default nobody else.
    pub user: Option<String>,
    /// What the server is kept to once it listens. Default nothing.
    pub confinement: Confinement,
    /// The most connections open at once. Default: as many as the descriptor limit has room for.
    pub max_connections: Option<usize>,
}

impl Config {
    /// A server on a free port of 127.0.0.1 with defaults.
    #[must_use]
    pub fn new(model: Model, mechanism: Mechanism) -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            model,
            mechanism,
            event_options: c10k_event::Options::default(),
            accept: AcceptPolicy::All,
            work: Duration::ZERO,
            deadlines: Deadlines::default(),
            limits: Limits::default(),
            workers: None,
            accept_sharing: AcceptSharing::Reuseport,
            submission: Submission::Enter,
            root: None,
            user: None,
            confinement: Confinement::None,
            max_connections: None,
        }
    }

    /// How many loops the models that have several run.
    pub(crate) fn worker_loops(&self) -> usize {
        let unsaid = match self.model.name() {
            "loop-per-core" => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            _ => 1,
        };
        self.workers.map_or(unsaid, NonZeroUsize::get)
    }

    /// What the request machine is told.
    pub(crate) fn host(&self, date: Date) -> Host {
        Host {
            date,
            limits: self.limits,
            work: self.work,
            stage: Stage::Serving,
            files: if self.root.is_some() {
                Files::Served
            } else {
                Files::None
            },
        }
    }
}

/// How many connections one readiness of the listener brings at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptPolicy {
    /// All that are waiting.
    All,
    /// That many. 1 is the paper's single accept.
    UpTo(NonZeroU32),
}

impl AcceptPolicy {
    /// One connection per readiness.
    pub const ONE: AcceptPolicy = AcceptPolicy::UpTo(NonZeroU32::MIN);

    pub(crate) fn most(self) -> u32 {
        match self {
            AcceptPolicy::All => u32::MAX,
            AcceptPolicy::UpTo(most) => most.get(),
        }
    }
}

/// How the workers of `loop-per-core` come to their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptSharing {
    /// Each has a listener of its own on the same port; the kernel spreads by hash.
    Reuseport,
    /// All watch one listener, and the kernel tells one or few of a connection (`EPOLLEXCLUSIVE`).
    Exclusive,
    /// All watch one listener, and all are told.
    Shared,
    /// One thread accepts and hands over in turn.
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

/// Who takes what the model `io-uring` submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The call that waits for completions, `io_uring_enter`.
    Enter,
    /// A thread of the kernel that looks for it (`IORING_SETUP_SQPOLL`); its CPU time counts as the server's.
    Sqpoll,
}

impl Submission {
    /// All, with their names on the command line.
    pub const ALL: &'static [(&'static str, Submission)] =
        &[("enter", Submission::Enter), ("sqpoll", Submission::Sqpoll)];
}

/// What a server is kept to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Nothing more than its user is.
    None,
    /// Reading below its root, and listening on its port (Landlock).
    Landlock,
}

/// How long a client may take, and how long the server waits when it ends. Resolution: 64 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first byte of a head to its last. Default 60 s (nginx: `client_header_timeout` 60s).
    pub head: Duration,
    /// From the end of a head to the end of its body. Default 60 s (nginx: `client_body_timeout` 60s, but between two
    /// reads).
    pub body: Duration,
    /// How often a client that does not take its reply is looked at: it must have taken
    /// [`min_send_rate`](Self::min_send_rate) times this since the last time. Default 10 s (nginx: `send_timeout` 60s,
    /// but between two writes).
    pub send: Duration,
    /// The slowest pace at which a client may take its reply, bytes per second. Default 500 (nginx: none).
    pub min_send_rate: u32,
    /// Between the end of a reply, or the beginning of the connection, and the first byte of a request. Default 75 s
    /// (nginx: `keepalive_timeout` 75s).
    pub idle: Duration,
    /// How long a connection must have been idle before it may be closed to make room, when no descriptor is left or the
    /// cap on connections is reached. Default 1 s (nginx: none).
    pub spare: Duration,
    /// How long input is taken after the server has closed its half. Default 2 s (nginx: `lingering_timeout` 5s).
    pub linger: Duration,
    /// How long a drain may take. Default 10 s (nginx: `worker_shutdown_timeout`, none).
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
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}
