//! What a daemon is configured with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::time::Duration;

use c10k_event::Mechanism;

use crate::MonitorError;

/// The port of the daemon, unless another is given.
pub const DEFAULT_PORT: u16 = 7010;

/// The shortest and the longest period.
const PERIODS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 3600));

/// How the daemon runs. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; the default is [`DEFAULT_PORT`] of 127.0.0.1. Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The time from one sample to the next, 1 ms to 24 h; the default is 1 s.
    pub period: Duration,
    /// The event mechanism, for models that have one; the default is `epoll-edge`.
    pub mechanism: Mechanism,
    /// The most subscribers at once; the default is as many as the limit on descriptors allows. What happens beyond depends on
    /// the model.
    pub max_subscribers: Option<NonZeroUsize>,
    /// The number of workers, for models that have a fixed number.
    pub workers: Option<NonZeroUsize>,
    /// How long clients may take.
    pub deadlines: Deadlines,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For a whole head, from the connection or from its first byte; the default is 10 s.
    pub head: Duration,
    /// Between two requests of a connection; the default is 120 s.
    pub idle: Duration,
    /// For the rest of a reply or of a line that was begun; the default is 60 s.
    pub stalled: Duration,
    /// For the client to close a connection after its last reply; the default is 2 s.
    pub linger: Duration,
    /// For the drain after a stop; the default is 10 s.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stalled: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new(Mechanism::default())
    }
}

impl Config {
    /// The defaults, on this mechanism.
    #[must_use]
    pub fn new(mechanism: Mechanism) -> Config {
        Config {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            period: Duration::from_secs(1),
            mechanism,
            max_subscribers: None,
            workers: None,
            deadlines: Deadlines::default(),
        }
    }

    /// Refuses what the daemon cannot do.
    pub(crate) fn check(&self) -> Result<(), MonitorError> {
        let (least, most) = PERIODS;
        if (least..=most).contains(&self.period) {
            return Ok(());
        }
        Err(MonitorError::Period {
            given: c10k_units::duration::exact(self.period),
            least: c10k_units::duration::exact(least),
            most: c10k_units::duration::exact(most),
        })
    }
}

/// The first address that `HOST[:PORT]` names. `HOST` is a name or an address, `[…]` around one of IPv6 if a port follows; without
/// a port it is [`DEFAULT_PORT`].
///
/// # Errors
/// [`MonitorError::Resolve`] for text of another form, or a name without an address.
pub fn address_of(text: &str) -> Result<SocketAddr, MonitorError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    let refused = |reason: String| MonitorError::Resolve {
        text: text.to_owned(),
        reason,
    };
    let (name, port) = match text.split_once(':') {
        None => (text, DEFAULT_PORT),
        Some((name, port)) => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| digits);
            (name, port.ok_or_else(|| refused("that is no port".to_owned()))?)
        }
    };
    if name.is_empty() {
        return Err(refused("the host is missing".to_owned()));
    }
    let mut addresses = (name, port)
        .to_socket_addrs()
        .map_err(|error| refused(error.to_string()))?;
    addresses
        .next()
        .ok_or_else(|| refused("the name has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_given_with_and_without_a_port() {
        for (text, wanted) in [
            ("127.0.0.1", "127.0.0.1:7010"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:7010"),
            ("[::1]", "[::1]:7010"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(address_of(text).expect(text).to_string(), wanted);
        }
        assert!(
            address_of("localhost:80")
                .expect("every machine has it")
                .ip()
                .is_loopback()
        );
        for bad in ["", ":80", "127.0.0.1:", "127.0.0.1:+8", "127.0.0.1:70000", "a b"] {
            let line = address_of(bad).expect_err(bad).to_string();
            assert!(line.contains("HOST:PORT") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_period_out_of_range_is_refused_with_the_range() {
        let mut config = Config::default();
        config.check().expect("the default");
        for bad in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(90_000)] {
            config.period = bad;
            let line = config.check().expect_err("out of range").to_string();
            assert!(line.contains("1ms") && line.contains("24h"), "{line}");
        }
    }
}
