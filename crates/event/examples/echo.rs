//! An echo server on one thread: `cargo run -p c10k-event --example echo -- [MECHANISM [ADDRESS]]`.
//!
//! It works with any mechanism: it declares the sources with the default trigger of the mechanism and drains them at
//! each event, which is correct for every trigger.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism};
use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
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
    set.declare(Source::Listener(listener), Interest::READABLE, trigger)?;
    loop {
        set.next_events(&mut events, None)?;
        while let Some(event) = set.take(&mut events) {
            if serve(&mut set, event.key)? {
                set.modify(event.key, Interest::READABLE, trigger)?;
            }
        }
    }
}

/// Handles an event. Returns whether the source must be rearmed, which only the oneshot trigger needs.
fn serve(set: &mut InterestSet<Source>, key: Key) -> Result<bool, Box<dyn Error>> {
    let trigger = set.mechanism().default_trigger();
    let mut buffer = [0; 4096];
    loop {
        match &mut set[key] {
            Source::Listener(listener) => match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    set.declare(Source::Connection(stream), Interest::READABLE, trigger)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            },
            // If the buffer is full, the write fails and the client is disconnected.
            Source::Connection(stream) => match stream.read(&mut buffer) {
                Ok(count) if count > 0 && stream.write_all(&buffer[..count]).is_ok() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => return Ok(set.withdraw(key).is_err()),
            },
        }
    }
    Ok(trigger == c10k_event::Trigger::Oneshot)
}
