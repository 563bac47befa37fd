//! What the loop does with work that may block.

use c10k_http::{Step, WorkFailure};

use super::RingLoop;
use crate::completion::connection::{Flight, Next};
use crate::completion::work::{Completed, Outcome, Progress, RingWork, Site};

impl RingLoop {
    /// Starts the work that a connection's machine asks for. Returns the next step if it is over at once.
    pub(super) fn start_work(&mut self, number: u32) -> Option<Step> {
        let connection = self.connections.at_mut(number)?;
        connection.next = Next::Input;
        let failure = match connection.core.machine.blocking_work() {
            Some(work) => {
                let site = Site {
                    ring: &mut self.ring,
                    disk: self.worker.server.config.disk.as_ref(),
                    number,
                };
                match RingWork::start(work, site) {
                    Ok(work) => {
                        (connection.work, connection.flight) = (Some(work), Flight::Working);
                        return None;
                    }
                    Err(failure) => failure,
                }
            }
            None => WorkFailure::Failed,
        };
        Some(connection.core.answer_work(Err(failure), &mut self.worker.core))
    }

    /// A request of a connection's work has completed.
    pub(super) fn work_on(&mut self, number: u32, completed: Completed) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        let Some(work) = &mut connection.work else { return };
        let site = Site {
            ring: &mut self.ring,
            disk: self.worker.server.config.disk.as_ref(),
            number,
        };
        if let Progress::Over(outcome) = work.advance(completed, site) {
            self.work_is_over(number, &outcome);
        }
    }

    fn work_is_over(&mut self, number: u32, outcome: &Outcome) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        (connection.work, connection.flight) = (None, Flight::None);
        if connection.is_closing() {
            return self.release(number);
        }
        let outcome = outcome.as_deref().map_err(|failure| *failure);
        let step = connection.core.answer_work(outcome, &mut self.worker.core);
        self.proceed(number, step);
        self.maintain(number);
    }
}
