//! What to run: every option of the generator as a value.

mod check;
mod load_plan;
mod mix;
mod options;
mod pacing;
mod pattern;
mod rate;
mod request_row;
mod target;

pub use load_plan::LoadPlan;
pub(crate) use mix::Numbers;
pub use mix::{MixError, MixRow};
pub use options::{Bodies, Close, Ports, Probe};
pub use pacing::Pace;
pub(crate) use pacing::Wait;
pub use pattern::{Pattern, Sessions};
pub use rate::{Arrival, Rate};
pub(crate) use request_row::{Choice, RequestRow};
pub use target::Target;
