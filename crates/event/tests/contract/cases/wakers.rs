//! Waking a set from another thread.

use crate::{
    About::EachTrigger,
    Isolation::{OwnProcess, SharedProcess},
    Outcome, Setup,
    rig::{HANG_TIMEOUT, Rig, stream_pair, write},
};
use c10k_event::{Interest, Waker, WakerError, WrongContext};
use c10k_sys::fork::in_child;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

super::cases! {
    a_wakeup_before_the_wait_is_reported_once: EachTrigger, SharedProcess;
    no_wakeup_from_eight_threads_is_lost: EachTrigger, SharedProcess;
    wakeups_are_coalesced: EachTrigger, SharedProcess;
    a_wakeup_is_reported_along_with_events: EachTrigger, SharedProcess;
    a_waker_outlives_its_set: EachTrigger, SharedProcess;
    a_wakeup_is_reported_without_taking_an_event: EachTrigger, SharedProcess;
    a_waker_of_the_parent_is_refused_in_a_child: EachTrigger, OwnProcess;
}

fn a_wakeup_before_the_wait_is_reported_once(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    waker.wake().expect("the wakeup succeeds");
    assert_eq!(
        rig.set.next_events(&mut rig.events, Some(HANG_TIMEOUT)),
        Ok(0),
        "a wakeup is not an event of a source"
    );
    assert!(rig.events.woken());
    rig.assert_silent();
    assert!(!rig.events.woken());
    Outcome::Pass
}

fn no_wakeup_from_eight_threads_is_lost(setup: Setup) -> Outcome {
    const THREADS: u64 = 8;
    const EACH: u64 = 200;
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    let done = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, done) = (Waker::clone(&waker), Arc::clone(&done));
            thread::spawn(move || {
                for _ in 0..EACH {
                    done.fetch_add(1, Ordering::Relaxed);
                    waker.wake().expect("the wakeup succeeds");
                }
            })
        })
        .collect();
    // The last wakeup follows the last addition, so the sum is complete when the wakeup is reported.
    while done.load(Ordering::Relaxed) < THREADS * EACH {
        rig.set
            .next_events(&mut rig.events, Some(HANG_TIMEOUT))
            .expect("the wait succeeds");
        assert!(rig.events.woken(), "a wakeup was lost");
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("the thread returns"));
    Outcome::Pass
}

fn wakeups_are_coalesced(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..1_000 {
        waker.wake().expect("the wakeup succeeds");
    }
    rig.batch(HANG_TIMEOUT);
    assert!(rig.events.woken());
    rig.assert_silent();
    assert_eq!(rig.set.counters().wakeups, 1);
    Outcome::Pass
}

fn a_wakeup_is_reported_along_with_events(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..10 {
        waker.wake().expect("the wakeup succeeds");
        write(&ours, b"x");
        let (mut woken, mut reported) = (false, false);
        while !(woken && reported) {
            let batch = rig.batch(HANG_TIMEOUT);
            woken |= rig.events.woken();
            assert!(
                rig.events.woken() || !batch.is_empty(),
                "neither a wakeup nor an event was reported"
            );
            for event in batch {
                assert_eq!(event.key, key);
                reported = true;
                rig.drain(key);
                rig.rearm(key);
            }
        }
    }
    Outcome::Pass
}

fn a_waker_outlives_its_set(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    assert!(rig.set.waker().is_ok(), "a second call succeeds too");
    drop(rig);
    for _ in 0..3 {
        assert_eq!(waker.wake(), Ok(()), "waking a dropped set does nothing");
    }
    Outcome::Pass
}

fn a_wakeup_is_reported_without_taking_an_event(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..5 {
        waker.wake().expect("the wakeup succeeds");
        rig.set
            .next_events(&mut rig.events, Some(HANG_TIMEOUT))
            .expect("the wait succeeds");
        assert!(rig.events.woken());
    }
    rig.set
        .next_events(&mut rig.events, Some(Duration::ZERO))
        .expect("the wait succeeds");
    assert!(!rig.events.woken());
    Outcome::Pass
}

/// Before and after the parent has used the waker: a wake-up that is pending in the parent is pending in the child's copy.
fn a_waker_of_the_parent_is_refused_in_a_child(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    let refused = Err(WakerError::WrongContext(WrongContext::Process));
    for pending in [false, true] {
        if pending {
            waker.wake().expect("the wakeup succeeds");
        }
        let status = in_child(|| {
            let clone = Waker::clone(&waker);
            u8::from(waker.wake() != refused) | u8::from(clone.wake() != refused) << 1
        });
        assert_eq!(status, Ok(Some(0)), "with a pending wakeup: {pending}");
        rig.batch(if pending { HANG_TIMEOUT } else { Duration::ZERO });
        assert_eq!(rig.events.woken(), pending, "only the parent wakes the set");
    }
    let status = in_child(|| {
        let mut rig = Rig::new(setup);
        let waker = rig.set.waker().expect("a waker");
        let woken = waker.wake() == Ok(()) && rig.set.next_events(&mut rig.events, Some(HANG_TIMEOUT)) == Ok(0);
        u8::from(!(woken && rig.events.woken()))
    });
    assert_eq!(status, Ok(Some(0)), "a waker of the child's own set");
    Outcome::Pass
}
