//! Reads the cells of a load curve by the names of servers and loads.

use c10k_record::CostCell;

/// The cells of a table.
#[derive(Clone, Copy)]
pub(super) struct Cells<'t>(pub(super) &'t [CostCell]);

impl<'t> Cells<'t> {
    pub(super) fn all(&self, subject: &str) -> impl Iterator<Item = &CostCell> {
        self.0.iter().filter(move |cell| cell.subject == subject)
    }

    pub(super) fn one(&self, subject: &str, load: &str) -> Option<&CostCell> {
        self.all(subject).find(|cell| cell.load == load)
    }

    /// Share of the processor that the server used.
    pub(super) fn cpu(&self, subject: &str, load: &str) -> Option<f64> {
        self.one(subject, load)?.cpu_share()
    }

    /// Mean response time, nanoseconds.
    pub(super) fn response(&self, subject: &str, load: &str) -> Option<f64> {
        Some(self.one(subject, load)?.curve?.response_ns_mean)
    }

    pub(super) fn median(&self, subject: &str, load: &str) -> Option<f64> {
        Some(self.one(subject, load)?.curve?.response_ns_p50 as f64)
    }

    /// The most replies per second.
    pub(super) fn peak(&self, subject: &str) -> Option<f64> {
        let rates = self.all(subject).filter_map(|cell| Some(cell.curve?.replies_per_s));
        rates.reduce(f64::max)
    }

    /// The smallest share of the request rate that was answered.
    pub(super) fn least_share(&self, subject: &str) -> Option<f64> {
        let share = |cell: &CostCell| Some(cell.curve?.replies_per_s / cell.level("rate")?);
        self.all(subject).filter_map(share).reduce(f64::min)
    }

    /// The highest rate of which 99% are answered within the measured time, in the cells that have this level.
    pub(super) fn carries(&self, subject: &str, with: &str) -> Option<f64> {
        let cells = self
            .all(subject)
            .filter(|cell| cell.load.split(' ').any(|level| level == with));
        let kept = cells.filter_map(|cell| {
            let rate = cell.level("rate")?;
            (cell.curve?.replies_per_s >= 0.99 * rate).then_some(rate)
        });
        kept.reduce(f64::max)
    }

    /// What is counted in the cells at these rates, however many connections idle.
    pub(super) fn sum(self, subject: &str, count: fn(&CostCell) -> u64, has: fn(f64) -> bool) -> Option<f64> {
        let cells = self.all(subject).filter(|cell| cell.level("rate").is_some_and(has));
        cells.map(|cell| count(cell) as f64).reduce(|sum, more| sum + more)
    }

    pub(super) fn peaks(self, one: &str, other: &str) -> Option<f64> {
        Some(self.peak(one)? / self.peak(other)?)
    }

    /// Replies at the highest rate, relative to the most.
    pub(super) fn keeps(self, subject: &str) -> Option<f64> {
        let last = self.all(subject).last()?.curve?;
        Some(last.replies_per_s / self.peak(subject)?)
    }

    pub(super) fn ratio(self, measure: Read<'t>, one: (&str, &str), other: (&str, &str)) -> Option<f64> {
        Some(measure(&self, one.0, one.1)? / measure(&self, other.0, other.1)?)
    }

    /// From 250 connections to 6,000.
    pub(super) fn grows(self, subject: &str, measure: Read<'t>) -> Option<f64> {
        let load = |connections| format!("connections={connections} rate=2000");
        self.ratio(measure, (subject, &load("6000")), (subject, &load("250")))
    }
}

/// Reads one cell: a subject and a load.
pub(super) type Read<'t> = fn(&Cells<'t>, &str, &str) -> Option<f64>;
