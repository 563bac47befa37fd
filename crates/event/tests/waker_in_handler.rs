//! `Waker::wake` in a signal handler: it interrupts the allocator and the wait at any instruction, takes no lock and allocates
//! nothing.
#![forbid(unsafe_code)]

mod support;

use c10k_event::{Events, InterestSet, Mechanism, Waker};
use c10k_testkit::{
    allocations::{Counting, of_this_thread},
    handler::{call_on_usr1, send_usr1},
};
use std::{
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use support::unavailable;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One waker for each available mechanism, and which of them the handler uses.
static WAKERS: OnceLock<Vec<Waker>> = OnceLock::new();
static CURRENT: AtomicUsize = AtomicUsize::new(0);

static HANDLED: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn handler() {
    let before = of_this_thread();
    let waker = WAKERS
        .get()
        .and_then(|wakers| wakers.get(CURRENT.load(Ordering::Relaxed)));
    let outcome = waker.map(Waker::wake);
    ALLOCATIONS.fetch_add(of_this_thread() - before, Ordering::Relaxed);
    FAILURES.fetch_add(u64::from(outcome != Some(Ok(()))), Ordering::Relaxed);
    HANDLED.fetch_add(1, Ordering::Release);
}

#[test]
fn a_signal_handler_may_wake_a_set() {
    const SIGNALS: u64 = 2_000;
    /// Only a hang reaches this limit.
    const HANG_TIMEOUT: Duration = Duration::from_secs(60);
    let mut sets: Vec<InterestSet<OwnedFd>> = Mechanism::all()
        .filter(|&mechanism| unavailable(mechanism).is_ok_and(|reason| reason.is_none()))
        .map(|mechanism| InterestSet::open(mechanism).expect("the mechanism was probed"))
        .collect();
    let wakers = sets.iter_mut().map(|set| set.waker().expect("a waker")).collect();
    assert!(WAKERS.set(wakers).is_ok());
    call_on_usr1(handler);
    let receiver = rustix::thread::gettid().as_raw_nonzero().get();
    let mut events = Events::with_capacity(4);
    for (index, set) in sets.iter_mut().enumerate() {
        CURRENT.store(index, Ordering::Relaxed);
        let from = HANDLED.load(Ordering::Acquire);
        let sender = thread::spawn(move || {
            for count in 0..SIGNALS {
                send_usr1(receiver);
                // A second signal of the same number would be merged with the first one.
                while HANDLED.load(Ordering::Acquire) <= from + count {
                    thread::yield_now();
                }
            }
        });
        while HANDLED.load(Ordering::Acquire) < from + SIGNALS {
            set.next_events(&mut events, Some(HANG_TIMEOUT))
                .expect("the wait succeeds");
            assert!(events.woken(), "{}: a wakeup was lost", set.mechanism());
            // The next signals interrupt the allocator.
            let boxes: Vec<_> = (0..64).map(Box::new).collect();
            assert_eq!(boxes.len(), 64);
        }
        sender.join().expect("the thread ends");
        while set.next_events(&mut events, Some(Duration::ZERO)).is_ok() && events.woken() {}
    }
    assert_eq!(
        (FAILURES.load(Ordering::Relaxed), ALLOCATIONS.load(Ordering::Relaxed)),
        (0, 0)
    );
}
