//! Opening a ring as [`RingSetup`] says, and why the kernel refuses it.

use std::time::Duration;

use c10k_sys::poll_ring::PollRing;
use c10k_sys::{ring, ring_setup};
use rustix::io::Errno;

use crate::{MinWait, RingDescriptor, RingSetup, TaskWork, Unavailable};

/// Opens a ring. If the kernel refuses it, names the part of the setup that is the reason.
pub(super) fn open(setup: RingSetup, submissions: u32, completions: u32) -> Result<PollRing, Unavailable> {
    let open = |setup| PollRing::open(of_kernel(setup), submissions, completions);
    open(setup).map_err(|errno| {
        let part = parts(setup).find(|(part, _)| open(*part).is_err());
        Unavailable::Refused {
            call: "io_uring_setup",
            errno,
            remedy: match part {
                Some((_, needs)) if errno == Errno::INVAL => {
                    format!("{needs} or later: choose another setup of the ring")
                }
                Some(_) if errno == Errno::BUSY => {
                    "the thread has registered 16 rings: open this one without, or in another thread".to_owned()
                }
                _ => ring_setup::remedy(errno).to_owned(),
            },
        }
    })
}

/// Refuses a minimum wait that is none: the kernel would not wait at all, or for its completions without an end. Says what to give.
pub(super) fn check(setup: RingSetup) -> Result<(), &'static str> {
    let is_one = |min_wait: MinWait| min_wait.duration_us > 0 && min_wait.completions > 0;
    match setup.min_wait.is_none_or(is_one) {
        true => Ok(()),
        false => Err("give 1 or more microseconds and completions, or None"),
    }
}

/// Each part of a setup alone, and what it needs.
fn parts(setup: RingSetup) -> impl Iterator<Item = (RingSetup, &'static str)> {
    // What every kernel with io_uring can do.
    let bare = RingSetup {
        task_work: TaskWork::Interrupt,
        ..RingSetup::default()
    };
    let task_work = match setup.task_work {
        TaskWork::Interrupt => None,
        TaskWork::Cooperative => Some("cooperative task work needs Linux 5.19"),
        TaskWork::Deferred => Some("deferred task work needs Linux 6.1"),
    };
    let task_work = task_work.map(|needs| {
        let task_work = setup.task_work;
        (RingSetup { task_work, ..bare }, needs)
    });
    let descriptor = (setup.descriptor == RingDescriptor::Registered).then_some(RingSetup {
        descriptor: setup.descriptor,
        ..bare
    });
    let min_wait = setup.min_wait.map(|min_wait| RingSetup {
        min_wait: Some(min_wait),
        ..bare
    });
    task_work
        .into_iter()
        .chain(descriptor.map(|part| (part, "a registered ring needs Linux 5.18")))
        .chain(min_wait.map(|part| (part, "a minimum wait needs Linux 6.12")))
}

/// The setup as the kernel's side takes it.
fn of_kernel(setup: RingSetup) -> ring::Setup {
    ring::Setup {
        submission: ring::Submission::Enter,
        task_work: match setup.task_work {
            TaskWork::Interrupt => ring::TaskWork::Interrupt,
            TaskWork::Cooperative => ring::TaskWork::Cooperative,
            TaskWork::Deferred => ring::TaskWork::Deferred,
        },
        descriptor: match setup.descriptor {
            RingDescriptor::Open => ring::RingDescriptor::Open,
            RingDescriptor::Registered => ring::RingDescriptor::Registered,
        },
        min_wait: setup.min_wait.map_or_else(
            ring::MinWait::default,
            |MinWait {
                 duration_us,
                 completions,
             }| {
                ring::MinWait {
                    time: Duration::from_micros(duration_us.into()),
                    completions,
                }
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_setup_is_looked_at_alone() {
        let setup = RingSetup {
            task_work: TaskWork::Cooperative,
            descriptor: RingDescriptor::Registered,
            min_wait: Some(MinWait {
                duration_us: 5,
                completions: 2,
            }),
        };
        let parts: Vec<(RingSetup, &str)> = parts(setup).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(
            (parts[0].0.task_work, parts[0].0.min_wait),
            (TaskWork::Cooperative, None)
        );
        assert_eq!(parts[1].0.descriptor, RingDescriptor::Registered);
        assert_eq!(
            (parts[2].0.task_work, parts[2].0.min_wait),
            (TaskWork::Interrupt, setup.min_wait)
        );
    }
}
