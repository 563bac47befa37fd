//! What subscribers cost: samples, memory, allocations. The loop runs step by step in the thread of the test, whose allocations are
//! counted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use c10k_testkit::allocations::{Counting, bytes_of_this_thread, of_this_thread};

use super::*;
use crate::{Config, Counts};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PERIOD: Duration = Duration::from_millis(20);

fn service() -> Service {
    let config = Config {
        period: PERIOD,
        ..Config::default()
    };
    crate::raise_descriptor_limit();
    let counts = Counts::open("m", None).expect("a page");
    Service::new(config, counts, crate::listener::room().expect("descriptors"))
}

/// A loop with its batch of events, and where it listens.
struct Rig<'a> {
    this: EventLoop<'a>,
    events: Events,
    stop: Stop,
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl<'a> Rig<'a> {
    fn open(service: &'a Service) -> Rig<'a> {
        let (listener, address) = Listener::open(([127, 0, 0, 1], 0).into()).expect("a free port");
        let stop = Stop::new().expect("a descriptor");
        Rig {
            this: EventLoop::open(listener, service, &stop).expect("epoll"),
            events: Events::with_capacity(EVENTS_PER_WAIT),
            stop,
            address,
            clients: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.this.step(&mut self.events, &self.stop).expect("a wait");
    }

    /// Adds subscribers until there are so many.
    fn subscribe(&mut self, number: usize) {
        while self.clients.len() < number {
            let mut client = TcpStream::connect(self.address).expect("it listens");
            client
                .write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
                .expect("room");
            client.set_nonblocking(true).expect("a socket");
            self.clients.push(client);
            while self.this.worker.counts.subscribers_now() < self.clients.len() as u64 {
                self.step();
            }
        }
    }

    /// Runs until so many more samples are made, and reads what the clients get.
    fn samples(&mut self, number: u64) {
        let end = self.this.worker.counts.get(Count::Samples) + number;
        let mut buffer = [0; 4096];
        while self.this.worker.counts.get(Count::Samples) < end {
            self.step();
            for client in &mut self.clients {
                while matches!(client.read(&mut buffer), Ok(1..)) {}
            }
        }
    }
}

#[test]
fn a_period_has_one_sample_however_many_subscribers_there_are() {
    let service = service();
    let mut rig = Rig::open(&service);
    for subscribers in [1, 10, 100] {
        rig.subscribe(subscribers);
        let before = service.counts.summary();
        rig.samples(5);
        let after = service.counts.summary();
        assert_eq!(after.samples - before.samples, 5);
        assert_eq!(
            after.lines_due - before.lines_due,
            5 * subscribers as u64,
            "samples x subscribers"
        );
        assert_eq!(
            after.lines_due,
            after.lines_sent + after.lines_skipped + after.lines_cut
        );
    }
}

#[test]
fn nothing_is_sampled_without_subscribers() {
    let service = service();
    let mut rig = Rig::open(&service);
    rig.subscribe(1);
    rig.samples(1);
    rig.clients.clear();
    while service.counts.subscribers_now() > 0 {
        rig.step();
    }
    let before = service.counts.get(Count::Samples);
    // Nothing wakes the loop any more but its deadlines.
    assert!(rig.this.timeout(Instant::now()) > PERIOD);
    for _ in 0..3 {
        std::thread::sleep(PERIOD);
        rig.this.worker.now = Instant::now();
        rig.this.publish();
    }
    assert_eq!(service.counts.get(Count::Samples), before);
}

/// Bytes of user memory that a subscriber may take.
const MOST_BYTES: i64 = 1024;

#[test]
fn a_subscriber_takes_at_most_a_kibibyte() {
    const FEW: usize = 100;
    const MANY: usize = 2000;
    let service = service();
    let mut rig = Rig::open(&service);
    rig.clients.reserve_exact(MANY);
    rig.subscribe(FEW);
    rig.samples(3);
    let before = bytes_of_this_thread();
    rig.subscribe(MANY);
    rig.samples(3);
    let each = (bytes_of_this_thread() - before) / (MANY - FEW) as i64;
    println!(
        "{each} bytes for each subscriber, of which its entry has {}",
        size_of::<Connection>()
    );
    assert!((1..=MOST_BYTES).contains(&each), "{each} bytes");
}

#[test]
fn a_line_to_a_subscriber_allocates_nothing() {
    let service = service();
    let mut rig = Rig::open(&service);
    let mut cost = |subscribers: usize| {
        rig.subscribe(subscribers);
        rig.samples(3);
        let before = (service.counts.get(Count::Samples), of_this_thread());
        rig.samples(10);
        assert_eq!(service.counts.get(Count::Samples) - before.0, 10);
        of_this_thread() - before.1
    };
    let (few, many) = (cost(10), cost(1000));
    // A sample allocates while /proc is read, the more so the more devices there are; 9,900 lines are sent in between.
    assert!(
        many < few + 500,
        "10 samples: {few} allocations for 10 subscribers, {many} for 1,000"
    );
}
