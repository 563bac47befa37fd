//! What to run: every option of the generator as a value.

mod check;
mod load_plan;
mod options;
mod pacing;
mod pattern;
mod rate;
mod target;

pub use load_plan::LoadPlan;
pub use options::{Bodies, Close, Ports, Probe};
pub use pacing::Pace;
pub(crate) use pacing::Wait;
pub use pattern::{Pattern, Sessions};
pub use rate::{Arrival, Rate};
pub use target::Target;
