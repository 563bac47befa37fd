//! One program for every mechanism, which its argument selects. Without an argument it lists all mechanisms, with the
//! reason if one is unavailable.
//! `cargo run -p c10k-event --example every_mechanism -- [MECHANISM]`
//!
//! A byte passes ten times around a ring of a hundred sockets. Then the program prints the counters of the set.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger};
use std::{
    collections::HashMap,
    error::Error,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

const SOCKETS: usize = 100;
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(name) => run_ring(Mechanism::named(&name)?),
        None => {
            for mechanism in Mechanism::all() {
                let state = mechanism
                    .probe()
                    .map_or_else(|reason| reason.to_string(), |()| "available".to_owned());
                println!("{mechanism:<16} {} ({state})", mechanism.summary());
            }
            Ok(())
        }
    }
}

fn run_ring(mechanism: Mechanism) -> Result<(), Box<dyn Error>> {
    let trigger = mechanism.default_trigger();
    let mut set = InterestSet::open(mechanism)?;
    let (mut writers, mut places) = (Vec::new(), HashMap::<Key, usize>::new());
    for place in 0..SOCKETS {
        let (writer, reader) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writers.push(writer);
        places.insert(set.declare(reader, Interest::READABLE, trigger)?, place);
    }
    let mut events = Events::with_capacity(64);
    let mut handled = 0;
    writers[0].write_all(b"x")?;
    while handled < SOCKETS * ROUNDS {
        set.next_events(&mut events, None)?;
        while let Some(event) = set.take(&mut events) {
            // An event is a hint only: there may be no data.
            let mut byte = [0];
            if set[event.key].read(&mut byte).is_ok() {
                handled += 1;
                writers[(places[&event.key] + 1) % SOCKETS].write_all(&byte)?;
            }
            if trigger == Trigger::Oneshot {
                set.modify(event.key, Interest::READABLE, trigger)?;
            }
        }
    }
    let counters = set.counters();
    println!("{mechanism}: {handled} events handled in {} waits", counters.waits);
    counters
        .syscalls()
        .for_each(|(name, count)| println!("  {name}: {count}"));
    Ok(())
}
