//! The costs of operations: the system calls by name, and no allocations after all buffers have reached their size.
#![forbid(unsafe_code)]

mod support;

use c10k_event::{CallCounts, Events, EventsPerCall, Interest, InterestSet, Key, Mechanism, Trigger};
use c10k_testkit::allocations::{Counting, of_this_thread};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};
use support::unavailable;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// System calls by name.
type Calls = BTreeMap<&'static str, u64>;

struct Rig {
    set: InterestSet<OwnedFd>,
    events: Events,
    trigger: Trigger,
    peers: Vec<OwnedFd>,
    keys: Vec<Key>,
}

impl Rig {
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
        let mut rig = Self {
            set,
            events: Events::with_capacity(64),
            trigger,
            peers,
            keys,
        };
        rig.wait(Duration::ZERO);
        rig
    }

    fn wait(&mut self, timeout: Duration) -> usize {
        self.set
            .next_events(&mut self.events, Some(timeout))
            .expect("the wait succeeds");
        let mut found = 0;
        while let Some(event) = self.set.take(&mut self.events) {
            found += 1;
            assert_eq!(rustix::io::read(&self.set[event.key], &mut [0]), Ok(1));
        }
        found
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
                    .expect("rearming");
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

/// The documented system calls of an operation, multiplied by `times`.
fn documented(calls: CallCounts, times: u64) -> Calls {
    calls.iter().map(|&(name, count)| (name, count * times)).collect()
}

/// The mechanisms that run on this machine. The others are printed with their reason.
fn available() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|&mechanism| match unavailable(mechanism) {
        Ok(reason) => reason.is_none(),
        Err(required) => panic!("{required}"),
    })
}

#[test]
fn every_mechanism_makes_the_documented_system_calls() {
    for mechanism in available() {
        let costs = mechanism.costs();
        let mut rig = Rig::open(mechanism, 8);
        let same = |what: &str, calls: &Calls, wanted| assert_eq!(*calls, documented(wanted, 1), "{mechanism}: {what}");
        rig.write_all();
        let calls = rig.calls(|rig| {
            let mut found = 0;
            while found < 8 {
                found += rig.wait(Duration::from_secs(20));
            }
        });
        let waits = match mechanism.events_per_call() {
            EventsPerCall::One => 8,
            EventsPerCall::Many => 1,
        };
        assert_eq!(
            calls,
            documented(costs.wait, waits),
            "{mechanism}: waits for eight events"
        );
        rig.rearm_all();
        let calls = rig.calls(|rig| assert_eq!(rig.wait(Duration::ZERO), 0));
        same("a wait without ready sources", &calls, costs.wait_in_vain);
        let calls = rig.calls(|rig| assert_eq!(rig.wait(Duration::from_micros(200)), 0));
        same("a wait until its timeout", &calls, costs.wait_until_timeout);
        let (_ours, theirs) = pair();
        let mut key = None;
        let trigger = rig.trigger;
        let calls = rig.calls(|rig| key = rig.set.declare(theirs, Interest::READABLE, trigger).ok());
        // A debug build checks that the source does not block.
        let mut declare = documented(costs.declare, 1);
        *declare.entry("fcntl").or_default() += u64::from(cfg!(debug_assertions));
        declare.retain(|_, count| *count > 0);
        assert_eq!(calls, declare, "{mechanism}: declare");
        rig.wait(Duration::ZERO);
        let key = key.expect("a socket can be watched");
        let interest = Interest::READABLE | Interest::PRIORITY;
        let calls = rig.calls(|rig| rig.set.modify(key, interest, trigger).expect("modifying"));
        same("modify", &calls, costs.modify);
        rig.wait(Duration::ZERO);
        let calls = rig.calls(|rig| drop(rig.set.withdraw(key).expect("withdrawing")));
        same("withdraw", &calls, costs.withdraw);
    }
}

#[test]
fn waiting_does_not_allocate_after_the_buffers_have_reached_their_size() {
    for mechanism in available() {
        let mut rig = Rig::open(mechanism, 32);
        let round = |rig: &mut Rig| {
            rig.write_all();
            let mut found = 0;
            while found < 32 {
                found += rig.wait(Duration::from_secs(20));
            }
            rig.rearm_all();
            rig.wait(Duration::ZERO);
        };
        (0..10).for_each(|_| round(&mut rig));
        let before = of_this_thread();
        (0..100).for_each(|_| round(&mut rig));
        assert_eq!(of_this_thread() - before, 0, "{mechanism}: allocations in 3,200 events");
    }
}
