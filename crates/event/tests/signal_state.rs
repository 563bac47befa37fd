//! What a set changes outside of itself, and that all of it is restored: the thread's signal mask, what is pending, the limit of
//! queued signals, and how each source sends signals. On each mechanism, in the main thread, in another thread and in a
//! forked child.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;

use c10k_event::{
    DeclareError, Events, InheritedSignals, Interest, InterestSet, Key, Mechanism, Options, SignalQueue, Unsupported,
};
use c10k_sys::{
    fork::in_child,
    limit::limit,
    signal::{self, Async, Owner, Receiver, Signal, SignalSet},
};
use rustix::{io::Errno, net::SendFlags, pipe::PipeFlags, process::Resource};
use sockets::{HANG_TIMEOUT, stream_pair, write};
use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    process::Command,
    thread,
    time::Duration,
};

/// All that is audited.
#[derive(Debug, PartialEq, Eq)]
struct State {
    blocked: Vec<i32>,
    pending: Vec<i32>,
    /// The soft limit of queued signals.
    limit: Option<u64>,
    files: Vec<FileState>,
}

#[derive(Debug, PartialEq, Eq)]
struct FileState {
    is_async: bool,
    owner: Owner,
    signal: Option<Signal>,
}

impl State {
    fn read(files: &[&OwnedFd]) -> Self {
        let numbers = |set: SignalSet| set.iter().map(Signal::number).collect();
        Self {
            blocked: numbers(signal::blocked().expect("the mask")),
            pending: numbers(signal::pending().expect("what is pending")),
            limit: limit(Resource::Sigpending).expect("the limit").current,
            files: files.iter().map(|file| FileState::read(file)).collect(),
        }
    }
}

impl FileState {
    fn read(file: &OwnedFd) -> Self {
        Self {
            is_async: signal::async_of(file.as_fd()).expect("F_GETFL").0 == Async::On,
            owner: signal::owner_of(file.as_fd()).expect("F_GETOWN_EX"),
            signal: signal::signal_of(file.as_fd()).expect("F_GETSIG"),
        }
    }
}

/// A set on sources that stay open.
type Borrowing<'a> = InterestSet<&'a OwnedFd>;

fn open<'a>(mechanism: Mechanism, queue: Option<u64>) -> Borrowing<'a> {
    let mut options = Options::default();
    options.signal_queue = queue;
    InterestSet::open_with(mechanism, &options).expect("the mechanism was probed")
}

fn available() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| mechanism.probe().is_ok())
}

/// The mechanisms for which the kernel queues one signal per event.
fn signals() -> impl Iterator<Item = Mechanism> {
    available().filter(|mechanism| mechanism.signal_queue() == Some(SignalQueue::PerEvent))
}

fn declare<'a>(set: &mut Borrowing<'a>, source: &'a OwnedFd) -> Key {
    let trigger = set.mechanism().default_trigger();
    set.declare(source, Interest::READABLE, trigger)
        .expect("a socket can be watched")
}

/// Uses a set in all ways, and drops it with signals and `SIGIO` in the queue.
fn use_and_drop(mechanism: Mechanism, sources: &[&OwnedFd], peers: &[OwnedFd]) {
    let mut set = open(mechanism, Some(8));
    let mut events = Events::with_capacity(4);
    let trigger = mechanism.default_trigger();
    let waker = set.waker().expect("a waker");
    for source in sources {
        let key = declare(&mut set, source);
        set.modify(key, Interest::NONE, trigger).expect("modifying");
        set.modify(key, Interest::READABLE, trigger).expect("modifying");
    }
    let key = set.iter().next().expect("there are sources").0;
    let withdrawn = set.withdraw(key).expect("the key is current");
    declare(&mut set, withdrawn);
    peers.iter().for_each(|peer| write(peer, b"x"));
    waker.wake().expect("the wakeup succeeds");
    set.next_events(&mut events, Some(HANG_TIMEOUT)).expect("a wait");
    // More than the queue holds.
    (0..20).for_each(|_| peers.iter().for_each(|peer| write(peer, b"x")));
}

/// Whether a use of a set leaves the calling thread and the sources as they were.
fn audit(mechanism: Mechanism) -> Result<(), String> {
    let (peers, sources): (Vec<_>, Vec<_>) = (0..4).map(|_| stream_pair()).unzip();
    let sources: Vec<&OwnedFd> = sources.iter().collect();
    // One source has an owner and a signal of its own.
    signal::set_receiver(sources[0].as_fd(), Receiver::this_thread().expect("gettid")).expect("F_SETOWN_EX");
    signal::set_signal(sources[0].as_fd(), Signal::USR1).expect("F_SETSIG");
    let before = State::read(&sources);
    for round in 0..3 {
        use_and_drop(mechanism, &sources, &peers);
        let after = State::read(&sources);
        if after != before {
            return Err(format!("{mechanism}, round {round}: {before:?} became {after:?}"));
        }
    }
    Ok(())
}

#[test]
fn a_set_leaves_the_signal_state_as_it_was() {
    for mechanism in available() {
        // Each in a process of its own, since the limit belongs to the process.
        let status = in_child(|| {
            let here = audit(mechanism);
            let thread = thread::scope(|scope| scope.spawn(|| audit(mechanism)).join());
            let child = in_child(|| u8::from(audit(mechanism).is_err()));
            let with_open_sets = {
                let _open = open(mechanism, None);
                in_child(|| u8::from(audit(mechanism).is_err()))
            };
            u8::from(here.is_err())
                | u8::from(!matches!(thread, Ok(Ok(())))) << 1
                | u8::from(child != Ok(Some(0))) << 2
                | u8::from(with_open_sets != Ok(Some(0))) << 3
        });
        // Bits: the main thread, another thread, a child, a child of a thread with a set.
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
        assert_eq!(audit_here(mechanism), Ok(()));
    }
}

/// The audit in this thread, for its message.
fn audit_here(mechanism: Mechanism) -> Result<(), String> {
    thread::spawn(move || audit_without_limit(mechanism))
        .join()
        .expect("no panic")
}

fn audit_without_limit(mechanism: Mechanism) -> Result<(), String> {
    let (peer, source) = stream_pair();
    let before = State::read(&[&source]);
    let mut set = open(mechanism, None);
    set.declare(&source, Interest::READABLE, mechanism.default_trigger())
        .expect("a socket can be watched");
    write(&peer, b"x");
    drop(set);
    let after = State::read(&[&source]);
    if before == after {
        Ok(())
    } else {
        Err(format!("{mechanism}: {before:?} became {after:?}"))
    }
}

#[test]
fn the_mask_is_restored_when_the_last_set_of_the_thread_is_dropped() {
    for mechanism in signals() {
        let before = State::read(&[]);
        let sets = [open(mechanism, None), open(mechanism, None)];
        let [first, second] = sets;
        drop(first);
        let mask = signal::blocked().expect("the mask");
        assert!(mask.contains(Signal::IO), "{mechanism}: the other set needs it");
        assert_eq!(mask.iter().count(), before.blocked.len() + 2, "{mechanism}: {mask:?}");
        drop(second);
        assert_eq!(State::read(&[]), before, "{mechanism}");
    }
}

#[test]
fn a_set_that_is_dropped_in_another_thread_is_cleaned_up_by_the_next_one_of_its_thread() {
    for mechanism in signals() {
        let before = State::read(&[]);
        let (peer, source) = stream_pair();
        let mut set = InterestSet::open(mechanism).expect("the set opens");
        set.declare(source, Interest::READABLE, mechanism.default_trigger())
            .expect("a socket can be watched");
        write(&peer, b"x");
        thread::spawn(move || drop(set)).join().expect("no panic");
        assert_ne!(
            State::read(&[]),
            before,
            "{mechanism}: only this thread can unblock its signals"
        );
        drop(open(mechanism, None));
        assert_eq!(State::read(&[]), before, "{mechanism}");
    }
}

/// The set cannot name the file any more, so the file may send its signal at any time: unblocked, it would end the process.
#[test]
fn a_signal_stays_blocked_if_a_file_may_still_send_it() {
    for mechanism in signals() {
        let status = in_child(|| {
            let (peer, source) = stream_pair();
            let kept = rustix::io::dup(&source).expect("a duplicate");
            let mut set = InterestSet::open(mechanism).expect("the set opens");
            let key = set
                .declare(source, Interest::READABLE, mechanism.default_trigger())
                .expect("a socket can be watched");
            set[key] = stream_pair().0;
            let refused = set.withdraw(key).is_err();
            drop(set);
            write(&peer, b"x");
            let next = InterestSet::<OwnedFd>::open(mechanism).is_ok();
            drop(kept);
            u8::from(!(refused && next))
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
    }
}

#[test]
fn a_set_restores_a_limit_only_if_the_program_has_not_changed_it() {
    for mechanism in signals() {
        let status = in_child(|| {
            let read = || limit(Resource::Sigpending).expect("the limit");
            let before = read();
            let (first, second) = (open(mechanism, Some(50)), open(mechanism, Some(60)));
            drop(first);
            let with_one = read().current == Some(60);
            drop(second);
            let restored = read().current == before.current;
            let third = open(mechanism, Some(50));
            let own = rustix::process::Rlimit {
                current: Some(70),
                ..before
            };
            let changed = rustix::process::setrlimit(Resource::Sigpending, own).is_ok();
            drop(third);
            u8::from(!(with_one && restored && changed && read().current == Some(70)))
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
    }
}

/// The mask and the limit of a child process, as `/proc` shows them.
fn of_a_child(change: impl FnOnce(&mut Command)) -> (String, String) {
    let mut command = Command::new("cat");
    command.args(["/proc/self/status", "/proc/self/limits"]);
    change(&mut command);
    let output = command.output().expect("cat starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |start| {
        text.lines()
            .find(|line| line.starts_with(start))
            .expect("the line")
            .to_owned()
    };
    (line("SigBlk:"), line("Max pending signals"))
}

#[test]
fn children_and_threads_can_be_given_the_former_mask_and_limit() {
    for mechanism in signals() {
        let status = in_child(|| {
            let before = of_a_child(|_| {});
            let set = open(mechanism, Some(50));
            let inherited = InheritedSignals::of_this_thread();
            let child = of_a_child(|_| {});
            let restored = of_a_child(|command| {
                inherited.restore_in(command);
            });
            let own = signal::blocked().expect("the mask");
            let in_thread = thread::spawn({
                let inherited = inherited.clone();
                move || inherited.unblock().is_ok() && signal::blocked().expect("the mask").iter().count() == 0
            });
            let in_thread = in_thread.join().expect("no panic");
            let here = inherited.unblock().is_ok() && signal::blocked().expect("the mask").iter().eq(own.iter());
            drop(set);
            let after = of_a_child(|_| {});
            u8::from(child == before)
                | u8::from(restored != before) << 1
                | u8::from(!in_thread) << 2
                | u8::from(!here) << 3
                | u8::from(after != before) << 4
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
    }
}

/// A process that arms an open file under another number and is killed leaves `O_ASYNC` and an owner that has ended.
#[test]
fn a_file_that_an_ended_process_left_armed_is_taken_over() {
    for mechanism in signals() {
        let pipe = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
        for (source, peer) in [stream_pair(), pipe] {
            let armed = in_child(|| {
                let duplicate = rustix::io::dup(&source).expect("a duplicate");
                let mut set = InterestSet::open(mechanism).expect("the set opens");
                let key = set.declare(&duplicate, Interest::READABLE, mechanism.default_trigger());
                let is_async = FileState::read(&source).is_async;
                // Ends as if it was killed: nothing is dropped.
                std::mem::forget(set);
                u8::from(key.is_err() || !is_async)
            });
            assert_eq!(armed, Ok(Some(0)), "{mechanism}");
            assert!(FileState::read(&source).is_async && FileState::read(&source).owner.is_gone());
            let mut set = open(mechanism, None);
            let key = set
                .declare(&source, Interest::READABLE, mechanism.default_trigger())
                .expect("it is taken over");
            write(&peer, b"x\n");
            let mut events = Events::with_capacity(4);
            set.next_events(&mut events, Some(HANG_TIMEOUT)).expect("a wait");
            assert_eq!(set.take(&mut events).map(|event| event.key), Some(key), "{mechanism}");
            set.withdraw(key).expect("the key is current");
            assert!(!FileState::read(&source).is_async);
        }
    }
}

#[test]
fn a_file_of_a_living_process_is_not_taken_over() {
    for mechanism in signals() {
        let (_peer, source) = stream_pair();
        let mut first = open(mechanism, None);
        let trigger = mechanism.default_trigger();
        first
            .declare(&source, Interest::READABLE, trigger)
            .expect("a socket can be watched");
        let before = FileState::read(&source);
        let mut second = open(mechanism, None);
        let declined = second
            .declare(&source, Interest::READABLE, trigger)
            .expect_err("it is in use");
        let what = Unsupported::SignalsInUse;
        let mechanism = mechanism.name();
        assert_eq!(declined.error, DeclareError::Unsupported { mechanism, what });
        assert_eq!(FileState::read(&source), before);
    }
}

#[test]
fn a_refused_declaration_leaves_the_file_as_it_was() {
    for mechanism in signals() {
        let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).expect("an eventfd");
        let before = FileState::read(&eventfd);
        let mut set = open(mechanism, None);
        let declined = set.declare(&eventfd, Interest::READABLE, mechanism.default_trigger());
        assert!(declined.is_err());
        assert_eq!(FileState::read(&eventfd), before);
    }
}

/// The owner of a socket also gets `SIGURG`.
#[test]
fn a_withdrawn_socket_sends_no_sigurg_to_the_thread() {
    let urgent = SignalSet::of(&[Signal::URG]);
    for mechanism in signals() {
        let status = in_child(|| {
            signal::block(&urgent).expect("the mask");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
            let (source, _) = listener.accept().expect("the connection");
            source.set_nonblocking(true).expect("O_NONBLOCK");
            let source = OwnedFd::from(source);
            let mut set = open(mechanism, None);
            let key = set
                .declare(&source, Interest::READABLE, mechanism.default_trigger())
                .expect("a socket can be watched");
            set.withdraw(key).expect("the key is current");
            assert_eq!(rustix::net::send(&client, b"!", SendFlags::OOB), Ok(1));
            // The data is there when the byte before it is.
            while rustix::net::recv(&source, &mut [0; 1][..], rustix::net::RecvFlags::OOB).is_err() {}
            u8::from(signal::wait(&urgent, Some(Duration::ZERO)) != Err(Errno::AGAIN))
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
    }
}
