//! Waking a set from elsewhere.

use crate::{
    About::EachTrigger,
    Outcome,
    Place::Beside,
    Setup,
    rig::{PATIENCE, Rig, stream_pair, write},
};
use c10k_event::{Interest, Waker};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

super::cases! {
    a_waking_before_the_wait_is_heard_once: EachTrigger, Beside;
    eight_threads_wake_and_nothing_is_missed: EachTrigger, Beside;
    wakings_coalesce: EachTrigger, Beside;
    a_waking_comes_beside_events: EachTrigger, Beside;
    a_waker_outlives_its_set: EachTrigger, Beside;
    a_waking_is_heard_when_its_event_is_not_taken: EachTrigger, Beside;
}

fn a_waking_before_the_wait_is_heard_once(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    waker.wake().expect("waking");
    assert_eq!(
        rig.set.next_events(&mut rig.events, Some(PATIENCE)),
        Ok(0),
        "a waking is no source's event"
    );
    assert!(rig.events.woken());
    rig.assert_silent();
    assert!(!rig.events.woken());
    Outcome::Pass
}

fn eight_threads_wake_and_nothing_is_missed(setup: Setup) -> Outcome {
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
                    waker.wake().expect("waking");
                }
            })
        })
        .collect();
    // The last waking comes after the last addition: hearing it must show the whole sum.
    while done.load(Ordering::Relaxed) < THREADS * EACH {
        rig.set
            .next_events(&mut rig.events, Some(PATIENCE))
            .expect("the wait succeeds");
        assert!(rig.events.woken(), "a waking was missed");
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("the thread returns"));
    Outcome::Pass
}

fn wakings_coalesce(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..1_000 {
        waker.wake().expect("waking");
    }
    rig.batch(PATIENCE);
    assert!(rig.events.woken());
    rig.assert_silent();
    assert_eq!(rig.set.counters().wakeups, 1);
    Outcome::Pass
}

fn a_waking_comes_beside_events(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..10 {
        waker.wake().expect("waking");
        write(&ours, b"x");
        let (mut woken, mut told) = (false, false);
        while !(woken && told) {
            let batch = rig.batch(PATIENCE);
            woken |= rig.events.woken();
            assert!(rig.events.woken() || !batch.is_empty(), "neither came");
            for event in batch {
                assert_eq!(event.key, key);
                told = true;
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
    assert!(rig.set.waker().is_ok(), "the second is the same");
    drop(rig);
    for _ in 0..3 {
        assert_eq!(waker.wake(), Ok(()), "nobody hears it, and nobody is harmed");
    }
    Outcome::Pass
}

fn a_waking_is_heard_when_its_event_is_not_taken(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let waker = rig.set.waker().expect("a waker");
    for _ in 0..5 {
        waker.wake().expect("waking");
        rig.set
            .next_events(&mut rig.events, Some(PATIENCE))
            .expect("the wait succeeds");
        assert!(rig.events.woken());
    }
    rig.set
        .next_events(&mut rig.events, Some(Duration::ZERO))
        .expect("the wait succeeds");
    assert!(!rig.events.woken());
    Outcome::Pass
}
