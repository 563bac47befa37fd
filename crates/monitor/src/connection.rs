//! One connection: its requests, its stream, and what is left to be sent. Every model drives it alike, on a socket that does not
//! block.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use c10k_event::Interest;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use crate::config::Deadlines;
use crate::counts::{Count, Counts};
use crate::feed::Feed;
use crate::reading::{Framing, LAST_CHUNK, Reading, Shared};
use crate::reply;
use crate::request::{self, After, Found, Method, Refusal, Request, Version};
use crate::resource::Content;

/// Bytes that one read takes at most.
const INPUT_BYTES: usize = 4096;

/// Reads of one turn; others have their turn before the next.
const READS: usize = 16;

/// What a subscriber may send after its request, and is not read as one.
const DISCARDED_BYTES: usize = 16 * 1024;

/// What the connections of one worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) now: Instant,
    pub(crate) feed: Feed,
    pub(crate) counts: Counts,
    pub(crate) deadlines: Deadlines,
    pub(crate) max_subscribers: usize,
    pub(crate) stage: Stage,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Whether connections outlive their reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    Draining,
}

impl Worker {
    pub(crate) fn new(
        feed: Feed,
        counts: Counts,
        deadlines: Deadlines,
        max_subscribers: usize,
        now: Instant,
    ) -> Worker {
        Worker {
            now,
            feed,
            counts,
            deadlines,
            max_subscribers,
            stage: Stage::Serving,
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(INPUT_BYTES),
        }
    }
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Wait(Interest),
    /// Another turn, without an event.
    Again,
    Close,
}

/// The lines of one subscriber.
#[derive(Debug, Clone, Copy, Default)]
struct Lines {
    due: u64,
    sent: u64,
    skipped: u64,
}

#[derive(Debug)]
enum State {
    /// It reads requests and answers them.
    Requests,
    Stream(Subscription),
    /// It ends when everything is sent.
    Closing,
    /// Everything is sent; it waits for the client to close, so that no reset overtakes the end (RFC 9112, section 9.6).
    Lingering,
}

#[derive(Debug)]
struct Subscription {
    framing: Framing,
    lines: Lines,
    discarded: usize,
    /// The client has closed its sending half.
    input_has_ended: bool,
    /// The line that was begun is the last one.
    ends_after_line: bool,
}

/// What could not be sent yet.
#[derive(Debug)]
enum Unsent {
    Nothing,
    /// The rest of a line.
    Line(Shared),
    /// The rest of something else, and how much of it was sent.
    Bytes(Box<[u8]>, usize),
}

#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// What it was last declared with.
    pub(crate) interest: Interest,
    state: State,
    unsent: Unsent,
    /// A head that is not complete, or requests that wait for a reply to be sent.
    input: Vec<u8>,
    deadline: Option<Instant>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The other end is gone.
struct Gone;

impl Connection {
    pub(crate) fn new(socket: OwnedFd, worker: &Worker) -> Connection {
        Connection {
            socket,
            interest: Interest::READABLE,
            state: State::Requests,
            unsent: Unsent::Nothing,
            input: Vec::new(),
            deadline: Some(worker.now + worker.deadlines.head),
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Stream(_))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends what is left, then reads and answers until the input is empty.
    pub(crate) fn turn(&mut self, worker: &mut Worker) -> Next {
        if self.flush(worker).is_err() {
            return Next::Close;
        }
        for _ in 0..READS {
            if !self.input.is_empty() && !self.is_blocked() {
                let input = mem::take(&mut self.input);
                self.take(&input, worker);
            }
            // What a subscriber sends is read and dropped, so that it is not reported at every wait.
            if self.is_blocked() && !self.is_subscribed() {
                return self.wait();
            }
            if matches!(self.state, State::Closing) {
                self.linger(worker);
            }
            let mut buffer = mem::take(&mut worker.input);
            let outcome = rustix::io::read(&self.socket, &mut buffer[..]);
            if let Ok(count @ 1..) = outcome {
                let before = mem::take(&mut self.input);
                if before.is_empty() {
                    self.take(&buffer[..count], worker);
                } else {
                    self.take(&[&before, &buffer[..count]].concat(), worker);
                }
            }
            worker.input = buffer;
            match outcome {
                Ok(0) if !self.outlives_input() => return Next::Close,
                Ok(0) => return self.wait(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.wait(),
                Err(_) => return Next::Close,
            }
            if let State::Stream(subscription) = &self.state
                && subscription.discarded > DISCARDED_BYTES
            {
                return Next::Close;
            }
        }
        Next::Again
    }

    /// Sends the line of a new sample, if the one before was sent. It never waits.
    pub(crate) fn publish(&mut self, reading: &Reading, counts: &Counts, stalled: Instant) -> Next {
        let State::Stream(subscription) = &mut self.state else {
            return Next::Wait(self.interest);
        };
        if subscription.ends_after_line {
            return Next::Wait(self.interest);
        }
        subscription.lines.due += 1;
        counts.add(Count::LinesDue, 1);
        let bytes = reading.bytes(subscription.framing);
        let outcome = match self.unsent {
            Unsent::Nothing => send(&self.socket, bytes),
            Unsent::Line(_) | Unsent::Bytes(..) => Ok(0),
        };
        match outcome {
            Ok(count) if count == bytes.len() => {
                subscription.lines.sent += 1;
                counts.add(Count::LinesSent, 1);
                self.deadline = None;
            }
            Ok(0) => {
                subscription.lines.skipped += 1;
                counts.add(Count::LinesSkipped, 1);
                self.deadline.get_or_insert(stalled);
            }
            Ok(count) => {
                self.unsent = Unsent::Line(reading.shared(subscription.framing).after(count));
                self.deadline.get_or_insert(stalled);
            }
            Err(Gone) => {
                // It counts as cut when the connection is closed.
                self.unsent = Unsent::Line(reading.shared(subscription.framing));
                return Next::Close;
            }
        }
        self.wait()
    }

    /// Ends the stream after the line that was begun, and the connection after the reply that was begun.
    pub(crate) fn drain(&mut self, worker: &mut Worker) -> Next {
        match (&mut self.state, &self.unsent) {
            (State::Requests, _) => {
                self.input.clear();
                self.state = State::Closing;
            }
            (State::Stream(subscription), Unsent::Line(_)) => subscription.ends_after_line = true,
            (State::Stream(_), _) => self.end_stream(worker),
            (State::Closing | State::Lingering, _) => {}
        }
        self.turn(worker)
    }

    /// What becomes of it when its deadline has passed.
    pub(crate) fn expire(&mut self, worker: &mut Worker) -> Next {
        if matches!(self.state, State::Lingering) {
            return Next::Close;
        }
        worker.counts.add(Count::Timeouts, 1);
        if self.is_blocked() || self.input.is_empty() {
            return Next::Close;
        }
        let input = mem::take(&mut self.input);
        self.refuse(&Refusal::LATE, &input, worker);
        self.turn(worker)
    }

    /// Counts what ends with it. Call it once, before it is dropped.
    pub(crate) fn account(&mut self, counts: &Counts) {
        let State::Stream(subscription) = &self.state else {
            return;
        };
        let cut = u64::from(matches!(self.unsent, Unsent::Line(_)));
        let lines = subscription.lines;
        debug_assert_eq!(
            lines.due,
            lines.sent + lines.skipped + cut,
            "a subscriber's lines add up"
        );
        counts.add(Count::LinesCut, cut);
        counts.unsubscribe();
        self.state = State::Closing;
    }

    fn is_blocked(&self) -> bool {
        !matches!(self.unsent, Unsent::Nothing)
    }

    fn wait(&self) -> Next {
        let mut interest = Interest::NONE;
        if self.is_blocked() {
            interest |= Interest::WRITABLE;
        }
        let reads = match &self.state {
            State::Requests | State::Closing => !self.is_blocked(),
            State::Stream(subscription) => !subscription.input_has_ended,
            State::Lingering => true,
        };
        if reads {
            interest |= Interest::READABLE;
        }
        Next::Wait(interest)
    }

    /// The client has closed its sending half, or all. A stream goes on: only a write shows which.
    fn outlives_input(&mut self) -> bool {
        match &mut self.state {
            State::Stream(subscription) => {
                subscription.input_has_ended = true;
                true
            }
            State::Requests | State::Closing | State::Lingering => false,
        }
    }

    /// Answers the requests of the input, as far as replies can be sent. The rest is kept.
    fn take(&mut self, input: &[u8], worker: &mut Worker) {
        let mut rest = input;
        while !rest.is_empty() {
            let is_blocked = self.is_blocked();
            match &mut self.state {
                State::Requests if is_blocked => break,
                State::Requests => {}
                State::Stream(subscription) => return subscription.discarded += rest.len(),
                State::Closing | State::Lingering => return,
            }
            match request::next(rest) {
                Found::Partial => {
                    let head = worker.now + worker.deadlines.head;
                    self.deadline = self.deadline.map(|deadline| deadline.min(head));
                    break;
                }
                Found::Request(request, length) => {
                    rest = &rest[length..];
                    self.deadline = Some(worker.now + worker.deadlines.idle);
                    self.answer(&request, worker);
                }
                Found::Refused(refusal) => return self.refuse(&refusal, rest, worker),
            }
        }
        self.input = rest.to_vec();
    }

    fn answer(&mut self, request: &Request, worker: &mut Worker) {
        worker.counts.add(Count::Requests, 1);
        let after = match worker.stage {
            Stage::Serving => request.after,
            Stage::Draining => After::Close,
        };
        let request = Request { after, ..*request };
        match request.resource.content {
            Content::Stream => self.subscribe(&request, worker),
            Content::Sample(write) => {
                let mut body = Vec::new();
                write(worker.feed.present(worker.now), &mut body);
                self.reply(worker, |out| reply::whole(out, &request, &body));
                if after == After::Close {
                    self.state = State::Closing;
                }
            }
        }
    }

    fn subscribe(&mut self, request: &Request, worker: &mut Worker) {
        let framing = match request.version {
            Version::Http11 => Framing::Chunked,
            Version::Http10 => Framing::Plain,
        };
        if request.method == Method::Head {
            self.reply(worker, |out| reply::stream_head(out, request, framing));
            self.state = State::Closing;
            return;
        }
        if !worker.counts.subscribe(worker.max_subscribers) {
            worker.counts.add(Count::Refused, 1);
            self.reply(worker, |out| reply::refusal(out, &Refusal::FULL, Method::Get));
            self.state = State::Closing;
            return;
        }
        self.state = State::Stream(Subscription {
            framing,
            lines: Lines::default(),
            discarded: 0,
            input_has_ended: false,
            ends_after_line: false,
        });
        self.deadline = None;
        self.reply(worker, |out| reply::stream_head(out, request, framing));
        if worker.stage == Stage::Draining && !self.is_blocked() {
            self.end_stream(worker);
        }
    }

    fn refuse(&mut self, refusal: &Refusal, input: &[u8], worker: &mut Worker) {
        worker.counts.add(Count::Refused, 1);
        let method = request::method_of(input);
        self.reply(worker, |out| reply::refusal(out, refusal, method));
        self.state = State::Closing;
    }

    /// Sends a reply. What cannot be sent at once is kept.
    fn reply(&mut self, worker: &mut Worker, write: impl FnOnce(&mut Vec<u8>)) {
        worker.output.clear();
        write(&mut worker.output);
        let output = mem::take(&mut worker.output);
        self.send_or_keep(&output, worker);
        worker.output = output;
    }

    /// An error shows again when the rest is sent.
    fn send_or_keep(&mut self, bytes: &[u8], worker: &Worker) {
        let sent = send(&self.socket, bytes).unwrap_or(0);
        if sent < bytes.len() {
            self.unsent = Unsent::Bytes(bytes[sent..].into(), 0);
            self.deadline = Some(worker.now + worker.deadlines.stalled);
        }
    }

    /// Sends the last chunk. The subscriber has had all lines that it will have.
    fn end_stream(&mut self, worker: &mut Worker) {
        let State::Stream(Subscription { framing, .. }) = self.state else {
            return;
        };
        // The rest of a head comes before the end.
        let mut end = match mem::replace(&mut self.unsent, Unsent::Nothing) {
            Unsent::Bytes(bytes, sent) => bytes[sent..].to_vec(),
            Unsent::Nothing | Unsent::Line(_) => Vec::new(),
        };
        if framing == Framing::Chunked {
            end.extend_from_slice(LAST_CHUNK);
        }
        self.account(&worker.counts);
        self.send_or_keep(&end, worker);
    }

    /// Sends what is left, as far as the socket takes it.
    fn flush(&mut self, worker: &mut Worker) -> Result<(), Gone> {
        loop {
            let bytes = match &self.unsent {
                Unsent::Nothing => return Ok(()),
                Unsent::Line(line) => line.bytes(),
                Unsent::Bytes(bytes, sent) => &bytes[*sent..],
            };
            let (count, length) = (send(&self.socket, bytes)?, bytes.len());
            if count == 0 {
                return Ok(());
            }
            match &mut self.unsent {
                Unsent::Line(line) if count < length => *line = line.after(count),
                Unsent::Bytes(_, sent) if count < length => *sent += count,
                _ => self.everything_is_sent(worker),
            }
        }
    }

    fn everything_is_sent(&mut self, worker: &mut Worker) {
        let was = mem::replace(&mut self.unsent, Unsent::Nothing);
        match &mut self.state {
            State::Stream(subscription) => {
                self.deadline = None;
                if matches!(was, Unsent::Line(_)) {
                    subscription.lines.sent += 1;
                    worker.counts.add(Count::LinesSent, 1);
                }
                if subscription.ends_after_line || worker.stage == Stage::Draining {
                    self.end_stream(worker);
                }
            }
            State::Requests => self.deadline = Some(worker.now + worker.deadlines.idle),
            State::Closing | State::Lingering => {}
        }
    }

    fn linger(&mut self, worker: &Worker) {
        // This fails only if the other end is gone, which the read that follows shows.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        self.state = State::Lingering;
        self.deadline = Some(worker.now + worker.deadlines.linger);
    }
}

/// Sends without waiting. Returns how many bytes the socket took; 0 if it has no room, or the kernel no memory.
fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Gone> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => return Ok(0),
            Err(_) => return Err(Gone),
        }
    }
}

#[cfg(test)]
mod tests;
