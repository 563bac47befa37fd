//! Tests `stream_ring` with real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use c10k_sys::poll_ring::Shots;
use c10k_sys::ring::{MinWait, RingDescriptor, Setup, Submission, TaskWork};
use c10k_sys::stream_ring::{
    Completion, Notifications, Placement, Received, SendMemory, Sent, Shape, Socket, Sockets, StreamRing, Target,
};
use rustix::io::Errno;

const BUFFERS: u16 = 4;
const SIZE: usize = 64;

const SHAPE: Shape = Shape {
    submissions: 8,
    completions: 64,
    buffers: BUFFERS,
    buffer_size: SIZE,
    setup: Setup {
        submission: Submission::Enter,
        task_work: TaskWork::Deferred,
        descriptor: RingDescriptor::Open,
        min_wait: MinWait {
            time: Duration::ZERO,
            completions: 0,
        },
    },
    sockets: Sockets::Descriptors,
    placement: Placement::Whole,
    send_memory: SendMemory::Copied,
};

fn set_up(setup: Setup) -> Shape {
    Shape { setup, ..SHAPE }
}

/// Opens a ring, or prints the reason if the kernel refuses it.
fn ring() -> Option<StreamRing> {
    ring_of(SHAPE)
}

fn ring_of(shape: Shape) -> Option<StreamRing> {
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

/// The received bytes as one.
fn bytes(ring: &StreamRing, received: &Received) -> Vec<u8> {
    let (mut rest, mut all) = (received.rest(), Vec::new());
    while let Some(part) = ring.next_part(&mut rest) {
        all.extend_from_slice(part);
    }
    all
}

/// Takes completions of receives until so many bytes have come, gives their memory back, and returns the bytes and how many
/// completions they were.
fn receive_all(ring: &mut StreamRing, length: usize) -> (Vec<u8>, usize) {
    let (mut got, mut completions) = (Vec::new(), 0);
    while got.len() < length {
        match next(ring) {
            Completion::Received {
                outcome: Ok(Some(received)),
                ..
            } => {
                got.extend(bytes(ring, &received));
                completions += 1;
                ring.give_back(received);
            }
            // All buffers were in use.
            Completion::Received {
                data,
                outcome: Err(Errno::NOBUFS),
                ..
            } => panic!("request {data} found no buffer"),
            other => panic!("{other:?}"),
        }
    }
    (got, completions)
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
            connection: Ok(Socket::Open(connection)),
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
    let hello = bytes(&ring, &received);
    ring.give_back(received);
    ring.send(server.as_raw_fd(), hello, 1, b", world", 8);
    match next(&mut ring) {
        Completion::Sent {
            data: 8,
            outcome: Ok(Sent { head: 4, tail: 7 }),
            head,
            from: 5,
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
                got.extend(bytes(&ring, &received));
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
                got.extend(bytes(&ring, &received));
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
                outcome: Ok(_),
                head: back,
                from: sent,
                ..
            }) => (head, from) = (back, sent),
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
            Completion::Sent {
                outcome: Ok(Sent { head: 4, tail: 0 }),
                ..
            } => completed += 1,
            other => panic!("{other:?}"),
        }
    }
    client.read_exact(&mut answers).expect("all bytes that were sent");
}

/// Sends `hello` through a ring in both directions.
fn echo(ring: &mut StreamRing) {
    let (server, mut client) = connected(ring);
    ring.receive(server.as_raw_fd(), 1);
    client.write_all(b"hello").expect("a connected socket");
    let (got, _) = receive_all(ring, 5);
    ring.send(server.as_raw_fd(), got, 0, b"", 2);
    assert!(matches!(
        next(ring),
        Completion::Sent {
            data: 2,
            outcome: Ok(_),
            ..
        }
    ));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"hello");
    drop(client);
    assert!(matches!(
        next(ring),
        Completion::Received {
            outcome: Ok(None),
            more: false,
            ..
        }
    ));
}

#[test]
fn a_ring_works_with_each_kind_of_task_work_and_by_its_index() {
    for task_work in [TaskWork::Interrupt, TaskWork::Cooperative, TaskWork::Deferred] {
        for descriptor in [RingDescriptor::Open, RingDescriptor::Registered] {
            let shape = set_up(Setup {
                task_work,
                descriptor,
                ..SHAPE.setup
            });
            let Some(mut ring) = ring_of(shape) else { return };
            echo(&mut ring);
        }
    }
}

#[test]
fn a_registered_ring_is_closed_when_it_is_dropped() {
    let shape = set_up(Setup {
        descriptor: RingDescriptor::Registered,
        ..SHAPE.setup
    });
    // A thread can have 16 of them registered.
    for _ in 0..40 {
        let Some(ring) = ring_of(shape) else { return };
        drop(ring);
    }
}

#[test]
fn one_kernel_thread_submits_for_two_rings() {
    let shape = set_up(Setup {
        submission: Submission::KernelThread { idle_ms: 1 },
        ..SHAPE.setup
    });
    let Some(mut first) = ring_of(shape) else { return };
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("procfs").flatten();
        let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        names.filter(|name| name.starts_with("iou-sqp")).count()
    };
    let before = threads();
    let mut second = StreamRing::open_with(shape, Some(first.as_fd())).expect("the first was opened");
    assert_eq!(threads(), before, "no other kernel thread");
    echo(&mut second);
    echo(&mut first);
    drop(first);
    echo(&mut second);
}

#[test]
fn a_kernel_thread_that_submits_excludes_cooperative_task_work() {
    if ring().is_none() {
        return;
    }
    let shape = set_up(Setup {
        submission: Submission::KernelThread { idle_ms: 1 },
        task_work: TaskWork::Cooperative,
        ..SHAPE.setup
    });
    assert_eq!(StreamRing::open(shape).err(), Some(Errno::INVAL));
}

#[test]
fn a_bundle_fills_several_buffers_in_one_completion() {
    let shape = Shape {
        placement: Placement::Bundle,
        ..SHAPE
    };
    let Some(mut ring) = ring_of(shape) else { return };
    let (server, mut client) = connected(&mut ring);
    ring.receive(server.as_raw_fd(), 1);
    let mut completions = 0;
    // The buffers come back in another order than at first, several times around the ring.
    for round in 0..20_u8 {
        let sent: Vec<u8> = (0..3 * SIZE).map(|index| index as u8 ^ round).collect();
        client.write_all(&sent).expect("a connected socket");
        let (got, of_round) = receive_all(&mut ring, sent.len());
        assert_eq!(got, sent, "round {round}");
        completions += of_round;
    }
    assert!(completions < 20 * 3, "{completions} completions for 60 buffers");
}

#[test]
fn completions_share_a_buffer_that_is_used_part_by_part() {
    let shape = Shape {
        placement: Placement::Incremental,
        ..SHAPE
    };
    let Some(mut ring) = ring_of(shape) else { return };
    let (server, mut client) = connected(&mut ring);
    ring.receive(server.as_raw_fd(), 1);
    // More messages than buffers, each held: they fit because several share a buffer.
    let mut held = Vec::new();
    for number in 0..8_u8 {
        client.write_all(&[number; 16]).expect("a connected socket");
        match next(&mut ring) {
            Completion::Received {
                outcome: Ok(Some(received)),
                more: true,
                ..
            } => held.push(received),
            other => panic!("{other:?}"),
        }
    }
    for (number, received) in held.iter().enumerate() {
        assert_eq!(bytes(&ring, received), [number as u8; 16]);
    }
    held.into_iter().for_each(|received| ring.give_back(received));
    // All buffers are used again and again.
    for round in 0..20_u8 {
        let sent: Vec<u8> = (0..3 * SIZE).map(|index| index as u8 ^ round).collect();
        client.write_all(&sent).expect("a connected socket");
        assert_eq!(receive_all(&mut ring, sent.len()).0, sent, "round {round}");
    }
}

#[test]
fn a_send_without_a_copy_is_followed_by_a_notification() {
    let shape = Shape {
        send_memory: SendMemory::ZeroCopy,
        ..SHAPE
    };
    let Some(mut ring) = ring_of(shape) else { return };
    let (server, mut client) = connected(&mut ring);
    ring.send(server.as_raw_fd(), b"head".to_vec(), 0, b" and tail", 5);
    match next(&mut ring) {
        Completion::Sent {
            data: 5,
            outcome: Ok(Sent { head: 4, tail: 9 }),
            head,
            from: 0,
        } => assert_eq!(head, b"", "the memory is in use"),
        other => panic!("{other:?}"),
    }
    let mut answer = [0; 13];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"head and tail");
    while ring.notifications().all == 0 {
        ring.enter(Some(Duration::from_secs(60)))
            .expect("a notification within 60 seconds");
        assert!(ring.pop().is_none(), "a notification is no completion of the caller's");
    }
    // Over loopback there is no device to read the memory.
    assert_eq!(ring.notifications(), Notifications { all: 1, copied: 1 });
}

#[test]
fn a_minimum_wait_collects_completions() {
    let shape = set_up(Setup {
        min_wait: MinWait {
            time: Duration::from_secs(60),
            completions: 3,
        },
        ..SHAPE.setup
    });
    let Some(mut ring) = ring_of(shape) else { return };
    let mut pairs = Vec::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for number in 0..3 {
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let (server, _) = listener.accept().expect("a connection");
        ring.receive(server.as_raw_fd(), number);
        pairs.push((server, client));
    }
    for (_, client) in &mut pairs {
        client.write_all(b"x").expect("a connected socket");
    }
    ring.enter(Some(Duration::from_secs(60)))
        .expect("three completions within 60 seconds");
    for _ in 0..3 {
        assert!(matches!(
            ring.pop(),
            Some(Completion::Received {
                outcome: Ok(Some(_)),
                ..
            })
        ));
    }
}

#[test]
fn a_direct_socket_lives_in_the_table_of_its_ring() {
    let shape = Shape {
        sockets: Sockets::Direct { places: 1 },
        ..SHAPE
    };
    let Some(mut ring) = ring_of(shape) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let connect = || TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    let mut client = connect();
    ring.accept(listener.as_raw_fd(), Shots::Many, 0);
    let socket = match next(&mut ring) {
        Completion::Accepted {
            connection: Ok(Socket::Direct(socket)),
            more: true,
        } => socket,
        other => panic!("{other:?}"),
    };
    let target = Target::Direct(socket);
    ring.receive(target, 1);
    client.write_all(b"hello").expect("a connected socket");
    assert_eq!(receive_all(&mut ring, 5).0, b"hello");
    ring.send(target, b"head".to_vec(), 0, b" and tail", 5);
    let sent = next(&mut ring);
    assert!(matches!(sent, Completion::Sent { outcome: Ok(_), .. }), "{sent:?}");
    ring.shutdown(socket, 6);
    let ended = next(&mut ring);
    assert!(matches!(ended, Completion::ShutDown { data: 6 }), "{ended:?}");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an answer and its end");
    assert_eq!(answer, b"head and tail");

    // The table is full: the connection that was accepted is closed, and so is the accept request.
    let mut second = connect();
    let full = next(&mut ring);
    let Completion::Accepted { connection, more } = full else {
        panic!("{full:?}")
    };
    assert_eq!(connection.expect_err("no place is free"), Errno::NFILE);
    assert_eq!(second.read(&mut [0]).ok(), Some(0));
    ring.cancel_receive(1);
    let ended = next(&mut ring);
    assert!(matches!(ended, Completion::Received { more: false, .. }), "{ended:?}");
    ring.close_direct(socket, 7);
    let closed = next(&mut ring);
    assert!(matches!(closed, Completion::Closed { data: 7 }), "{closed:?}");
    let _third = connect();
    if !more {
        ring.accept(listener.as_raw_fd(), Shots::One, 0);
    }
    let again = next(&mut ring);
    assert!(
        matches!(&again, Completion::Accepted { connection: Ok(Socket::Direct(place)), .. } if *place == socket),
        "{again:?}"
    );
}

#[test]
fn a_direct_socket_is_closed_while_others_wait_for_input() {
    let shape = Shape {
        sockets: Sockets::Direct { places: 2 },
        ..SHAPE
    };
    let Some(mut ring) = ring_of(shape) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut pairs = Vec::new();
    for number in 0..2 {
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        ring.accept(listener.as_raw_fd(), Shots::One, 0);
        match next(&mut ring) {
            Completion::Accepted {
                connection: Ok(Socket::Direct(socket)),
                ..
            } => pairs.push((socket, client)),
            other => panic!("{other:?}"),
        }
        if number == 0 {
            ring.receive(Target::Direct(pairs[0].0), number);
        }
    }
    let (socket, mut client) = pairs.pop().expect("two connections");
    ring.close_direct(socket, 9);
    let closed = next(&mut ring);
    assert!(matches!(closed, Completion::Closed { data: 9 }), "{closed:?}");
    ring.enter(Some(Duration::ZERO)).expect("nothing to do");
    client
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket");
    assert_eq!(client.read(&mut [0]).ok(), Some(0), "the end of the connection");
}
