//! Several guests at the same time, whose records arrive in order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use c10k_record::GuestRecord;

use crate::error::VmError;
use crate::qemu::Report;

/// What a boot says.
enum Message {
    Record(GuestRecord),
    /// How it ended; `None` if it was not needed.
    End(Result<Option<Report>, VmError>),
}

/// One boot, as the program that runs it sees it.
pub(crate) trait Boots: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Runs a boot and passes its records to `watch`; `None` if it is not needed.
    fn run(&self, boot: usize, watch: &mut dyn FnMut(GuestRecord)) -> Result<Option<Report>, VmError>;
}

/// Runs all boots, at most `jobs` at the same time. `record` gets the records of each boot as they arrive, after all those of the
/// boots before it, and `end` gets how the boot ended.
///
/// # Errors
/// The first error of a boot, in their order, or of `end`. Then no other boot is started.
pub(crate) fn run(
    boots: &impl Boots,
    jobs: NonZeroUsize,
    record: &mut dyn FnMut(usize, GuestRecord),
    end: &mut dyn FnMut(usize, Report) -> Result<(), VmError>,
) -> Result<(), VmError> {
    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let (next, is_over) = (&next, &is_over);
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(boots.count()) {
            let sender = sender.clone();
            scope.spawn(move || work(boots, next, is_over, &sender));
        }
        drop(sender);
        let mut current = 0;
        // Those of later boots wait here.
        let mut early: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
        for (boot, message) in receiver {
            early.entry(boot).or_default().push(message);
            while let Some(messages) = early.get_mut(&current) {
                let mut has_ended = false;
                for message in messages.drain(..) {
                    match message {
                        Message::Record(line) => record(current, line),
                        Message::End(outcome) => {
                            has_ended = true;
                            let ended = outcome.and_then(|report| report.map_or(Ok(()), |report| end(current, report)));
                            if ended.is_err() {
                                is_over.store(true, Ordering::Relaxed);
                                return ended;
                            }
                        }
                    }
                }
                if !has_ended {
                    break;
                }
                early.remove(&current);
                current += 1;
            }
        }
        Ok(())
    })
}

/// Runs one boot after the other, until there is none left.
fn work(boots: &impl Boots, next: &AtomicUsize, is_over: &AtomicBool, messages: &Sender<(usize, Message)>) {
    loop {
        let boot = next.fetch_add(1, Ordering::Relaxed);
        if boot >= boots.count() || is_over.load(Ordering::Relaxed) {
            return;
        }
        // Nobody reads any longer after an error of another boot.
        let send = |message| drop(messages.send((boot, message)));
        let outcome = boots.run(boot, &mut |record| send(Message::Record(record)));
        if outcome.is_err() {
            is_over.store(true, Ordering::Relaxed);
        }
        send(Message::End(outcome));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// Boots of which each prints two lines; the first is slow. Boot `unneeded` is not needed, boot `bad` fails.
    struct Fake {
        count: usize,
        unneeded: usize,
        bad: usize,
        started: Mutex<Vec<usize>>,
    }

    impl Boots for Fake {
        fn count(&self) -> usize {
            self.count
        }

        fn run(&self, boot: usize, watch: &mut dyn FnMut(GuestRecord)) -> Result<Option<Report>, VmError> {
            self.started.lock().expect("no thread panics").push(boot);
            if boot == self.unneeded {
                return Ok(None);
            }
            for line in ["one", "two"] {
                watch(GuestRecord::Output {
                    step: 0,
                    line: format!("{boot} {line}"),
                });
                if boot == 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            match boot == self.bad {
                true => Err(VmError::NothingMatches {
                    filter: "bad".to_owned(),
                }),
                false => Ok(Some(Report {
                    statuses: vec![Some(0)],
                    took: Duration::ZERO,
                })),
            }
        }
    }

    fn run_fake(fake: &Fake, jobs: usize) -> (Vec<String>, Result<(), VmError>) {
        let mut lines = Vec::new();
        let mut ended = Vec::new();
        let outcome = run(
            fake,
            NonZeroUsize::new(jobs).expect("not zero"),
            &mut |_, record| {
                if let GuestRecord::Output { line, .. } = record {
                    lines.push(line);
                }
            },
            &mut |boot, _| {
                ended.push(boot);
                Ok(())
            },
        );
        lines.extend(ended.iter().map(|boot| format!("{boot} ended")));
        (lines, outcome)
    }

    #[test]
    fn records_arrive_in_the_order_of_the_boots() {
        for jobs in [1, 3, 9] {
            let fake = Fake {
                count: 4,
                unneeded: 2,
                bad: 9,
                started: Mutex::default(),
            };
            let (lines, outcome) = run_fake(&fake, jobs);
            assert!(outcome.is_ok());
            let wanted = [
                "0 one", "0 two", "1 one", "1 two", "3 one", "3 two", "0 ended", "1 ended", "3 ended",
            ];
            assert_eq!(lines, wanted, "{jobs} jobs");
        }
    }

    #[test]
    fn after_a_failure_no_boot_is_started() {
        let fake = Fake {
            count: 100,
            unneeded: 100,
            bad: 1,
            started: Mutex::default(),
        };
        let (lines, outcome) = run_fake(&fake, 1);
        assert!(matches!(outcome, Err(VmError::NothingMatches { .. })));
        assert_eq!(lines, ["0 one", "0 two", "1 one", "1 two", "0 ended"]);
        assert_eq!(*fake.started.lock().expect("no thread panics"), [0, 1]);
    }
}
