//! Timeouts and interruptions.

use crate::{
    About::EachTrigger,
    Isolation::{OwnProcess, SharedProcess},
    Outcome, Setup,
    rig::{HANG_TIMEOUT, Rig, stream_pair, write},
};
use c10k_event::{Interest, Readiness};
use c10k_sys::signal::{self, Signal, SignalSet};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

super::cases! {
    a_zero_timeout_does_not_wait: EachTrigger, SharedProcess;
    a_timeout_below_a_millisecond_is_not_rounded_up: EachTrigger, SharedProcess;
    a_wait_without_timeout_ends_with_an_event: EachTrigger, SharedProcess;
    a_wait_without_sources_times_out: EachTrigger, SharedProcess;
    the_longest_timeout_is_accepted: EachTrigger, SharedProcess;
    interrupted_waits_resume_with_the_remaining_timeout: EachTrigger, OwnProcess;
}

fn a_zero_timeout_does_not_wait(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    rig.declare(theirs, Interest::READABLE);
    for _ in 0..100 {
        assert!(rig.batch(Duration::ZERO).is_empty());
    }
    Outcome::Pass
}

fn a_timeout_below_a_millisecond_is_not_rounded_up(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    rig.declare(theirs, Interest::READABLE);
    let asked = Duration::from_micros(100);
    let give_up = Instant::now() + Duration::from_secs(30);
    // On a busy machine most waits are late. A timeout that is rounded to milliseconds never ends before one has passed.
    loop {
        let started = Instant::now();
        assert!(rig.batch(asked).is_empty());
        let waited = started.elapsed();
        assert!(waited >= asked, "{waited:?} is shorter than {asked:?}");
        if waited < Duration::from_millis(1) {
            return Outcome::Pass;
        }
        assert!(Instant::now() < give_up, "no wait ended within a millisecond");
    }
}

fn a_wait_without_timeout_ends_with_an_event(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let writer = thread::spawn(move || {
        write(&ours, b"x");
        ours
    });
    assert!(rig.set.next_events(&mut rig.events, None).expect("the wait succeeds") > 0);
    assert_eq!(rig.set.take(&mut rig.events).map(|event| event.key), Some(key));
    drop(writer.join().expect("the writer returns"));
    Outcome::Pass
}

fn a_wait_without_sources_times_out(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let started = Instant::now();
    assert!(rig.batch(Duration::from_millis(2)).is_empty());
    assert!(started.elapsed() >= Duration::from_millis(2));
    Outcome::Pass
}

fn the_longest_timeout_is_accepted(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    assert_eq!(rig.batch(Duration::MAX).first().map(|event| event.key), Some(key));
    Outcome::Pass
}

fn interrupted_waits_resume_with_the_remaining_timeout(setup: Setup) -> Outcome {
    let timeout = Duration::from_millis(100);
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let over = Arc::new(AtomicBool::new(false));
    // A case in its own process runs in the main thread, the only thread in which this signal is not blocked.
    signal::interrupt_with(Signal::USR1);
    let stop = Arc::clone(&over);
    let interrupter = thread::spawn(move || {
        signal::block(&SignalSet::of(&[Signal::USR1])).expect("the mask");
        while !stop.load(Ordering::Relaxed) {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1).expect("kill");
        }
    });
    // The call for the remaining timeout may differ from the first call.
    let calls = |rig: &Rig| rig.set.counters().syscalls().map(|(_, count)| count).sum::<u64>();
    let before = calls(&rig);
    let started = Instant::now();
    assert!(rig.batch(timeout).is_empty());
    let waited = started.elapsed();
    assert!(waited >= timeout && waited < HANG_TIMEOUT, "{waited:?}");
    assert!(calls(&rig) > before + 1, "the wait was interrupted and resumed");
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    over.store(true, Ordering::Relaxed);
    interrupter.join().expect("the interrupter returns");
    Outcome::Pass
}
