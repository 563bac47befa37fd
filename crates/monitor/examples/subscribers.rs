//! Many subscribers of one daemon: `cargo run -p c10k-monitor --example subscribers -- ADDRESS SUBSCRIBERS LINES`.
//!
//! It connects so many times, then takes lines until all subscribers have the same LINES samples. It fails if a subscriber misses one,
//! or if no line comes for a minute. It prints how long connecting took, and how much later than the first subscriber the last
//! one had each line.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism};
use c10k_record::MonitorSample;
use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

struct Subscriber {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The number of its last sample.
    last: u64,
}

impl AsFd for Subscriber {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What all subscribers have had of one sample.
struct Round {
    sequence: u64,
    subscribers: usize,
    first: Instant,
    last: Instant,
}

fn main() -> Result<(), Box<dyn Error>> {
    c10k_monitor::raise_descriptor_limit();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, subscribers, lines] = &arguments[..] else {
        return Err("give ADDRESS SUBSCRIBERS LINES".into());
    };
    let (subscribers, lines): (usize, usize) = (subscribers.parse()?, lines.parse()?);
    let start = Instant::now();
    let mut set = connect(address, subscribers)?;
    println!("{subscribers} subscribers connected in {:?}", start.elapsed());
    let (mut rounds, mut events) = (HashMap::new(), Events::with_capacity(1024));
    while rounds
        .values()
        .filter(|round: &&Round| round.subscribers == subscribers)
        .count()
        < lines
    {
        if set.next_events(&mut events, Some(Duration::from_secs(60)))? == 0 {
            return Err("no line came for a minute".into());
        }
        while let Some(event) = set.take(&mut events) {
            read(&mut set, event.key, &mut rounds)?;
        }
    }
    // A sample of which there are two forms would be two rounds, and neither would have all subscribers.
    let mut whole: Vec<(Vec<u8>, Round)> = rounds.into_iter().collect();
    whole.retain(|(_, round)| round.subscribers == subscribers);
    whole.sort_by_key(|(_, round)| round.sequence);
    for (line, round) in whole {
        println!(
            "sample {}: {} bytes to each, the last {:?} after the first",
            round.sequence,
            line.len(),
            round.last - round.first
        );
    }
    Ok(())
}

/// Connects, and asks for streams. An HTTP/1.0 stream has no framing but its line feeds.
fn connect(address: &str, subscribers: usize) -> Result<InterestSet<Subscriber>, Box<dyn Error>> {
    let mechanism = Mechanism::default();
    let mut set = InterestSet::open(mechanism)?;
    for _ in 0..subscribers {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /stream HTTP/1.0\r\n\r\n")?;
        stream.set_nonblocking(true)?;
        let subscriber = Subscriber {
            stream,
            unread: Vec::new(),
            last: 0,
        };
        set.declare(subscriber, Interest::READABLE, mechanism.default_trigger())
            .map_err(|declined| declined.error)?;
    }
    Ok(set)
}

/// Reads until nothing is left, and notes each line that is a sample.
fn read(
    set: &mut InterestSet<Subscriber>,
    key: Key,
    rounds: &mut HashMap<Vec<u8>, Round>,
) -> Result<(), Box<dyn Error>> {
    let (subscriber, mut buffer) = (&mut set[key], [0; 4096]);
    loop {
        match subscriber.stream.read(&mut buffer) {
            Ok(0) => return Err("the daemon has ended a stream".into()),
            Ok(count) => subscriber.unread.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    let now = Instant::now();
    while let Some(end) = subscriber.unread.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = subscriber.unread.drain(..=end).collect();
        // The lines of the head.
        if !line.starts_with(b"{") {
            continue;
        }
        let round = match rounds.entry(line) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let sample: MonitorSample =
                    c10k_record::read::object(new.key()).map_err(|damage| damage.to_string())?;
                new.insert(Round {
                    sequence: sample.sequence,
                    subscribers: 0,
                    first: now,
                    last: now,
                })
            }
        };
        if subscriber.last != 0 && round.sequence != subscriber.last + 1 {
            return Err(format!("a subscriber has missed sample {}", subscriber.last + 1).into());
        }
        subscriber.last = round.sequence;
        round.subscribers += 1;
        round.last = now;
    }
    Ok(())
}
