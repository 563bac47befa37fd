//! The kinds of files that a set accepts or refuses.

use crate::{
    About::EachTrigger,
    Isolation::{OwnProcess, SharedProcess},
    Outcome, Setup,
    rig::{Rig, raise_file_limit, stream_pair, unblock, write},
};
use c10k_event::{DeclareError, Interest, Key, Mechanism, Readiness, Trigger, Unsupported};
use rustix::{
    event::{
        EventfdFlags,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
    process::{Resource, Rlimit, getrlimit, setrlimit},
    pty::OpenptFlags,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};
use std::{fs::File, os::fd::OwnedFd, time::Duration};

super::cases! {
    a_readable_pipe_is_reported: EachTrigger, SharedProcess;
    a_readable_socket_pair_is_reported: EachTrigger, SharedProcess;
    a_readable_datagram_socket_is_reported: EachTrigger, SharedProcess;
    an_eventfd_is_supported_or_refused: EachTrigger, SharedProcess;
    a_timerfd_is_supported_or_refused: EachTrigger, SharedProcess;
    a_readable_terminal_is_reported_or_refused: EachTrigger, SharedProcess;
    a_terminal_whose_other_side_closes_is_reported_or_refused: EachTrigger, SharedProcess;
    a_fifo_open_for_reading_and_writing_is_reported_or_refused: EachTrigger, SharedProcess;
    a_random_device_is_accepted_if_it_has_readiness: EachTrigger, SharedProcess;
    a_multipath_connection_is_reported_or_refused: EachTrigger, SharedProcess;
    a_regular_file_is_refused: EachTrigger, SharedProcess;
    a_proc_file_is_accepted_if_epoll_accepts_it: EachTrigger, SharedProcess;
    a_device_without_readiness_is_refused: EachTrigger, SharedProcess;
    a_descriptor_that_only_names_a_file_is_refused: EachTrigger, SharedProcess;
    a_file_is_declared_although_no_descriptor_is_left: EachTrigger, OwnProcess;
    an_epoll_descriptor_nested_as_deep_as_possible_is_reported: EachTrigger, SharedProcess;
    a_source_that_blocks_is_detected_by_debug_builds: EachTrigger, SharedProcess;
    descriptors_beyond_1024_are_reported: EachTrigger, OwnProcess;
}

fn is_reported_after(setup: Setup, source: OwnedFd, write_there: impl FnOnce()) -> Outcome {
    let mut rig = Rig::new(setup);
    let key = rig.declare(source, Interest::READABLE);
    rig.assert_silent();
    write_there();
    rig.expect(key, Readiness::READABLE);
    assert!(!rig.drain(key).0.is_empty());
    Outcome::Pass
}

fn a_readable_pipe_is_reported(setup: Setup) -> Outcome {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    is_reported_after(setup, unblock(reader), || write(&writer, b"x"))
}

fn a_readable_socket_pair_is_reported(setup: Setup) -> Outcome {
    let (ours, theirs) = stream_pair();
    is_reported_after(setup, theirs, || write(&ours, b"x"))
}

fn a_readable_datagram_socket_is_reported(setup: Setup) -> Outcome {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a socket pair");
    is_reported_after(setup, pair.0, || write(&pair.1, b"x"))
}

/// Declares a source that sends no signals. `None` if the mechanism needs signals; it must then return the typed error.
fn declare_unless_refused(rig: &mut Rig, source: OwnedFd) -> Option<Key> {
    declare_unless(Unsupported::FileWithoutSignals, rig, source, Interest::READABLE)
}

fn declare_unless(what: Unsupported, rig: &mut Rig, source: OwnedFd, interest: Interest) -> Option<Key> {
    let setup = rig.setup;
    let may_refuse = if what == Unsupported::FileWithSeveralQueues {
        watches_one_queue(setup.mechanism)
    } else {
        setup.mechanism.signal_queue().is_some()
    };
    match rig.set.declare(source, interest, setup.trigger) {
        Ok(key) => {
            assert!(!may_refuse, "changes of it may be lost");
            Some(key)
        }
        Err(declined) => {
            assert_eq!(
                declined.error,
                DeclareError::Unsupported {
                    mechanism: setup.mechanism.name(),
                    what
                }
            );
            assert!(may_refuse, "this mechanism may not refuse it");
            None
        }
    }
}

/// Whether the requests of a mechanism are refused for files with several wait queues, as terminals have.
fn watches_one_queue(mechanism: Mechanism) -> bool {
    mechanism.waits().contains(&"io_getevents")
}

/// As what a mechanism may refuse a terminal.
fn refusal_of_a_terminal(setup: Setup) -> (Unsupported, Outcome) {
    if setup.mechanism.signal_queue().is_some() {
        (Unsupported::FileWithIncompleteSignals, INCOMPLETE_SIGNALS)
    } else {
        (Unsupported::FileWithSeveralQueues, SEVERAL_QUEUES)
    }
}

const INCOMPLETE_SIGNALS: Outcome = Outcome::Unsupported("a file of which only some changes are signalled");
const SEVERAL_QUEUES: Outcome = Outcome::Unsupported("a file with several wait queues");
const WITHOUT_SIGNALS: Outcome = Outcome::Unsupported("a file that sends no signals");

fn an_eventfd_is_supported_or_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let eventfd = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd");
    let other = rustix::io::dup(&eventfd).expect("a duplicate");
    let Some(key) = declare_unless_refused(&mut rig, eventfd) else {
        return WITHOUT_SIGNALS;
    };
    rig.assert_silent();
    write(&other, &1_u64.to_ne_bytes());
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn a_timerfd_is_supported_or_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).expect("a timer");
    let soon = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: soon,
    };
    let Some(key) = declare_unless_refused(&mut rig, timer) else {
        return WITHOUT_SIGNALS;
    };
    rustix::time::timerfd_settime(&rig.set[key], TimerfdTimerFlags::empty(), &once).expect("setting the timer");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, 1_u64.to_ne_bytes(), "it expired once");
    Outcome::Pass
}

/// The controlling side of a pseudo-terminal and its terminal, or why there is none.
fn terminal_pair() -> Result<(OwnedFd, OwnedFd), Outcome> {
    let unavailable = |errno| Outcome::Unavailable(format!("no pseudo-terminal can be opened here: {errno}"));
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags).map_err(unavailable)?;
    rustix::pty::grantpt(&controller).expect("grantpt");
    rustix::pty::unlockpt(&controller).expect("unlockpt");
    let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags).map_err(unavailable)?;
    Ok((unblock(controller), unblock(terminal)))
}

fn a_readable_terminal_is_reported_or_refused(setup: Setup) -> Outcome {
    let (controller, terminal) = match terminal_pair() {
        Ok(pair) => pair,
        Err(outcome) => return outcome,
    };
    let mut rig = Rig::new(setup);
    let (what, refused) = refusal_of_a_terminal(setup);
    let Some(key) = declare_unless(what, &mut rig, terminal, Interest::READABLE) else {
        return refused;
    };
    rig.assert_silent();
    write(&controller, b"a line\n");
    rig.expect(key, Readiness::READABLE);
    assert!(!rig.drain(key).0.is_empty());
    Outcome::Pass
}

fn a_terminal_whose_other_side_closes_is_reported_or_refused(setup: Setup) -> Outcome {
    for closes_controller in [false, true] {
        let (controller, terminal) = match terminal_pair() {
            Ok(pair) => pair,
            Err(outcome) => return outcome,
        };
        let (watched, other) = if closes_controller {
            (terminal, controller)
        } else {
            (controller, terminal)
        };
        let mut rig = Rig::new(setup);
        let (what, refused) = refusal_of_a_terminal(setup);
        let Some(key) = declare_unless(what, &mut rig, watched, Interest::READABLE) else {
            return refused;
        };
        rig.assert_silent();
        drop(other);
        rig.expect(key, Readiness::READABLE);
        // Linux ends the stream of the one side with an error, that of the other as a file.
        let read = rustix::io::read(&rig.set[key], &mut [0]);
        assert!(matches!(read, Ok(0) | Err(Errno::IO)), "{read:?}");
        if setup.trigger != Trigger::Level {
            for _ in 0..100 {
                rig.batch(Duration::ZERO);
            }
            rig.assert_silent();
        }
    }
    Outcome::Pass
}

/// Readers and writers of a FIFO wait in two queues. A ready one is refused as well: it may be empty later.
fn a_fifo_open_for_reading_and_writing_is_reported_or_refused(setup: Setup) -> Outcome {
    let name = format!("c10k-fifo-{}-{}-{}", std::process::id(), setup.mechanism, setup.trigger);
    let path = std::env::temp_dir().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
    std::fs::remove_file(&path).expect("the FIFO is removed");
    let fifo = opened.expect("a FIFO opens");
    let other = rustix::io::dup(&fifo).expect("a duplicate");
    write(&other, b"x");
    let mut rig = Rig::new(setup);
    let Some(key) = declare_unless(Unsupported::FileWithSeveralQueues, &mut rig, fifo, Interest::READABLE) else {
        return SEVERAL_QUEUES;
    };
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, b"x");
    write(&other, b"y");
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

/// `/dev/random` has readiness, `/dev/urandom` has none; both accept `O_ASYNC` and send no signal.
fn a_random_device_is_accepted_if_it_has_readiness(setup: Setup) -> Outcome {
    let open = |path| unblock(File::open(path).expect("the device opens"));
    assert_refused(setup, open("/dev/urandom"), Unsupported::FileWithoutReadiness);
    let mut rig = Rig::new(setup);
    let what = Unsupported::FileWithIncompleteSignals;
    let Some(key) = declare_unless(what, &mut rig, open("/dev/random"), Interest::READABLE) else {
        return INCOMPLETE_SIGNALS;
    };
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn a_multipath_connection_is_reported_or_refused(setup: Setup) -> Outcome {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let protocol = Some(rustix::net::ipproto::MPTCP);
    let socket = match rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, protocol) {
        Ok(socket) => socket,
        Err(errno) => return Outcome::Unavailable(format!("this kernel has no MPTCP: {errno}")),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let started = rustix::net::connect(&socket, &listener.local_addr().expect("its address"));
    assert!(matches!(started, Ok(()) | Err(Errno::INPROGRESS)), "{started:?}");
    let mut rig = Rig::new(setup);
    let what = Unsupported::FileWithIncompleteSignals;
    let Some(key) = declare_unless(what, &mut rig, socket, Interest::WRITABLE) else {
        return INCOMPLETE_SIGNALS;
    };
    rig.expect(key, Readiness::WRITABLE);
    Outcome::Pass
}

fn refused(setup: Setup, file: File) -> Outcome {
    assert_refused(setup, file.into(), Unsupported::FileWithoutReadiness);
    Outcome::Pass
}

fn assert_refused(setup: Setup, file: OwnedFd, what: Unsupported) {
    let mut rig = Rig::new(setup);
    let declined = rig
        .set
        .declare(file, Interest::READABLE, setup.trigger)
        .expect_err("the file cannot be watched");
    assert_eq!(
        declined.error,
        DeclareError::Unsupported {
            mechanism: setup.mechanism.name(),
            what
        }
    );
    assert!(rig.set.is_empty());
    rig.assert_silent();
}

fn a_regular_file_is_refused(setup: Setup) -> Outcome {
    let program = std::env::current_exe().expect("the test program");
    let folder = program.parent().expect("the folder of the test program").to_owned();
    refused(setup, File::open(program).expect("the test program opens"));
    refused(setup, File::open(folder).expect("the folder opens"))
}

/// epoll accepts this file: `stat` shows a regular file, but it has readiness. All other mechanisms must accept it too,
/// except those that use signals.
fn a_proc_file_is_accepted_if_epoll_accepts_it(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let mounts = File::open("/proc/self/mounts").expect("the file opens");
    let key = declare_unless_refused(&mut rig, unblock(mounts));
    assert!(
        key.is_some() || setup.mechanism.signal_queue().is_some(),
        "{}",
        setup.mechanism
    );
    Outcome::Pass
}

fn a_device_without_readiness_is_refused(setup: Setup) -> Outcome {
    refused(setup, File::open("/dev/null").expect("/dev/null opens"))
}

/// `O_PATH`: the descriptor can neither be read nor be waited for, whatever the file.
fn a_descriptor_that_only_names_a_file_is_refused(setup: Setup) -> Outcome {
    let folder = std::env::temp_dir().join(format!("c10k-o-path-{}-{}", std::process::id(), setup.mechanism));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder for the test");
    let [fifo, socket] = ["fifo", "socket"].map(|name| folder.join(name));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("a FIFO");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket file");
    let program = std::env::current_exe().expect("the test program");
    for path in [&fifo, &socket, &program, &folder] {
        let named = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty());
        assert_refused(setup, named.expect("O_PATH opens any file"), Unsupported::PathOnly);
    }
    drop(listener);
    std::fs::remove_dir_all(&folder).expect("the folder is removed");
    Outcome::Pass
}

fn a_file_is_declared_although_no_descriptor_is_left(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let eventfd = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd");
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).expect("a timer");
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("lowering the limit");
    let rest: Vec<_> = std::iter::from_fn(|| rustix::io::dup(&writer).ok()).collect();
    let pipe = rig.declare(unblock(reader), Interest::READABLE);
    let kept = [eventfd, timer].map(|fd| declare_unless_refused(&mut rig, fd));
    drop(rest);
    write(&writer, b"x");
    rig.expect(pipe, Readiness::READABLE);
    rig.drain(pipe);
    rig.rearm(pipe);
    let Some(key) = kept[0] else { return WITHOUT_SIGNALS };
    write(&rig.set[key], &1_u64.to_ne_bytes());
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

/// The mechanisms on epoll are one level more than the kernel allows, and say so.
fn an_epoll_descriptor_nested_as_deep_as_possible_is_reported(setup: Setup) -> Outcome {
    let (ours, theirs) = stream_pair();
    let mut chain = vec![theirs];
    loop {
        let outer = epoll::create(CreateFlags::CLOEXEC).expect("an epoll descriptor");
        let inner = chain.last().expect("there is one");
        match epoll::add(&outer, inner, EventData::new_u64(0), EventFlags::IN) {
            Ok(()) => chain.push(outer),
            Err(errno) => break assert_eq!(errno, Errno::LOOP),
        }
    }
    assert!(chain.len() > 4, "{} levels", chain.len());
    let mut rig = Rig::new(setup);
    let deepest = chain.pop().expect("there is one");
    let key = match rig.set.declare(deepest, Interest::READABLE, setup.trigger) {
        Ok(key) => key,
        Err(declined) if setup.mechanism.signal_queue().is_some() => {
            let what = Unsupported::FileWithoutSignals;
            let mechanism = setup.mechanism.name();
            assert_eq!(declined.error, DeclareError::Unsupported { mechanism, what });
            return WITHOUT_SIGNALS;
        }
        Err(declined) => {
            assert_eq!(declined.error.errno(), Some(Errno::LOOP), "{}", declined.error);
            assert!(setup.mechanism.waits().contains(&"epoll_wait"), "{}", setup.mechanism);
            return Outcome::Unsupported("a set nested as deep as the kernel allows");
        }
    };
    rig.assert_silent();
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn a_source_that_blocks_is_detected_by_debug_builds(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    rustix::fs::fcntl_setfl(&theirs, OFlags::RDWR).expect("setting its flags");
    let is_checked = cfg!(debug_assertions);
    let declared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rig.set.declare(theirs, Interest::READABLE, setup.trigger)
    }));
    match declared {
        Ok(declared) => {
            assert!(!is_checked, "the source was accepted");
            let key = declared.expect("a release build does not check");
            write(&ours, b"x");
            rig.expect(key, Readiness::READABLE);
        }
        Err(panic) => {
            assert!(is_checked, "the source was refused");
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(text.contains("O_NONBLOCK"), "{text}");
        }
    }
    Outcome::Pass
}

fn descriptors_beyond_1024_are_reported(setup: Setup) -> Outcome {
    const BEYOND: i32 = 3_000;
    let limit = raise_file_limit();
    if limit <= BEYOND.unsigned_abs().into() {
        return Outcome::Unavailable(format!("RLIMIT_NOFILE is {limit}: raise it above {BEYOND}"));
    }
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let high = rustix::io::fcntl_dupfd_cloexec(&theirs, BEYOND).expect("a descriptor with a high number");
    drop(theirs);
    let (low_peer, low) = stream_pair();
    let key = rig.declare(high, Interest::READABLE);
    let low = rig.declare(low, Interest::READABLE);
    write(&ours, b"x");
    assert!(rig.next(key).is_readable());
    drop(rig.set.withdraw(key).expect("the key is current"));
    write(&low_peer, b"y");
    rig.next(low);
    rig.batch(Duration::ZERO);
    Outcome::Pass
}
