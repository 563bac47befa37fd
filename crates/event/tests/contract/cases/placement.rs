//! Threads and processes.

use crate::{
    About::EachTrigger,
    Isolation::{OwnProcess, SharedProcess},
    Outcome, Setup,
    queued::Queued,
    rig::{HANG_TIMEOUT, Rig, stream_pair, write},
};
use c10k_event::{DeclareError, Interest, Readiness, Threading, WaitError, WithdrawError, WrongContext};
use c10k_sys::{
    fork::in_child,
    signal::{self, Async, Receiver, Signal, SignalSet},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

super::cases! {
    two_sets_in_one_thread_are_independent: EachTrigger, SharedProcess;
    sets_in_two_threads_are_independent: EachTrigger, SharedProcess;
    a_set_works_after_its_opening_thread_ends_or_refuses_use: EachTrigger, SharedProcess;
    a_set_reopened_in_the_same_thread_starts_empty: EachTrigger, SharedProcess;
    a_set_dropped_in_a_child_still_works_in_the_parent: EachTrigger, OwnProcess;
    a_child_process_cannot_use_the_set_of_its_parent: EachTrigger, OwnProcess;
    a_child_process_can_open_its_own_set: EachTrigger, OwnProcess;
    signals_of_another_process_are_not_dropped: EachTrigger, OwnProcess;
}

fn two_sets_in_one_thread_are_independent(setup: Setup) -> Outcome {
    let (mut first, mut second) = (Rig::new(setup), Rig::new(setup));
    let (first_peer, source) = stream_pair();
    let key = first.declare(source, Interest::READABLE);
    let (second_peer, source) = stream_pair();
    let other = second.declare(source, Interest::READABLE);
    write(&first_peer, b"1");
    second.assert_silent();
    first.expect(key, Readiness::READABLE);
    first.drain(key);
    write(&second_peer, b"2");
    second.expect(other, Readiness::READABLE);
    first.batch(Duration::ZERO);
    first.assert_silent();
    drop(first);
    second.drain(other);
    write(&second_peer, b"3");
    second.expect(other, Readiness::READABLE);
    Outcome::Pass
}

fn sets_in_two_threads_are_independent(setup: Setup) -> Outcome {
    let threads: Vec<_> = (0..2_u8)
        .map(|number| {
            thread::spawn(move || {
                let mut rig = Rig::new(setup);
                let (ours, theirs) = stream_pair();
                let key = rig.declare(theirs, Interest::READABLE);
                for _ in 0..500 {
                    write(&ours, &[number]);
                    rig.expect(key, Readiness::READABLE);
                    assert!(rig.drain(key).0.iter().all(|&byte| byte == number));
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("the thread passes"));
    Outcome::Pass
}

fn a_set_works_after_its_opening_thread_ends_or_refuses_use(setup: Setup) -> Outcome {
    let opener = thread::spawn(move || {
        let mut rig = Rig::new(setup);
        let (ours, theirs) = stream_pair();
        let key = rig.declare(theirs, Interest::READABLE);
        (rig, key, ours)
    });
    let (mut rig, key, ours) = opener.join().expect("the opener returns");
    write(&ours, b"x");
    match setup.mechanism.threading() {
        Threading::Any | Threading::Concurrent => {
            rig.expect(key, Readiness::READABLE);
            assert!(rig.set.withdraw(key).is_ok());
            Outcome::Pass
        }
        Threading::Opener => {
            let waited = rig.set.next_events(&mut rig.events, Some(HANG_TIMEOUT));
            assert_eq!(waited, Err(WaitError::WrongContext(WrongContext::Thread)));
            let modified = rig.set.modify(key, Interest::READABLE, setup.trigger);
            assert_eq!(modified, Err(DeclareError::WrongContext(WrongContext::Thread)));
            let withdrawn = rig.set.withdraw(key);
            // Signals can be stopped in any thread.
            if setup.mechanism.signal_queue().is_some() {
                let source = withdrawn.expect("it is no longer watched");
                let is_async = signal::async_of(source.as_fd()).map(|(state, _)| state);
                assert_eq!(is_async, Ok(Async::Off));
                assert_eq!(signal::owner_of(source.as_fd()).map(signal::Owner::is_gone), Ok(true));
                return Outcome::Unsupported("use in another thread than the opener");
            }
            assert!(matches!(
                withdrawn,
                Err(WithdrawError::StillWatched {
                    error: DeclareError::WrongContext(WrongContext::Thread),
                    ..
                })
            ));
            Outcome::Unsupported("use in another thread than the opener")
        }
    }
}

fn a_set_reopened_in_the_same_thread_starts_empty(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    rig.declare(theirs, Interest::READABLE);
    for _ in 0..10 {
        write(&ours, b"x");
    }
    drop(rig);
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    rig.declare(theirs, Interest::READABLE);
    rig.assert_silent();
    assert_eq!(rig.set.counters().events, 0);
    Outcome::Pass
}

fn a_set_dropped_in_a_child_still_works_in_the_parent(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let waker = rig.set.waker().expect("a waker");
    let mut rig = Some(rig);
    let status = in_child(|| {
        drop(rig.take());
        0
    });
    assert_eq!(status, Ok(Some(0)));
    let mut rig = rig.expect("only the copy of the child is dropped");
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    rig.drain(key);
    waker.wake().expect("the wakeup succeeds");
    while !rig.events.woken() {
        rig.batch(HANG_TIMEOUT);
    }
    assert!(rig.set.withdraw(key).is_ok());
    Outcome::Pass
}

fn a_child_process_cannot_use_the_set_of_its_parent(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let (_others, other) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let mut other = Some(other);
    let status = in_child(|| {
        let waited = rig.set.next_events(&mut rig.events, Some(Duration::ZERO));
        let modified = rig.set.modify(key, Interest::WRITABLE, setup.trigger);
        let declared = other
            .take()
            .map(|other| rig.set.declare(other, Interest::READABLE, setup.trigger));
        let wrong_process = DeclareError::WrongContext(WrongContext::Process);
        u8::from(waited != Err(WaitError::WrongContext(WrongContext::Process)))
            | u8::from(modified != Err(wrong_process.clone())) << 1
            | u8::from(!matches!(declared, Some(Err(declined)) if declined.error == wrong_process)) << 2
    });
    assert_eq!(status, Ok(Some(0)));
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn a_child_process_can_open_its_own_set(setup: Setup) -> Outcome {
    let parent = Rig::new(setup);
    let status = in_child(move || {
        let mut rig = Rig::new(setup);
        let (ours, theirs) = stream_pair();
        let key = rig.declare(theirs, Interest::READABLE);
        write(&ours, b"x");
        rig.expect(key, Readiness::READABLE);
        drop(parent);
        0
    });
    assert_eq!(status, Ok(Some(0)));
    Outcome::Pass
}

/// While a set watches, another process gets one signal for each event, with any signal number (or, on a kernel with
/// signal-per-fd, one for each descriptor). This holds for a source
/// that only that process uses, and for a source of the set after the process redirects its signals to itself.
fn signals_of_another_process_are_not_dropped(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    rig.drain(key);
    let status = in_child(|| {
        let own = stream_pair();
        let of_both = [(&own.0, &own.1), (&ours, &rig.set[key])];
        u8::from(
            !of_both
                .into_iter()
                .all(|(writer, source)| signals_each_write(writer, source)),
        )
    });
    assert_eq!(status, Ok(Some(0)));
    Outcome::Pass
}

/// Whether this thread receives what the kernel queues for several writes, for each real-time signal number.
fn signals_each_write(writer: &OwnedFd, source: &OwnedFd) -> bool {
    const WRITES: usize = 3;
    let signals = match Queued::once_for() {
        Queued::Event => WRITES,
        Queued::Descriptor => 1,
    };
    Signal::real_time().all(|number| {
        let mask = SignalSet::of(&[number]);
        signal::block(&mask).expect("the mask");
        let receiver = Receiver::this_thread().expect("gettid");
        signal::set_receiver(source.as_fd(), receiver).expect("F_SETOWN_EX");
        signal::set_signal(source.as_fd(), number).expect("F_SETSIG");
        let (_, flags) = signal::async_of(source.as_fd()).expect("F_GETFL");
        signal::set_async(source.as_fd(), Async::On, flags).expect("F_SETFL");
        (0..WRITES).for_each(|_| write(writer, b"x"));
        let received = (0..2 * WRITES).filter(|_| signal::wait(&mask, Some(Duration::ZERO)).is_ok());
        received.count() == signals
    })
}
