//! Both libraries report the sources that are ready, and release everything when dropped.

use c10k_competitors::{Libevent, LibeventBase, Polling};
use c10k_testkit::required::is_required;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::{
    cell::RefCell,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

fn pairs() -> Vec<(OwnedFd, OwnedFd)> {
    let pair = || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None);
    (0..3).map(|_| pair().expect("a socket pair")).collect()
}

#[test]
fn polling_reports_ready_sources_and_releases_them_when_dropped() {
    let pairs = pairs();
    let readers = || pairs.iter().map(|(reader, _)| reader.as_fd());
    for _ in 0..2 {
        let mut polling = Polling::open(readers(), NonZeroUsize::MIN.saturating_add(7)).expect("a poller");
        rustix::io::write(&pairs[1].1, b"e").expect("a byte fits");
        let mut found = Vec::new();
        polling
            .turn(None, |index| found.push(index))
            .expect("the wait succeeds");
        assert_eq!(found, [1]);
        rustix::io::read(&pairs[1].0, &mut [0; 8]).expect("a byte is there");
        polling
            .turn(Some(Duration::ZERO), |index| found.push(index))
            .expect("the wait succeeds");
        assert_eq!(found, [1], "nothing is ready any more");
    }
}

#[test]
fn libevent_reports_ready_sources_and_frees_its_handler() {
    let library = match Libevent::load() {
        Ok(library) => library,
        Err(reason) => {
            assert!(!is_required(&["libevent"]), "{reason}");
            return eprintln!("skipped: {reason}");
        }
    };
    assert!(library.version().starts_with("2."));
    let pairs = pairs();
    let found = Rc::new(RefCell::new(Vec::new()));
    let kept = found.clone();
    let readers = pairs.iter().map(|(reader, _)| reader.as_fd());
    let mut base = LibeventBase::open(library, readers, move |index| kept.borrow_mut().push(index)).expect("a base");
    rustix::io::write(&pairs[2].1, b"e").expect("a byte fits");
    base.turn(true).expect("the loop runs");
    assert_eq!(*found.borrow(), [2]);
    base.turn(false).expect("the loop runs");
    assert_eq!(*found.borrow(), [2, 2], "level-triggered");
    drop(base);
    assert_eq!(Rc::strong_count(&found), 1);
}
