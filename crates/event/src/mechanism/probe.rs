//! Whether a mechanism can run here.

use super::{descriptor::Descriptor, kernel::Kernel};
use crate::{Counters, DeclareError, Events, Interest, Key, OpenError, Options, Unavailable, Watch};
use rustix::{io::Errno, pipe::PipeFlags};
use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// Opens the kernel's side of a set and makes each of its system calls once, on a pipe that is readable. A sandbox may
/// allow some of them and forbid the others.
pub(super) fn probe(row: &'static Descriptor) -> Result<(), Unavailable> {
    let flags = PipeFlags::NONBLOCK | PipeFlags::CLOEXEC;
    // Opened before the kernel's side, so that it is closed after it. A pipe without a writer is readable.
    let (reader, _) = rustix::pipe::pipe_with(flags).map_err(|errno| Unavailable::refused("pipe2", errno))?;
    let mut kernel = row.open(&Options::default()).map_err(|error| match error {
        OpenError::Unavailable { reason, .. } => reason,
        OpenError::System { call, errno, .. } => Unavailable::refused(call, errno),
        other => unexpected(&other),
    })?;
    let outcome = make_each_call(row, &mut kernel, reader.as_fd());
    kernel.abandon(reader.as_fd());
    outcome
}

fn make_each_call(row: &Descriptor, kernel: &mut Kernel, source: BorrowedFd<'_>) -> Result<(), Unavailable> {
    let (key, mut counters) = (Key::from_bits(0), Counters::default());
    let watch = Watch::new(Interest::READABLE, row.triggers[0]);
    kernel.add(source, key, watch, &mut counters).map_err(reason_of)?;
    // A wait for no time and a wait for a time are different calls on some mechanisms.
    for timeout in [Duration::ZERO, Duration::from_nanos(1)] {
        kernel
            .wait(&mut Events::with_capacity(1), Some(timeout), &mut counters)
            .map_err(|refused| Unavailable::refused(refused.call.name(), refused.errno))?;
    }
    kernel.change(source, key, watch, &mut counters).map_err(reason_of)?;
    kernel.remove(source, key, &mut counters).map_err(reason_of)
}

fn reason_of(error: DeclareError) -> Unavailable {
    match error {
        DeclareError::System { call, errno } => Unavailable::refused(call, errno),
        other => unexpected(&other),
    }
}

/// For errors that a pipe with default options does not cause.
fn unexpected(error: &dyn std::error::Error) -> Unavailable {
    Unavailable::Refused {
        call: "probe",
        errno: Errno::NOTSUP,
        remedy: error.to_string(),
    }
}
