//! The viewer's output as lines: one for each sample, and one for each change of a connection.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use super::Until;
use super::client::{Change, Watcher};
use super::table;
use crate::{MonitorError, Stop};

/// Prints lines until the stop is requested, enough samples have come, or nobody reads them any more.
///
/// # Errors
/// [`MonitorError::Output`] if they cannot be written, [`MonitorError::Wait`] if epoll fails.
pub fn plain(watcher: &mut Watcher, until: Until, stop: &Stop, out: &mut dyn Write) -> Result<(), MonitorError> {
    match print_all(watcher, until, stop, out) {
        Err(MonitorError::Output { cause }) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn print_all(watcher: &mut Watcher, until: Until, stop: &Stop, out: &mut dyn Write) -> Result<(), MonitorError> {
    print(out, &table::heading_line())?;
    let mut samples = 0;
    while !stop.is_requested() && !until.is_over(samples) {
        for change in watcher.turn(Duration::MAX)? {
            // Several samples may have come at once.
            if until.is_over(samples) {
                break;
            }
            let host = match change {
                Change::Sample(host) => {
                    samples += 1;
                    host
                }
                Change::Link(host) => host,
            };
            print(out, &table::host_line(&watcher.hosts()[host], Instant::now()))?;
        }
    }
    Ok(())
}

fn print(out: &mut dyn Write, line: &str) -> Result<(), MonitorError> {
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|cause| MonitorError::Output { cause })
}
