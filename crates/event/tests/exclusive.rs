//! The exclusive wake-up (`EPOLLEXCLUSIVE`): which of several waiting sets an event wakes.
//!
//! The kernel promises that one *or more* of them hear of each event (`epoll_ctl(2)`), and keeps that only for sets that
//! somebody waits for at that moment. So it is asserted that nobody's event is lost, and that not everybody is woken each
//! time; and, so that the test is known to be able to tell, that without the option everybody is.
#![forbid(unsafe_code)]

use c10k_event::{Events, Interest, InterestSet, Mechanism, Waker, Wakeup, Watch};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{
    os::fd::OwnedFd,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{JoinHandle, spawn, yield_now},
    time::{Duration, Instant},
};

const ROUNDS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// A thread that waits with a set of its own for a source that it shares with the others.
struct Waiting {
    thread: i32,
    waker: Waker,
    /// One message for each time that it is about to wait; nothing else lets it sleep until it is woken.
    about_to_wait: Receiver<()>,
    /// One message for each event.
    told: Receiver<()>,
    /// Lets it wait again.
    again: Sender<()>,
    handle: JoinHandle<()>,
}

impl Waiting {
    fn start(mechanism: Mechanism, source: OwnedFd, watch: Watch) -> Self {
        let ((ready, opened), (say, about_to_wait)) = (channel(), channel());
        let ((tell, told), (again, go)) = (channel(), channel());
        let handle = spawn(move || {
            let mut set = InterestSet::open(mechanism).expect("epoll is there");
            set.declare_with(source, watch).expect("a socket can be watched");
            let waker = set.waker().expect("a waker");
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            ready.send((thread, waker)).expect("the test listens");
            let mut events = Events::with_capacity(8);
            loop {
                say.send(()).expect("the test listens");
                set.next_events(&mut events, None).expect("the wait succeeds");
                if events.woken() {
                    return;
                }
                while set.take(&mut events).is_some() {
                    tell.send(()).expect("the test listens");
                }
                go.recv().expect("the test goes on");
            }
        });
        let (thread, waker) = opened.recv_timeout(PATIENCE).expect("the set is opened");
        Self {
            thread,
            waker,
            about_to_wait,
            told,
            again,
            handle,
        }
    }

    /// Whether the kernel has put the thread to sleep: `/proc/[pid]/task/[tid]/stat`.
    fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.thread)).expect("the thread lives");
        let (_, after_name) = stat.rsplit_once(')').expect("the name is in brackets");
        after_name.trim_start().starts_with('S')
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} within {PATIENCE:?}");
        yield_now();
    }
}

/// How many events two waiting threads were told in all, of one byte a round.
fn told_of_two(mechanism: Mechanism, watch: Watch) -> usize {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (writer, reader) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair");
    let clone = || reader.try_clone().expect("a duplicate");
    let waiting = [(); 2].map(|()| Waiting::start(mechanism, clone(), watch));
    waiting
        .iter()
        .for_each(|it| it.about_to_wait.recv_timeout(PATIENCE).expect("it waits"));
    let mut total = 0;
    for _ in 0..ROUNDS {
        until("both sleep", || waiting.iter().all(Waiting::is_asleep));
        // Whoever the write wakes is no longer asleep when it returns.
        assert_eq!(rustix::io::write(&writer, b"x"), Ok(1));
        let mut told = [false; 2];
        until("each was told or sleeps on", || {
            // In this order: one that sleeps since it was told has said so before.
            let asleep = waiting.each_ref().map(Waiting::is_asleep);
            for (told, it) in told.iter_mut().zip(&waiting) {
                *told |= it.told.try_recv().is_ok();
            }
            told.contains(&true) && told.iter().zip(asleep).all(|(&told, asleep)| told || asleep)
        });
        assert_eq!(rustix::io::read(&reader, &mut [0]), Ok(1));
        for (it, _) in waiting.iter().zip(told).filter(|&(_, told)| told) {
            total += 1;
            it.again.send(()).expect("it listens");
            it.about_to_wait.recv_timeout(PATIENCE).expect("it waits again");
        }
    }
    for it in waiting {
        it.waker.wake().expect("waking");
        it.handle.join().expect("it ends");
    }
    total
}

#[test]
fn an_exclusive_event_wakes_one_set_or_more_but_not_all_each_time() {
    for mechanism in Mechanism::all().filter(|mechanism| mechanism.descriptor().wakeups.contains(&Wakeup::Exclusive)) {
        let watch = Watch::new(Interest::READABLE, mechanism.default_trigger());
        assert_eq!(
            told_of_two(mechanism, watch),
            2 * ROUNDS,
            "{mechanism}: without the option"
        );
        let told = told_of_two(mechanism, watch.exclusive());
        assert!(
            (ROUNDS..2 * ROUNDS).contains(&told),
            "{mechanism}: {told} of {ROUNDS} events for two sets"
        );
    }
}
