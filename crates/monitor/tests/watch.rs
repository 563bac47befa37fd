//! The viewer with real daemons and with peers that misbehave.

mod support;

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use c10k_monitor::watch::{Until, Watcher, plain};
use c10k_monitor::{MonitorError, Stop};

use support::Daemon;

/// An output whose lines a test receives as they are printed.
struct Lines(Sender<String>, Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.0.send(line).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Viewer {
    lines: Receiver<String>,
    stop: Stop,
    thread: JoinHandle<Result<(), MonitorError>>,
}

impl Viewer {
    fn start(hosts: &[String], until: Until) -> Viewer {
        let stop = Stop::new().expect("a descriptor");
        let mut watcher = Watcher::open(hosts, &stop).expect("epoll");
        let ((sender, lines), stopped) = (channel(), stop.clone());
        let print = move || plain(&mut watcher, until, &stopped, &mut Lines(sender, Vec::new()));
        Viewer {
            lines,
            stop,
            thread: std::thread::spawn(print),
        }
    }

    /// Reads lines until one ends with `end`.
    #[track_caller]
    fn line_with(&self, end: &str) -> String {
        loop {
            let line = self.lines.recv().expect("it goes on");
            if line.contains(end) {
                return line;
            }
        }
    }

    fn end(self) {
        self.stop.request();
        self.thread.join().expect("no panic").expect("no error");
    }
}

fn count(samples: u64) -> Until {
    Until::Samples(NonZeroU64::new(samples).expect("more than none"))
}

#[test]
fn lines_of_two_daemons_are_printed_until_enough_have_come() {
    let (one, two) = (Daemon::start(20, |_| {}), Daemon::start(20, |_| {}));
    let hosts = [one.address.to_string(), two.address.to_string()];
    let viewer = Viewer::start(&hosts, count(10));
    viewer.thread.join().expect("no panic").expect("no error");
    let lines: Vec<String> = viewer.lines.iter().collect();
    assert!(
        lines[0].starts_with("HOST ") && lines[0].ends_with(" STATE"),
        "{lines:?}"
    );
    // One line for each sample, after those of the changes.
    let changes = |state: &str| lines.iter().filter(|line| line.ends_with(state)).count();
    assert_eq!(changes("connecting"), 2);
    assert_eq!(changes("connected"), 2 + 10, "{lines:?}");
    for host in &hosts {
        let last = lines
            .iter()
            .rfind(|line| line.starts_with(host))
            .expect("both have sent");
        let cells: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(cells.len(), 9, "{last}");
        assert!(cells[4].parse::<f64>().is_ok_and(|memory| memory > 0.0), "{last}");
    }
    one.end();
    two.end();
}

#[test]
fn a_daemon_that_ends_is_lost_and_found_again() {
    let daemon = Daemon::start(20, |_| {});
    let address = daemon.address;
    let viewer = Viewer::start(&[address.to_string()], Until::Stopped);
    viewer.line_with(" connected");
    viewer.line_with(" connected");
    daemon.end();
    viewer.line_with("lost: the daemon has ended the stream");
    viewer.line_with("lost: connection refused");
    let again = Daemon::start(20, |config| config.listen = address);
    viewer.line_with(" connected");
    viewer.line_with(" connected");
    viewer.end();
    again.end();
}

/// A peer that reads a request, answers with these bytes and closes.
fn peer(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the viewer");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&answer);
    });
    address
}

#[test]
fn a_peer_that_sends_something_else_is_lost_with_the_reason() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    for (answer, reason) in [
        (
            "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
            "lost: the reply has status 404",
        ),
        (
            "220 mail.example ESMTP\r\n".to_owned(),
            "lost: the reply is not HTTP/1.1",
        ),
        (
            format!("{HEAD}{}", "x".repeat(100_000)),
            "lost: a line is longer than 65536 bytes",
        ),
        (
            format!("{HEAD}{{\"schema\":1}}\n"),
            "lost: a line is no sample: missing field",
        ),
        (
            format!("{HEAD}{{\"schema\":99}}\n"),
            "lost: a line is no sample: it has schema 99",
        ),
        (HEAD.to_owned(), "lost: the daemon has closed the connection"),
    ] {
        let viewer = Viewer::start(&[peer(answer.into_bytes()).to_string()], Until::Stopped);
        viewer.line_with(reason);
        viewer.end();
    }
}

#[test]
fn a_reader_who_has_left_ends_the_viewer() {
    let daemon = Daemon::start(20, |_| {});
    let viewer = Viewer::start(&[daemon.address.to_string()], Until::Stopped);
    viewer.line_with(" connected");
    drop(viewer.lines);
    viewer.thread.join().expect("no panic").expect("that is no error");
    daemon.end();
}

#[test]
fn a_host_without_an_address_is_refused() {
    let stop = Stop::new().expect("a descriptor");
    let error = Watcher::open(&["a b".to_owned()], &stop).expect_err("no such name");
    assert!(error.to_string().contains("'a b'"), "{error}");
}
