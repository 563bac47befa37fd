//! Counts of the idle pool: connections that are opened, kept open and never used.

/// Counts of one thread's idle connections. The connections themselves are in the thread's interest set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IdleCount {
    /// Connections requested by the plan.
    pub(crate) target: u64,
    /// Connections open now.
    pub(crate) open: u64,
    /// Connections that the server closed, at any time.
    pub(crate) closed_by_server: u64,
    /// Connections that were opened, without those that replaced others.
    pub(crate) established: u64,
    /// Connections that were replaced by new ones.
    pub(crate) replaced: u64,
    /// Connections that were not replaced because the new one could not be opened.
    pub(crate) not_replaced: u64,
    open_min: Option<u64>,
    is_measured: bool,
}

impl IdleCount {
    /// Counts of a pool that should have `target` connections.
    #[must_use]
    pub(crate) fn new(target: u64) -> Self {
        Self {
            target,
            ..Self::default()
        }
    }

    /// A connection was established.
    pub(crate) fn opened(&mut self) {
        self.open += 1;
        self.established += 1;
    }

    /// The server closed a connection.
    pub(crate) fn closed_by_server(&mut self) {
        self.open -= 1;
        self.closed_by_server += 1;
        if self.is_measured {
            self.open_min = self.open_min.map(|min| min.min(self.open));
        }
    }

    /// The measured time begins.
    pub(crate) fn begin_measured_time(&mut self) {
        self.open_min = Some(self.open);
        self.is_measured = true;
    }

    /// The measured time ends.
    pub(crate) fn end_measured_time(&mut self) {
        self.is_measured = false;
    }

    /// The minimum of `open` over the measured time; the number open now if that has not begun.
    #[must_use]
    pub(crate) fn open_min(&self) -> u64 {
        self.open_min.unwrap_or(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_taken_over_the_measured_time() {
        let mut count = IdleCount::new(3);
        (0..3).for_each(|_| count.opened());
        count.closed_by_server();
        count.begin_measured_time();
        assert_eq!(count.open_min(), 2);
        count.closed_by_server();
        count.opened();
        assert_eq!((count.open_min(), count.open, count.closed_by_server), (1, 2, 2));
        count.end_measured_time();
        (0..2).for_each(|_| count.closed_by_server());
        assert_eq!((count.open_min(), count.open, count.closed_by_server), (1, 0, 4));
    }
}
