//! What the fuzz targets assert, for them and for the replay of their corpora: included by path from both.

mod parser;

use c10k_http::reply::{Progress, ReplyError, ReplyLimits, ReplyParser};
use c10k_http::{BlockingWork, Date, Host, Limits, Machine, Output, Resources, Step, after_sleep, pattern};
use parser::{Body, Expected};

/// An input up to this long is cut in two at every byte; a longer one at so many places.
const EVERY_CUT: usize = 96;

/// Caps that short inputs reach.
const SMALL: Limits = Limits {
    request_line: 40,
    head: 120,
    fields: 3,
    body: 40,
    chunk_extensions: 4,
    trailers: 16,
    ranges: 2,
};

/// What came out of a machine: its bytes, and tails as their lengths.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    pieces: Vec<Piece>,
    closed: bool,
    requests: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Tail(u64),
}

/// The machine, the reference parser and httparse agree on `input`, however it is cut.
///
/// # Errors
/// What they disagree about.
pub(crate) fn machine(input: &[u8]) -> Result<(), String> {
    for limits in [Limits::default(), SMALL] {
        let expected = parser::replies(input, &limits);
        let whole = drive([input], &limits);
        compare(&whole, &expected).map_err(|problem| format!("{problem}\nfor {:?}", String::from_utf8_lossy(input)))?;
        for reply in &expected {
            if let Some(head) = &reply.head {
                httparse_agrees(head, reply.status)?;
            }
        }
        let same = |sent: Sent, how: &dyn std::fmt::Display| {
            if sent == whole {
                return Ok(());
            }
            let input = String::from_utf8_lossy(input);
            Err(format!("{input:?} {how}: {sent:?}\nand whole: {whole:?}"))
        };
        for cut in cuts(input.len()) {
            same(
                drive([&input[..cut], &input[cut..]], &limits),
                &format_args!("cut at {cut}"),
            )?;
        }
        same(drive(input.chunks(1), &limits), &"byte by byte")?;
    }
    Ok(())
}

/// Places at which an input is cut in two.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = if length <= EVERY_CUT {
        1
    } else {
        length.div_ceil(EVERY_CUT / 4)
    };
    (1..length).step_by(step)
}

/// Drives a machine as a driver would. `100 Continue` is left out: whether it is sent depends on what has arrived.
fn drive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Sent {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let host = Host {
        limits: *limits,
        resources: Resources::Lab,
        ..Host::new(Date::from_unix(0))
    };
    let (mut machine, mut output, mut sent) = (Machine::new(), Output::default(), Sent::default());
    for piece in pieces {
        let mut step = machine.feed(piece, &host, &mut output);
        loop {
            if let Some(front) = output
                .bytes
                .len()
                .checked_sub(INTERIM.len())
                .filter(|front| output.bytes[*front..] == *INTERIM)
            {
                output.bytes.truncate(front);
            }
            if matches!(step, Step::Read | Step::Write | Step::Close(_)) {
                sent.take(&mut output.bytes, &mut machine);
            }
            match step {
                Step::Read => break,
                Step::Stats => machine.answer_stats(b"{}", &host, &mut output),
                Step::Close(_) => {
                    (sent.closed, sent.requests) = (true, output.requests);
                    return sent;
                }
                Step::Open => unreachable!("no files are served"),
                Step::Block => {
                    let work = machine.blocking_work();
                    assert!(
                        matches!(work, Some(BlockingWork::Sleep(_))),
                        "there is no disk: {work:?}"
                    );
                    step = machine.answer_work(Ok(after_sleep()), &host, &mut output);
                    continue;
                }
                Step::Write | Step::Work(_) => {}
            }
            step = machine.feed(&[], &host, &mut output);
        }
    }
    sent.requests = output.requests;
    sent
}

impl Sent {
    fn take(&mut self, bytes: &mut Vec<u8>, machine: &mut Machine) {
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.append(bytes),
            _ if bytes.is_empty() => {}
            _ => self.pieces.push(Piece::Bytes(std::mem::take(bytes))),
        }
        let mut length = 0;
        while !machine.tail().is_empty() {
            let tail = machine.tail();
            assert_eq!(tail[0], pattern(length, 1)[0]);
            let taken = tail.len();
            length += taken as u64;
            machine.tail_sent(taken);
        }
        if length > 0 {
            self.pieces.push(Piece::Tail(length));
        }
    }
}

/// Whether what was sent is what the reference expects, reply by reply.
fn compare(sent: &Sent, expected: &[Expected]) -> Result<(), String> {
    let mut pieces = sent.pieces.iter().peekable();
    let mut bytes: &[u8] = &[];
    for reply in expected {
        if bytes.is_empty()
            && let Some(Piece::Bytes(more)) = pieces.peek()
        {
            bytes = more;
            pieces.next();
        }
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| format!("no reply where {reply:?} is due"))?
            + 4;
        let (head, rest) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head);
        let status = head.get(9..12).unwrap_or_default();
        if status != reply.status.to_string() || head.contains("\r\nConnection: close\r\n") != reply.closes {
            return Err(format!("{head:?} where {reply:?} is due"));
        }
        let length: u64 = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("no length in {head:?}"))?;
        bytes = rest;
        if reply.body == Body::Omitted {
            continue;
        }
        if let (Body::Pattern(wanted), Some(Piece::Tail(tail)), true) = (&reply.body, pieces.peek(), bytes.is_empty()) {
            if wanted != tail || *wanted != length {
                return Err(format!("a tail of {tail} bytes, said to be {length}, for {reply:?}"));
            }
            pieces.next();
            continue;
        }
        let body = usize::try_from(length)
            .ok()
            .and_then(|length| bytes.get(..length))
            .ok_or_else(|| format!("the body is cut: {head:?}"))?;
        let right = match &reply.body {
            Body::Exactly(wanted) => body == wanted,
            Body::Pattern(wanted) => body == pattern(0, *wanted),
            Body::Words | Body::Omitted => !body.is_empty(),
        };
        if !right {
            return Err(format!(
                "{head:?} with the body {:?} where {reply:?} is due",
                String::from_utf8_lossy(body)
            ));
        }
        bytes = &bytes[body.len()..];
    }
    let left: Vec<&Piece> = pieces.collect();
    if !bytes.is_empty() || !left.is_empty() {
        return Err(format!(
            "{:?} and {left:?} beyond the replies that are due",
            String::from_utf8_lossy(bytes)
        ));
    }
    let closes = expected.last().is_some_and(|reply| reply.closes);
    if sent.closed == closes {
        Ok(())
    } else {
        Err(format!("closed: {}, and closing was due: {closes}", sent.closed))
    }
}

/// What was accepted, httparse reads as a whole head too; what it cannot read was refused.
fn httparse_agrees(head: &[u8], status: u16) -> Result<(), String> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let outcome = request.parse(head);
    let whole = matches!(outcome, Ok(httparse::Status::Complete(length)) if length == head.len());
    // httparse knows 1.0 and 1.1 only; any later 1.x is read as 1.1 here.
    let newer = outcome == Err(httparse::Error::Version);
    if whole || newer || status >= 400 {
        Ok(())
    } else {
        Err(format!(
            "{status} for a head that httparse refuses ({outcome:?}): {:?}",
            String::from_utf8_lossy(head)
        ))
    }
}

/// What a reply parser makes of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    replies: Vec<(c10k_http::reply::Reply, Vec<u8>)>,
    /// The body of a reply that is not whole.
    begun: Vec<u8>,
    end: Result<c10k_http::reply::Reply, ReplyError>,
}

/// The reply parser makes the same of `input` however it is cut, and no reply exceeds its limits.
///
/// # Errors
/// Where it does not.
pub(crate) fn reply(input: &[u8]) -> Result<(), String> {
    let small = ReplyLimits {
        head_bytes: 96,
        body_bytes: 48,
    };
    for limits in [ReplyLimits::default(), small] {
        let whole = read([input], limits);
        if whole
            .replies
            .iter()
            .any(|(reply, body)| reply.body_bytes != body.len() as u64 || reply.body_bytes > limits.body_bytes)
        {
            return Err(format!("a body beyond the limit, or miscounted: {whole:?}"));
        }
        let same = |read: &Read, how: &dyn std::fmt::Display| {
            // Where the stream turns out to be wrong, how much of a body was reported before is not promised.
            let begun = read.begun == whole.begun || whole.end.is_err();
            if read.replies == whole.replies && read.end == whole.end && begun {
                return Ok(());
            }
            Err(format!(
                "{:?} {how}: {read:?}\nand whole: {whole:?}",
                String::from_utf8_lossy(input)
            ))
        };
        for cut in cuts(input.len()) {
            same(
                &read([&input[..cut], &input[cut..]], limits),
                &format_args!("cut at {cut}"),
            )?;
        }
        same(&read(input.chunks(1), limits), &"byte by byte")?;
    }
    Ok(())
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: ReplyLimits) -> Read {
    let mut parser = ReplyParser::new(limits);
    let (mut replies, mut begun) = (Vec::new(), Vec::new());
    for mut piece in pieces {
        loop {
            match parser.feed(piece, |part| begun.extend_from_slice(part)) {
                Ok(Progress::Partial) => break,
                Ok(Progress::Complete { reply, consumed }) => {
                    replies.push((reply, std::mem::take(&mut begun)));
                    piece = &piece[consumed..];
                    if piece.is_empty() {
                        break;
                    }
                }
                Err(error) => {
                    return Read {
                        replies,
                        begun,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Read {
        replies,
        begun,
        end: parser.end(),
    }
}

#[cfg(test)]
#[test]
fn a_wrong_reply_is_noticed() {
    let (asked, other) = (
        b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /bytes/4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let limits = Limits::default();
    let sent = drive([asked.as_slice()], &limits);
    assert_eq!(compare(&sent, &parser::replies(asked, &limits)), Ok(()));
    compare(&sent, &parser::replies(other, &limits)).expect_err("three bytes are not four");
    compare(&sent, &[]).expect_err("a reply that nobody asked for");
    httparse_agrees(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 200).expect_err("white space before the colon");
}
