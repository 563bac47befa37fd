//! The limits of this process and this host that restrict a run.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The maximum number of open descriptors of this process.
    pub(crate) descriptors: u64,
    /// The number of ephemeral ports of a local address.
    pub(crate) ports_per_address: u64,
}

/// The kernel's default range, 32768 to 60999.
const DEFAULT_PORTS: u64 = 28_232;

impl Limits {
    /// Raises the soft limit of descriptors to the hard limit if that is allowed, and reads the limits.
    #[must_use]
    pub(crate) fn raise_and_read() -> Self {
        let limit = getrlimit(Resource::Nofile);
        // If this fails, the soft limit stays and is reported.
        let raised = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
        let descriptors = if raised.is_ok() { limit.maximum } else { limit.current };
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        Self {
            descriptors: descriptors.unwrap_or(u64::MAX),
            ports_per_address: port_count(&range).unwrap_or(DEFAULT_PORTS),
        }
    }
}

fn port_count(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(|end| end.parse::<u64>().ok());
    let (first, last) = (ends.next()??, ends.next()??);
    (last.checked_sub(first)?).checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_range_includes_both_ends() {
        assert_eq!(port_count("32768\t60999\n"), Some(28_232));
        assert_eq!(port_count("60999 32768"), None);
        assert_eq!(port_count(""), None);
    }

    #[test]
    fn the_soft_limit_is_the_hard_limit_afterwards() {
        let limits = Limits::raise_and_read();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, after.maximum);
        assert_eq!(Some(limits.descriptors), after.current.or(Some(u64::MAX)));
    }
}
