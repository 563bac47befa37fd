//! Checks the emulated `/dev/poll` against its manual page, `poll(4D)`.
#![forbid(unsafe_code)]

use c10k_event::dev_poll::{DevPoll, DevPollFd, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLREMOVE};
use c10k_sys::fork::in_child;
use c10k_testkit::seccomp;
use rustix::io::Errno;
use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::atomic::{AtomicI32, Ordering},
    time::{Duration, Instant},
};

const NOW: Option<Duration> = Some(Duration::ZERO);

fn entry(fd: &impl AsRawFd, events: u16) -> DevPollFd {
    DevPollFd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

fn open(entries: &[DevPollFd]) -> DevPoll {
    let mut set = DevPoll::open().expect("it opens");
    assert_eq!(set.write(entries), Ok(entries.len()));
    set
}

fn ready(set: &mut DevPoll, room: usize) -> Vec<DevPollFd> {
    let mut results = vec![DevPollFd::default(); room];
    let count = set.poll(&mut results, NOW).expect("DP_POLL");
    results.truncate(count);
    results
}

/// Duplicates a descriptor to a high number, which no other test uses after it is closed.
fn high(fd: impl AsFd) -> OwnedFd {
    static NEXT: AtomicI32 = AtomicI32::new(900);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    rustix::io::fcntl_dupfd_cloexec(fd, number).expect("a high number")
}

#[test]
fn a_state_is_reported_at_each_poll() {
    let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut set = open(&[entry(&theirs, POLLIN)]);
    assert_eq!(ready(&mut set, 4), []);
    ours.write_all(b"x").expect("a byte fits");
    let reported = DevPollFd {
        fd: theirs.as_raw_fd(),
        events: POLLIN,
        revents: POLLIN,
    };
    assert_eq!(ready(&mut set, 4), [reported]);
    assert_eq!(ready(&mut set, 4), [reported]);
    theirs.read_exact(&mut [0]).expect("the byte");
    assert_eq!(ready(&mut set, 4), []);
}

#[test]
fn written_events_are_added_to_those_cached() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let fd = theirs.as_raw_fd();
    let mut set = open(&[entry(&theirs, POLLIN)]);
    assert_eq!(set.write(&[entry(&theirs, POLLOUT)]), Ok(1));
    assert_eq!(set.is_polled(fd), Ok(Some(POLLIN | POLLOUT)));
    ours.write_all(b"x").expect("a byte fits");
    assert_eq!(
        ready(&mut set, 4),
        [DevPollFd {
            fd,
            events: POLLIN | POLLOUT,
            revents: POLLIN | POLLOUT
        }]
    );
    let mut twice = open(&[entry(&theirs, POLLIN), entry(&theirs, POLLOUT)]);
    assert_eq!(twice.is_polled(fd), Ok(Some(POLLIN | POLLOUT)), "also within one write");
}

#[test]
fn only_exactly_pollremove_removes() {
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let fd = theirs.as_raw_fd();
    let mut set = open(&[entry(&theirs, POLLIN)]);
    assert_eq!(set.write(&[entry(&theirs, POLLREMOVE | POLLOUT)]), Ok(1));
    assert_eq!(
        set.is_polled(fd),
        Ok(Some(POLLIN | POLLOUT)),
        "combined with another event it only adds"
    );
    assert_eq!(set.write(&[entry(&theirs, POLLREMOVE)]), Ok(1));
    assert_eq!(set.is_polled(fd), Ok(None));
    assert_eq!(ready(&mut set, 4), []);
    assert_eq!(
        set.write(&[entry(&theirs, POLLREMOVE)]),
        Ok(1),
        "removing a descriptor that is not cached is no error"
    );
    assert_eq!(set.write(&[entry(&theirs, POLLREMOVE), entry(&theirs, POLLOUT)]), Ok(2));
    assert_eq!(
        set.is_polled(fd),
        Ok(Some(POLLOUT)),
        "removed and written again in one write"
    );
}

#[test]
fn a_closed_descriptor_is_reported_as_pollnval_until_it_is_removed() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let closing = high(&theirs);
    let fd = closing.as_raw_fd();
    let mut set = open(&[entry(&closing, POLLIN)]);
    drop(closing);
    let reported = DevPollFd {
        fd,
        events: POLLIN,
        revents: POLLNVAL,
    };
    assert_eq!(ready(&mut set, 4), [reported]);
    ours.write_all(b"x").expect("a byte fits");
    assert_eq!(
        ready(&mut set, 4),
        [reported],
        "the duplicate of the file has another number and does not count"
    );
    assert_eq!(
        set.write(&[DevPollFd {
            fd,
            events: POLLREMOVE,
            revents: 0
        }]),
        Ok(1)
    );
    assert_eq!(ready(&mut set, 4), []);
    drop(theirs);
}

/// What `write` does with a cached number that was closed while a duplicate keeps its file open.
fn rewritten_after_its_close(rewrite: impl FnOnce(&mut DevPoll, OwnedFd) -> Option<OwnedFd>) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let closing = high(&theirs);
    let fd = closing.as_raw_fd();
    let mut set = open(&[entry(&closing, POLLIN)]);
    let present = rewrite(&mut set, closing);
    ours.write_all(b"x").expect("a byte fits");
    let reported = ready(&mut set, 4);
    assert!(
        reported
            .iter()
            .all(|result| result.fd == fd && result.revents == POLLNVAL),
        "the former file of the number is reported: {reported:?}"
    );
    assert_eq!(set.is_polled(fd), Ok(Some(POLLIN)));
    drop((present, theirs));
}

#[test]
fn a_number_written_again_for_another_file_reports_that_file_only() {
    let (mut others, other) = UnixStream::pair().expect("a pair");
    rewritten_after_its_close(|set, mut number| {
        rustix::io::dup2(&other, &mut number).expect("dup2");
        assert_eq!(set.write(&[entry(&number, POLLIN)]), Ok(1));
        assert_eq!(ready(set, 4), []);
        others.write_all(b"x").expect("a byte fits");
        assert_eq!(ready(set, 4).len(), 1, "the present file is watched");
        let mut other = &other;
        other.read_exact(&mut [0]).expect("the byte");
        Some(number)
    });
}

#[test]
fn a_number_written_again_while_closed_reports_pollnval_only() {
    rewritten_after_its_close(|set, number| {
        let closed = entry(&number, POLLIN);
        drop(number);
        assert_eq!(set.write(&[closed]), Ok(1));
        assert_eq!(ready(set, 4).len(), 1);
        None
    });
    // Then the number is opened for another file.
    let (_others, other) = UnixStream::pair().expect("a pair");
    rewritten_after_its_close(|set, number| {
        let closed = entry(&number, POLLIN);
        drop(number);
        assert_eq!(set.write(&[closed]), Ok(1));
        let number = rustix::io::fcntl_dupfd_cloexec(&other, closed.fd).expect("the number");
        assert_eq!(number.as_raw_fd(), closed.fd, "no other test uses it");
        assert_eq!(set.write(&[closed]), Ok(1));
        Some(number)
    });
}

#[test]
fn a_number_written_again_for_a_regular_file_reports_that_file_only() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let file = File::open(std::env::current_exe().expect("the test program")).expect("it opens");
    let mut number = high(&theirs);
    let mut set = open(&[entry(&number, POLLOUT)]);
    rustix::io::dup2(&file, &mut number).expect("dup2");
    assert_eq!(set.write(&[entry(&number, POLLOUT)]), Ok(1));
    ours.write_all(b"x").expect("a byte fits");
    let reported = ready(&mut set, 4);
    assert_eq!(
        reported.len(),
        1,
        "the socket is reported under the number of the file: {reported:?}"
    );
    drop(theirs);
}

#[test]
fn a_descriptor_that_was_never_open_is_cached_and_reported_as_pollnval() {
    const NEVER: RawFd = 999_999;
    let mut set = open(&[DevPollFd {
        fd: NEVER,
        events: POLLIN,
        revents: 0,
    }]);
    assert_eq!(set.is_polled(NEVER), Ok(Some(POLLIN)));
    assert_eq!(
        ready(&mut set, 4),
        [DevPollFd {
            fd: NEVER,
            events: POLLIN,
            revents: POLLNVAL
        }]
    );
    assert_eq!(
        set.write(&[DevPollFd {
            fd: -1,
            events: POLLIN,
            revents: 0
        }]),
        Ok(1),
        "a negative descriptor is skipped"
    );
    assert_eq!(ready(&mut set, 4).len(), 1);
}

#[test]
fn no_result_leaves_the_array_untouched() {
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let mut set = open(&[entry(&theirs, POLLIN)]);
    let mark = DevPollFd {
        fd: 7,
        events: 8,
        revents: 9,
    };
    let mut results = [mark; 3];
    assert_eq!(set.poll(&mut results, Some(Duration::from_micros(100))), Ok(0));
    assert_eq!(results, [mark; 3]);
}

#[test]
fn events_that_exceed_the_array_are_reported_later() {
    let pairs: Vec<_> = (0..5).map(|_| UnixStream::pair().expect("a pair")).collect();
    let entries: Vec<_> = pairs.iter().map(|(_, theirs)| entry(theirs, POLLOUT)).collect();
    let mut set = open(&entries);
    let mut reported: Vec<_> = (0..5)
        .flat_map(|_| ready(&mut set, 1))
        .map(|result| result.fd)
        .collect();
    reported.sort_unstable();
    let mut all: Vec<_> = entries.iter().map(|entry| entry.fd).collect();
    all.sort_unstable();
    assert_eq!(reported, all);
}

#[test]
fn an_empty_array_only_sleeps() {
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let mut set = open(&[entry(&theirs, POLLOUT)]);
    let started = Instant::now();
    assert_eq!(set.poll(&mut [], Some(Duration::from_millis(2))), Ok(0));
    assert!(started.elapsed() >= Duration::from_millis(2));
}

#[test]
fn a_hang_up_is_reported_without_being_requested() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut set = open(&[entry(&theirs, POLLOUT)]);
    drop(ours);
    assert!(ready(&mut set, 4).iter().any(|result| result.revents & POLLHUP != 0));
}

#[test]
fn a_regular_file_is_always_ready() {
    let file = File::open(std::env::current_exe().expect("the test program")).expect("it opens");
    let mut set = open(&[entry(&file, POLLIN | POLLOUT)]);
    let reported = DevPollFd {
        fd: file.as_raw_fd(),
        events: POLLIN | POLLOUT,
        revents: POLLIN | POLLOUT,
    };
    assert_eq!(ready(&mut set, 4), [reported]);
    assert_eq!(set.write(&[entry(&file, POLLREMOVE)]), Ok(1));
    assert_eq!(ready(&mut set, 4), []);
}

#[test]
fn a_child_of_fork_gets_eacces() {
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let mut set = open(&[entry(&theirs, POLLOUT)]);
    let fd = theirs.as_raw_fd();
    let status = in_child(|| {
        let denied = |error: Option<Errno>| error == Some(Errno::ACCESS);
        let written = set.write(&[DevPollFd {
            fd,
            events: POLLIN,
            revents: 0,
        }]);
        let polled = set.poll(&mut [DevPollFd::default()], NOW);
        let asked = set.is_polled(fd);
        u8::from(!denied(written.err().map(|error| error.errno)))
            | u8::from(!denied(polled.err().map(|error| error.errno))) << 1
            | u8::from(!denied(asked.err().map(|error| error.errno))) << 2
    });
    assert_eq!(status, Ok(Some(0)));
    assert_eq!(ready(&mut set, 4).len(), 1, "the set of the parent is unchanged");
}

#[test]
fn an_unused_set_belongs_to_the_child_that_uses_it_first() {
    let mut set = DevPoll::open().expect("it opens");
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let status = in_child(|| u8::from(set.write(&[entry(&theirs, POLLOUT)]) != Ok(1) || ready(&mut set, 1).len() != 1));
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn more_entries_than_descriptors_are_refused() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .expect("a limit");
    let too_many = vec![
        DevPollFd {
            fd: -1,
            events: POLLIN,
            revents: 0
        };
        usize::try_from(limit).expect("fits") + 1
    ];
    let refused = DevPoll::open()
        .expect("it opens")
        .write(&too_many)
        .expect_err("too many");
    assert_eq!((refused.operation, refused.errno), ("write", Errno::INVAL));
}

/// A set that watches a socket for writing, used in a process of its own: a seccomp filter stays for good.
fn in_own_process(check: impl FnOnce(DevPoll, UnixStream) -> bool) {
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let status = in_child(|| u8::from(!check(open(&[entry(&theirs, POLLOUT)]), theirs)));
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn a_removal_that_fails_leaves_the_descriptor_cached() {
    in_own_process(|mut set, theirs| {
        seccomp::refuse(libc::SYS_epoll_ctl, Errno::NOMEM).expect("a filter");
        let removed = set.write(&[entry(&theirs, POLLREMOVE)]);
        removed.map_err(|error| error.errno) == Err(Errno::NOMEM)
            && set.is_polled(theirs.as_raw_fd()) == Ok(Some(POLLOUT))
    });
}

#[test]
fn a_removal_of_a_closed_duplicate_that_fails_loses_no_other_descriptor() {
    in_own_process(|mut set, theirs| {
        let duplicate = high(&theirs);
        let removal = entry(&duplicate, POLLREMOVE);
        let added = set.write(&[entry(&duplicate, POLLIN)]);
        drop(duplicate);
        seccomp::refuse(libc::SYS_epoll_create1, Errno::NOMEM).expect("a filter");
        let removed = set.write(&[removal]);
        let reported = ready(&mut set, 4);
        added == Ok(1)
            && removed.map_err(|error| error.errno) == Err(Errno::NOMEM)
            && reported
                .iter()
                .any(|it| (it.fd, it.revents) == (theirs.as_raw_fd(), POLLOUT))
    });
}
