//! `fake-model`: the event loop under another name. Tests build with this row to show that a new model needs nothing but
//! its file and its row.

use super::descriptor::Descriptor;
use super::event_loop;

pub(super) const ROW: Descriptor = Descriptor {
    name: "fake-model",
    summary: "the event loop under another name",
    ..event_loop::ROW
};
