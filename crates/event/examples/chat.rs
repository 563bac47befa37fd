//! A chat server: it sends what one client writes to all other clients, and lines from its standard input to all
//! clients.
//! `cargo run -p c10k-event --example chat -- [ADDRESS]`
//!
//! Another thread reads standard input. It cannot use the set, so it sends the lines through a channel and wakes the
//! set.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger};
use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc,
    thread,
};

/// The most typed lines that are forwarded between two waits. Without a limit, input that does not pause would keep the
/// clients waiting.
const LINES_PER_WAIT: usize = 64;

enum Source {
    Listener(TcpListener),
    Client(TcpStream),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener) => listener.as_fd(),
            Self::Client(stream) => stream.as_fd(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned()))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let mut set = InterestSet::open(Mechanism::named("epoll-level")?)?;
    set.declare(Source::Listener(listener), Interest::READABLE, Trigger::Level)?;

    let (typed, lines) = mpsc::channel();
    let waker = set.waker()?;
    let readers_waker = waker.clone();
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if typed.send(format!("server: {line}\n")).is_err() || readers_waker.wake().is_err() {
                return;
            }
        }
    });

    let mut events = Events::with_capacity(64);
    loop {
        set.next_events(&mut events, None)?;
        while let Some(event) = set.take(&mut events) {
            serve(&mut set, event.key)?;
        }
        if events.woken() {
            let some: Vec<String> = lines.try_iter().take(LINES_PER_WAIT).collect();
            some.iter().for_each(|line| broadcast(&mut set, None, line.as_bytes()));
            if some.len() == LINES_PER_WAIT {
                // More may be left, for which the reader has already called the waker.
                waker.wake()?;
            }
        }
    }
}

/// Accepts a client, or forwards what a client has written. One read is enough: the level trigger reports remaining
/// data.
fn serve(set: &mut InterestSet<Source>, key: Key) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; 1024];
    match &mut set[key] {
        Source::Listener(listener) => match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                set.declare(Source::Client(stream), Interest::READABLE, Trigger::Level)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        },
        Source::Client(stream) => match stream.read(&mut buffer) {
            Ok(count) if count > 0 => broadcast(set, Some(key), &buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => drop(set.withdraw(key)?),
        },
    }
    Ok(())
}

/// Writes to all clients except one. Disconnects a client whose buffer is full.
fn broadcast(set: &mut InterestSet<Source>, except: Option<Key>, text: &[u8]) {
    let mut failed = Vec::new();
    for (key, source) in set.iter_mut().filter(|(key, _)| Some(*key) != except) {
        if let Source::Client(stream) = source
            && stream.write_all(text).is_err()
        {
            failed.push(key);
        }
    }
    // Withdrawing returns the connection; dropping it closes it.
    failed.into_iter().for_each(|key| drop(set.withdraw(key)));
}
