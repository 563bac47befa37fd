//! The port with real threads.

use std::io::{PipeReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;

use c10k_event::{Events, Interest, Mechanism, SharedSet};

use super::{Phase, Port, PortThread, Summons};
use crate::completion_port::{ThreadStates, monitor};

/// What a thread is to do.
type Order = Box<dyn FnOnce(&PortThread) + Send>;

/// A thread that does what the test says, and reports when it has done it.
struct Puppet {
    orders: Sender<Order>,
    done: Receiver<()>,
}

impl Puppet {
    fn of(port: &Arc<Port>, states: &Arc<ThreadStates>, thread: usize) -> Puppet {
        let (orders, received) = mpsc::channel::<Order>();
        let (report, done) = mpsc::channel();
        let (port, states) = (port.thread(thread), Arc::clone(states));
        thread::spawn(move || {
            states.register(thread);
            for order in received {
                order(&port);
                report.send(()).expect("the test waits");
            }
        });
        Puppet { orders, done }
    }

    fn start(&self, order: impl FnOnce(&PortThread) + Send + 'static) {
        self.orders.send(Box::new(order)).expect("it runs");
    }

    fn await_done(&self) {
        self.done.recv().expect("it has done it");
    }

    fn run(&self, order: impl FnOnce(&PortThread) + Send + 'static) {
        self.start(order);
        self.await_done();
    }

    fn is_still_at_it(&self) -> bool {
        self.done.try_recv().is_err()
    }

    fn begin(&self) {
        self.run(begin);
    }
}

/// Gets a place.
fn begin(thread: &PortThread) {
    assert_eq!(thread.seek(), Summons::WaitForEvent);
    let _ = thread.begin();
}

/// A thread that computes in its place.
struct Computing {
    is_on: Arc<AtomicBool>,
    has_begun: Receiver<()>,
}

impl Computing {
    fn start(puppet: &Puppet) -> Computing {
        let (report, has_begun) = mpsc::channel();
        let is_on = Arc::new(AtomicBool::new(true));
        let goes_on = Arc::clone(&is_on);
        puppet.start(move |thread| {
            begin(thread);
            report.send(()).expect("the test waits");
            while goes_on.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            assert!(thread.check().is_none(), "it has kept its place");
            assert_eq!(thread.seek(), Summons::WaitForEvent);
        });
        Computing { is_on, has_begun }
    }

    fn await_start(&self) {
        self.has_begun.recv().expect("it begins");
    }

    fn stop(&self) {
        self.is_on.store(false, Ordering::SeqCst);
    }
}

fn puppets(concurrency: usize, threads: usize) -> (Arc<Port>, Vec<Puppet>) {
    let port = Port::new(concurrency, threads);
    let states = Arc::new(ThreadStates::open(threads).expect("/proc"));
    let puppets = puppets_of(&port, &states, threads);
    (port, puppets)
}

fn puppets_of(port: &Arc<Port>, states: &Arc<ThreadStates>, threads: usize) -> Vec<Puppet> {
    (0..threads).map(|thread| Puppet::of(port, states, thread)).collect()
}

/// Waits until a thread is in that phase.
fn await_phase(port: &Port, thread: usize, phase: Phase) {
    while port.lock().places.phase(thread) != phase {
        thread::yield_now();
    }
}

/// Waits until a thread sleeps.
fn await_sleep(states: &ThreadStates, thread: usize) {
    while !states.sleeps(thread) {
        thread::yield_now();
    }
}

/// A pipe that nothing is in yet, and what reads a byte from it.
fn slow_source() -> (std::io::PipeWriter, impl FnOnce() + Send + 'static) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let read = move || {
        let mut reader: PipeReader = reader;
        reader.read_exact(&mut [0]).expect("a byte");
    };
    (writer, read)
}

#[test]
fn a_thread_that_declares_that_it_blocks_gives_its_place_to_another_and_waits_for_its_turn() {
    let (port, threads) = puppets(1, 2);
    threads[0].begin();
    let (mut source, read) = slow_source();
    threads[0].start(|thread| {
        let left = thread.leave();
        read();
        assert_eq!(left.enter().waits, 1, "the other one has the place");
    });
    // It gets the place although the first one has not come back.
    threads[1].begin();
    source.write_all(b"x").expect("a pipe");
    // The first one is back, and waits.
    await_phase(&port, 0, Phase::Queued);
    assert!(threads[0].is_still_at_it());
    threads[1].start(|thread| assert_eq!(thread.seek(), Summons::WaitForEvent));
    threads[0].await_done();
    threads[0].run(|thread| assert_eq!(thread.seek(), Summons::WaitForEvent));
    drop(threads);
}

#[test]
fn the_monitor_notices_a_thread_that_blocks_undeclared_and_leaves_one_that_computes_alone() {
    let port = Port::new(2, 3);
    let states = Arc::new(ThreadStates::open(3).expect("/proc"));
    let threads = puppets_of(&port, &states, 3);
    let noticed = Arc::new(AtomicUsize::new(0));
    let watch = {
        let (port, states, noticed) = (Arc::clone(&port), Arc::clone(&states), Arc::clone(&noticed));
        thread::spawn(move || {
            monitor::run(&port, &states, || {
                noticed.fetch_add(1, Ordering::SeqCst);
            });
        })
    };
    // One computes, for as long as the test lasts.
    let first = Computing::start(&threads[0]);
    first.await_start();
    // One reads from a slow source, and does not say so.
    let (mut source, read) = slow_source();
    let (report, has_begun) = mpsc::channel();
    threads[1].start(move |thread| {
        begin(thread);
        report.send(()).expect("the test waits");
        read();
        let admitted = thread.check().expect("it has lost its place");
        assert_eq!((admitted.waits, admitted.running), (1, 3));
    });
    // The third one can only compute if the second one's place was taken.
    has_begun.recv().expect("it begins");
    let third = Computing::start(&threads[2]);
    third.await_start();
    source.write_all(b"x").expect("a pipe");
    await_phase(&port, 1, Phase::Queued);
    assert!(threads[1].is_still_at_it(), "it waits for its turn");
    third.stop();
    threads[2].await_done();
    threads[1].await_done();
    first.stop();
    threads[0].await_done();
    port.end();
    drop(threads);
    watch.join().expect("the monitor ends with the port");
    assert!(noticed.load(Ordering::SeqCst) >= 1);
}

#[test]
fn idle_threads_are_called_last_in_first_out() {
    let (port, threads) = puppets(1, 4);
    threads[0].begin();
    // The others become idle one after the other.
    for (thread, puppet) in threads.iter().enumerate().skip(1) {
        puppet.start(|thread| assert_eq!(thread.seek(), Summons::WaitForEvent));
        await_phase(&port, thread, Phase::Idle);
        assert!(puppet.is_still_at_it());
    }
    // Each blocks, so the next one is called.
    let mut sources = Vec::new();
    for thread in [0, 3, 2] {
        let (source, read) = slow_source();
        sources.push(source);
        threads[thread].start(|thread| {
            let left = thread.leave();
            read();
            let _ = left.enter();
        });
        let next = if thread == 0 { 3 } else { thread - 1 };
        threads[next].await_done();
        threads[next].run(|thread| {
            let _ = thread.begin();
        });
    }
    drop(sources);
}

#[test]
fn the_end_lets_all_threads_go() {
    let (port, threads) = puppets(1, 4);
    threads[0].begin();
    // In the end one waits for a place, one is idle, one is blocked, and one runs.
    let (mut source, read) = slow_source();
    let (mut other, read_too) = slow_source();
    threads[0].start(|thread| {
        let left = thread.leave();
        read();
        let _ = left.enter();
        assert_eq!(thread.seek(), Summons::End);
    });
    threads[2].begin();
    threads[2].start(|thread| {
        let left = thread.leave();
        read_too();
        let _ = left.enter();
        assert_eq!(thread.seek(), Summons::End);
    });
    threads[3].begin();
    threads[1].start(|thread| assert_eq!(thread.seek(), Summons::End));
    await_phase(&port, 1, Phase::Idle);
    source.write_all(b"x").expect("a pipe");
    await_phase(&port, 0, Phase::Queued);
    port.end();
    threads[0].await_done();
    threads[1].await_done();
    threads[3].run(|thread| assert_eq!(thread.seek(), Summons::End));
    // One is blocked, and nobody waits for it.
    port.await_holders();
    assert!(!port.is_absent(2));
    other.write_all(b"x").expect("a pipe");
    threads[2].await_done();
    assert!(port.is_absent(2));
}

/// All threads block at once, again and again; the number of those that run is counted.
#[test]
fn never_more_run_than_may_and_every_event_is_served() {
    const EVENTS: usize = 2000;
    for (concurrency, pool) in [(1, 4), (2, 8), (3, 3)] {
        let port = Port::new(concurrency, pool);
        let (running, most, taken) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let (gate, ended) = (Barrier::new(pool), AtomicBool::new(false));
        let compute = || {
            // After the end threads that wait for a place are let go without one.
            if ended.load(Ordering::SeqCst) {
                return;
            }
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for thread in 0..pool {
                let (port, gate, ended) = (port.thread(thread), &gate, &ended);
                let (taken, compute) = (&taken, &compute);
                scope.spawn(move || {
                    gate.wait();
                    while port.seek() == Summons::WaitForEvent {
                        let event = taken.fetch_add(1, Ordering::SeqCst);
                        let _ = port.begin();
                        compute();
                        if event % 3 == 0 {
                            let left = port.leave();
                            thread::yield_now();
                            let _ = left.enter();
                            compute();
                        }
                        if event >= EVENTS {
                            ended.store(true, Ordering::SeqCst);
                            port.port.end();
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > EVENTS);
        assert!((1..=concurrency).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        port.await_holders();
    }
}

/// The kernel's part of the order: ep_poll() puts the thread that waits last at the head of the queue.
#[test]
fn of_the_threads_that_wait_for_a_set_the_kernel_wakes_the_last() {
    let set = SharedSet::open(Mechanism::named("epoll-oneshot").expect("a mechanism")).expect("a set");
    let states = ThreadStates::open(3).expect("/proc");
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    theirs.set_nonblocking(true).expect("a socket");
    set.declare(theirs, Interest::READABLE).expect("a source");
    let woken = AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        for thread in 0..3 {
            let (set, states, woken) = (&set, &states, &woken);
            scope.spawn(move || {
                let mut events = Events::with_capacity(1);
                states.register(thread);
                set.wait(&mut events, None).expect("a wait");
                if !events.is_empty() {
                    woken.store(thread, Ordering::SeqCst);
                    set.end_waits().expect("the others end");
                }
            });
            await_sleep(states, thread);
        }
        ours.write_all(b"x").expect("a socket");
    });
    assert_eq!(woken.load(Ordering::SeqCst), 2);
}
