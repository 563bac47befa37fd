//! An echo server on one thread: `cargo run -p c10k-event --example echo -- [MECHANISM [ADDRESS]]`.
//!
//! It works with any mechanism: it declares the sources with the default trigger of the mechanism and drains them at
//! each event, which is correct for every trigger. When the process has no descriptor left, it accepts no connection for
//! a moment; clients wait in the listener's queue meanwhile.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger};
use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

enum Source {
    Listener(TcpListener),
    Connection(TcpStream),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener) => listener.as_fd(),
            Self::Connection(stream) => stream.as_fd(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mechanism = Mechanism::named(&arguments.next().unwrap_or_else(|| "epoll-edge".to_owned()))?;
    let listener = TcpListener::bind(arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let (mut set, mut events) = (InterestSet::open(mechanism)?, Events::with_capacity(256));
    let trigger = mechanism.default_trigger();
    let listener = set.declare(Source::Listener(listener), Interest::READABLE, trigger)?;
    loop {
        let is_paused = set.watch(listener).is_some_and(|watch| watch.interest().is_none());
        set.next_events(&mut events, is_paused.then_some(Duration::from_millis(100)))?;
        while let Some(event) = set.take(&mut events) {
            serve(&mut set, event.key, trigger)?;
        }
        if is_paused {
            set.modify(listener, Interest::READABLE, trigger)?;
        }
    }
}

/// Handles an event: drains the source, and arms it again if the trigger is oneshot.
fn serve(set: &mut InterestSet<Source>, key: Key, trigger: Trigger) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; 4096];
    loop {
        match &mut set[key] {
            Source::Listener(listener) => match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    // A connection that cannot be watched is closed.
                    let _ = set.declare(Source::Connection(stream), Interest::READABLE, trigger);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Probably no descriptor is left. The listener stays ready, so it is silenced.
                Err(_) => return Ok(set.modify(key, Interest::NONE, trigger)?),
            },
            // If the buffer is full, the write fails and the client is disconnected.
            Source::Connection(stream) => match stream.read(&mut buffer) {
                Ok(count) if count > 0 && stream.write_all(&buffer[..count]).is_ok() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => {
                    drop(set.withdraw(key)?);
                    return Ok(());
                }
            },
        }
    }
    if trigger == Trigger::Oneshot {
        set.rearm(key)?;
    }
    Ok(())
}
