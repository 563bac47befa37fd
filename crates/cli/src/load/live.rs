//! The progress of a run as one line on the terminal. If standard error is not a terminal, nothing is shown.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use c10k_load::{LoadPlan, Progress, RunEvent};
use c10k_record::LoadPhase;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line, which is removed when this is dropped.
pub(super) struct Live {
    bar: Option<ProgressBar>,
    phase: LoadPhase,
    /// The number of connections that are opened before the run.
    connections: u64,
}

impl Live {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            match ProgressStyle::with_template("{bar:24} {msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            bar,
            phase: LoadPhase::Connecting,
            connections: plan.connections(),
        }
    }

    pub(super) fn show(&mut self, event: RunEvent) {
        let Some(bar) = &self.bar else { return };
        match event {
            RunEvent::Phase(phase, _) => self.phase = phase,
            RunEvent::Progress(progress) => {
                let (position, length) = match self.phase {
                    LoadPhase::Connecting => (progress.connections, self.connections),
                    _ => (milliseconds(progress.done), milliseconds(progress.done + progress.left)),
                };
                bar.set_length(length.max(1));
                bar.set_position(position);
                bar.set_message(words(self.phase, progress, self.connections));
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn words(phase: LoadPhase, progress: Progress, wanted: u64) -> String {
    let Progress {
        left,
        connections,
        intended,
        completed,
        lost,
        ..
    } = progress;
    // Rounded up, so that 0 s means that the time is over.
    let seconds = left.as_millis().div_ceil(1000);
    match phase {
        LoadPhase::Connecting => format!("{connections} of {wanted} connections"),
        LoadPhase::Waiting => "waiting for the next window".to_owned(),
        LoadPhase::WarmUp => format!("warm-up, {seconds} s left, {connections} connections"),
        LoadPhase::Measuring => {
            format!("{seconds} s left, {intended} due, {completed} answered, {lost} lost, {connections} connections")
        }
        LoadPhase::Measured | LoadPhase::Closing => {
            format!(
                "waiting for {} of {intended} replies",
                intended.saturating_sub(completed + lost)
            )
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_text() {
        let progress = Progress {
            done: Duration::from_secs(3),
            left: Duration::from_millis(6001),
            connections: 50,
            intended: 3000,
            completed: 2990,
            lost: 4,
        };
        let said = |phase| words(phase, progress, 60);
        assert_eq!(said(LoadPhase::Connecting), "50 of 60 connections");
        assert!(said(LoadPhase::WarmUp).starts_with("warm-up, 7 s left"));
        assert!(said(LoadPhase::Measuring).contains("7 s left, 3000 due, 2990 answered, 4 lost"));
        assert_eq!(said(LoadPhase::Measured), "waiting for 6 of 3000 replies");
    }
}
