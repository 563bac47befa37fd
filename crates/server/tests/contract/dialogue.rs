//! Dialogues in which every byte is known in advance: what a client sends, and what the request machine alone replies.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use c10k_http::{BlockingWork, Date, Ending, Host, Machine, Output, Resources, Step, after_sleep};

use crate::Case;
use crate::client::PATIENCE;
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[("replies_are_those_of_the_machine_to_the_byte", Needs::Nothing, identity)];

/// Every subject replies with the bytes of the request machine alone, so the replies of any two subjects are the same.
fn identity(subject: &Subject) {
    let server = subject.start(&[]);
    let script = script();
    let outcomes = hold_all(&script, server.address, PATIENCE);
    assert!(
        outcomes.iter().all(|outcome| *outcome == Outcome::Whole),
        "{outcomes:?}"
    );
    assert_eq!(server.stop().open_connections, 0);
}

/// What one client sends, and how.
#[derive(Debug, Clone)]
pub(crate) struct Dialogue {
    pub(crate) name: &'static str,
    /// The parts that the client sends, each after the replies to the parts before it.
    turns: Vec<String>,
    /// The expected reply to each part, with dates masked.
    replies: Vec<Vec<u8>>,
    ending: Expectation,
}

/// How the server ends the connection, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expectation {
    Stays,
    Ends,
}

/// How a dialogue ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All replies were right to the byte, and the connection ended as expected.
    Whole,
    /// The received bytes are a prefix of the expected ones. Then the connection ended or stalled, or the server gave up
    /// the request (408) or the connection.
    Cut(String),
    /// A byte is wrong.
    Wrong(String),
}

impl Dialogue {
    fn new(name: &'static str, turns: &[&str]) -> Dialogue {
        let host = Host {
            resources: Resources::Lab,
            ..Host::new(Date::from_unix(0))
        };
        let (mut machine, mut output) = (Machine::new(), Output::default());
        let mut ending = Expectation::Stays;
        let replies = turns
            .iter()
            .map(|turn| {
                let mut sent = Vec::new();
                let mut step = machine.feed(turn.as_bytes(), &host, &mut output);
                loop {
                    match step {
                        Step::Close(Ending::Agreed | Ending::Lingering) => ending = Expectation::Ends,
                        Step::Read | Step::Write | Step::Work(_) | Step::Block => {}
                        other => panic!("a dialogue needs no {other:?}"),
                    }
                    if !matches!(step, Step::Work(_) | Step::Block) {
                        sent.append(&mut output.bytes);
                        while !machine.tail().is_empty() {
                            let tail = machine.tail();
                            sent.extend_from_slice(tail);
                            machine.tail_sent(tail.len());
                        }
                    }
                    if matches!(step, Step::Read | Step::Close(_)) {
                        return masked(sent);
                    }
                    step = if step == Step::Block {
                        let asked = machine.blocking_work();
                        assert!(
                            matches!(asked, Some(BlockingWork::Sleep(_))),
                            "a dialogue has no {asked:?}"
                        );
                        machine.answer_work(Ok(after_sleep()), &host, &mut output)
                    } else {
                        machine.feed(&[], &host, &mut output)
                    };
                }
            })
            .collect();
        let turns = turns.iter().map(|turn| (*turn).to_owned()).collect();
        Dialogue {
            name,
            turns,
            replies,
            ending,
        }
    }

    /// Runs the dialogue. `patience` is the time limit of each wait.
    pub(crate) fn hold(&self, address: SocketAddr, patience: Duration) -> Outcome {
        let stream = TcpStream::connect(address);
        let Ok(mut stream) = stream else {
            return Outcome::Cut("not connected".to_owned());
        };
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(patience)));
        if let Err(error) = prepared.and_then(|()| stream.set_write_timeout(Some(patience))) {
            return Outcome::Cut(error.to_string());
        }
        for (turn, reply) in self.turns.iter().zip(&self.replies) {
            // If the server has closed the connection, the next read shows it.
            let _ = stream.write_all(turn.as_bytes());
            match read(&mut stream, reply.len()) {
                (received, None) if received == *reply => {}
                (received, cut) => return self.classify(&received, reply, cut),
            }
        }
        if self.ending == Expectation::Stays {
            // The client leaves; the server must close its end.
            let _ = stream.shutdown(Shutdown::Write);
        }
        match read(&mut stream, 1) {
            (none, Some(_)) if none.is_empty() => Outcome::Whole,
            (more, _) => self.classify(&more, &[], None),
        }
    }

    fn classify(&self, received: &[u8], due: &[u8], cut: Option<String>) -> Outcome {
        let same = received
            .iter()
            .zip(due)
            .take_while(|(left, right)| left == right)
            .count();
        let other = [b"HTTP/1.1 408 ".as_slice(), b"Connection: close\r\n\r\n"];
        let rest = &received[same..];
        let gives_up = other
            .into_iter()
            .find(|refusal| rest.starts_with(refusal) || refusal.starts_with(rest));
        if same == received.len() || gives_up.is_some() {
            let why = cut.unwrap_or_else(|| String::from_utf8_lossy(gives_up.unwrap_or_default()).into_owned());
            return Outcome::Cut(format!("{}: {same} of {} bytes, then {why}", self.name, due.len()));
        }
        let around = &received[same.saturating_sub(20)..(same + 60).min(received.len())];
        Outcome::Wrong(format!(
            "{}: at byte {same}: {:?}",
            self.name,
            String::from_utf8_lossy(around)
        ))
    }
}

/// Reads that many bytes, or fewer if the stream ends, and masks dates. The second value is how the stream ended, if it did.
fn read(stream: &mut TcpStream, wanted: usize) -> (Vec<u8>, Option<String>) {
    let mut received = vec![0; wanted];
    let mut taken = 0;
    let mut cut = None;
    while taken < wanted && cut.is_none() {
        match stream.read(&mut received[taken..]) {
            Ok(0) => cut = Some("the end".to_owned()),
            Ok(more) => taken += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => cut = Some(error.to_string()),
        }
    }
    received.truncate(taken);
    (masked(received), cut)
}

/// Replaces every date by the same one.
fn masked(mut bytes: Vec<u8>) -> Vec<u8> {
    const NAME: &[u8] = b"\r\nDate: ";
    const LENGTH: usize = "Thu, 01 Jan 1970 00:00:00 GMT".len();
    let mut from = 0;
    while let Some(found) = bytes[from..].windows(NAME.len()).position(|window| window == NAME) {
        let date = from + found + NAME.len();
        let end = (date + LENGTH).min(bytes.len());
        bytes[date..end].fill(b'-');
        from = end;
    }
    bytes
}

/// The script covers every way in which a connection begins, continues and ends.
pub(crate) fn script() -> Vec<Dialogue> {
    const GET: &str = "GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n";
    vec![
        Dialogue::new(
            "requests in turn",
            &[
                GET,
                "HEAD /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /spin/1us HTTP/1.1\r\nHost: a\r\n\r\n",
                "HEAD /sleep/1us HTTP/1.1\r\nHost: a\r\n\r\n",
            ],
        ),
        Dialogue::new(
            "pipelined, with work that may block and a long reply",
            &[
                "GET /bytes/100 HTTP/1.1\r\nHost: a\r\n\r\nGET /sleep/1us HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/20k HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/7 HTTP/1.1\r\nHost: a\r\n\r\n",
                GET,
            ],
        ),
        Dialogue::new(
            "bodies, then close",
            &[
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
                "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            ],
        ),
        Dialogue::new(
            "a reply that blocks",
            &["GET /bytes/6m HTTP/1.1\r\nHost: a\r\n\r\n", GET],
        ),
        Dialogue::new("a refusal", &[GET, "GET /bytes/5 HTTP/1.1\nHost: a\r\n\r\nand more"]),
        Dialogue::new("HTTP/1.0", &["GET /bytes/9 HTTP/1.0\r\n\r\n"]),
        Dialogue::new("half a request, then the end", &[GET, "GET /bytes/5 HT"]),
    ]
}

/// Runs all dialogues at the same time.
pub(crate) fn hold_all(script: &[Dialogue], address: SocketAddr, patience: Duration) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = script
            .iter()
            .map(|dialogue| scope.spawn(move || dialogue.hold(address, patience)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .collect()
    })
}

/// Whether the condition became true within `patience`.
pub(crate) fn until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > patience {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
