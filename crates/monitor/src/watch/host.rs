//! What is known of one host, without I/O: the state of the connection, the last samples, when to try again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use c10k_record::MonitorSample;

/// The first and the longest pause before a connection is tried again; each is twice the one before.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// How long a connection and the head of the reply may take.
const CONNECT: Duration = Duration::from_secs(10);

/// So many periods and so much time may pass without a sample.
const SILENCE: (u32, Duration) = (3, Duration::from_secs(5));

/// The connection to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    Connected,
    /// Why; it is tried again.
    Lost(String),
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// As it was given.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) link: Link,
    /// The last sample, and when it came.
    pub(crate) latest: Option<(Instant, MonitorSample)>,
    /// The sample before it.
    pub(crate) previous: Option<MonitorSample>,
    /// What the next pause is.
    pause: Duration,
    /// When something is to be done about it: to connect, or to give the connection up.
    due: Instant,
}

impl Host {
    pub(crate) fn new(name: &str, address: SocketAddr, now: Instant) -> Host {
        Host {
            name: name.to_owned(),
            address,
            link: Link::Lost("not tried yet".to_owned()),
            latest: None,
            previous: None,
            pause: BACK_OFF.0,
            due: now,
        }
    }

    /// How long until something is to be done about it.
    pub(crate) fn until_due(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    pub(crate) fn connecting(&mut self, now: Instant) {
        self.link = Link::Connecting;
        self.due = now + CONNECT;
    }

    /// The head of the reply has come. A sample may take a period, which is not known yet.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.link = Link::Connected;
        self.due = now + Duration::from_secs(2 * 24 * 3600);
    }

    pub(crate) fn sampled(&mut self, sample: MonitorSample, now: Instant) {
        self.pause = BACK_OFF.0;
        let period = Duration::from_nanos(sample.period_ns);
        self.due = now + period.saturating_mul(SILENCE.0).min(Duration::from_secs(7 * 24 * 3600)) + SILENCE.1;
        self.previous = self.latest.take().map(|(_, sample)| sample);
        self.latest = Some((now, sample));
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, reason: String, now: Instant) {
        self.link = Link::Lost(reason);
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(BACK_OFF.1);
    }

    /// Why a connection that is due is given up.
    pub(crate) fn overdue(&self) -> &'static str {
        match self.link {
            Link::Connected => "no sample came in time",
            Link::Connecting | Link::Lost(_) => "no answer",
        }
    }

    /// How old the last sample is.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.latest.as_ref().map(|(at, _)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(now: Instant) -> Host {
        Host::new("h", ([127, 0, 0, 1], 1).into(), now)
    }

    #[test]
    fn the_pause_doubles_up_to_a_limit_and_begins_anew_after_a_sample() {
        let now = Instant::now();
        let mut host = host(now);
        assert_eq!(host.until_due(now), Duration::ZERO, "the first attempt is made at once");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            host.connecting(now);
            host.lost("refused".to_owned(), now);
            pauses.push(host.until_due(now).as_millis());
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        host.connecting(now);
        host.connected(now);
        host.lost("closed".to_owned(), now);
        assert_eq!(
            host.until_due(now).as_millis(),
            10_000,
            "a connection alone is no success"
        );
        host.sampled(MonitorSample::default(), now);
        host.lost("closed".to_owned(), now);
        assert_eq!(host.until_due(now).as_millis(), 250);
    }

    #[test]
    fn a_silent_host_is_due_after_a_few_of_its_own_periods() {
        let now = Instant::now();
        let mut host = host(now);
        host.connected(now);
        assert!(
            host.until_due(now) > Duration::from_secs(24 * 3600),
            "the longest period"
        );
        let sample = |period_ns| MonitorSample {
            period_ns,
            ..MonitorSample::default()
        };
        host.sampled(sample(10_000_000_000), now);
        assert_eq!(host.until_due(now), Duration::from_secs(35));
        assert_eq!(host.overdue(), "no sample came in time");
        host.sampled(sample(u64::MAX), now);
        assert!(
            host.until_due(now) < Duration::from_secs(8 * 24 * 3600),
            "whatever a daemon says"
        );
        assert_eq!(host.age(now + Duration::from_secs(2)), Some(Duration::from_secs(2)));
    }
}
