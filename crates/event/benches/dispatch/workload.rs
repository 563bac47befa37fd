//! libevent's `bench` workload: a ring of socket pairs. Each event reads a byte and writes one to the next pair.

use std::{
    cell::Cell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// `pairs` socket pairs, `active` bytes in flight at a time, `writes` bytes written in total.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pairs: usize,
    pub(crate) active: usize,
    pub(crate) writes: usize,
    /// How many turns each of two competitors takes while both are open.
    pub(crate) slices: usize,
}

/// The sizes of the published figures.
pub(crate) const SIZES: [Size; 3] = [
    Size {
        pairs: 100,
        active: 1,
        writes: 1_000,
        slices: 60,
    },
    Size {
        pairs: 1_000,
        active: 100,
        writes: 10_000,
        slices: 20,
    },
    Size {
        pairs: 9_000,
        active: 1_000,
        writes: 20_000,
        slices: 0,
    },
];

/// How a competitor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Without a timeout.
    Blocking,
    /// With a timeout of zero.
    Polling,
}

/// The ring and the progress of a run.
pub(crate) struct Ring {
    readers: Vec<OwnedFd>,
    writers: Vec<OwnedFd>,
    written: Cell<usize>,
    read: Cell<usize>,
    writes: Cell<usize>,
}

impl Ring {
    pub(crate) fn open(pairs: usize) -> Result<Self, String> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pair = || rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let (readers, writers) = (0..pairs)
            .map(|index| pair().map_err(|errno| format!("opening socket pair {index} of {pairs}: {errno}")))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        Ok(Self {
            readers,
            writers,
            written: Cell::new(0),
            read: Cell::new(0),
            writes: Cell::new(0),
        })
    }

    pub(crate) fn readers(&self) -> impl Iterator<Item = Reader<'_>> {
        self.readers
            .iter()
            .enumerate()
            .map(|(index, fd)| Reader { fd: fd.as_fd(), index })
    }

    pub(crate) fn reader(&self, index: usize) -> BorrowedFd<'_> {
        self.readers[index].as_fd()
    }

    /// Writes the first bytes, spread over the ring.
    pub(crate) fn start(&self, size: Size) {
        self.read.set(0);
        self.writes.set(size.writes);
        self.written.set(size.active);
        let space = size.pairs / size.active;
        for index in (0..size.active).map(|number| number * space) {
            rustix::io::write(&self.writers[index], b"e").expect("a byte fits");
        }
    }

    /// Handles an event: reads the available bytes, one unless two chains have met, and writes each byte to the next pair. The
    /// same code for every competitor: inlined into one of them it was 10% faster there, because returns are costly after a
    /// system call.
    #[inline(never)]
    pub(crate) fn handle(&self, fd: BorrowedFd<'_>, index: usize) {
        let mut bytes = [0; 64];
        let Ok(count) = rustix::io::read(fd, &mut bytes) else {
            return;
        };
        self.read.set(self.read.get() + count);
        let next = &self.writers[if index + 1 == self.writers.len() { 0 } else { index + 1 }];
        for _ in 0..count {
            if self.written.get() < self.writes.get() {
                self.written.set(self.written.get() + 1);
                rustix::io::write(next, b"e").expect("a byte fits");
            }
        }
    }

    /// Whether all bytes have been read.
    pub(crate) fn is_done(&self) -> bool {
        self.read.get() == self.writes.get()
    }
}

/// A pair's reading end.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) index: usize,
}

impl AsFd for Reader<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}
