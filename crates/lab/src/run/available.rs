//! Which variants can run here: each server is started once before anything is planned, so that the time that a study may
//! take is planned for those that can.

use std::collections::BTreeSet;

use c10k_record::{CellRecord, CellStatus};

use super::cell;
use super::server::Server;
use super::testbed::Testbed;
use crate::plan::Plan;

/// Names of the variants whose server cannot be started. Why stands in the record of each of their cells.
pub(super) fn unavailable(testbed: &Testbed, plan: &Plan) -> BTreeSet<String> {
    let originals = plan
        .variants
        .iter()
        .enumerate()
        .filter(|(_, variant)| variant.control_of.is_none());
    let refused = originals.filter(|(index, variant)| {
        let first = plan
            .cells
            .iter()
            .find(|cell| cell.variant == *index && cell.probe.is_none());
        first.is_some_and(|cell| {
            let mut scrap: CellRecord = cell::blank(plan, cell, 0, 0);
            let started = Server::start(testbed, cell, variant.external.as_ref(), Vec::new(), &mut scrap);
            started.is_err_and(|end| end.status == CellStatus::Skipped)
        })
    });
    refused.map(|(_, variant)| variant.name.clone()).collect()
}
