//! Other event libraries: `mio`, `polling`, and the system's libevent, which is loaded if it is installed.

use crate::{
    loops::{BATCH, Competitor, timeout},
    workload::{Ring, Waiting},
};
use c10k_competitors::{Libevent, LibeventBase};
use std::os::fd::AsRawFd;

/// `mio`, which is edge-triggered.
pub(crate) struct Mio {
    poll: mio::Poll,
    events: mio::Events,
}

impl Mio {
    pub(crate) fn open(ring: &Ring) -> Self {
        let poll = mio::Poll::new().expect("a mio::Poll");
        for reader in ring.readers() {
            let number = reader.fd.as_raw_fd();
            poll.registry()
                .register(
                    &mut mio::unix::SourceFd(&number),
                    mio::Token(reader.index),
                    mio::Interest::READABLE,
                )
                .expect("registering");
        }
        Self {
            poll,
            events: mio::Events::with_capacity(BATCH),
        }
    }
}

impl Competitor for Mio {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        self.poll
            .poll(&mut self.events, timeout(waiting))
            .expect("the wait succeeds");
        for event in &self.events {
            let index = event.token().0;
            ring.handle(ring.reader(index), index);
        }
    }
}

/// `polling` in its edge mode.
pub(crate) struct Polling<'a>(c10k_competitors::Polling<'a>);

impl<'a> Polling<'a> {
    pub(crate) fn open(ring: &'a Ring) -> Self {
        let room = std::num::NonZeroUsize::new(BATCH).expect("not zero");
        Self(c10k_competitors::Polling::open(ring.readers().map(|reader| reader.fd), room).expect("a Poller"))
    }
}

impl Competitor for Polling<'_> {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        self.0
            .turn(timeout(waiting), |index| ring.handle(ring.reader(index), index))
            .expect("the wait succeeds");
    }
}

/// libevent with its best method on Linux, epoll, with level-triggered persistent events, as its own benchmark uses it.
struct Base<'a, F: FnMut(usize)>(LibeventBase<'a, F>);

impl<F: FnMut(usize)> Competitor for Base<'_, F> {
    fn turn(&mut self, _ring: &Ring, waiting: Waiting) {
        self.0.turn(waiting == Waiting::Blocking).expect("the loop runs");
    }
}

/// A loop of libevent.
pub(crate) fn libevent(library: Libevent, ring: &Ring) -> Box<dyn Competitor + '_> {
    let readers = ring.readers().map(|reader| reader.fd);
    let handle = |index| ring.handle(ring.reader(index), index);
    Box::new(Base(LibeventBase::open(library, readers, handle).expect("a base")))
}
