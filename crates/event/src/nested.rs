//! A set as a source of another event loop.

use crate::InterestSet;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    os::fd::{AsFd, BorrowedFd},
};

/// A set whose mechanism is one descriptor, so that another set, or any event loop, can wait for it.
///
/// The descriptor is readable while the set has events. When the outer loop reports it, call
/// [`next_events`](InterestSet::next_events) with a zero timeout and take all events, until it finds none. Events that are
/// left in a batch do not make the descriptor readable.
///
/// ```
/// use c10k_event::{Events, Interest, InterestSet, Mechanism, Nested, Trigger};
/// use std::{io::Write, os::unix::net::UnixStream, time::Duration};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut ours, theirs) = UnixStream::pair()?;
/// theirs.set_nonblocking(true)?;
/// let mut inner = InterestSet::open(Mechanism::named("epoll-edge")?)?;
/// let key = inner.declare(theirs, Interest::READABLE, Trigger::Edge)?;
///
/// let mut outer = InterestSet::open(Mechanism::named("poll")?)?;
/// let nested = outer.declare(Nested::new(inner)?, Interest::READABLE, Trigger::Level)?;
/// ours.write_all(b"x")?;
/// let (mut outer_events, mut inner_events) = (Events::with_capacity(8), Events::with_capacity(8));
/// outer.next_events(&mut outer_events, None)?;
/// assert_eq!(outer.take(&mut outer_events).map(|event| event.key), Some(nested));
/// let inner = &mut outer[nested];
/// inner.next_events(&mut inner_events, Some(Duration::ZERO))?;
/// assert_eq!(inner.take(&mut inner_events).map(|event| event.key), Some(key));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Nested<S: AsFd>(InterestSet<S>);

/// A set whose mechanism is not one descriptor.
pub struct NotOneDescriptor<S: AsFd> {
    /// The set.
    pub set: Box<InterestSet<S>>,
}

impl<S: AsFd> Nested<S> {
    /// Makes a source of a set.
    ///
    /// # Errors
    /// [`NotOneDescriptor`] returns the set: its mechanism is not one descriptor.
    pub fn new(set: InterestSet<S>) -> Result<Self, NotOneDescriptor<S>> {
        if set.descriptor().is_some() {
            Ok(Self(set))
        } else {
            Err(NotOneDescriptor { set: Box::new(set) })
        }
    }

    /// The set.
    #[must_use]
    pub fn into_set(self) -> InterestSet<S> {
        self.0
    }
}

impl<S: AsFd> AsFd for Nested<S> {
    /// # Panics
    /// If the set was replaced through [`DerefMut`] by one whose mechanism is not one descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0.descriptor() {
            Some(fd) => fd,
            None => panic!("the nested set was replaced by one on {}", self.0.mechanism()),
        }
    }
}

impl<S: AsFd> Deref for Nested<S> {
    type Target = InterestSet<S>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: AsFd> DerefMut for Nested<S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<S: AsFd> fmt::Debug for NotOneDescriptor<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotOneDescriptor")
            .field("set", &self.set)
            .finish()
    }
}

impl<S: AsFd> fmt::Display for NotOneDescriptor<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "nesting a set: {} is not one descriptor: use an epoll mechanism or dev-poll for the inner set",
            self.set.mechanism()
        )
    }
}

impl<S: AsFd> std::error::Error for NotOneDescriptor<S> {}

impl<S: AsFd> From<NotOneDescriptor<S>> for std::io::Error {
    fn from(error: NotOneDescriptor<S>) -> Self {
        Self::new(std::io::ErrorKind::Unsupported, error.to_string())
    }
}
