//! A TCP proxy on one thread: it connects each client with a server and closes pairs that are idle.
//! `cargo run -p c10k-event --example proxy -- SERVER [MECHANISM [ADDRESS [IDLE_SECONDS]]]`
//!
//! It shows three recipes: a pair of sources that name each other (`declare_by`, `get_two_mut`), back-pressure (a side is
//! not read while the other one cannot be written), and deadlines next to a set (a heap).
use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Trigger, Watch};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

enum Source {
    Listener(TcpListener),
    Side(Side),
}

/// One side of a pair.
struct Side {
    stream: TcpStream,
    other: Key,
    /// What the other side has sent and this one has not accepted yet.
    unsent: Vec<u8>,
    /// This side has sent everything.
    has_ended: bool,
    /// The end of what the other side has sent was passed to this one.
    is_shut: bool,
    /// When the pair last moved a byte. Only the client's side has it.
    active: Instant,
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener) => listener.as_fd(),
            Self::Side(side) => side.stream.as_fd(),
        }
    }
}

struct Proxy {
    set: InterestSet<Source>,
    listener: Key,
    server: SocketAddr,
    idle: Duration,
    /// One entry for each pair. An entry may be too early, never too late: it is not moved when the pair is active.
    deadlines: BinaryHeap<Reverse<(Instant, Key)>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments
        .next()
        .ok_or("the address of the server is missing")?
        .parse()?;
    let mechanism = Mechanism::named(&arguments.next().unwrap_or_else(|| "epoll-edge".to_owned()))?;
    let listener = TcpListener::bind(arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()))?;
    let idle = arguments.next().map_or(Ok(60.0), |seconds| seconds.parse())?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let mut set = InterestSet::open(mechanism)?;
    let listener = set.declare(
        Source::Listener(listener),
        Interest::READABLE,
        mechanism.default_trigger(),
    )?;
    let mut proxy = Proxy {
        set,
        listener,
        server,
        idle: Duration::from_secs_f64(idle),
        deadlines: BinaryHeap::new(),
    };
    let mut events = Events::with_capacity(256);
    loop {
        let timeout = proxy.time_to_next_deadline();
        proxy.set.next_events(&mut events, timeout)?;
        while let Some(event) = proxy.set.take(&mut events) {
            if event.key == proxy.listener {
                proxy.accept()?;
            } else {
                proxy.serve(event.key)?;
            }
        }
        proxy.close_idle_pairs()?;
    }
}

impl Proxy {
    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        let trigger = self.set.mechanism().default_trigger();
        loop {
            let Source::Listener(listener) = &self.set[self.listener] else {
                return Ok(());
            };
            match listener.accept() {
                Ok((client, _)) => {
                    client.set_nonblocking(true)?;
                    // A client that cannot be served is closed.
                    if let Ok(server) = connect(self.server) {
                        let _ = self.pair(client, server);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // No descriptor is left: the listener stays ready, so it is silent until a pair is closed.
                Err(_) => return Ok(self.set.modify(self.listener, Interest::NONE, trigger)?),
            }
        }
        if trigger == Trigger::Oneshot {
            self.set.rearm(self.listener)?;
        }
        Ok(())
    }

    /// Declares both sides of a pair.
    fn pair(&mut self, client: TcpStream, server: TcpStream) -> Result<(), Box<dyn Error>> {
        let side = |stream, other| {
            Source::Side(Side {
                stream,
                other,
                unsent: Vec::new(),
                has_ended: false,
                is_shut: false,
                active: Instant::now(),
            })
        };
        let watch = Watch::new(Interest::READABLE, self.set.mechanism().default_trigger());
        // The first side names itself until the second one has a key.
        let client = self.set.declare_by(watch, |own| side(client, own))?.key;
        let server = match self.set.declare_by(watch, |_| side(server, client)) {
            Ok(declared) => declared.key,
            Err(declined) => {
                self.set.withdraw(client)?;
                return Err(declined.error.into());
            }
        };
        if let Source::Side(side) = &mut self.set[client] {
            side.other = server;
        }
        self.deadlines.push(Reverse((Instant::now() + self.idle, client)));
        Ok(())
    }

    /// Moves bytes in both directions until nothing moves, and asks for the events that let them move again.
    fn serve(&mut self, key: Key) -> Result<(), Box<dyn Error>> {
        let Source::Side(side) = &self.set[key] else {
            return Ok(());
        };
        let other = side.other;
        let Some((Source::Side(one), Source::Side(two))) = self.set.get_two_mut(key, other) else {
            return self.close(key);
        };
        let moved = move_bytes(one, two).and_then(|first| Ok(first | move_bytes(two, one)?));
        match moved {
            Ok(_) if one.is_shut && two.is_shut => return self.close(key),
            Ok(true) => (one.active, two.active) = (Instant::now(), Instant::now()),
            Ok(false) => {}
            Err(_) => return self.close(key),
        }
        let wanted = [(key, interest(one, two)), (other, interest(two, one))];
        let trigger = self.set.mechanism().default_trigger();
        for (key, interest) in wanted {
            let present = self.set.watch(key).map(|watch| watch.interest());
            if present != Some(interest) || trigger == Trigger::Oneshot {
                self.set.modify(key, interest, trigger)?;
            }
        }
        Ok(())
    }

    /// Closes a pair, and accepts again if that had stopped.
    fn close(&mut self, key: Key) -> Result<(), Box<dyn Error>> {
        if let Source::Side(side) = self.set.withdraw(key)? {
            // The rest of the batch may have events of the other side; its key is stale from here on.
            drop(self.set.withdraw(side.other));
        }
        let trigger = self.set.mechanism().default_trigger();
        let listening = self.set.watch(self.listener).map(|watch| watch.interest());
        if listening == Some(Interest::NONE) {
            self.set.modify(self.listener, Interest::READABLE, trigger)?;
        }
        Ok(())
    }

    fn time_to_next_deadline(&self) -> Option<Duration> {
        let Reverse((at, _)) = self.deadlines.peek()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Looks at the entries whose time has come. The key of a pair that is gone names nothing, whatever has its slot now; a
    /// pair that was active in the meantime gets an entry with its present deadline.
    fn close_idle_pairs(&mut self) -> Result<(), Box<dyn Error>> {
        let now = Instant::now();
        while let Some(&Reverse((at, key))) = self.deadlines.peek()
            && at <= now
        {
            self.deadlines.pop();
            let Some(Source::Side(side)) = self.set.get(key) else {
                continue;
            };
            let deadline = side.active + self.idle;
            if deadline > now {
                self.deadlines.push(Reverse((deadline, key)));
            } else {
                self.close(key)?;
            }
        }
        Ok(())
    }
}

/// Starts a connection without waiting for it. It is writable when it is established.
fn connect(address: SocketAddr) -> Result<TcpStream, rustix::io::Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket.into()),
        Err(errno) => Err(errno),
    }
}

/// Moves bytes until the source has none or the target has no room. Returns whether any byte moved.
fn move_bytes(from: &mut Side, to: &mut Side) -> std::io::Result<bool> {
    let mut buffer = [0; 16_384];
    let mut moved = false;
    loop {
        while !to.unsent.is_empty() {
            match to.stream.write(&to.unsent) {
                Ok(count) => drop(to.unsent.drain(..count)),
                // Not connected yet is the same as no room.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(moved);
                }
                Err(error) => return Err(error),
            }
            moved = true;
        }
        if from.has_ended {
            if !to.is_shut {
                to.stream.shutdown(Shutdown::Write)?;
                to.is_shut = true;
            }
            return Ok(moved);
        }
        match from.stream.read(&mut buffer) {
            Ok(0) => from.has_ended = true,
            Ok(count) => to.unsent.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(moved),
            Err(error) => return Err(error),
        }
    }
}

/// What a side waits for: data while the other side takes it, and room for what it has not accepted.
fn interest(side: &Side, other: &Side) -> Interest {
    let mut interest = Interest::NONE;
    if !side.has_ended && other.unsent.is_empty() {
        interest |= Interest::READABLE;
    }
    if !side.unsent.is_empty() {
        interest |= Interest::WRITABLE;
    }
    interest
}
