//! The columns of the viewer: what a host's samples say, as text.

use std::time::{Duration, Instant};

use c10k_record::MonitorSample;
use c10k_units::display;

use super::host::{Host, Link};

/// Characters of a reason or a name that are shown.
const MAX_TEXT: usize = 160;

/// One column.
struct Column {
    heading: &'static str,
    /// Its width in characters. Text is aligned left, figures right.
    width: usize,
    content: Content,
}

/// What its cells hold.
#[derive(Clone, Copy)]
enum Content {
    Text(fn(&Host) -> String),
    /// A figure that is not known is shown as a dash.
    Figure(fn(&Host, Instant) -> Option<String>),
}

impl Column {
    fn cell(&self, host: &Host, now: Instant) -> String {
        match self.content {
            Content::Text(text) => text(host),
            Content::Figure(figure) => figure(host, now).unwrap_or_else(|| "-".to_owned()),
        }
    }

    fn is_figure(&self) -> bool {
        matches!(self.content, Content::Figure(_))
    }
}

const COLUMNS: &[Column] = &[
    Column {
        heading: "HOST",
        width: 20,
        content: Content::Text(|host| printable(&host.name)),
    },
    figure("AGE s", 6, |host, now| host.age(now).map(tenths)),
    figure("LOAD", 6, |host, _| {
        let load = latest(host)?.load?;
        Some(format!("{:.2}", load.load_1))
    }),
    figure("CPU %", 5, |host, _| {
        let (now, before) = (latest(host)?.cpu?, host.previous.as_ref()?.cpu?);
        now.busy_since(&before).map(percent)
    }),
    figure("MEM %", 5, |host, _| latest(host)?.memory?.used().map(percent)),
    figure("NET IN", 7, |host, _| {
        rate(host, |sample| sample.network.map(|network| network.received_bytes))
    }),
    figure("NET OUT", 7, |host, _| {
        rate(host, |sample| sample.network.map(|network| network.sent_bytes))
    }),
    figure("DISK", 7, |host, _| {
        rate(host, |sample| {
            sample
                .disks
                .map(|disks| disks.read_bytes.saturating_add(disks.written_bytes))
        })
    }),
    Column {
        heading: "STATE",
        width: 11,
        content: Content::Text(|host| state(&host.link)),
    },
];

/// The columns up to the age of the last sample.
const UNTIL_AGE: usize = 2;

const fn figure(heading: &'static str, width: usize, figure: fn(&Host, Instant) -> Option<String>) -> Column {
    Column {
        heading,
        width,
        content: Content::Figure(figure),
    }
}

fn latest(host: &Host) -> Option<&MonitorSample> {
    host.latest.as_ref().map(|(_, sample)| sample)
}

fn state(link: &Link) -> String {
    match link {
        Link::Connecting => "connecting".to_owned(),
        Link::Connected => "connected".to_owned(),
        Link::Lost(reason) => format!("lost: {}", printable(reason)),
    }
}

/// Bytes a second between the last two samples, by the host's own clock; `None` if it was started in between.
fn rate(host: &Host, total: fn(&MonitorSample) -> Option<u64>) -> Option<String> {
    let (now, before) = (latest(host)?, host.previous.as_ref()?);
    let passed = now
        .uptime_ns?
        .checked_sub(before.uptime_ns?)
        .filter(|&passed| passed > 0)?;
    let bytes = total(now)?.checked_sub(total(before)?)?;
    Some(bytes_a_second(
        bytes as f64 / Duration::from_nanos(passed).as_secs_f64(),
    ))
}

fn bytes_a_second(rate: f64) -> String {
    let mut rest = rate;
    for prefix in ["", "k", "M", "G"] {
        if rest < 999.5 {
            return format!("{}{prefix}B", display::significant(rest));
        }
        rest /= 1000.0;
    }
    format!("{}TB", display::significant(rest))
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

fn tenths(age: Duration) -> String {
    format!("{:.1}", age.as_secs_f64())
}

/// Text that came from elsewhere, without what a terminal would take as a command.
fn printable(text: &str) -> String {
    let shown = text.chars().take(MAX_TEXT);
    shown
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}

/// The headings, as a line.
pub(crate) fn heading_line() -> String {
    line(COLUMNS.iter().map(|column| column.heading.to_owned()))
}

/// A host, as a line.
pub(crate) fn host_line(host: &Host, now: Instant) -> String {
    line(COLUMNS.iter().map(|column| column.cell(host, now)))
}

/// A host as a line of a screen, on which a reason has the place of the figures.
pub(crate) fn screen_line(host: &Host, now: Instant) -> String {
    match host.link {
        Link::Connected => host_line(host, now),
        Link::Connecting | Link::Lost(_) => {
            let before = COLUMNS.iter().take(UNTIL_AGE).map(|column| column.cell(host, now));
            format!("{} {}", line(before), state(&host.link))
        }
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for (column, cell) in COLUMNS.iter().zip(cells) {
        if !line.is_empty() {
            line.push(' ');
        }
        let width = column.width;
        line += &if column.is_figure() {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        };
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::{MonitorCpu, MonitorDisks, MonitorLoad, MonitorMemory, MonitorNetwork};

    fn sample(seconds: u64, busy_ns: u64, bytes: u64) -> MonitorSample {
        MonitorSample {
            uptime_ns: Some(seconds * 1_000_000_000),
            load: Some(MonitorLoad {
                load_1: 1.5,
                ..MonitorLoad::default()
            }),
            cpu: Some(MonitorCpu {
                user_ns: busy_ns,
                idle_ns: 1000 * seconds - busy_ns,
                ..MonitorCpu::default()
            }),
            memory: Some(MonitorMemory {
                total_bytes: 1000,
                available_bytes: Some(750),
                ..MonitorMemory::default()
            }),
            network: Some(MonitorNetwork {
                received_bytes: bytes,
                sent_bytes: bytes / 2,
                ..MonitorNetwork::default()
            }),
            disks: Some(MonitorDisks {
                read_bytes: bytes,
                written_bytes: bytes,
                ..MonitorDisks::default()
            }),
            ..MonitorSample::default()
        }
    }

    fn words(host: &Host, now: Instant) -> Vec<String> {
        host_line(host, now).split_whitespace().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn rates_need_two_samples_and_are_per_second_of_the_hosts_clock() {
        let now = Instant::now();
        let mut host = Host::new("h", ([127, 0, 0, 1], 1).into(), now);
        assert_eq!(
            words(&host, now)[..9],
            ["h", "-", "-", "-", "-", "-", "-", "-", "lost:"]
        );
        host.connecting(now);
        host.connected(now);
        host.sampled(sample(100, 10, 1_000_000), now);
        assert_eq!(
            words(&host, now),
            ["h", "0.0", "1.50", "-", "25.0", "-", "-", "-", "connected"]
        );
        host.sampled(sample(102, 510, 4_000_000), now);
        let later = now + Duration::from_millis(1500);
        assert_eq!(
            words(&host, later),
            ["h", "1.5", "1.50", "25.0", "25.0", "1.5MB", "750kB", "3MB", "connected"]
        );
        host.sampled(sample(1, 0, 0), now);
        assert_eq!(
            words(&host, now)[3..8],
            ["-", "25.0", "-", "-", "-"],
            "the host was started anew"
        );
    }

    #[test]
    fn the_largest_numbers_are_shown_too() {
        let now = Instant::now();
        let mut host = Host::new("h", ([127, 0, 0, 1], 1).into(), now);
        host.connected(now);
        host.sampled(sample(0, 0, 0), now);
        host.sampled(
            MonitorSample {
                unix_ns: u64::MAX,
                period_ns: u64::MAX,
                uptime_ns: Some(u64::MAX),
                ..sample(1, 500, u64::MAX)
            },
            now,
        );
        assert_eq!(
            words(&host, now)[3..],
            ["50.0", "25.0", "1GB", "500MB", "1GB", "connected"]
        );
    }

    #[test]
    fn a_reason_cannot_command_the_terminal() {
        let now = Instant::now();
        let mut host = Host::new("h", ([127, 0, 0, 1], 1).into(), now);
        host.lost(format!("\u{1b}[2J\n{}", "x".repeat(1000)), now);
        let line = host_line(&host, now);
        assert!(
            line.contains("lost: ?[2J?xxx") && line.len() < 300 && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn rates_have_three_digits_and_a_prefix() {
        for (rate, text) in [
            (0.0, "0B"),
            (999.0, "999B"),
            (1000.0, "1kB"),
            (999_600.0, "1MB"),
            (12_345_678.0, "12.3MB"),
            (2.5e12, "2.5TB"),
        ] {
            assert_eq!(bytes_a_second(rate), text);
        }
    }
}
