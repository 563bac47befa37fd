//! What a testbed is like.

use std::time::Duration;

use crate::TestbedError;

/// The most clients.
pub const MOST_HOSTS: u8 = 250;

/// The slowest and the fastest link, in bits per second.
const RATES: std::ops::RangeInclusive<u64> = 1_000_000..=10_000_000_000;

/// The longest delay.
const MOST_DELAY: Duration = Duration::from_secs(1);

/// What a testbed is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// The number of clients, 1 to 250. Default 10.
    pub hosts: u8,
    /// The rate of each link in each direction, 1 Mbit/s to 10 Gbit/s; `None`: as fast as the CPU. Default `None`.
    pub bits_per_second: Option<u64>,
    /// The delay of each link in each direction, at most 1 s. Default 0. It needs the queueing discipline netem.
    pub delay: Duration,
    /// Which CPU handles the server's received packets. Default [`Receive::Sender`].
    pub receive: Receive,
}

/// Which CPU handles a packet that the server receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receive {
    /// The CPU of whoever sent it. Then the clients are charged for it.
    Sender,
    /// That CPU, from 0, as if the server's network card interrupted it (the kernel calls this RPS). One of the first 64.
    Cpu(u8),
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            hosts: 10,
            bits_per_second: None,
            delay: Duration::ZERO,
            receive: Receive::Sender,
        }
    }
}

impl Spec {
    pub(crate) fn check(&self) -> Result<(), TestbedError> {
        let refused = |what: String| Err(TestbedError::Spec(what));
        if !(1..=MOST_HOSTS).contains(&self.hosts) {
            return refused(format!("{} hosts: give 1 to {MOST_HOSTS}", self.hosts));
        }
        if let Some(rate) = self.bits_per_second.filter(|rate| !RATES.contains(rate)) {
            return refused(format!("links of {rate} bit/s: give 1 Mbit/s to 10 Gbit/s"));
        }
        if self.delay > MOST_DELAY {
            return refused(format!("a delay of {:?}: give at most {MOST_DELAY:?}", self.delay));
        }
        if let Receive::Cpu(cpu @ 64..) = self.receive {
            return refused(format!("receiving on CPU {cpu}: give one of the first 64"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_range() {
        let good = Spec::default();
        good.check().expect("the default");
        for bad in [
            Spec { hosts: 0, ..good },
            Spec { hosts: 251, ..good },
            Spec {
                bits_per_second: Some(999_999),
                ..good
            },
            Spec {
                delay: Duration::from_millis(1001),
                ..good
            },
            Spec {
                receive: Receive::Cpu(64),
                ..good
            },
        ] {
            let error = bad.check().expect_err("out of range").to_string();
            assert!(
                error.starts_with("building a testbed: ") && error.contains("give"),
                "{error}"
            );
        }
    }
}
