//! Tests `aio_ring` with real pipes and sockets.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use c10k_sys::{
    aio_ring::{Completion, PollContext, Ticket},
    fork::in_child,
    poll::{POLLIN, POLLOUT},
};
use rustix::io::Errno;

/// Only a hang reaches this limit.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens a context, or prints the reason if the kernel refuses it.
fn context(capacity: u32) -> Option<PollContext> {
    match PollContext::open(capacity) {
        Ok(context) => Some(context),
        Err(errno) => {
            let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
            let wanted = required.split(',').any(|word| matches!(word, "all" | "aio-poll"));
            assert!(!wanted || required.contains("-aio-poll"), "no AIO: {errno}");
            eprintln!("unavailable here: io_setup: {errno}");
            None
        }
    }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socket pair")
}

fn queue(context: &mut PollContext, socket: &UnixStream, data: u64) -> Ticket {
    let ticket = context.queue(socket.as_raw_fd(), POLLIN, data);
    ticket.expect("the context has room")
}

fn next(context: &mut PollContext) -> Completion {
    if let Some(completion) = context.pop() {
        return completion;
    }
    let waited = context.wait(Some(HANG_TIMEOUT)).expect("no signal interrupts");
    waited.expect("a completion within the limit")
}

fn bits(completion: Completion) -> u16 {
    completion.result.expect("the request was accepted")
}

#[test]
fn a_condition_that_holds_completes_the_request_when_it_is_submitted() {
    let Some(mut context) = context(4) else { return };
    let (mut ours, theirs) = pair();
    ours.write_all(b"x").expect("room");
    queue(&mut context, &theirs, 7);
    assert_eq!((context.queued(), context.holds_completions()), (1, false));
    context.submit().expect("it is accepted");
    assert!(context.queued() == 0 && context.holds_completions());
    let completion = context.pop().expect("it is in the ring");
    assert_eq!((completion.data, completion.result), (7, Ok(POLLIN)));
    assert!(!context.holds_completions() && context.pop().is_none());
}

#[test]
fn a_wake_up_puts_the_completion_into_the_ring_or_ends_the_wait() {
    let Some(mut context) = context(4) else { return };
    let (mut ours, theirs) = pair();
    for waits in [false, true] {
        queue(&mut context, &theirs, 1);
        context.submit().expect("it is accepted");
        assert_eq!(context.wait(Some(Duration::from_nanos(1))), Ok(None));
        ours.write_all(b"x").expect("room");
        let completion = if waits {
            context.wait(None).expect("no signal interrupts").expect("a completion")
        } else {
            next(&mut context)
        };
        assert_eq!(bits(completion) & (POLLIN | POLLOUT), POLLIN);
        (&theirs).read_exact(&mut [0]).expect("the byte");
    }
}

#[test]
fn an_entry_of_the_table_is_used_again_only_after_its_completion_was_taken() {
    let Some(mut context) = context(2) else { return };
    let (mut first_peer, first) = pair();
    let (_second_peer, second) = pair();
    let (_third_peer, third) = pair();
    queue(&mut context, &first, 1);
    let waiting = queue(&mut context, &second, 2);
    context.submit().expect("both are accepted");
    first_peer.write_all(b"x").expect("room");
    assert_eq!(
        (context.capacity(), context.queue(third.as_raw_fd(), POLLIN, 3)),
        (2, None)
    );
    assert_eq!(next(&mut context).data, 1);
    // Takes the entry of the first.
    let later = queue(&mut context, &third, 3);
    context.submit().expect("it is accepted");
    for (ticket, data) in [(waiting, 2), (later, 3)] {
        context.cancel(ticket).expect("it waits");
        let completion = next(&mut context);
        assert_eq!((completion.data, completion.result), (data, Ok(0)));
    }
}

#[test]
fn a_completed_request_is_not_cancelled_and_keeps_its_completion() {
    let Some(mut context) = context(2) else { return };
    let (mut ours, theirs) = pair();
    ours.write_all(b"x").expect("room");
    let ticket = queue(&mut context, &theirs, 1);
    context.submit().expect("it is accepted");
    assert_eq!(context.cancel(ticket), Err(Errno::INVAL));
    assert_eq!(context.pop().map(bits), Some(POLLIN));
    assert_eq!(context.pop(), None);
}

#[test]
fn the_ring_is_read_beyond_its_end() {
    const ROUNDS: u64 = 5_000;
    let Some(mut context) = context(3) else { return };
    let (mut ours, theirs) = pair();
    ours.write_all(b"x").expect("room");
    for round in 0..ROUNDS {
        for part in 0..3 {
            queue(&mut context, &theirs, 3 * round + part);
        }
        context.submit().expect("they are accepted");
        for part in 0..3 {
            assert_eq!(context.pop().map(|completion| completion.data), Some(3 * round + part));
        }
        assert_eq!(context.pop(), None);
    }
}

#[test]
fn a_closed_descriptor_is_refused_and_the_requests_after_it_are_submitted() {
    let Some(mut context) = context(4) else { return };
    let (mut ours, theirs) = pair();
    ours.write_all(b"x").expect("room");
    queue(&mut context, &theirs, 1);
    context.queue(-1, POLLIN, 2).expect("the context has room");
    queue(&mut context, &theirs, 3);
    context.queue(-1, POLLIN, 4).expect("the context has room");
    assert_eq!((context.submit(), context.queued()), (Ok(()), 3));
    assert_eq!((context.submit(), context.queued()), (Err(Errno::BADF), 3));
    assert_eq!((context.drop_first(), context.drop_last()), (Some(2), Some(4)));
    assert_eq!((context.submit(), context.queued()), (Ok(()), 0));
    assert_eq!((context.drop_first(), context.drop_last()), (None, None));
    let taken: Vec<_> = std::iter::from_fn(|| context.pop())
        .map(|completion| completion.data)
        .collect();
    assert_eq!(taken, [1, 3]);
}

#[test]
fn a_file_with_two_wait_queues_is_refused_unless_it_is_ready() {
    let Some(mut context) = context(1) else { return };
    let path = std::env::temp_dir().join(format!("c10k-aio-fifo-{}", std::process::id()));
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
    let opened = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
    std::fs::remove_file(&path).expect("the FIFO is removed");
    let fifo: OwnedFd = opened.expect("a FIFO opens");
    context
        .queue(fifo.as_raw_fd(), POLLIN, 1)
        .expect("the context has room");
    assert_eq!(context.submit(), Err(Errno::INVAL));
    assert_eq!(rustix::io::write(&fifo, b"x"), Ok(1));
    assert_eq!(context.submit(), Ok(()));
    assert_eq!(context.pop().map(|completion| bits(completion) & POLLIN), Some(POLLIN));
}

#[test]
fn a_destroyed_context_holds_no_file_and_no_completion() {
    let Some(mut context) = context(4) else { return };
    let (ours, theirs) = pair();
    queue(&mut context, &theirs, 1);
    context.submit().expect("it is accepted");
    assert_eq!((context.destroy(), context.destroy()), (Ok(()), Ok(())));
    drop(theirs);
    ours.set_nonblocking(true).expect("O_NONBLOCK");
    assert_eq!((&ours).read(&mut [0]).ok(), Some(0), "the other end is closed");
    assert_eq!((context.holds_completions(), context.pop()), (false, None));
    assert_eq!(context.wait(Some(Duration::ZERO)), Err(Errno::INVAL));
}

#[test]
fn a_forked_child_has_no_context_and_leaves_that_of_its_parent() {
    let Some(context) = context(4) else { return };
    let mut context = Some(context);
    let (mut ours, theirs) = pair();
    queue(context.as_mut().expect("it is there"), &theirs, 5);
    context.as_mut().expect("it is there").submit().expect("it is accepted");
    let status = in_child(|| {
        let waited = context.as_mut().map(|context| context.wait(Some(Duration::ZERO)));
        drop(context.take());
        u8::from(waited != Some(Err(Errno::INVAL)))
    });
    assert_eq!(status, Ok(Some(0)));
    ours.write_all(b"x").expect("room");
    assert_eq!(next(context.as_mut().expect("the copy was dropped")).data, 5);
}

#[test]
fn more_requests_than_the_system_allows_are_refused() {
    let limit = std::fs::read_to_string("/proc/sys/fs/aio-max-nr").ok();
    let Some(limit) = limit.and_then(|text| text.trim().parse::<u32>().ok()) else {
        return eprintln!("unavailable here: no fs.aio-max-nr");
    };
    // Beyond this the ring would be too large for any limit.
    if limit < 1 << 20 {
        assert_eq!(PollContext::open(limit + 1).err(), Some(Errno::AGAIN));
    }
    assert_eq!(PollContext::open(0).err(), Some(Errno::INVAL));
    assert_eq!(PollContext::may_destroy(), Ok(()));
}
