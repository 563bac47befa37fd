//! Sandboxes: each system call that the library makes is refused with each error that sandboxes use, on each mechanism.
//!
//! The probe must name the refused call, or the mechanism must work without it. Nothing spins, and nothing panics.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;

use c10k_event::{
    DeclareError, Events, Interest, InterestSet, Mechanism, OpenError, Unavailable, WaitError, WakerError,
    WithdrawError,
};
use c10k_sys::fork::in_child;
use c10k_testkit::seccomp;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, setrlimit},
};
use sockets::{HANG_TIMEOUT, stream_pair, write};
use std::os::fd::OwnedFd;

/// The system calls of all mechanisms, and those that start a thread.
const CALLS: &[(&str, i64)] = &[
    ("bpf", libc::SYS_bpf),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("epoll_create1", libc::SYS_epoll_create1),
    ("epoll_ctl", libc::SYS_epoll_ctl),
    ("epoll_pwait2", libc::SYS_epoll_pwait2),
    ("epoll_wait", libc::SYS_epoll_wait),
    ("eventfd2", libc::SYS_eventfd2),
    ("fcntl", libc::SYS_fcntl),
    ("fstat", libc::SYS_fstat),
    ("getsockopt", libc::SYS_getsockopt),
    ("gettid", libc::SYS_gettid),
    ("io_cancel", libc::SYS_io_cancel),
    ("io_destroy", libc::SYS_io_destroy),
    ("io_getevents", libc::SYS_io_getevents),
    ("io_setup", libc::SYS_io_setup),
    ("io_submit", libc::SYS_io_submit),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("newfstatat", libc::SYS_newfstatat),
    ("pipe2", libc::SYS_pipe2),
    ("ppoll", libc::SYS_ppoll),
    ("prlimit64", libc::SYS_prlimit64),
    ("pselect6", libc::SYS_pselect6),
    ("read", libc::SYS_read),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigpending", libc::SYS_rt_sigpending),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait),
    ("signalfd4", libc::SYS_signalfd4),
    ("write", libc::SYS_write),
];

/// The calls of the test itself, of the memory allocator and of the C library.
const OTHERS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_close,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_openat,
];

/// The errors of sandboxes, and of limits.
const ERRORS: [Errno; 6] = [
    Errno::PERM,
    Errno::NOSYS,
    Errno::ACCESS,
    Errno::INVAL,
    Errno::NOMEM,
    Errno::MFILE,
];

/// The most CPU time of one check, which takes milliseconds. Only a check that spins reaches it.
const SPIN_LIMIT: u64 = 20;

/// The operation at which a set failed, and the call that it named.
#[derive(Debug)]
struct Blame {
    at: Step,
    call: &'static str,
    errno: Errno,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Declare,
    Wait,
    Modify,
    Waker,
    Withdraw,
    Other,
}

/// Why a check failed, as the exit code of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Failure {
    None,
    NoFilter,
    ProbeNamesAnotherCall,
    ProbeHasAnotherError,
    SetNamesAnotherCall,
    AvailableButRefused,
    NotReported,
}

const FAILURES: [Failure; 7] = [
    Failure::None,
    Failure::NoFilter,
    Failure::ProbeNamesAnotherCall,
    Failure::ProbeHasAnotherError,
    Failure::SetNamesAnotherCall,
    Failure::AvailableButRefused,
    Failure::NotReported,
];

fn available() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| mechanism.probe().is_ok())
}

#[test]
fn the_probe_names_the_refused_call_or_the_mechanism_works_without_it() {
    let mut failures = Vec::new();
    for mechanism in available() {
        for &(call, number) in CALLS {
            // A limit on threads (RLIMIT_NPROC) answers EAGAIN. With other calls it means that nothing is there.
            let limit = call.starts_with("clone").then_some(Errno::AGAIN);
            for errno in ERRORS.into_iter().chain(limit) {
                let status = in_child(|| check(mechanism, call, number, errno) as u8);
                let status = status.expect("a process");
                if status != Some(0) {
                    let known = FAILURES.into_iter().find(|&failure| Some(failure as u8) == status);
                    // No status: it was killed, at the limit of CPU time. 101: it panicked.
                    failures.push(format!("{mechanism}, {call}, {errno:?}: {status:?} {known:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_list_of_calls_is_complete() {
    for mechanism in available() {
        let status = in_child(|| {
            let (ours, theirs) = stream_pair();
            write(&ours, b"x");
            let allowed = CALLS.iter().map(|&(_, number)| number).chain(OTHERS.iter().copied());
            if seccomp::allow_only(allowed).is_err() {
                return 1;
            }
            u8::from(mechanism.probe().is_err() || use_set(mechanism, theirs).is_err()) * 2
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism} makes a call that is not in the list");
    }
}

fn check(mechanism: Mechanism, refused: &str, number: i64, errno: Errno) -> Failure {
    let (ours, theirs) = stream_pair();
    write(&ours, b"x");
    let cpu = Rlimit {
        current: Some(SPIN_LIMIT),
        maximum: Some(SPIN_LIMIT),
    };
    if setrlimit(Resource::Cpu, cpu).is_err() || seccomp::refuse(number, errno).is_err() {
        return Failure::NoFilter;
    }
    let probed = mechanism.probe();
    if let Err(reason) = &probed {
        match reason {
            Unavailable::Refused { call, errno: found, .. } if is_call(call, refused) => {
                if *found != errno {
                    return Failure::ProbeHasAnotherError;
                }
            }
            _ => return Failure::ProbeNamesAnotherCall,
        }
    }
    match use_set(mechanism, theirs) {
        Ok(true) => Failure::None,
        Ok(false) => Failure::NotReported,
        Err(blame) if !is_call(blame.call, refused) || blame.errno != errno => Failure::SetNamesAnotherCall,
        // The probe opens no waker.
        Err(blame) if probed.is_ok() && blame.at != Step::Waker => Failure::AvailableButRefused,
        Err(_) => Failure::None,
    }
}

/// Whether a name is that of the refused call. BPF's has the command too.
fn is_call(named: &str, refused: &str) -> bool {
    named == refused || named.split_once('(').is_some_and(|(call, _)| call == refused)
}

/// Uses each operation of a set on a source that is readable. Returns whether it was reported.
fn use_set(mechanism: Mechanism, source: OwnedFd) -> Result<bool, Blame> {
    let mut set = InterestSet::open(mechanism).map_err(|error| at_open(&error))?;
    let mut events = Events::with_capacity(8);
    let trigger = mechanism.default_trigger();
    let key = set
        .declare(source, Interest::READABLE, trigger)
        .map_err(|declined| at(Step::Declare)(declined.error))?;
    let found = set
        .next_events(&mut events, Some(HANG_TIMEOUT))
        .map_err(at_wait(Step::Wait))?;
    let reported = found == 1 && set.take(&mut events).is_some_and(|event| event.key == key);
    set.modify(key, Interest::PRIORITY, trigger).map_err(at(Step::Modify))?;
    let waker = set.waker().map_err(at_waker)?;
    waker.wake().map_err(at_waker)?;
    set.next_events(&mut events, Some(HANG_TIMEOUT))
        .map_err(at_wait(Step::Waker))?;
    let woken = events.woken();
    match set.withdraw(key) {
        Ok(_) => Ok(reported && woken),
        Err(WithdrawError::StillWatched { error, .. }) => Err(at(Step::Withdraw)(error)),
        Err(WithdrawError::UnknownKey(_)) => Ok(false),
    }
}

fn at_open(error: &OpenError) -> Blame {
    match *error {
        OpenError::System { call, errno, .. }
        | OpenError::Unavailable {
            reason: Unavailable::Refused { call, errno, .. },
            ..
        } => Blame {
            at: Step::Open,
            call,
            errno,
        },
        _ => other(),
    }
}

fn at(step: Step) -> impl Fn(DeclareError) -> Blame {
    move |error| match error {
        DeclareError::System { call, errno } => Blame { at: step, call, errno },
        _ => other(),
    }
}

fn at_wait(step: Step) -> impl Fn(WaitError) -> Blame {
    move |error| match error {
        WaitError::System { call, errno } => Blame { at: step, call, errno },
        _ => other(),
    }
}

fn at_waker(error: WakerError) -> Blame {
    match error {
        WakerError::Open(error) => at(Step::Waker)(error),
        WakerError::Wake(errno) => Blame {
            at: Step::Waker,
            call: "write",
            errno,
        },
        _ => other(),
    }
}

/// An error that names no call.
fn other() -> Blame {
    Blame {
        at: Step::Other,
        call: "none",
        errno: Errno::IO,
    }
}
