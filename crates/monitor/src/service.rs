//! What all workers of a daemon share.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::connection::Worker;
use crate::feed::Feed;
use crate::{Config, Counts, MonitorError};

/// Places for connections that are no subscribers, unless `max_subscribers` says otherwise.
const SPARE: usize = 16;

/// How long accepting pauses for want of descriptors or memory, unless a connection ends before.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) counts: Counts,
    /// How many connections the limit on descriptors has room for.
    pub(crate) room: usize,
    shortage_is_reported: AtomicBool,
}

impl Service {
    pub(crate) fn new(config: Config, counts: Counts, room: usize) -> Service {
        Service {
            config,
            counts,
            room,
            shortage_is_reported: AtomicBool::new(false),
        }
    }

    /// The most subscribers at once, for models that refuse further ones.
    pub(crate) fn max_subscribers(&self) -> usize {
        self.config
            .max_subscribers
            .map_or_else(|| self.room.saturating_sub(SPARE).max(self.room / 2), NonZeroUsize::get)
    }

    /// A worker with samples of its own, which refuses subscribers when all workers have `most`.
    pub(crate) fn worker(&self, most: usize, now: Instant) -> Result<Worker, MonitorError> {
        let feed = Feed::open(self.config.period, self.counts.clone(), now)?;
        Ok(Worker::new(feed, self.counts.clone(), self.config.deadlines, most, now))
    }

    /// Says once why accepting pauses.
    pub(crate) fn report_shortage(&self, cause: Option<Errno>) {
        if self.shortage_is_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        match cause {
            Some(errno) => {
                eprintln!(
                    "c10k monitor: accept4 failed ({errno}): accepting resumes when connections end (reported once)"
                );
            }
            None => eprintln!(
                "c10k monitor: there are as many connections as there may be: more wait in the backlog (reported once)"
            ),
        }
    }
}
