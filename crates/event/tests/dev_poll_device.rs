//! Facts about the `/dev/poll` of our kernel module, which the mechanism `dev-poll-kernel` rests on: what its hints spare, and
//! what a module cannot know.
//!
//! Each is a test whose name begins with that of the mechanism, so that `c10k vm test --only dev-poll-kernel` runs them in the
//! guest. Where the device is missing, the reason is printed; `C10K_REQUIRE` can require it.
#![forbid(unsafe_code)]

mod support;

use c10k_event::Mechanism;
use c10k_sys::{
    dev_poll::{self, Area, Counts, removal},
    poll::{POLLIN, POLLNVAL, PollEntry},
};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::io::Errno;
use std::{
    io::{Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};
use support::unavailable;

const FACTS: &[(&str, fn())] = &[
    (
        "an_idle_descriptor_is_visited_and_not_asked",
        an_idle_descriptor_is_visited_and_not_asked,
    ),
    (
        "a_ready_descriptor_is_asked_until_it_is_not_ready",
        a_ready_descriptor_is_asked_until_it_is_not_ready,
    ),
    (
        "without_hints_every_descriptor_is_asked",
        without_hints_every_descriptor_is_asked,
    ),
    ("mapped_results_are_the_copied_ones", mapped_results_are_the_copied_ones),
    (
        "a_descriptor_closed_while_idle_is_not_reported",
        a_descriptor_closed_while_idle_is_not_reported,
    ),
    (
        "a_descriptor_closed_while_ready_is_reported",
        a_descriptor_closed_while_ready_is_reported,
    ),
    ("a_device_in_a_device_is_refused", a_device_in_a_device_is_refused),
];

fn main() {
    let mechanism = Mechanism::named("dev-poll-kernel").expect("in the table");
    let trial = |&(name, fact): &(&str, fn())| {
        Trial::test(format!("{mechanism}::{name}"), move || {
            if unavailable(mechanism)?.is_none() {
                fact();
            }
            Ok::<(), Failed>(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), FACTS.iter().map(trial).collect()).exit();
}

/// A device with the near ends of so many pairs of sockets.
struct Pairs {
    device: OwnedFd,
    pairs: Vec<(UnixStream, UnixStream)>,
}

impl Pairs {
    fn new(count: usize) -> Self {
        let device = dev_poll::open().expect("it was probed");
        let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().expect("a pair")).collect();
        for (near, _) in &pairs {
            let entry = PollEntry::new(near.as_fd(), POLLIN);
            assert_eq!(dev_poll::write(&device, &[entry]), Ok(1));
        }
        Self { device, pairs }
    }

    /// The number and the conditions of each result of a wait that does not sleep.
    fn poll(&self) -> Vec<(i32, u16)> {
        let mut room = vec![MaybeUninit::uninit(); self.pairs.len() + 1];
        let found = dev_poll::poll(&self.device, &mut room, Some(Duration::ZERO)).expect("a wait");
        found.iter().map(|entry| (entry.number(), entry.found())).collect()
    }

    /// What a wait without a result looks at.
    fn scan(&self) -> Counts {
        let before = dev_poll::counts(&self.device).expect("counts");
        assert_eq!(self.poll(), []);
        let after = dev_poll::counts(&self.device).expect("counts");
        Counts {
            polls: after.polls - before.polls,
            scans: after.scans - before.scans,
            visited: after.visited - before.visited,
            asked: after.asked - before.asked,
            hints: after.hints - before.hints,
        }
    }
}

fn an_idle_descriptor_is_visited_and_not_asked() {
    let set = Pairs::new(100);
    assert_eq!(set.scan().asked, 100, "each new entry has a hint");
    let idle = set.scan();
    assert_eq!((idle.polls, idle.scans, idle.visited, idle.asked), (1, 1, 100, 0));
}

fn a_ready_descriptor_is_asked_until_it_is_not_ready() {
    let mut set = Pairs::new(3);
    set.scan();
    let number = set.pairs[1].0.as_raw_fd();
    set.pairs[1].1.write_all(b"x").expect("written");
    for _ in 0..2 {
        assert_eq!(set.poll(), [(number, POLLIN)], "a state, not a change");
    }
    set.pairs[1].0.read_exact(&mut [0]).expect("read");
    assert_eq!(set.scan().asked, 1);
    assert_eq!(set.scan().asked, 0);
}

fn without_hints_every_descriptor_is_asked() {
    let set = Pairs::new(100);
    dev_poll::ignore_hints(&set.device).expect("accepted");
    set.scan();
    assert_eq!(set.scan().asked, 100);
}

fn mapped_results_are_the_copied_ones() {
    let mut set = Pairs::new(3);
    let mut area = Area::map(&set.device, 3).expect("an area");
    for place in [0, 2] {
        set.pairs[place].1.write_all(b"x").expect("written");
    }
    let copied = set.poll();
    let mapped = area.poll(&set.device, Some(Duration::ZERO)).expect("a wait");
    let mapped: Vec<_> = mapped.iter().map(|entry| (entry.number(), entry.found())).collect();
    assert_eq!(copied.len(), 2);
    assert_eq!(mapped, copied);
    assert_eq!(Area::map(&set.device, 3).err(), Some(Errno::BUSY), "one area for a set");
}

/// A module does not learn that a descriptor is closed. The set keeps the file, so its other end learns nothing either.
fn a_descriptor_closed_while_idle_is_not_reported() {
    let mut set = Pairs::new(1);
    set.scan();
    let (near, mut far) = set.pairs.pop().expect("there is one");
    let number = near.as_raw_fd();
    drop(near);
    assert_eq!(set.poll(), [], "poll(2) and poll(4D) report POLLNVAL");
    far.set_nonblocking(true).expect("O_NONBLOCK");
    assert!(far.read(&mut [0]).is_err(), "the file is still open");
    // What happens to the file makes the set look.
    far.write_all(b"x").expect("it is still open");
    assert_eq!(set.poll(), [(number, POLLNVAL)]);
    assert_eq!(dev_poll::write(&set.device, &[removal(number)]), Ok(1));
    assert_eq!(set.poll(), []);
    assert_eq!(
        far.read(&mut [0]).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
}

fn a_descriptor_closed_while_ready_is_reported() {
    let mut set = Pairs::new(1);
    let (near, mut far) = set.pairs.pop().expect("there is one");
    let number = near.as_raw_fd();
    far.write_all(b"x").expect("written");
    assert_eq!(set.poll(), [(number, POLLIN)]);
    drop(near);
    for _ in 0..2 {
        assert_eq!(set.poll(), [(number, POLLNVAL)], "until it is removed");
    }
}

fn a_device_in_a_device_is_refused() {
    let (outer, inner) = (dev_poll::open().expect("probed"), dev_poll::open().expect("probed"));
    let entry = PollEntry::new(inner.as_fd(), POLLIN);
    assert_eq!(dev_poll::write(&outer, &[entry]), Err(Errno::INVAL));
}
