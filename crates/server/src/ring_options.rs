//! Options of rings: the steps from the kernel's defaults to its newest ways, one row each. The model `io-uring` has all, and
//! the mechanism `io-uring-poll` those that do not concern sockets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use c10k_event::RingSetup;
use c10k_sys::ring::{MinWait, RingDescriptor, Setup, TaskWork};
use c10k_sys::stream_ring::{Placement, SendMemory, Shape, Sockets};

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
    /// How it is set up.
    Setup(fn(&mut Setup)),
    /// The same, with a value such as `50us`.
    Time(fn(&mut Setup, Duration)),
    /// How it works on sockets.
    Sockets(fn(&mut Shape)),
}

/// How many completions end a minimum wait early.
const MIN_WAIT_COMPLETIONS: u32 = 32;

/// The longest minimum wait.
const LONGEST_MIN_WAIT: Duration = Duration::from_secs(1);

const fn row(name: &'static str, since: &'static str, kind: Kind, set: Set, summary: &'static str) -> RingOption {
    RingOption {
        name,
        summary,
        since,
        kind,
        set,
    }
}

/// Every option, one row each.
pub static RING_OPTIONS: &[RingOption] = &[
    row(
        "default-taskrun",
        "5.1",
        Kind::TaskWork,
        Set::Setup(|setup| setup.task_work = TaskWork::Interrupt),
        "the kernel interrupts the thread to do what a request has left",
    ),
    row(
        "coop-taskrun",
        "5.19",
        Kind::TaskWork,
        Set::Setup(|setup| setup.task_work = TaskWork::Cooperative),
        "it does so when the thread next enters the kernel",
    ),
    row(
        "defer-taskrun",
        "6.1",
        Kind::TaskWork,
        Set::Setup(|setup| setup.task_work = TaskWork::Deferred),
        "it does so when the thread waits for completions; the default",
    ),
    row(
        "registered-ring",
        "5.18",
        Kind::Descriptor,
        Set::Setup(|setup| setup.descriptor = RingDescriptor::Registered),
        "calls name the ring by an index instead of its descriptor",
    ),
    row(
        "direct",
        "6.13",
        Kind::Sockets,
        Set::Sockets(|shape| shape.sockets = Sockets::Direct { places: 1 }),
        "sockets are places in a table of the ring, and no descriptors of the process",
    ),
    row(
        "recv-bundle",
        "6.10",
        Kind::Placement,
        Set::Sockets(|shape| shape.placement = Placement::Bundle),
        "a completion may fill several receive buffers",
    ),
    row(
        "incremental-buffers",
        "6.12",
        Kind::Placement,
        Set::Sockets(|shape| shape.placement = Placement::Incremental),
        "completions share a receive buffer",
    ),
    row(
        "send-zc",
        "6.1",
        Kind::SendMemory,
        Set::Sockets(|shape| shape.send_memory = SendMemory::ZeroCopy),
        "the network device reads replies from the server's memory; over loopback the kernel copies after all",
    ),
    row(
        "min-wait",
        "6.12",
        Kind::MinWait,
        Set::Time(|setup, time| {
            setup.min_wait = MinWait {
                time,
                completions: MIN_WAIT_COMPLETIONS,
            };
        }),
        "a wait lasts this long unless 32 completions have come",
    ),
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
    /// It concerns sockets, on which a mechanism does not work.
    #[error("{name}: the mechanism io-uring-poll only polls: leave it out, or use the model io-uring")]
    OnlyModel {
        /// The option.
        name: &'static str,
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
                Set::Setup(set) => set(&mut shape.setup),
                Set::Time(set) => set(&mut shape.setup, *time),
                Set::Sockets(set) => set(shape),
            }
        }
    }

    /// The setup of the rings of the mechanism `io-uring-poll`.
    ///
    /// # Errors
    /// [`RingOptionsError::OnlyModel`]
    pub fn of_polls(&self) -> Result<RingSetup, RingOptionsError> {
        let mut setup = Setup::default();
        for (option, time) in &self.0 {
            match option.set {
                Set::Setup(set) => set(&mut setup),
                Set::Time(set) => set(&mut setup, *time),
                Set::Sockets(_) => return Err(RingOptionsError::OnlyModel { name: option.name }),
            }
        }
        let mut polls = RingSetup::default();
        polls.task_work = match setup.task_work {
            TaskWork::Interrupt => c10k_event::TaskWork::Interrupt,
            TaskWork::Cooperative => c10k_event::TaskWork::Cooperative,
            TaskWork::Deferred => c10k_event::TaskWork::Deferred,
        };
        polls.descriptor = match setup.descriptor {
            RingDescriptor::Open => c10k_event::RingDescriptor::Open,
            RingDescriptor::Registered => c10k_event::RingDescriptor::Registered,
        };
        let MinWait { time, completions } = setup.min_wait;
        polls.min_wait = (!time.is_zero()).then(|| c10k_event::MinWait {
            duration_us: u32::try_from(time.as_micros()).unwrap_or(u32::MAX),
            completions,
        });
        Ok(polls)
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

    /// Whether the mechanism `io-uring-poll` has it too.
    #[must_use]
    pub fn is_of_polls(&self) -> bool {
        matches!(self.set, Set::Setup(_) | Set::Time(_))
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
            setup: Setup {
                task_work: TaskWork::Cooperative,
                descriptor: RingDescriptor::Registered,
                min_wait: MinWait {
                    time: Duration::from_micros(50),
                    completions: MIN_WAIT_COMPLETIONS,
                },
                ..before.setup
            },
            ..before
        };
        assert_eq!(shape, after);
        RingOptions::default().apply(&mut shape);
        assert_eq!(shape, after, "no option changes nothing");
    }

    #[test]
    fn a_mechanism_has_the_options_that_do_not_concern_sockets() {
        let options: RingOptions = "default-taskrun,registered-ring,min-wait=50us"
            .parse()
            .expect("three options");
        let setup = options.of_polls().expect("none concerns sockets");
        assert_eq!(setup.task_work, c10k_event::TaskWork::Interrupt);
        assert_eq!(setup.descriptor, c10k_event::RingDescriptor::Registered);
        let min_wait = setup.min_wait.expect("a minimum wait");
        assert_eq!((min_wait.duration_us, min_wait.completions), (50, MIN_WAIT_COMPLETIONS));
        assert_eq!(RingOptions::default().of_polls(), Ok(RingSetup::default()));
        for option in RING_OPTIONS {
            let alone = RingOptions::probe(option).of_polls();
            assert_eq!(alone.is_ok(), option.is_of_polls(), "{}", option.name);
        }
        let direct: RingOptions = "coop-taskrun,direct".parse().expect("two options");
        assert_eq!(
            direct.of_polls().expect_err("it concerns sockets").to_string(),
            "direct: the mechanism io-uring-poll only polls: leave it out, or use the model io-uring"
        );
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
