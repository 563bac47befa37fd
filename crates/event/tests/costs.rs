//! What waiting and declaring cost: system calls by name, and no allocation once all buffers have their size.
#![forbid(unsafe_code)]

mod support;

use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger};
use c10k_testkit::allocations::{Counting, of_this_thread};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};
use support::unavailable;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// System calls by name.
type Calls = BTreeMap<&'static str, u64>;

/// The documented system calls of one mechanism.
struct Costs {
    mechanism: &'static str,
    declare: &'static [(&'static str, u64)],
    modify: &'static [(&'static str, u64)],
    withdraw: &'static [(&'static str, u64)],
    /// A wait that finds eight sources ready, all waits until it has told them.
    eight_ready: &'static [(&'static str, u64)],
    /// A wait with a zero timeout that finds nothing.
    nothing: &'static [(&'static str, u64)],
    /// A wait whose timeout passes.
    timeout: &'static [(&'static str, u64)],
}

const COSTS: &[Costs] = &[
    Costs {
        mechanism: "select",
        declare: &[("fstat", 1)],
        modify: &[],
        withdraw: &[],
        eight_ready: &[("pselect6", 1)],
        nothing: &[("pselect6", 1)],
        timeout: &[("pselect6", 1)],
    },
    Costs {
        mechanism: "poll",
        declare: &[("fstat", 1)],
        modify: &[],
        withdraw: &[],
        eight_ready: &[("ppoll", 1)],
        nothing: &[("ppoll", 1)],
        timeout: &[("ppoll", 1)],
    },
    Costs {
        mechanism: "dev-poll",
        declare: &[("epoll_ctl", 1)],
        modify: &[("epoll_ctl", 2)],
        withdraw: &[("epoll_ctl", 1)],
        eight_ready: &[("epoll_wait", 1)],
        nothing: &[("epoll_wait", 1)],
        timeout: &[("epoll_pwait2", 1)],
    },
    Costs {
        mechanism: "rt-signal",
        eight_ready: &[("rt_sigtimedwait", 8)],
        nothing: &[("rt_sigtimedwait", 1)],
        timeout: &[("rt_sigtimedwait", 1)],
        ..RT_SIGNAL_BATCH
    },
    RT_SIGNAL_BATCH,
    // The programs in the kernel are spoken to through shared memory.
    Costs {
        mechanism: "signal-per-fd",
        ..RT_SIGNAL_BATCH
    },
    EPOLL_LEVEL,
    Costs {
        mechanism: "epoll-edge",
        ..EPOLL_LEVEL
    },
    Costs {
        mechanism: "epoll-oneshot",
        ..EPOLL_LEVEL
    },
    Costs {
        mechanism: "io-uring-poll",
        declare: &[("fstat", 1)],
        modify: &[("io_uring_enter", 1)],
        withdraw: &[("io_uring_enter", 1)],
        eight_ready: &[("io_uring_enter", 1)],
        nothing: &[("io_uring_enter", 1)],
        timeout: &[("io_uring_enter", 1)],
    },
];

const RT_SIGNAL_BATCH: Costs = Costs {
    mechanism: "rt-signal-batch",
    declare: &[("fcntl", 5), ("ppoll", 1)],
    modify: &[("ppoll", 1)],
    withdraw: &[("fcntl", 2)],
    eight_ready: &[("read", 1)],
    nothing: &[("read", 1)],
    timeout: &[("read", 1), ("rt_sigtimedwait", 1)],
};

const EPOLL_LEVEL: Costs = Costs {
    mechanism: "epoll-level",
    declare: &[("epoll_ctl", 1)],
    modify: &[("epoll_ctl", 1)],
    withdraw: &[("epoll_ctl", 1)],
    eight_ready: &[("epoll_wait", 1)],
    nothing: &[("epoll_wait", 1)],
    timeout: &[("epoll_pwait2", 1)],
};

struct Bench {
    set: InterestSet<OwnedFd>,
    events: Events,
    trigger: Trigger,
    peers: Vec<OwnedFd>,
    keys: Vec<Key>,
}

impl Bench {
    fn open(mechanism: Mechanism, sources: usize) -> Self {
        let trigger = mechanism.default_trigger();
        let mut set = InterestSet::open(mechanism).expect("the mechanism was probed");
        let (mut peers, mut keys) = (Vec::new(), Vec::new());
        for _ in 0..sources {
            let (ours, theirs) = pair();
            keys.push(
                set.declare(theirs, Interest::READABLE, trigger)
                    .expect("a socket can be watched"),
            );
            peers.push(ours);
        }
        let mut bench = Self {
            set,
            events: Events::with_capacity(64),
            trigger,
            peers,
            keys,
        };
        bench.wait(Duration::ZERO);
        bench
    }

    fn wait(&mut self, timeout: Duration) -> usize {
        self.set
            .next_events(&mut self.events, Some(timeout))
            .expect("the wait succeeds");
        let mut told = 0;
        while let Some(event) = self.set.take(&mut self.events) {
            told += 1;
            assert_eq!(rustix::io::read(&self.set[event.key], &mut [0]), Ok(1));
        }
        told
    }

    fn write_all(&self) {
        self.peers
            .iter()
            .for_each(|peer| assert_eq!(rustix::io::write(peer, b"x"), Ok(1)));
    }

    fn rearm_all(&mut self) {
        if self.trigger == Trigger::Oneshot {
            for &key in &self.keys {
                self.set
                    .modify(key, Interest::READABLE, self.trigger)
                    .expect("arming again");
            }
        }
    }

    /// The system calls that `work` makes.
    fn calls(&mut self, work: impl FnOnce(&mut Self)) -> Calls {
        let before: Calls = self.set.counters().syscalls().collect();
        work(self);
        let after = self.set.counters().syscalls();
        after
            .map(|(name, count)| (name, count - before.get(name).copied().unwrap_or(0)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair")
}

fn documented(calls: &[(&'static str, u64)]) -> Calls {
    calls.iter().copied().collect()
}

/// The mechanisms that run here; the others are named with their reason.
fn available() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|&mechanism| match unavailable(mechanism) {
        Ok(reason) => reason.is_none(),
        Err(required) => panic!("{required}"),
    })
}

#[test]
fn every_mechanism_makes_the_documented_system_calls() {
    for mechanism in available() {
        let costs = COSTS
            .iter()
            .find(|costs| costs.mechanism == mechanism.name())
            .unwrap_or_else(|| panic!("{mechanism} has no row in COSTS"));
        let mut bench = Bench::open(mechanism, 8);
        let same = |what: &str, calls: &Calls, wanted| assert_eq!(*calls, documented(wanted), "{mechanism}: {what}");
        bench.write_all();
        let calls = bench.calls(|bench| {
            let mut told = 0;
            while told < 8 {
                told += bench.wait(Duration::from_secs(20));
            }
        });
        same("eight ready", &calls, costs.eight_ready);
        bench.rearm_all();
        let calls = bench.calls(|bench| assert_eq!(bench.wait(Duration::ZERO), 0));
        same("nothing", &calls, costs.nothing);
        let calls = bench.calls(|bench| assert_eq!(bench.wait(Duration::from_micros(200)), 0));
        same("timeout", &calls, costs.timeout);
        let (_ours, theirs) = pair();
        let mut key = None;
        let trigger = bench.trigger;
        let calls = bench.calls(|bench| key = bench.set.declare(theirs, Interest::READABLE, trigger).ok());
        same("declare", &calls, costs.declare);
        bench.wait(Duration::ZERO);
        let key = key.expect("a socket can be watched");
        let interest = Interest::READABLE | Interest::PRIORITY;
        let calls = bench.calls(|bench| bench.set.modify(key, interest, trigger).expect("modifying"));
        same("modify", &calls, costs.modify);
        bench.wait(Duration::ZERO);
        let calls = bench.calls(|bench| drop(bench.set.withdraw(key).expect("withdrawing")));
        same("withdraw", &calls, costs.withdraw);
    }
}

#[test]
fn waiting_and_telling_allocate_nothing_once_the_buffers_have_their_size() {
    for mechanism in available() {
        let mut bench = Bench::open(mechanism, 32);
        let round = |bench: &mut Bench| {
            bench.write_all();
            let mut told = 0;
            while told < 32 {
                told += bench.wait(Duration::from_secs(20));
            }
            bench.rearm_all();
            bench.wait(Duration::ZERO);
        };
        (0..10).for_each(|_| round(&mut bench));
        let before = of_this_thread();
        (0..100).for_each(|_| round(&mut bench));
        assert_eq!(of_this_thread() - before, 0, "{mechanism}: allocations in 3,200 events");
    }
}
