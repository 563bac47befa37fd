//! The protocol state of one connection.

use std::time::Duration;

use crate::answer::{self, Content, Length, Manner, OCTETS, Persistence, TEXT};
use crate::blocking_work::{self, BlockingWork, WorkFailure};
use crate::body::{Body, Progress};
use crate::file::{self, FileFacts, FileReply, Piece, Unsent};
use crate::head::{self, Expectation, Request, Scan, Version, Wish};
use crate::host::{Files, Host, Output, Stage};
use crate::pattern::pattern;
use crate::refusal::{METHOD_NOT_ALLOWED, NOT_FOUND, OK, REQUEST_TIMEOUT, Refusal, UNAVAILABLE};
use crate::route::{Method, Route};

/// Bodies up to this many bytes are copied behind their heads; longer ones become the tail.
const INLINE_BODY: u64 = 8 * 1024;

/// Once the output holds this many bytes, no further request is answered before it is sent.
const FULL_OUTPUT: usize = 64 * 1024;

const JSON: &str = "Content-Type: application/json\r\nCache-Control: no-store\r\n";

/// What the driver must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send the output, then read and [`Machine::feed`] what was read. All input so far was taken.
    Read,
    /// Send the output, the tail and the piece of the file, then `feed` nothing: input is waiting inside the machine.
    Write,
    /// Spend that much CPU time, then `feed` nothing. The replies may be sent before only as far as they were in the
    /// output before the call.
    Work(Duration),
    /// Answer with [`Machine::answer_stats`], then `feed` nothing.
    Stats,
    /// Open the file at [`Machine::file_path`], answer with [`Machine::answer_file`] and do the step that it returns.
    Open,
    /// Do the work of [`Machine::blocking_work`], which may block, or have it done. Then answer with
    /// [`Machine::answer_work`] and do the step that it returns; until then feed nothing.
    Block,
    /// Send the output, then close.
    Close(Ending),
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client expects the close and has sent nothing more: close at once.
    Agreed,
    /// The client may still be sending: close the sending half, then read and drop input for a while, so that a reset does
    /// not overtake the reply (RFC 9112, section 9.6).
    Lingering,
}

/// What a connection is waiting for. Its deadline depends on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a request body.
    Body,
    /// The rest of its own reply.
    Reply,
    /// What the driver was asked for.
    Work,
}

/// The protocol state of one connection; see the contract of the crate.
#[derive(Debug, Default)]
pub struct Machine {
    /// Everything beyond a few bits, held only while a request or a reply is in progress.
    progress: Option<Box<InProgress>>,
    closing: Option<Ending>,
    /// Whether the empty line that is allowed in front of a request was seen.
    skipped_line: bool,
    /// How the reply for which the driver was asked is to be sent.
    asked: Option<Manner>,
}

#[derive(Debug, Default)]
struct InProgress {
    /// Input not yet taken.
    backlog: Vec<u8>,
    /// The length of the part of the backlog that consists of complete lines of an unfinished head.
    scanned: usize,
    /// A request whose body is being read.
    receiving: Option<(Request, Body)>,
    /// What the request brought and its reply gives back: a body, or a head.
    kept: Vec<u8>,
    /// The tail: offset of its next byte in the pattern, and bytes left.
    tail_offset: u64,
    tail_left: u64,
    /// A file of which something is to be sent.
    file: Option<FileReply>,
    /// What the driver is to do, until it takes it.
    work: Option<BlockingWork>,
}

impl Machine {
    /// The state of a connection on which nothing was received.
    #[must_use]
    pub fn new() -> Machine {
        Machine::default()
    }

    /// Takes all of `input` (which may be empty, to continue with what is held), appends replies to `output`, and returns the
    /// next step.
    pub fn feed(&mut self, input: &[u8], host: &Host, output: &mut Output) -> Step {
        let Some(progress) = self.progress.as_mut().filter(|progress| !progress.backlog.is_empty()) else {
            let (used, step) = self.run(input, host, output);
            if used < input.len() {
                self.progress
                    .get_or_insert_default()
                    .backlog
                    .extend_from_slice(&input[used..]);
            }
            return step;
        };
        let mut held = std::mem::take(&mut progress.backlog);
        held.extend_from_slice(input);
        let (used, step) = self.run(&held, host, output);
        if used < held.len() {
            held.drain(..used);
            self.progress.get_or_insert_default().backlog = held;
        }
        self.rest();
        step
    }

    /// The next bytes of the tail, to be sent after the output; empty if there is no tail or it has been sent.
    #[must_use]
    pub fn tail(&self) -> &'static [u8] {
        self.progress
            .as_ref()
            .map_or(&[], |progress| pattern(progress.tail_offset, progress.tail_left))
    }

    /// Takes `sent` bytes off the tail.
    ///
    /// # Panics
    /// If the tail is shorter than that.
    pub fn tail_sent(&mut self, sent: usize) {
        if sent == 0 {
            return;
        }
        let progress = self
            .progress
            .as_mut()
            .expect("bytes of a tail are only sent where there is a tail");
        progress.tail_left = progress
            .tail_left
            .checked_sub(sent as u64)
            .expect("more was sent than the tail held");
        progress.tail_offset += sent as u64;
        self.rest();
    }

    /// Answers [`Step::Stats`] with a body of JSON.
    pub fn answer_stats(&mut self, body: &[u8], host: &Host, output: &mut Output) {
        if let Some(manner) = self.asked.take() {
            output.replies += 1;
            answer::whole(&mut output.bytes, OK, JSON, body, manner, &host.date);
        }
    }

    /// The path below the root of the file that [`Step::Open`] requests; `None` if no file can have it.
    #[must_use]
    pub fn file_path(&self) -> Option<Vec<u8>> {
        file::path(&self.progress.as_ref()?.kept)
    }

    /// Answers [`Step::Open`].
    pub fn answer_file(&mut self, found: Result<FileFacts, Unsent>, host: &Host, output: &mut Output) -> Step {
        if let (Some(manner), Some(progress)) = (self.asked.take(), &mut self.progress) {
            let head = std::mem::take(&mut progress.kept);
            output.replies += 1;
            let out = &mut output.bytes;
            match found {
                Ok(facts) => progress.file = file::answer(&head, facts, manner, &host.limits, &host.date, out),
                Err(why) => file::answer_without(&head, why, manner, &host.date, out),
            }
        }
        self.after_answer(host, output)
    }

    /// Takes the work that [`Step::Block`] requests; `None` if it was taken.
    #[must_use]
    pub fn blocking_work(&mut self) -> Option<BlockingWork> {
        let work = self.progress.as_mut()?.work.take();
        self.rest();
        work
    }

    /// Answers [`Step::Block`].
    pub fn answer_work(&mut self, outcome: Result<&[u8], WorkFailure>, host: &Host, output: &mut Output) -> Step {
        if let Some(mut manner) = self.asked.take() {
            if host.stage == Stage::Draining && manner.persistence != Persistence::Close {
                // The drain has begun since the request came.
                manner.persistence = Persistence::Close;
                self.closing = Some(Ending::Lingering);
            }
            output.replies += 1;
            blocking_work::answer(outcome, manner, &host.date, &mut output.bytes);
        }
        self.after_answer(host, output)
    }

    /// Goes on after the driver has brought what it was asked for.
    fn after_answer(&mut self, host: &Host, output: &mut Output) -> Step {
        self.rest();
        if host.work > Duration::ZERO {
            return Step::Work(host.work);
        }
        self.feed(&[], host, output)
    }

    /// Whether the file that was opened is still needed.
    #[must_use]
    pub fn needs_file(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.file.is_some())
    }

    /// The piece of the file to be sent after the output and the tail.
    #[must_use]
    pub fn piece(&self) -> Option<Piece> {
        let piece = self.progress.as_ref()?.file.as_ref()?.piece();
        (piece.length > 0).then_some(piece)
    }

    /// Takes `sent` bytes off the piece.
    ///
    /// # Panics
    /// If the piece is shorter than that.
    pub fn piece_sent(&mut self, sent: usize) {
        if let Some(file) = self.progress.as_mut().and_then(|progress| progress.file.as_mut()) {
            file.sent(sent as u64);
        }
    }

    /// Whether a tail or a piece is to be sent.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.progress
            .as_ref()
            .is_some_and(|progress| progress.tail_left > 0 || self.piece().is_some())
    }

    /// Answers a deadline that passed while a request was being received: 408, then [`Step::Close`]. Between requests
    /// there is nothing to answer.
    pub fn give_up(&mut self, host: &Host, output: &mut Output) -> Step {
        if !matches!(self.phase(), Phase::Head | Phase::Body) {
            return Step::Close(Ending::Agreed);
        }
        let late = Refusal::with(REQUEST_TIMEOUT, "the request took too long");
        let content = self.content_of(&[]);
        self.refuse(late, content, host, output);
        self.progress = None;
        Step::Close(Ending::Lingering)
    }

    /// How much of the body is kept that is being received, or that work asks for and the driver has not taken yet. In bytes.
    #[must_use]
    #[inline]
    pub fn kept_of_body(&self) -> usize {
        match &self.progress {
            Some(progress) if progress.receiving.is_some() => progress.kept.len(),
            Some(progress) => progress.work.as_ref().map_or(0, BlockingWork::kept),
            None => 0,
        }
    }

    /// Refuses the request whose body is [kept](Machine::kept_of_body), since the server has no memory for more of it.
    pub fn shed(&mut self, host: &Host, output: &mut Output) -> Step {
        let full = Refusal::with(UNAVAILABLE, "the bodies of too many requests are held: try again");
        let content = self.content_of(&[]);
        self.refuse(full, content, host, output);
        self.progress = None;
        self.asked = None;
        Step::Close(Ending::Lingering)
    }

    /// What the connection is waiting for.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.progress.as_ref() {
            _ if self.asked.is_some() => Phase::Work,
            Some(progress) if progress.tail_left > 0 || progress.file.is_some() => Phase::Reply,
            Some(progress) if progress.receiving.is_some() => Phase::Body,
            Some(progress) if !progress.backlog.is_empty() => Phase::Head,
            _ => Phase::Idle,
        }
    }

    /// Serves requests from the front of `input` and returns how much of it was taken.
    fn run(&mut self, input: &[u8], host: &Host, output: &mut Output) -> (usize, Step) {
        let mut used = 0;
        loop {
            self.continue_file(output);
            if self.owes() || output.bytes.len() >= FULL_OUTPUT {
                return (used, Step::Write);
            }
            let rest = &input[used..];
            if let Some(ending) = self.closing {
                let ending = if rest.is_empty() { ending } else { Ending::Lingering };
                self.closing = Some(ending);
                self.progress = None;
                return (input.len(), Step::Close(ending));
            }
            if rest.is_empty() {
                return (used, Step::Read);
            }
            let taken = if self.is_receiving() {
                self.take_body(rest, host)
            } else {
                self.take_head(rest, host, output)
            };
            match taken {
                Ok((0, None)) => return (used, Step::Read),
                Ok((taken, None)) => used += taken,
                Ok((taken, Some(request))) => {
                    used += taken;
                    if let Some(step) = self.answer(&request, host, output) {
                        return (used, step);
                    }
                }
                Err(refusal) => self.refuse(refusal, self.content_of(rest), host, output),
            }
        }
    }

    /// Continues with the next part of a file when one is complete.
    fn continue_file(&mut self, output: &mut Output) {
        let Some(progress) = self.progress.as_mut() else { return };
        let through = progress.file.as_mut().filter(|file| file.piece().length == 0);
        if through.is_some_and(|file| !file.next(&mut output.bytes)) {
            progress.file = None;
            self.rest();
        }
    }

    /// Takes one head from the front of `input`. A request without a body is then complete.
    fn take_head(
        &mut self,
        input: &[u8],
        host: &Host,
        output: &mut Output,
    ) -> Result<(usize, Option<Request>), Refusal> {
        if !self.skipped_line && input.starts_with(b"\r\n") {
            self.skipped_line = true;
            return Ok((2, None));
        }
        let scanned = self.progress.as_ref().map_or(0, |progress| progress.scanned);
        let end = match head::scan(input, scanned, &host.limits)? {
            Scan::End(end) => end,
            Scan::Partial(scanned) => {
                self.progress.get_or_insert_default().scanned = scanned;
                return Ok((0, None));
            }
        };
        if let Some(progress) = self.progress.as_mut() {
            progress.scanned = 0;
        }
        let mut request = head::parse(&input[..end], &host.limits)?;
        request.route = host.among_resources(request.route);
        self.skipped_line = false;
        output.requests += 1;
        if matches!(
            (request.route, host.files),
            (Route::Headers, _) | (Route::Missing, Files::Served)
        ) {
            self.progress.get_or_insert_default().kept = input[..end].to_vec();
        }
        let Some(body) = Body::new(request.framing) else {
            return Ok((end, Some(request)));
        };
        if request.expectation == Expectation::Continue && input.len() == end {
            output.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.progress.get_or_insert_default().receiving = Some((request, body));
        Ok((end, None))
    }

    fn is_receiving(&self) -> bool {
        self.progress
            .as_ref()
            .is_some_and(|progress| progress.receiving.is_some())
    }

    /// Takes as much of a body as there is from the front of `input`. Its last byte completes the request.
    fn take_body(&mut self, input: &[u8], host: &Host) -> Result<(usize, Option<Request>), Refusal> {
        let progress = self.progress.get_or_insert_default();
        let Some((request, body)) = progress.receiving.as_mut() else {
            return Ok((0, None));
        };
        let kept = request.route.keeps_body().then_some(&mut progress.kept);
        let (taken, state) = body.take(input, kept, &host.limits)?;
        Ok((taken, if state == Progress::Done { self.received() } else { None }))
    }

    /// The request whose body has been read.
    fn received(&mut self) -> Option<Request> {
        let request = self
            .progress
            .as_mut()
            .and_then(|progress| progress.receiving.take())
            .map(|(request, _)| request);
        self.rest();
        request
    }

    /// Answers a complete request. Returns a step if the driver must do something before the next request.
    fn answer(&mut self, request: &Request, host: &Host, output: &mut Output) -> Option<Step> {
        let manner = self.manner(request, host);
        self.closing = match (manner.persistence, request.wish) {
            (Persistence::Close, Wish::Close) => Some(Ending::Agreed),
            (Persistence::Close, Wish::Keep) => Some(Ending::Lingering),
            _ => None,
        };
        let kept = self
            .progress
            .as_mut()
            .map(|progress| std::mem::take(&mut progress.kept));
        let mut work = host.work;
        let out = &mut output.bytes;
        let files = host.files == Files::Served && request.route == Route::Missing;
        let asks = files || request.route.asks();
        if !asks || !request.route.offers(request.method) {
            output.replies += 1;
        }
        if request.route == Route::Missing && !files {
            answer::whole(out, NOT_FOUND, TEXT, b"nothing is here\n", manner, &host.date);
        } else if !request.route.offers(request.method) {
            let fields = ["Allow: ", request.route.allow(), "\r\n", TEXT].concat();
            answer::whole(
                out,
                METHOD_NOT_ALLOWED,
                &fields,
                b"the method is not allowed here\n",
                manner,
                &host.date,
            );
        } else {
            match request.route {
                Route::Bytes(length) => {
                    answer::head(out, OK, OCTETS, Length::Of(length), manner, &host.date);
                    if manner.content == Content::Sent {
                        self.bytes(length, out);
                    }
                }
                Route::Spin(time) => {
                    work += time;
                    answer::whole(out, OK, OCTETS, pattern(0, 1), manner, &host.date);
                }
                Route::Stats => {
                    self.asked = Some(manner);
                    return Some(Step::Stats);
                }
                Route::Missing => {
                    self.progress.get_or_insert_default().kept = kept.unwrap_or_default();
                    self.asked = Some(manner);
                    return Some(Step::Open);
                }
                Route::File(..) | Route::Mail(_) | Route::Sleep(_) => {
                    self.progress.get_or_insert_default().work = request.route.work(kept.unwrap_or_default());
                    self.asked = Some(manner);
                    return Some(Step::Block);
                }
                Route::Echo | Route::Headers => {
                    let fields = if request.route == Route::Echo { OCTETS } else { TEXT };
                    answer::whole(out, OK, fields, &kept.unwrap_or_default(), manner, &host.date);
                }
            }
        }
        self.rest();
        (work > Duration::ZERO).then_some(Step::Work(work))
    }

    fn manner(&self, request: &Request, host: &Host) -> Manner {
        let persistence = match (request.wish, request.version) {
            _ if host.stage == Stage::Draining => Persistence::Close,
            (Wish::Close, _) => Persistence::Close,
            (Wish::Keep, Version::Http11) => Persistence::Keep,
            (Wish::Keep, Version::Http10) => Persistence::KeepSaid,
        };
        let content = Content::of(request.method == Method::Head);
        Manner { persistence, content }
    }

    /// Whether the refusal of the request that is being received has a body. `input` is what has not been taken of it.
    #[cold]
    fn content_of(&self, input: &[u8]) -> Content {
        let progress = self.progress.as_ref();
        let receiving = progress.and_then(|progress| progress.receiving.as_ref());
        let held = progress.map_or(&[][..], |progress| &progress.backlog);
        Content::of(match receiving {
            Some((request, _)) => request.method == Method::Head,
            None => head::wants_no_body(input) || head::wants_no_body(held),
        })
    }

    fn bytes(&mut self, length: u64, out: &mut Vec<u8>) {
        if length <= INLINE_BODY {
            out.extend_from_slice(pattern(0, length));
        } else {
            let progress = self.progress.get_or_insert_default();
            progress.tail_offset = 0;
            progress.tail_left = length;
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal, content: Content, host: &Host, output: &mut Output) {
        output.refused += 1;
        output.replies += 1;
        let manner = Manner {
            persistence: Persistence::Close,
            content,
        };
        let body = [refusal.why, "\n"].concat();
        answer::whole(
            &mut output.bytes,
            refusal.status,
            TEXT,
            body.as_bytes(),
            manner,
            &host.date,
        );
        self.closing = Some(Ending::Lingering);
    }

    /// Frees memory when nothing is in progress.
    fn rest(&mut self) {
        let at_rest = |progress: &InProgress| {
            progress.backlog.is_empty()
                && progress.receiving.is_none()
                && progress.kept.is_empty()
                && progress.tail_left == 0
                && progress.file.is_none()
                && progress.work.is_none()
        };
        if self.progress.as_deref().is_some_and(at_rest) {
            self.progress = None;
        }
    }
}
