//! A daemon in a thread of the test, and clients that read what it sends.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use c10k_monitor::{Config, Counts, Model, Monitor, MonitorError, Stop};
use c10k_record::{MonitorSample, MonitorSummary};

/// Nothing here takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon of the model `loop`.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Counts,
    pub(crate) stop: Stop,
    thread: JoinHandle<Result<MonitorSummary, MonitorError>>,
}

impl Daemon {
    /// Starts a daemon on a free port, with a period of so many milliseconds.
    pub(crate) fn start(period_ms: u64, change: impl FnOnce(&mut Config)) -> Daemon {
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            period: Duration::from_millis(period_ms),
            ..Config::default()
        };
        // Clients of the tests stay open; a drain would wait for each.
        config.deadlines.linger = Duration::from_millis(100);
        change(&mut config);
        let monitor = Monitor::bind(Model::default(), config).expect("it can run here");
        let (address, counts) = (monitor.address(), monitor.counts());
        let stop = Stop::new().expect("a descriptor");
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || monitor.run(&stopped));
        Daemon {
            address,
            counts,
            stop,
            thread,
        }
    }

    /// Stops it and returns its totals.
    pub(crate) fn end(self) -> MonitorSummary {
        self.stop.request();
        let summary = self.thread.join().expect("no panic").expect("no error");
        assert!(summary.reconciles(), "{summary:?}");
        summary
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("it listens"))
    }

    /// A client whose request for a stream has been answered.
    pub(crate) fn subscribe(&self) -> Client {
        let mut client = self.connect();
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        client
    }
}

/// Waits until something that another thread does is done.
#[track_caller]
pub(crate) fn until(what: &str, is_done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < end, "{what} never happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        Client {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("it reads");
    }

    /// The head of a reply, with the empty line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = self.stream.read_line(&mut head).expect("it answers");
            assert!(count > 0, "the connection ends in a head: {head:?}");
        }
        head
    }

    /// A whole reply: its head and as much of a body as it says.
    pub(crate) fn reply(&mut self) -> (String, String) {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length
            .and_then(|length| length.parse().ok())
            .expect("it says the length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("as long as it says");
        (head, String::from_utf8(body).expect("text"))
    }

    /// The next chunk, without its framing; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("it sends");
        let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).expect("a whole chunk");
        let chunk = String::from_utf8(chunk).expect("text");
        let chunk = chunk.strip_suffix("\r\n").expect("a chunk ends with CRLF");
        (size > 0).then(|| chunk.to_owned())
    }

    /// The sample of the next line.
    pub(crate) fn sample(&mut self) -> MonitorSample {
        let line = self.chunk().expect("the stream goes on");
        assert_eq!(line.find('\n'), Some(line.len() - 1), "a chunk is a line: {line}");
        c10k_record::read::object(line.as_bytes()).expect("a record")
    }

    /// What comes before the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).expect("no reset");
        rest
    }
}
