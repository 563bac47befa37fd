//! Takes the place of the filter in a build without the feature `bpf`.

use crate::{Unavailable, mechanism::rt_signal::filter::SignalFilter};
use c10k_sys::signal::{Receiver, Signal};
use rustix::io::Errno;
use std::{convert::Infallible, os::fd::RawFd};

/// A filter that never opens, so it has no value.
pub(in crate::mechanism) struct OnePerSource(Infallible);

impl SignalFilter for OnePerSource {
    fn open(_: Signal, _: Receiver) -> Result<Self, Unavailable> {
        Err(Unavailable::FeatureMissing { feature: "bpf" })
    }

    fn watch(&mut self, _: RawFd) -> Result<(), Errno> {
        match self.0 {}
    }

    fn unwatch(&mut self, _: RawFd) {
        match self.0 {}
    }

    fn taken(&self, _: RawFd) -> u64 {
        match self.0 {}
    }

    fn clear(&self) {
        match self.0 {}
    }
}
