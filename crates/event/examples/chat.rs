//! A chat: what one client writes, all others read; and what is typed at the server goes to all.
//! `cargo run -p c10k-event --example chat -- [ADDRESS]`
//!
//! The typed lines come from another thread, which cannot touch the set: it leaves them in a channel and wakes the set.
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger};
use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc,
    thread,
};

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
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if typed.send(format!("server: {line}\n")).is_err() || waker.wake().is_err() {
                return;
            }
        }
    });

    let mut events = Events::with_capacity(64);
    loop {
        set.next_events(&mut events, None)?;
        while let Some(event) = set.take(&mut events) {
            hear(&mut set, event.key)?;
        }
        if events.woken() {
            lines
                .try_iter()
                .for_each(|line| tell_all(&mut set, None, line.as_bytes()));
        }
    }
}

/// Lets a client in, or passes on what one has written. With the level trigger once is enough: more comes again.
fn hear(set: &mut InterestSet<Source>, key: Key) -> Result<(), Box<dyn Error>> {
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
            Ok(count) if count > 0 => tell_all(set, Some(key), &buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => drop(set.withdraw(key)?),
        },
    }
    Ok(())
}

/// Writes to all clients but one; who cannot take it is let go.
fn tell_all(set: &mut InterestSet<Source>, but: Option<Key>, text: &[u8]) {
    let mut gone = Vec::new();
    for (key, source) in set.iter_mut().filter(|(key, _)| Some(*key) != but) {
        if let Source::Client(stream) = source
            && stream.write_all(text).is_err()
        {
            gone.push(key);
        }
    }
    // Withdrawing hands the connection back, which closes it.
    gone.into_iter().for_each(|key| drop(set.withdraw(key)));
}
