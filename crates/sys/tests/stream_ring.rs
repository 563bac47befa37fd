//! Tests `stream_ring` with real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use c10k_sys::poll_ring::Shots;
use c10k_sys::stream_ring::{Completion, Shape, StreamRing, Submission};
use rustix::io::Errno;

const BUFFERS: u16 = 4;
const SIZE: usize = 64;

/// Opens a ring, or prints the reason if the kernel refuses it.
fn ring() -> Option<StreamRing> {
    let shape = Shape {
        submissions: 8,
        completions: 64,
        buffers: BUFFERS,
        buffer_size: SIZE,
        submission: Submission::Enter,
    };
    match StreamRing::open(shape) {
        Ok(ring) => Some(ring),
        Err(errno) => {
            let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
            let wanted = required.split(',').any(|word| matches!(word, "all" | "io-uring"));
            assert!(!wanted || required.contains("-io-uring"), "no io_uring: {errno}");
            eprintln!("unavailable here: io_uring_setup: {errno}");
            None
        }
    }
}

fn next(ring: &mut StreamRing) -> Completion {
    loop {
        if let Some(completion) = ring.pop() {
            return completion;
        }
        ring.enter(Some(Duration::from_secs(60)))
            .expect("a completion within 60 seconds");
    }
}

/// A connection that the ring has accepted, and its peer.
fn connected(ring: &mut StreamRing) -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    ring.accept(listener.as_raw_fd(), Shots::One, 0);
    match next(ring) {
        Completion::Accepted {
            connection: Ok(connection),
            more: false,
        } => (connection, client),
        other => panic!("{other:?}"),
    }
}

#[test]
fn received_bytes_are_sent_back() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = connected(&mut ring);
    ring.receive(server.as_raw_fd(), 7);
    client.write_all(b"hello").expect("a connected socket");
    let Completion::Received {
        data: 7,
        outcome: Ok(Some(received)),
        more: true,
    } = next(&mut ring)
    else {
        panic!("no bytes were received");
    };
    let bytes = ring.bytes(&received).to_vec();
    ring.give_back(received);
    ring.send(server.as_raw_fd(), bytes, 1, b", world", 8);
    match next(&mut ring) {
        Completion::Sent {
            data: 8,
            outcome: Ok(11),
            head,
            from: 1,
        } => assert_eq!(head, b"hello"),
        other => panic!("{other:?}"),
    }
    let mut answer = [0; 11];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"ello, world");
    drop(client);
    match next(&mut ring) {
        Completion::Received {
            outcome: Ok(None),
            more: false,
            ..
        } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receive_fails_without_a_free_buffer_and_resumes_with_one() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = connected(&mut ring);
    let sent: Vec<u8> = (0..6 * SIZE).map(|index| index as u8).collect();
    client.write_all(&sent).expect("a connected socket");
    ring.receive(server.as_raw_fd(), 1);
    let (mut held, mut got) = (Vec::new(), Vec::new());
    loop {
        match next(&mut ring) {
            Completion::Received {
                outcome: Ok(Some(received)),
                ..
            } => {
                got.extend_from_slice(ring.bytes(&received));
                held.push(received);
            }
            Completion::Received {
                outcome: Err(Errno::NOBUFS),
                more: false,
                ..
            } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (held.len(), got.len()),
        (usize::from(BUFFERS), usize::from(BUFFERS) * SIZE)
    );
    for received in held {
        ring.give_back(received);
    }
    ring.receive(server.as_raw_fd(), 1);
    while got.len() < sent.len() {
        match next(&mut ring) {
            Completion::Received {
                outcome: Ok(Some(received)),
                ..
            } => {
                got.extend_from_slice(ring.bytes(&received));
                ring.give_back(received);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, sent);
}

#[test]
fn a_cancelled_request_completes_and_returns_its_memory() {
    let Some(mut ring) = ring() else { return };
    let (server, _client) = connected(&mut ring);
    ring.receive(server.as_raw_fd(), 1);
    // More bytes than the socket buffers hold, so the send must wait.
    let mut head = vec![7; 64 << 20];
    let mut from = 0;
    let send = loop {
        let send = ring.send(server.as_raw_fd(), head, from, b"", 2);
        ring.enter(Some(Duration::ZERO)).expect("the call does not wait");
        match ring.pop() {
            None => break send,
            Some(Completion::Sent {
                outcome: Ok(taken),
                head: back,
                ..
            }) => (head, from) = (back, from + taken),
            Some(other) => panic!("{other:?}"),
        }
    };
    ring.cancel_receive(1);
    ring.cancel_send(send);
    let (mut received, mut back) = (false, None);
    while !received || back.is_none() {
        match next(&mut ring) {
            Completion::Received {
                outcome: Err(Errno::CANCELED),
                more: false,
                ..
            } => received = true,
            Completion::Sent {
                outcome: Err(Errno::CANCELED),
                head,
                ..
            } => back = Some(head.len()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(back, Some(64 << 20));
}

#[test]
fn a_read_appends_to_the_given_bytes() {
    let Some(mut ring) = ring() else { return };
    let file = std::fs::File::open(file!().trim_start_matches("crates/sys/")).expect("this file");
    let whole = std::fs::read_to_string(file!().trim_start_matches("crates/sys/")).expect("this file");
    ring.read(file.as_raw_fd(), 4, b"head ".to_vec(), 10, 3);
    match next(&mut ring) {
        Completion::Read {
            data: 3,
            outcome: Ok(10),
            bytes,
        } => assert_eq!(bytes, format!("head {}", &whole[4..14]).into_bytes()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dropping_a_ring_ends_its_requests() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = connected(&mut ring);
    ring.receive(server.as_raw_fd(), 1);
    ring.enter(Some(Duration::ZERO)).expect("the call does not wait");
    drop(ring);
    // The kernel has released the socket, so the peer sees the end of the stream immediately.
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).expect("the end of the stream"), 0);
}

#[test]
fn requests_that_exceed_the_queue_are_all_submitted() {
    let Some(mut ring) = ring() else { return };
    let (server, mut client) = connected(&mut ring);
    for number in 0..100_u32 {
        ring.send(server.as_raw_fd(), number.to_le_bytes().to_vec(), 0, b"", number);
    }
    let mut answers = [0; 400];
    let mut completed = 0;
    while completed < 100 {
        match next(&mut ring) {
            Completion::Sent { outcome: Ok(4), .. } => completed += 1,
            other => panic!("{other:?}"),
        }
    }
    client.read_exact(&mut answers).expect("all bytes that were sent");
}
