//! `fork`: a process for every connection, which makes samples for itself, as a forking daemon does.

use std::io;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use c10k_sys::process::fork;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};

use super::descriptor::{Descriptor, Dispatch, Workers};
use crate::blocking::{self, Incoming};
use crate::counts::Count;
use crate::listener::Listener;
use crate::service::{PAUSE, Service};
use crate::{MonitorError, Stop};

/// Children at once by default.
const CHILDREN: usize = 4000;

/// How often children that are about to end are looked at.
const REAP: Duration = Duration::from_millis(20);

pub(super) const ROW: Descriptor = Descriptor {
    name: "fork",
    summary: "a process for every connection, which samples for itself; 4,000 unless --max-subscribers says otherwise, more wait in the backlog",
    dispatch: Dispatch::Own,
    workers: Workers::PerConnection,
    run,
};

fn run(listener: Listener, service: &Service, stop: &Stop) -> Result<(), MonitorError> {
    let most = service.config.max_subscribers.map_or(CHILDREN, NonZeroUsize::get);
    let mut children: Vec<Pid> = Vec::new();
    loop {
        reap(&mut children, service);
        if children.len() >= most {
            service.report_shortage(None);
            if blocking::wait_for_stop(stop, PAUSE)? {
                break;
            }
            continue;
        }
        // The end of a child is no event here.
        let patience = (!children.is_empty()).then_some(PAUSE);
        match blocking::next_connection(&listener, service, stop, patience)? {
            Incoming::Connection(socket) => {
                // The connection is moved into the call, so the parent's copy is closed when it returns.
                let child = start(|| {
                    // The limit is on children. A child that is killed would stay in the count of subscribers.
                    let mut worker = service.worker(usize::MAX, Instant::now())?;
                    blocking::serve(socket, &mut worker, stop)
                });
                match child {
                    Ok(child) => children.push(child),
                    Err(error) => {
                        service.report_shortage(Errno::from_io_error(&error));
                        if blocking::wait_for_stop(stop, PAUSE)? {
                            break;
                        }
                    }
                }
            }
            Incoming::Nobody => {}
            Incoming::Stopped => break,
        }
    }
    drop(listener);
    end_all(&mut children, service);
    Ok(())
}

/// Starts a process that does `work`. It ends when its parent does.
fn start(work: impl FnOnce() -> Result<(), MonitorError>) -> io::Result<Pid> {
    let parent = getpid();
    fork(move || {
        // This fails only for numbers that are not signals.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // If the parent has already ended, no signal will come.
        if getppid() != Some(parent) {
            return 0;
        }
        u8::from(work().is_err())
    })
}

/// Removes the children that have ended from the list, and counts those that have not ended well.
fn reap(children: &mut Vec<Pid>, service: &Service) {
    children.retain(|child| match waitpid(Some(*child), WaitOptions::NOHANG) {
        Ok(None) => true,
        Ok(Some((_, status))) => {
            if status.exit_status() != Some(0) {
                service.counts.add(Count::LostChildren, 1);
            }
            false
        }
        Err(Errno::CHILD) => false,
        // The child is still there to be reaped.
        Err(_) => true,
    });
}

/// Waits until all children have ended; they see the stop too. Kills those that have not ended when the drain should be over.
fn end_all(children: &mut Vec<Pid>, service: &Service) {
    let end = Instant::now() + service.config.deadlines.drain + PAUSE;
    loop {
        reap(children, service);
        if children.is_empty() {
            return;
        }
        if Instant::now() >= end {
            for child in children.iter() {
                // This fails only for a child that has just ended.
                let _ = kill_process(*child, Signal::KILL);
            }
        }
        std::thread::sleep(REAP);
    }
}
