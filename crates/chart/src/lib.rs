//! Line charts as SVG: points with error bars over numbers or names, and a line for each series.
//!
//! A chart is drawn in two sizes, wide for desktops and paper and narrow for phones, because text that is scaled down with its
//! picture cannot be read. The first colours are those of Okabe and Ito, which differ with any colour vision; lines also differ
//! by marker and dash. Each picture has a title and a description in words for screen readers. [`STYLE`] replaces the colours by
//! those of a page, for its dark mode.
#![forbid(unsafe_code)]

mod draw;
mod look;
mod words;
mod x_axis;

pub use draw::{ChartError, Y_LABEL_MAX};

/// How many looks of lines there are. A chart with more lines has lines that look the same.
pub const LOOKS: usize = look::LOOKS.len();

/// Rules for the style sheet of a page that contains charts within `figure` elements: the colours in light and in dark mode,
/// as variables, and which of the two sizes is shown.
pub const STYLE: &str = include_str!("chart.css");

/// A chart.
pub struct Chart<'a> {
    /// Its name for screen readers.
    pub title: String,
    /// What is across.
    pub x: X<'a>,
    /// Label of the axis upwards, with its unit.
    pub y: String,
    /// How the axis upwards is divided.
    pub scale: Scale,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

/// What is across a chart.
pub struct X<'a> {
    label: String,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Levels(Box<dyn Fn(f64) -> String + 'a>),
    Names(Vec<String>),
}

impl<'a> X<'a> {
    /// Numbers: from 0, or by decades if the largest is at least a hundred times the smallest. `text` writes one.
    pub fn levels(label: impl Into<String>, text: impl Fn(f64) -> String + 'a) -> Self {
        Self {
            label: label.into(),
            kind: Kind::Levels(Box::new(text)),
        }
    }

    /// Names at equal distances. The x of a point is the index of its name.
    pub fn names<N: Into<String>>(label: impl Into<String>, names: impl IntoIterator<Item = N>) -> Self {
        Self {
            label: label.into(),
            kind: Kind::Names(names.into_iter().map(Into::into).collect()),
        }
    }

    /// A place on the axis as text; empty where there is no name.
    fn text(&self, x: f64) -> String {
        match &self.kind {
            Kind::Levels(text) => text(x),
            Kind::Names(names) => names.get(x.round() as usize).cloned().unwrap_or_default(),
        }
    }
}

/// How the axis upwards is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    #[default]
    Linear,
    /// By decades. Only values above 0 have a place.
    Log,
    /// From the smallest to the largest value, and 0 with them: for values that may be negative, such as changes.
    Change,
}

/// The points of one line.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// Which colour, dash and marker it has: any number, after [`LOOKS`] the same ones follow. Several charts of a page give a
    /// series the same number in each.
    pub look: usize,
    /// Its points, in the order of the axis.
    pub points: Vec<Point>,
    /// Places that only have a grey cross and no line, such as measurements that do not count, or figures of others. A series of
    /// only these has a cross in the legend.
    pub crosses: Vec<(f64, f64)>,
}

/// A point with its error bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its place across.
    pub x: f64,
    /// Its value.
    pub middle: f64,
    /// Lower end of the error bar.
    pub low: f64,
    /// Upper end of the error bar.
    pub high: f64,
}

impl Point {
    /// A point without an error.
    #[must_use]
    pub fn exact(x: f64, value: f64) -> Self {
        Self {
            x,
            middle: value,
            low: value,
            high: value,
        }
    }
}

/// The two sizes of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 780 × 440 pixels.
    Wide,
    /// 360 × 400 pixels.
    Narrow,
}
