//! Connections on coroutines, without a loop: the tests give them their turns.

use std::backtrace::Backtrace;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use c10k_event::{Interest, Mechanism};
use c10k_http::Resources;
use corosensei::stack::{DefaultStack, Stack};
use rustix::net::sockopt::set_socket_send_buffer_size;

use super::connection::CoroutineConnection;
use super::stacks::STACK_BYTES;
use super::thread::{Pause, UserThread, Wakeup};
use super::worker::CoroutineWorker;
use crate::blocking::Waits;
use crate::context::{ServerContext, WorkerContext};
use crate::core::Awaited;
use crate::readiness::{EofHint, INPUT_BYTES, NextAction, TakesTurns};
use crate::stats::SharedStats;
use crate::timeout::{Tick, TimeoutKind};
use crate::{Config, Root};

const READS: NextAction = NextAction::Wait(Interest::READABLE);
const WRITES: NextAction = NextAction::Wait(Interest::WRITABLE);

fn worker_with(change: impl FnOnce(&mut Config)) -> CoroutineWorker {
    let mut config = Config::new(Mechanism::named("epoll-edge").expect("a known mechanism"));
    config.resources = Resources::Lab;
    change(&mut config);
    let server = ServerContext {
        config,
        stats: SharedStats::open("user-threads", None, 1).expect("memory"),
        room: 100,
    };
    CoroutineWorker::new(WorkerContext::new(Arc::new(server), 0, 100, INPUT_BYTES))
}

fn worker() -> CoroutineWorker {
    worker_with(|_| {})
}

/// A connection that waits for its first request, and its client.
fn connect(worker: &mut CoroutineWorker) -> (CoroutineConnection, UnixStream) {
    let (socket, client) = sockets();
    let mut connection = CoroutineConnection::open(socket, worker).unwrap_or_else(|shortage| panic!("{shortage}"));
    assert_eq!(connection.start(worker), READS);
    (connection, client)
}

/// The server's end, whose calls do not block, and the client's end.
fn sockets() -> (OwnedFd, UnixStream) {
    let (server, client) = UnixStream::pair().expect("two descriptors");
    server.set_nonblocking(true).expect("a socket");
    client.set_nonblocking(true).expect("a socket");
    (server.into(), client)
}

/// What the client can receive now.
fn received(client: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match client.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    bytes
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn send(client: &mut UnixStream, bytes: impl AsRef<[u8]>) {
    client.write_all(bytes.as_ref()).expect("the socket's buffer has room");
}

#[test]
fn a_request_is_answered_in_a_turn_and_an_empty_socket_is_not_read() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    assert_eq!(worker.core.stats.calls.recvfrom, 0);
    for requests in 1..=3 {
        send(&mut client, get("/bytes/2"));
        assert_eq!(connection.turn(EofHint::None, &mut worker), READS);
        assert!(received(&mut client).ends_with(b"\r\n\r\n\x00\x01"));
        let calls = &worker.core.stats.calls;
        assert_eq!((calls.recvfrom, calls.sendto + calls.sendmsg), (requests, requests));
    }
    assert_eq!(connection.awaited().kind, TimeoutKind::Idle);
    // The event says that the end may have come with the request.
    send(&mut client, get("/bytes/2"));
    drop(client);
    assert_eq!(connection.turn(EofHint::Possible, &mut worker), NextAction::Close);
    connection.close(&mut worker);
}

#[test]
fn output_that_a_socket_does_not_take_waits_while_others_are_served() {
    const REQUESTS: usize = 200;
    let mut worker = worker();
    let (mut slow, mut slow_client) = connect(&mut worker);
    set_socket_send_buffer_size(&slow, 1).expect("the kernel's least");
    send(&mut slow_client, get("/bytes/2").repeat(REQUESTS));
    assert_eq!(slow.turn(EofHint::None, &mut worker), WRITES);
    assert_eq!(slow.awaited().kind, TimeoutKind::Send);
    let (mut other, mut client) = connect(&mut worker);
    let mut replies = Vec::new();
    let mut turns = 0;
    loop {
        send(&mut client, get("/bytes/1"));
        assert_eq!(other.turn(EofHint::None, &mut worker), READS);
        assert!(received(&mut client).ends_with(b"\r\n\r\n\x00"));
        replies.extend(received(&mut slow_client));
        turns += 1;
        match slow.turn(EofHint::None, &mut worker) {
            WRITES => {}
            action => break assert_eq!(action, READS),
        }
    }
    assert!(turns > 1, "everything was sent at once");
    replies.extend(received(&mut slow_client));
    let each = replies.len() / REQUESTS;
    assert!(replies.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(replies.chunks(each).all(|reply| *reply == replies[..each]));
    assert_eq!(worker.core.stats.replies as usize, REQUESTS + turns);
}

#[test]
fn after_256_kib_others_have_a_turn() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    // More than one turn sends, and as much as the kernel allows.
    set_socket_send_buffer_size(&connection, 1 << 20).expect("a socket");
    send(&mut client, get("/bytes/1m"));
    assert_eq!(connection.turn(EofHint::None, &mut worker), NextAction::Again);
    assert_eq!(connection.awaited().until, Tick(u32::MAX));
    let mut reply = received(&mut client);
    assert!(reply.len() >= 256 << 10, "{}", reply.len());
    while connection.turn(EofHint::None, &mut worker) != READS {
        reply.extend(received(&mut client));
    }
    reply.extend(received(&mut client));
    let head = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(reply.len() - head, 1 << 20);
}

#[test]
fn input_that_came_during_a_long_reply_is_read_without_another_event() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    send(&mut client, get("/bytes/1m"));
    assert_eq!(connection.turn(EofHint::None, &mut worker), WRITES);
    send(&mut client, get("/bytes/3"));
    let mut reply = Vec::new();
    while worker.core.stats.replies < 2 {
        reply.extend(received(&mut client));
        connection.turn(EofHint::None, &mut worker);
    }
    reply.extend(received(&mut client));
    assert!(reply.ends_with(b"\r\n\r\n\x00\x01\x02"));
}

#[test]
fn a_head_that_does_not_come_in_time_is_refused() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    send(&mut client, "GET /bytes/1 HT");
    assert_eq!(connection.turn(EofHint::None, &mut worker), READS);
    let Awaited { kind, until } = connection.awaited();
    assert_eq!(kind, TimeoutKind::Head);
    worker.core.advance(until, None);
    // The server closes its half, and drops input for a while.
    assert_eq!(connection.expire(&mut worker), READS);
    assert!(received(&mut client).starts_with(b"HTTP/1.1 408 "));
    let Awaited { kind, until } = connection.awaited();
    assert_eq!(kind, TimeoutKind::Linger);
    worker.core.advance(until, None);
    assert_eq!(connection.expire(&mut worker), NextAction::Close);
    assert_eq!(worker.core.stats.timeouts, 1);
}

#[test]
fn a_request_whose_event_was_lost_is_found_at_the_deadline() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    send(&mut client, get("/bytes/1"));
    let until = connection.awaited().until;
    worker.core.advance(until, None);
    assert_eq!(connection.expire(&mut worker), READS);
    assert!(received(&mut client).starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_drain_shortens_the_wait_for_a_request() {
    let mut worker = worker();
    let (mut connection, mut client) = connect(&mut worker);
    worker.core.start_drain();
    assert_eq!(connection.turn(EofHint::Possible, &mut worker), READS);
    let Awaited { kind, until } = connection.awaited();
    assert_eq!(kind, TimeoutKind::Grace);
    worker.core.advance(until, None);
    assert_eq!(connection.expire(&mut worker), READS);
    let mut end = [0];
    assert_eq!(client.read(&mut end).expect("the server's half is closed"), 0);
    drop(client);
    assert_eq!(connection.turn(EofHint::Possible, &mut worker), NextAction::Close);
}

#[test]
fn what_is_closed_while_it_waits_leaves_nothing_behind() {
    let mut worker = worker();
    for _ in 0..3 {
        let (mut connection, mut client) = connect(&mut worker);
        send(
            &mut client,
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        );
        assert_eq!(connection.turn(EofHint::None, &mut worker), READS);
        assert!(worker.server.stats.held_bodies().load(Ordering::Relaxed) > 0);
        connection.close(&mut worker);
        assert_eq!(worker.server.stats.held_bodies().load(Ordering::Relaxed), 0);
        let mut end = [0];
        assert_eq!(client.read(&mut end).expect("the socket is closed"), 0);
    }
    // One that has not begun to run has a closure to drop.
    let (socket, mut client) = sockets();
    let connection = CoroutineConnection::open(socket, &mut worker).unwrap_or_else(|shortage| panic!("{shortage}"));
    connection.close(&mut worker);
    assert_eq!(client.read(&mut [0]).expect("the socket is closed"), 0);
    assert_eq!(worker.core.stats.calls.mmap, 1, "each had the stack of the one before");
}

#[test]
fn a_panic_reaches_the_loop_and_what_the_others_hold_is_dropped() {
    let mut worker = worker();
    let held = Rc::new(());
    let of_waiting = Rc::clone(&held);
    let stack = |worker: &mut CoroutineWorker| worker.take_stack().unwrap_or_else(|shortage| panic!("{shortage}"));
    let mut waiting = UserThread::new(stack(&mut worker), move |waits| {
        let _held = of_waiting;
        waits.report_mechanism();
        unreachable!("it is not resumed again");
    });
    assert_eq!(waiting.resume(Wakeup::Ready(EofHint::None), &mut worker), Pause::Stats);
    let mut faulty = UserThread::new(stack(&mut worker), |waits| {
        waits.report_mechanism();
        panic!("a fault of the server");
    });
    assert_eq!(faulty.resume(Wakeup::Ready(EofHint::None), &mut worker), Pause::Stats);
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        // They end while the panic passes, as those of a loop do.
        let (mut worker, _waiting, mut faulty) = (worker, waiting, faulty);
        faulty.resume(Wakeup::Ready(EofHint::None), &mut worker);
    }));
    let panic = outcome.expect_err("the panic passes through");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a fault of the server"));
    assert_eq!(Rc::strong_count(&held), 1);
}

/// A stack, and how much of it was used. A page that was never used reads as zeros.
struct Watermark {
    bottom: usize,
    top: usize,
}

impl Watermark {
    fn of(stack: &DefaultStack) -> Watermark {
        Watermark {
            bottom: stack.base().get() - STACK_BYTES,
            top: stack.base().get(),
        }
    }

    fn deepest(&self) -> usize {
        let memory = File::open("/proc/self/mem").expect("the memory of this process");
        let mut bytes = vec![0; self.top - self.bottom];
        memory.read_exact_at(&mut bytes, self.bottom as u64).expect("mapped");
        let unused = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.len() - unused
    }
}

/// What clients send, so that every part of the request path runs.
fn conversations() -> Vec<Vec<u8>> {
    let fields = |count: usize| -> String { (0..count).map(|number| format!("x-{number}: {number}\r\n")).collect() };
    let with = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    let requests = [
        get("/bytes/2").repeat(500),
        get("/bytes/300k"),
        get("/spin/10us"),
        get("/stats"),
        get("/headers"),
        get("/file"),
        get("/folder"),
        get("/folder/../%00"),
        get("/none"),
        get(&format!("/{}", "a".repeat(8000))),
        get(&format!("/{}", "a".repeat(9000))),
        with("/headers", &fields(98)),
        with("/headers", &fields(200)),
        with("/file", "Range: bytes=1-2\r\n"),
        with("/file", &format!("Range: bytes={}\r\n", ["0-0"; 16].join(","))),
        with("/file", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        with("/file", "Transfer-Encoding: gzip, chunked\r\n"),
        format!("{chunked}5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"),
        format!("{chunked}zz\r\n"),
        "HEAD /file HTTP/1.0\r\n\r\n".to_owned(),
        "GET\n".to_owned(),
        "\0".to_owned(),
    ];
    requests.into_iter().map(String::into_bytes).collect()
}

#[test]
fn the_request_path_uses_less_than_half_of_a_stack() {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("file"), "a".repeat(1 << 20)).expect("a file");
    std::fs::create_dir(folder.path().join("folder")).expect("a directory");
    let mut worker = worker_with(|config| config.root = Some(Root::open(folder.path()).expect("a directory")));
    let mut stack = worker.take_stack().unwrap_or_else(|shortage| panic!("{shortage}"));
    let watermark = Watermark::of(&stack);
    for bytes in conversations() {
        let (socket, mut client) = sockets();
        let mut connection = CoroutineConnection::on(stack, socket);
        connection.start(&mut worker);
        send(&mut client, &bytes);
        client.shutdown(std::net::Shutdown::Write).expect("a socket");
        while connection.turn(EofHint::Possible, &mut worker) != NextAction::Close {
            received(&mut client);
        }
        worker.core.output.bytes.clear();
        stack = connection.end();
    }
    assert!(worker.core.stats.calls.sendfile > 0 && worker.core.stats.calls.fstat > 0);
    let deepest = watermark.deepest();
    eprintln!("the request path used {deepest} of {STACK_BYTES} bytes of a stack");
    assert!(2 * deepest < STACK_BYTES, "{deepest} bytes");
}

#[test]
fn a_panic_with_a_backtrace_uses_less_than_half_of_a_stack() {
    let mut worker = worker();
    let stack = worker.take_stack().unwrap_or_else(|shortage| panic!("{shortage}"));
    let watermark = Watermark::of(&stack);
    let mut faulty = UserThread::new(stack, |_| {
        panic!("a fault of the server: {}", Backtrace::force_capture())
    });
    let resume = || faulty.resume(Wakeup::Ready(EofHint::None), &mut worker);
    assert!(catch_unwind(AssertUnwindSafe(resume)).is_err());
    let deepest = watermark.deepest();
    eprintln!("a panic used {deepest} of {STACK_BYTES} bytes of a stack");
    assert!(2 * deepest < STACK_BYTES, "{deepest} bytes");
}

#[test]
fn the_end_of_a_connection_that_waits_uses_less_than_half_of_a_stack() {
    let mut worker = worker();
    let stack = worker.take_stack().unwrap_or_else(|shortage| panic!("{shortage}"));
    let watermark = Watermark::of(&stack);
    let (socket, _client) = sockets();
    let mut connection = CoroutineConnection::on(stack, socket);
    assert_eq!(connection.start(&mut worker), READS);
    let _stack = connection.end();
    let deepest = watermark.deepest();
    eprintln!("a connection that waits and its end used {deepest} of {STACK_BYTES} bytes of a stack");
    assert!(2 * deepest < STACK_BYTES, "{deepest} bytes");
}
