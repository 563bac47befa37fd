//! The library's counters compared with the kernel's view: each mechanism runs a workload under `strace`, and the
//! system calls in its [`Counters`](c10k_event::Counters) must be the calls that `strace` recorded.
#![forbid(unsafe_code)]

mod support;

use c10k_event::{Events, Interest, InterestSet, Mechanism, Trigger};
use c10k_testkit::required::is_required;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::{collections::BTreeMap, os::fd::OwnedFd, process::Command, time::Duration};
use support::unavailable;

/// Environment variable with the name of the mechanism for the traced process.
const TRACED: &str = "C10K_TRACED";
/// Thread names that mark the beginning and the end of the workload: `prctl(PR_SET_NAME)` appears in the trace.
const FROM: &std::ffi::CStr = c"work-begins";
const TO: &std::ffi::CStr = c"work-ends";

type Calls = BTreeMap<String, u64>;

fn main() {
    if let Ok(name) = std::env::var(TRACED) {
        return work(Mechanism::named(&name).expect("the test passes a valid name"));
    }
    let arguments = Arguments::from_args();
    let trials = Mechanism::all()
        .map(|mechanism| {
            let name = format!("{mechanism}::counts_the_system_calls_that_the_kernel_sees");
            Trial::test(name, move || compare(mechanism))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn compare(mechanism: Mechanism) -> Result<(), Failed> {
    if unavailable(mechanism)?.is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let traced = Command::new("strace")
        .arg(program)
        .env(TRACED, mechanism.name())
        .output();
    let output = match traced {
        Ok(output) if output.status.success() => output,
        failed => {
            let reason = match failed {
                Err(error) => format!("strace does not start ({error}): install the package strace"),
                Ok(output) => String::from_utf8_lossy(&output.stderr)
                    .lines()
                    .last()
                    .unwrap_or("strace failed")
                    .to_owned(),
            };
            if is_required(&["strace"]) {
                return Err(format!("strace is required (C10K_REQUIRE): {reason}").into());
            }
            eprintln!("{mechanism}: unavailable here: {reason}");
            return Ok(());
        }
    };
    let counted: Calls = String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| Ok((name.to_owned(), count.parse()?)))
        .collect::<Result<_, std::num::ParseIntError>>()?;
    let trace = String::from_utf8_lossy(&output.stderr);
    let seen = between(&trace).ok_or("the trace has no beginning or no end")?;
    if counted.is_empty() || counted != seen {
        return Err(format!("counted {counted:?}, the kernel saw {seen:?}").into());
    }
    Ok(())
}

/// The system calls of a trace between the two marks, without those that [`work`] makes itself.
fn between(trace: &str) -> Option<Calls> {
    let (_, rest) = trace.split_once(FROM.to_str().ok()?)?;
    let (work, _) = rest.split_once(TO.to_str().ok()?)?;
    let mut calls = Calls::new();
    for line in work.lines().skip(1) {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name && !["sendto", "recvfrom", "prctl", "mmap", "munmap", "brk", "mremap"].contains(&name) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    Some(calls)
}

/// Uses all operations of a set. Its own system calls are calls that no mechanism makes.
fn work(mechanism: Mechanism) {
    let trigger = mechanism.default_trigger();
    let mut set = InterestSet::open(mechanism).expect("the mechanism was probed");
    let mut events = Events::with_capacity(8);
    let pairs: Vec<(OwnedFd, OwnedFd)> = (0..12).map(|_| pair()).collect();
    let (peers, sources): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let waker = set.waker().expect("a waker");
    waker.wake().expect("the wakeup succeeds");
    let before = set.counters().clone();
    rustix::thread::set_name(FROM).expect("a name");
    let mut keys = Vec::new();
    for source in sources {
        keys.push(set.declare(source, Interest::READABLE, trigger).expect("declaring"));
    }
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_micros(1_500)] {
        for peer in &peers {
            assert_eq!(rustix::net::send(peer, b"x", SendFlags::empty()), Ok(1));
        }
        let mut handled = 0;
        while handled < peers.len() {
            set.next_events(&mut events, Some(Duration::from_secs(20)))
                .expect("waiting");
            while let Some(event) = set.take(&mut events) {
                let mut byte = [0];
                assert!(rustix::net::recv(&set[event.key], &mut byte, RecvFlags::empty()).is_ok());
                handled += 1;
                if trigger == Trigger::Oneshot {
                    set.modify(event.key, Interest::READABLE, trigger).expect("rearming");
                }
            }
        }
        set.next_events(&mut events, Some(timeout)).expect("waiting");
        assert!(set.take(&mut events).is_none());
    }
    set.modify(keys[0], Interest::READABLE | Interest::WRITABLE, trigger)
        .expect("modifying");
    set.next_events(&mut events, Some(Duration::ZERO)).expect("waiting");
    while set.take(&mut events).is_some() {}
    let withdrawn: Vec<_> = keys
        .into_iter()
        .map(|key| set.withdraw(key).expect("withdrawing"))
        .collect();
    rustix::thread::set_name(TO).expect("a name");
    let earlier: BTreeMap<_, _> = before.syscalls().collect();
    for (name, count) in set.counters().syscalls() {
        let count = count - earlier.get(name).copied().unwrap_or(0);
        if count > 0 {
            println!("{name} {count}");
        }
    }
    drop(withdrawn);
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair")
}
