//! Reports phases and progress to the caller of a run.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;

use c10k_record::LoadPhase;

use crate::clock::Moment;
use crate::plan::LoadPlan;
use crate::progress::{Progress, REPORT_INTERVAL, RunEvent, ThreadProgress};
use crate::schedule::timetable::Timetable;
use crate::stop::Stop;

/// Calls the observer of a run, in the thread that started the run.
pub(super) struct Observer<F> {
    stop: Stop,
    threads: Vec<ThreadProgress>,
    /// The timetable, after the threads were started.
    timetable: Option<Timetable>,
    observe: F,
}

impl<F: FnMut(RunEvent)> Observer<F> {
    pub(super) fn new(stop: Stop, threads: Vec<ThreadProgress>, observe: F) -> Self {
        Self {
            stop,
            threads,
            timetable: None,
            observe,
        }
    }

    /// Reports that the run enters a phase.
    pub(super) fn enter(&mut self, phase: LoadPhase) {
        (self.observe)(RunEvent::Phase(phase, Moment::now()));
    }

    /// Waits for the next message of a thread and reports progress meanwhile.
    pub(super) fn receive<T>(&mut self, messages: &Receiver<T>) -> T {
        loop {
            match messages.recv_timeout(REPORT_INTERVAL) {
                Ok(message) => return message,
                Err(RecvTimeoutError::Timeout) => self.report_progress(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("a thread keeps its sender until it has reported"),
            }
        }
    }

    /// Reports the phases of the timetable as they begin, until the measured time has ended.
    pub(super) fn report_phases(&mut self, plan: &LoadPlan, timetable: Timetable) {
        if !plan.warm_up.is_zero() {
            self.sleep_until(timetable, |timetable| timetable.start);
            self.enter(LoadPhase::WarmUp);
        }
        self.sleep_until(timetable, |timetable| timetable.measure);
        self.enter(LoadPhase::Measuring);
        self.sleep_until(timetable, |timetable| timetable.end);
        self.enter(LoadPhase::Measured);
    }

    /// Sleeps until an instant of the timetable, or until the earlier instant that an early stop moves it to.
    fn sleep_until(&mut self, timetable: Timetable, at: fn(Timetable) -> Moment) {
        loop {
            let cut = self.stop.requested().map_or(timetable, |at| timetable.cut(at));
            self.timetable = Some(cut);
            let rest = at(cut).from_now(Moment::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(REPORT_INTERVAL));
            self.report_progress();
        }
    }

    fn report_progress(&mut self) {
        let now = Moment::now();
        let mut progress = Progress::default();
        if let Some(timetable) = self.timetable {
            progress.done = now.from_now(timetable.start);
            progress.left = timetable.end.from_now(now);
        }
        self.threads.iter().for_each(|thread| thread.add_to(&mut progress));
        (self.observe)(RunEvent::Progress(progress));
    }
}
