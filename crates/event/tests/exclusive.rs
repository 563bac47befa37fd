//! The exclusive wake-up (`EPOLLEXCLUSIVE`): which of several waiting sets an event wakes.
//!
//! The kernel promises to wake one *or more* of them for each event (`epoll_ctl(2)`). The promise covers only sets that
//! a thread is waiting for at that moment. The test asserts that no event is lost, and that some events wake only one
//! of two sets. As a control it asserts that without the option each event wakes both.
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
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// A thread with its own set. All threads wait for the same source.
struct Waiting {
    thread: i32,
    waker: Waker,
    /// One message before each wait. The thread sleeps nowhere else before it is woken.
    about_to_wait: Receiver<()>,
    /// One message for each event.
    woken: Receiver<()>,
    /// Lets the thread wait again.
    again: Sender<()>,
    handle: JoinHandle<()>,
}

impl Waiting {
    fn start(mechanism: Mechanism, source: OwnedFd, watch: Watch) -> Self {
        let ((ready, opened), (ready_to_wait, about_to_wait)) = (channel(), channel());
        let ((report, woken), (again, proceed)) = (channel(), channel());
        let handle = spawn(move || {
            let mut set = InterestSet::open(mechanism).expect("epoll is available");
            set.declare_with(source, watch).expect("a socket can be watched");
            let waker = set.waker().expect("a waker");
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            ready.send((thread, waker)).expect("the test receives");
            let mut events = Events::with_capacity(8);
            loop {
                ready_to_wait.send(()).expect("the test receives");
                set.next_events(&mut events, None).expect("the wait succeeds");
                if events.woken() {
                    return;
                }
                while set.take(&mut events).is_some() {
                    report.send(()).expect("the test receives");
                }
                proceed.recv().expect("the test lets the thread wait again");
            }
        });
        let (thread, waker) = opened.recv_timeout(HANG_TIMEOUT).expect("the set is opened");
        Self {
            thread,
            waker,
            about_to_wait,
            woken,
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
        assert!(started.elapsed() < HANG_TIMEOUT, "not within {HANG_TIMEOUT:?}: {what}");
        yield_now();
    }
}

/// The number of events that two waiting threads receive in total. One byte is written per round.
fn events_of_two_threads(mechanism: Mechanism, watch: Watch) -> usize {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (writer, reader) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair");
    let clone = || reader.try_clone().expect("a duplicate");
    let waiting = [(); 2].map(|()| Waiting::start(mechanism, clone(), watch));
    waiting
        .iter()
        .for_each(|it| it.about_to_wait.recv_timeout(HANG_TIMEOUT).expect("the thread waits"));
    let mut total = 0;
    for _ in 0..ROUNDS {
        until("both sleep", || waiting.iter().all(Waiting::is_asleep));
        // A thread that the write wakes is no longer asleep when the write returns.
        assert_eq!(rustix::io::write(&writer, b"x"), Ok(1));
        let mut woken = [false; 2];
        until("each thread has an event or still sleeps", || {
            // In this order: a thread that sleeps after an event has sent its message before.
            let asleep = waiting.each_ref().map(Waiting::is_asleep);
            for (woken, it) in woken.iter_mut().zip(&waiting) {
                *woken |= it.woken.try_recv().is_ok();
            }
            woken.contains(&true) && woken.iter().zip(asleep).all(|(&woken, asleep)| woken || asleep)
        });
        assert_eq!(rustix::io::read(&reader, &mut [0]), Ok(1));
        for (it, _) in waiting.iter().zip(woken).filter(|&(_, woken)| woken) {
            total += 1;
            it.again.send(()).expect("the thread receives");
            it.about_to_wait
                .recv_timeout(HANG_TIMEOUT)
                .expect("the thread waits again");
        }
    }
    for it in waiting {
        it.waker.wake().expect("the wakeup succeeds");
        it.handle.join().expect("the thread ends");
    }
    total
}

#[test]
fn an_exclusive_event_wakes_one_set_or_more_but_not_all_each_time() {
    for mechanism in Mechanism::all().filter(|mechanism| mechanism.descriptor().wakeups.contains(&Wakeup::Exclusive)) {
        let watch = Watch::new(Interest::READABLE, mechanism.default_trigger());
        assert_eq!(
            events_of_two_threads(mechanism, watch),
            2 * ROUNDS,
            "{mechanism}: without the option"
        );
        let woken = events_of_two_threads(mechanism, watch.exclusive());
        assert!(
            (ROUNDS..2 * ROUNDS).contains(&woken),
            "{mechanism}: {woken} of {ROUNDS} events for two sets"
        );
    }
}
