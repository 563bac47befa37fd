//! Options of the rings of `io-uring`: the steps from the kernel's defaults to its newest ways, one row each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use c10k_sys::stream_ring::{MinWait, Placement, RingDescriptor, SendMemory, Shape, Sockets, TaskWork};

/// One option of a ring.
pub struct RingOption {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The first version of Linux that has it.
    pub since: &'static str,
    /// Options of the same kind exclude each other.
    kind: Kind,
    set: Set,
}

/// What an option decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TaskWork,
    Descriptor,
    Sockets,
    Placement,
    SendMemory,
    MinWait,
}

/// What an option changes about a ring.
enum Set {
    Flag(fn(&mut Shape)),
    /// It has a value, such as `50us`.
    Time(fn(&mut Shape, Duration)),
}

/// How many completions end a minimum wait early.
const MIN_WAIT_COMPLETIONS: u32 = 32;

/// The longest minimum wait.
const LONGEST_MIN_WAIT: Duration = Duration::from_secs(1);

const fn flag(
    name: &'static str,
    since: &'static str,
    kind: Kind,
    set: fn(&mut Shape),
    summary: &'static str,
) -> RingOption {
    RingOption {
        name,
        summary,
        since,
        kind,
        set: Set::Flag(set),
    }
}

/// Every option, one row each.
pub static RING_OPTIONS: &[RingOption] = &[
    flag(
        "default-taskrun",
        "5.1",
        Kind::TaskWork,
        |shape| shape.task_work = TaskWork::Interrupt,
        "the kernel interrupts the thread to do what a request has left",
    ),
    flag(
        "coop-taskrun",
        "5.19",
        Kind::TaskWork,
        |shape| shape.task_work = TaskWork::Cooperative,
        "it does so when the thread next enters the kernel",
    ),
    flag(
        "defer-taskrun",
        "6.1",
        Kind::TaskWork,
        |shape| shape.task_work = TaskWork::Deferred,
        "it does so when the thread waits for completions; the default",
    ),
    flag(
        "registered-ring",
        "5.18",
        Kind::Descriptor,
        |shape| shape.descriptor = RingDescriptor::Registered,
        "calls name the ring by an index instead of its descriptor",
    ),
    flag(
        "direct",
        "6.13",
        Kind::Sockets,
        |shape| shape.sockets = Sockets::Direct { places: 1 },
        "sockets are places in a table of the ring, and no descriptors of the process",
    ),
    flag(
        "recv-bundle",
        "6.10",
        Kind::Placement,
        |shape| shape.placement = Placement::Bundle,
        "a completion may fill several receive buffers",
    ),
    flag(
        "incremental-buffers",
        "6.12",
        Kind::Placement,
        |shape| shape.placement = Placement::Incremental,
        "completions share a receive buffer",
    ),
    flag(
        "send-zc",
        "6.1",
        Kind::SendMemory,
        |shape| shape.send_memory = SendMemory::ZeroCopy,
        "the network device reads replies from the server's memory; over loopback the kernel copies after all",
    ),
    RingOption {
        name: "min-wait",
        summary: "a wait lasts this long unless 32 completions have come",
        since: "6.12",
        kind: Kind::MinWait,
        set: Set::Time(|shape, time| {
            shape.min_wait = MinWait {
                time,
                completions: MIN_WAIT_COMPLETIONS,
            };
        }),
    },
];

/// The options of a server's rings: a list of rows of [`RING_OPTIONS`], as `coop-taskrun,min-wait=50us`.
#[derive(Clone, Default)]
pub struct RingOptions(Vec<(&'static RingOption, Duration)>);

/// Why a list of options is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingOptionsError {
    /// There is no such option.
    #[error("no ring option is called '{name}': use {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Two of them exclude each other.
    #[error("{first} and {second} exclude each other: leave one out")]
    Exclusive {
        /// The first one given.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// A value is missing, superfluous or out of range.
    #[error("{name}: {why}")]
    Value {
        /// The option.
        name: &'static str,
        /// What to give instead.
        why: String,
    },
}

impl RingOptions {
    /// Changes a shape as the options say.
    pub(crate) fn apply(&self, shape: &mut Shape) {
        for (option, time) in &self.0 {
            match option.set {
                Set::Flag(set) => set(shape),
                Set::Time(set) => set(shape, *time),
            }
        }
    }

    /// A list with that option alone, and with a value if it takes one.
    pub(crate) fn probe(option: &'static RingOption) -> RingOptions {
        RingOptions(vec![(option, Duration::from_micros(1))])
    }

    /// Each option, and a list with that one alone.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static RingOption, RingOptions)> {
        self.0
            .iter()
            .map(|&(option, time)| (option, RingOptions(vec![(option, time)])))
    }

    fn add(&mut self, text: &str) -> Result<(), RingOptionsError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let option = RING_OPTIONS.iter().find(|option| option.name == name);
        let option = option.ok_or_else(|| RingOptionsError::Unknown {
            name: name.to_owned(),
            known: RING_OPTIONS
                .iter()
                .map(|option| option.name)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        if let Some((first, _)) = self.0.iter().find(|(other, _)| other.kind == option.kind) {
            return Err(RingOptionsError::Exclusive {
                first: first.name,
                second: option.name,
            });
        }
        self.0.push((option, option.time(value)?));
        Ok(())
    }
}

impl RingOption {
    /// Whether it has a value, a duration.
    #[must_use]
    pub fn takes_time(&self) -> bool {
        matches!(self.set, Set::Time(_))
    }

    fn time(&self, value: Option<&str>) -> Result<Duration, RingOptionsError> {
        let wrong = |why: String| RingOptionsError::Value { name: self.name, why };
        match (self.takes_time(), value) {
            (false, None) => Ok(Duration::ZERO),
            (false, Some(_)) => Err(wrong("it takes no value: leave it out".to_owned())),
            (true, None) => Err(wrong(format!("give a duration, as {}=50us", self.name))),
            (true, Some(text)) => {
                let time = c10k_units::duration::parse(text).map_err(|error| wrong(error.to_string()))?;
                match time >= Duration::from_micros(1) && time <= LONGEST_MIN_WAIT {
                    true => Ok(time),
                    false => Err(wrong("give 1us to 1s".to_owned())),
                }
            }
        }
    }
}

impl FromStr for RingOptions {
    type Err = RingOptionsError;

    fn from_str(text: &str) -> Result<Self, RingOptionsError> {
        let mut options = RingOptions::default();
        for option in text.split(',').map(str::trim) {
            options.add(option)?;
        }
        Ok(options)
    }
}

impl fmt::Debug for RingOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(option, _)| option.name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<RingOptions>().expect_err("refused").to_string()
    }

    #[test]
    fn a_list_changes_what_its_options_name() {
        let mut shape = crate::completion::shape(crate::Submission::Enter, &RingOptions::default());
        let before = shape;
        let options: RingOptions = "coop-taskrun, registered-ring,min-wait=50us"
            .parse()
            .expect("three options");
        options.apply(&mut shape);
        let after = Shape {
            task_work: TaskWork::Cooperative,
            descriptor: RingDescriptor::Registered,
            min_wait: MinWait {
                time: Duration::from_micros(50),
                completions: MIN_WAIT_COMPLETIONS,
            },
            ..before
        };
        assert_eq!(shape, after);
        RingOptions::default().apply(&mut shape);
        assert_eq!(shape, after, "no option changes nothing");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        assert!(error("turbo").starts_with("no ring option is called 'turbo': use default-taskrun, "));
        assert_eq!(
            error("coop-taskrun,defer-taskrun"),
            "coop-taskrun and defer-taskrun exclude each other: leave one out"
        );
        assert_eq!(error("send-zc=1"), "send-zc: it takes no value: leave it out");
        assert_eq!(error("min-wait"), "min-wait: give a duration, as min-wait=50us");
        assert_eq!(error("min-wait=2s"), "min-wait: give 1us to 1s");
        assert_eq!(error("min-wait=0"), "min-wait: give 1us to 1s");
    }
}
