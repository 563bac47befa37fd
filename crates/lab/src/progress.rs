//! What a study says while it runs, on standard error: a live line on a terminal, a line per block elsewhere.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use c10k_record::{CellRecord, CellStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::format::{rough_duration, say};
use crate::plan::{Cell, Plan};

/// The voice of a running study.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    blocks: u32,
    /// The cells that are planned; absent where the time alone decides how many there are.
    total: Option<usize>,
    /// How long the study takes.
    expected: Duration,
    /// Cells that were there before this run; the estimate must not count them as fast.
    before: usize,
    done: usize,
    /// The lines about blocks so far, where the time decides.
    lines: u128,
    /// What was said of cells that did not run: variant and reason. It is the same in every block.
    said: BTreeSet<(String, String)>,
}

impl Progress {
    /// A live line where standard error is a terminal.
    pub(crate) fn new() -> Self {
        Self {
            bar: std::io::stderr().is_terminal().then(ProgressBar::hidden),
            begun: Instant::now(),
            blocks: 0,
            total: None,
            expected: Duration::ZERO,
            before: 0,
            done: 0,
            lines: 0,
            said: BTreeSet::new(),
        }
    }

    /// One sentence.
    pub(crate) fn say(&self, sentence: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(sentence),
            _ => say(sentence),
        }
    }

    /// A study begins that is expected to take so many seconds.
    pub(crate) fn start(&mut self, plan: &Plan, folder: &Path, before: usize, expected_s: f64) {
        self.blocks = plan.blocks;
        self.total = (plan.looks == 1).then(|| plan.cells.len() * plan.blocks as usize);
        self.expected = Duration::from_secs_f64(expected_s);
        self.before = before;
        self.done = before;
        self.say(&format!(
            "{}: {} cells in {}, about {}, into {}{}",
            plan.experiment.name,
            plan.cells.len(),
            match self.total {
                Some(_) => format!("{} blocks", plan.blocks),
                None => format!("blocks, of which {} looks leave out what is settled", plan.looks - 1),
            },
            rough_duration(self.expected),
            folder.display(),
            if before > 0 {
                format!("; {before} of the runs are done already")
            } else {
                String::new()
            },
        ));
        self.begun = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_length(self.total.unwrap_or_default() as u64);
            bar.set_position(before as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    pub(crate) fn cell(&self, cell: &Cell, block: u32) {
        if let Some(bar) = &self.bar {
            let of = self.total.map_or_else(String::new, |_| format!("/{}", self.blocks));
            bar.set_message(format!("block {}{of}, {}, {}", block + 1, cell.id, self.left()));
        }
    }

    /// A cell has been run. Says why where it does not count; of those that did not run, once for each variant and reason.
    pub(crate) fn ran(&mut self, record: &CellRecord) {
        let (word, reason) = (record.status.word(), record.reasons.join("; "));
        let is_new = match record.status {
            CellStatus::Measured => false,
            CellStatus::Invalid => true,
            CellStatus::Skipped | CellStatus::Failed => self.said.insert((record.variant.clone(), reason.clone())),
        };
        if is_new {
            self.say(&format!("  {word}: {}: {reason}", record.cell));
        }
    }

    /// So many cells need no further run.
    pub(crate) fn set_done(&mut self, done: usize) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_length(self.planned() as u64);
            bar.set_position(self.done as u64);
        }
    }

    pub(crate) fn block_done(&mut self, block: u32) {
        /// Without a live line, a study says about so many times how far it is.
        const LINES: u32 = 20;
        if self.bar.is_some() {
            return;
        }
        let done = block + 1;
        if self.total.is_none() {
            // One line for each part of the time.
            let lines = u128::from(LINES) * self.begun.elapsed().as_millis() / self.expected.as_millis().max(1);
            if lines > self.lines {
                self.lines = lines;
                self.say(&format!("block {done} done, {} cells, {}", self.done, self.left()));
            }
        } else if done.is_multiple_of(self.blocks.div_ceil(LINES)) || done == self.blocks {
            self.say(&format!(
                "block {done} of {} done, {} of {} cells, {}",
                self.blocks,
                self.done,
                self.planned(),
                self.left()
            ));
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn left(&self) -> String {
        let here = self.done.saturating_sub(self.before);
        if here == 0 {
            return "estimating".to_owned();
        }
        let each = self.begun.elapsed().div_f64(here as f64);
        let left = match self.total {
            Some(total) => each.mul_f64(total.saturating_sub(self.done) as f64),
            None => self.expected.saturating_sub(each.mul_f64(self.done as f64)),
        };
        format!("{} left", rough_duration(left))
    }

    /// The cells that will have been run at the end, if the others take as long as those so far.
    fn planned(&self) -> usize {
        let here = self.done.saturating_sub(self.before);
        self.total.unwrap_or_else(|| {
            let share = self.expected.as_secs_f64() / self.begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
            self.before + (here as f64 * share.max(1.0)) as usize
        })
    }
}
