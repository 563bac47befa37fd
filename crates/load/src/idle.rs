//! The count of the idle pool: connections that are opened, kept open and never used.

/// The idle connections of one thread. The connections themselves live in the thread's interest set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdleCount {
    /// Connections asked for.
    pub target: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections that the server closed, at any time.
    pub closed_by_server: u64,
    /// Connections that were opened for the pool, without those that replaced others.
    pub established: u64,
    /// Connections that were replaced by new ones.
    pub replaced: u64,
    /// Connections that were to be replaced, and the new one could not be opened.
    pub not_replaced: u64,
    open_min: Option<u64>,
    is_measured: bool,
}

impl IdleCount {
    /// A pool that is to have `target` connections.
    #[must_use]
    pub fn new(target: u64) -> Self {
        Self {
            target,
            ..Self::default()
        }
    }

    /// A connection was established.
    pub fn opened(&mut self) {
        self.open += 1;
        self.established += 1;
    }

    /// The server closed a connection.
    pub fn closed_by_server(&mut self) {
        self.open -= 1;
        self.closed_by_server += 1;
        if self.is_measured {
            self.open_min = self.open_min.map(|min| min.min(self.open));
        }
    }

    /// The measured time begins.
    pub fn measure(&mut self) {
        self.open_min = Some(self.open);
        self.is_measured = true;
    }

    /// The measured time is over.
    pub fn stop(&mut self) {
        self.is_measured = false;
    }

    /// The smallest number open at any moment since [`IdleCount::measure`]; the number open now where that was not called.
    #[must_use]
    pub fn open_min(&self) -> u64 {
        self.open_min.unwrap_or(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_that_of_the_measured_time() {
        let mut count = IdleCount::new(3);
        (0..3).for_each(|_| count.opened());
        count.closed_by_server();
        count.measure();
        assert_eq!(count.open_min(), 2);
        count.closed_by_server();
        count.opened();
        assert_eq!((count.open_min(), count.open, count.closed_by_server), (1, 2, 2));
        count.stop();
        (0..2).for_each(|_| count.closed_by_server());
        assert_eq!((count.open_min(), count.open, count.closed_by_server), (1, 0, 4));
    }
}
