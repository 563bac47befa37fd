//! An interest set under test with its sources, and the operations that the cases share.

use crate::Setup;
use c10k_event::{
    DeclareError, Event, Events, Interest, InterestSet, Key, Mechanism, Options, Readiness, ReadinessDetail, Trigger,
    Unsupported,
};
use c10k_sys::signal::{Signal, SignalSet};
use rustix::{
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a case waits for an event that must occur. Only a failing case reaches this limit.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a case waits to check that no event is reported.
pub(crate) const QUIET_PERIOD: Duration = Duration::from_millis(5);

pub(crate) struct Rig {
    pub(crate) set: InterestSet<OwnedFd>,
    pub(crate) events: Events,
    pub(crate) setup: Setup,
}

impl Rig {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::with(setup, &setup.options(), 64)
    }

    pub(crate) fn with(setup: Setup, options: &Options, batch: usize) -> Self {
        let set = InterestSet::open_with(setup.mechanism, options).expect("the mechanism was probed");
        Self {
            set,
            events: Events::with_capacity(batch),
            setup,
        }
    }

    pub(crate) fn declare(&mut self, fd: impl Into<OwnedFd>, interest: Interest) -> Key {
        self.set
            .declare(fd.into(), interest, self.setup.trigger)
            .expect("the source can be watched")
    }

    pub(crate) fn reports(&self, detail: ReadinessDetail) -> bool {
        self.setup.mechanism.reports().contains(&detail)
    }

    /// Waits once and returns the events of the batch that are not stale.
    pub(crate) fn batch(&mut self, timeout: Duration) -> Vec<Event> {
        self.set
            .next_events(&mut self.events, Some(timeout))
            .expect("the wait succeeds");
        let mut batch = Vec::new();
        while let Some(event) = self.set.take(&mut self.events) {
            batch.push(event);
        }
        batch
    }

    /// Rearms a source if the trigger is oneshot, which requires this after each event.
    pub(crate) fn rearm(&mut self, key: Key) {
        if self.setup.trigger == Trigger::Oneshot {
            let watch = self.set.watch(key).expect("the key is current");
            self.set
                .modify(key, watch.interest(), watch.trigger())
                .expect("a watched source can be armed again");
        }
    }

    /// Waits until all of `wanted` is reported for a source, in one event or several. Returns all that was reported.
    pub(crate) fn expect(&mut self, key: Key, wanted: Readiness) -> Readiness {
        let until = Instant::now() + HANG_TIMEOUT;
        let mut reported = Readiness::NONE;
        while !reported.contains(wanted) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not {wanted:?} within {HANG_TIMEOUT:?}, only {reported:?}"
            );
            for event in self.batch(left) {
                if event.key == key {
                    reported |= event.readiness;
                }
                self.rearm(event.key);
            }
        }
        reported
    }

    /// Waits for the next event of a source and returns its readiness. Does not rearm a oneshot source.
    pub(crate) fn next(&mut self, key: Key) -> Readiness {
        let until = Instant::now() + HANG_TIMEOUT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no event within {HANG_TIMEOUT:?}");
            if let Some(event) = self.batch(left).into_iter().find(|event| event.key == key) {
                return event.readiness;
            }
        }
    }

    /// Takes all pending events. Not for the level trigger, which reports a ready source at every wait.
    pub(crate) fn drain_events(&mut self) {
        while !self.batch(Duration::ZERO).is_empty() {}
    }

    pub(crate) fn assert_silent(&mut self) {
        let batch = self.batch(QUIET_PERIOD);
        assert!(batch.is_empty(), "expected no events, got {batch:?}");
    }

    /// Reads all available bytes. Returns them, and whether the end of the stream was reached.
    pub(crate) fn drain(&self, key: Key) -> (Vec<u8>, bool) {
        drain(&self.set[key])
    }
}

/// Asserts that a mechanism refuses a trigger with the typed error and returns the source.
pub(crate) fn refuses(mechanism: Mechanism, trigger: Trigger) {
    let mut set = InterestSet::open(mechanism).expect("the mechanism was probed");
    let (ours, theirs) = stream_pair();
    let declined = set
        .declare(theirs, Interest::READABLE, trigger)
        .expect_err("the trigger is not listed");
    let what = Unsupported::Trigger(trigger);
    assert_eq!(
        declined.error,
        DeclareError::Unsupported {
            mechanism: mechanism.name(),
            what
        }
    );
    write(&declined.source, b"x");
    assert_eq!(drain(&ours).0, b"x", "the returned source works");
}

/// The two ends of a non-blocking UNIX stream socket pair.
pub(crate) fn stream_pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair")
}

/// The two ends of a non-blocking TCP connection over the loopback interface.
pub(crate) fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (server, _) = listener.accept().expect("the other end");
    (unblock(client), unblock(server))
}

/// Makes a descriptor non-blocking.
pub(crate) fn unblock(fd: impl Into<OwnedFd>) -> OwnedFd {
    let fd = fd.into();
    let flags = rustix::fs::fcntl_getfl(&fd).expect("its flags");
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).expect("setting its flags");
    fd
}

pub(crate) fn write(fd: impl AsFd, bytes: &[u8]) {
    assert_eq!(
        rustix::io::retry_on_intr(|| rustix::io::write(&fd, bytes)),
        Ok(bytes.len()),
        "a small write fits"
    );
}

/// Writes until the buffer is full. Returns the number of bytes written.
pub(crate) fn fill(fd: impl AsFd) -> usize {
    let mut total = 0;
    loop {
        match rustix::io::write(&fd, &[0; 4096]) {
            Ok(count) => total += count,
            Err(Errno::AGAIN) => return total,
            Err(Errno::INTR) => {}
            Err(errno) => panic!("filling a buffer: {errno}"),
        }
    }
}

/// Reads all available bytes. Returns them, and whether the end of the stream was reached.
pub(crate) fn drain(fd: impl AsFd) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(&fd, &mut buffer) {
            Ok(0) => return (bytes, true),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::AGAIN) => return (bytes, false),
            Err(Errno::INTR) => {}
            Err(errno) => panic!("draining: {errno}"),
        }
    }
}

/// Reads exactly one byte.
pub(crate) fn read_one(fd: impl AsFd) -> u8 {
    let mut byte = [0];
    assert_eq!(
        rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut byte)),
        Ok(1),
        "a byte is there"
    );
    byte[0]
}

/// Raises the soft limit of open files to the hard limit and returns it.
pub(crate) fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .expect("raising the limit");
    limit.maximum.unwrap_or(u64::MAX)
}

/// Sets the soft limit of open files and returns the former one.
pub(crate) fn limit_files(current: Option<u64>) -> Option<u64> {
    limit(Resource::Nofile, current)
}

/// Sets a soft limit of this process and returns the former one.
fn limit(resource: Resource, current: Option<u64>) -> Option<u64> {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current, ..before }).expect("below the hard limit");
    before.current
}

/// Another process of the same user that keeps the queue of pending signals full, up to a limit: the queue of all other tests
/// has room for many more.
pub(crate) struct Filler(Child);

/// Environment variable that is set in that process, to the limit.
pub(crate) const FILLER: &str = "C10K_FILLER";

impl Filler {
    /// Starts the process and waits until the queue is full for every process with this limit.
    pub(crate) fn start(limit: u64) -> Self {
        let program = std::env::current_exe().expect("the test program");
        let mut child = Command::new(program)
            .env(FILLER, limit.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test program starts");
        let out = child.stdout.as_mut().expect("its output is a pipe");
        out.read_exact(&mut [0])
            .expect("the process reports that the queue is full");
        Self(child)
    }

    /// Runs in that process: fills the queue, prints a line, and keeps the queue full until its standard input ends.
    pub(crate) fn run(most: &str) {
        limit(Resource::Sigpending, Some(most.parse().expect("the limit is a number")));
        let signal = Signal::real_time().last().expect("there are real-time signals");
        c10k_sys::signal::block(&SignalSet::of(&[signal])).expect("the mask");
        while c10k_sys::signal::queue_to_this_thread(signal).is_ok() {}
        println!("full");
        std::io::stdin()
            .read_to_end(&mut Vec::new())
            .expect("standard input can be read");
    }

    pub(crate) fn stop(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("the process ends").success());
    }
}
