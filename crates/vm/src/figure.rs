//! The figures that studies in the guest draw: what is drawn over what, the points that the paper's text states, and which two
//! subjects are compared.

use c10k_chart::Scale;
use c10k_record::CostCell;

/// A figure.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name, such as `figure-6a`.
    pub name: &'static str,
    /// What is across: the key of a level, such as `rate`.
    pub(crate) along: &'static str,
    pub(crate) measure: &'static Measure,
    /// A level that its cells have, such as `rate=1000`; empty for all cells.
    pub(crate) level: &'static str,
    pub(crate) paper: Option<Published>,
    /// Two subjects, if the question is from where on the first costs less than the second.
    pub(crate) break_even: Option<(&'static str, &'static str)>,
}

/// What is drawn of a cell.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) title: &'static str,
    pub(crate) y: &'static str,
    pub(crate) scale: Scale,
    /// How its values change with the speed of the processor.
    pub(crate) kind: Kind,
    /// `None` for a cell that has no such value.
    pub(crate) read: fn(&CostCell) -> Option<f64>,
}

/// What a value is, for a processor of another speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Grows with the speed.
    Rate,
    /// Shrinks as the speed grows.
    Time,
    /// Stays as it is.
    Share,
}

/// A processor that the axes of load curves stand for. Nothing is measured anew: the guest's rates and times are multiplied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    mips: f64,
}

/// A guest executes an instruction in each nanosecond.
const MIPS_OF_GUEST: f64 = 1_000.0;

impl Default for Scaling {
    /// The guest's own processor.
    fn default() -> Self {
        Self { mips: MIPS_OF_GUEST }
    }
}

impl Scaling {
    /// A processor that executes so many million instructions a second.
    #[must_use]
    pub fn to_mips(mips: u32) -> Self {
        Self { mips: f64::from(mips) }
    }

    pub(crate) fn scale(self, kind: Kind, value: f64) -> f64 {
        match kind {
            Kind::Rate => value * self.mips / MIPS_OF_GUEST,
            Kind::Time => value * MIPS_OF_GUEST / self.mips,
            Kind::Share => value,
        }
    }

    /// For the title of a figure; empty for the guest's own processor.
    pub(crate) fn words(self) -> String {
        match self == Self::default() {
            true => String::new(),
            false => format!(", scaled to {} million instructions a second", self.mips),
        }
    }
}

/// Points that the paper states of its server on signals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    /// The paper's requests per second, times this, are those in the guest.
    scale: f64,
    /// In the paper's units: what is across, and what is upwards.
    points: &'static [(f64, f64)],
    /// Whether rates are across, or upwards, or both: these are scaled.
    rates: Rates,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rates {
    Across,
    Upwards,
    Both,
    Neither,
}

pub(crate) static THROUGHPUT: Measure = Measure {
    title: "Reply rate",
    y: "replies per second",
    scale: Scale::Linear,
    kind: Kind::Rate,
    read: |cell| Some(cell.curve.as_ref()?.replies_per_s),
};

pub(crate) static CPU: Measure = Measure {
    title: "CPU usage",
    y: "CPU used by the server, %",
    scale: Scale::Linear,
    kind: Kind::Share,
    read: |cell| Some(100.0 * cell.cpu_share()?),
};

pub(crate) static RESPONSE: Measure = Measure {
    title: "Response time",
    y: "response time, mean, ms",
    scale: Scale::Log,
    kind: Kind::Time,
    read: |cell| Some(cell.curve.as_ref()?.response_ns_mean / 1e6),
};

pub(crate) static INSTRUCTIONS: Measure = Measure {
    title: "Instructions for each of several requests that arrive together",
    y: "instructions per request",
    scale: Scale::Linear,
    kind: Kind::Share,
    read: |cell| Some(cell.instructions as f64 / cell.work as f64),
};

/// The rates of figures 3 to 5, here, are twice the paper's.
const LIGHT: f64 = 2.0;

/// At five times the paper's rates, signals saturate here.
const HEAVY: f64 = 5.0;

impl Figure {
    pub(crate) const fn over(
        along: &'static str,
        name: &'static str,
        measure: &'static Measure,
        level: &'static str,
    ) -> Self {
        Self {
            name,
            along,
            measure,
            level,
            paper: None,
            break_even: None,
        }
    }

    /// Section 3.1: the reply rate of signals matches the request rate from 250 to 3,000 connections.
    pub(crate) const fn with_reply_rate(self, points: &'static [(f64, f64)]) -> Self {
        self.with(LIGHT, points, Rates::Upwards)
    }

    /// Section 3.1: CPU or response time of signals from 250 to 3,000 connections.
    pub(crate) const fn with_flat(self, points: &'static [(f64, f64)]) -> Self {
        self.with(LIGHT, points, Rates::Neither)
    }

    /// Table 1 and section 4.2: signals do not overflow up to 3,000 requests a second, and saturate at about 3,200.
    pub(crate) const fn with_saturation(self) -> Self {
        self.with(
            HEAVY,
            &[(2800.0, 2800.0), (3000.0, 3000.0), (3200.0, 3200.0)],
            Rates::Both,
        )
    }

    /// Section 4.2: signals saturate at about 3,200 requests a second.
    pub(crate) const fn with_full_cpu(self) -> Self {
        self.with(HEAVY, &[(3200.0, 100.0)], Rates::Across)
    }

    /// From where on does `first` cost less than `second`?
    pub(crate) const fn with_break_even(mut self, first: &'static str, second: &'static str) -> Self {
        self.break_even = Some((first, second));
        self
    }

    const fn with(mut self, scale: f64, points: &'static [(f64, f64)], rates: Rates) -> Self {
        self.paper = Some(Published { scale, points, rates });
        self
    }
}

impl Published {
    /// The paper's requests per second, times this, are those of a figure.
    pub(crate) fn factor(&self, scaling: Scaling) -> f64 {
        scaling.scale(Kind::Rate, self.scale)
    }

    /// The points, with rates as in the figure.
    pub(crate) fn points(&self, scaling: Scaling) -> impl Iterator<Item = (f64, f64)> {
        let across = matches!(self.rates, Rates::Across | Rates::Both);
        let upwards = matches!(self.rates, Rates::Upwards | Rates::Both);
        let scale = self.factor(scaling);
        let factor = move |is_rate| if is_rate { scale } else { 1.0 };
        let points = self.points.iter();
        points.map(move |(x, y)| (x * factor(across), y * factor(upwards)))
    }
}
