//! Which variants can run here: each server is started once before anything is planned, so that the time that a study may
//! take is planned for those that can, and none that cannot is waited for again.

use std::collections::BTreeMap;

use c10k_host::guard::Strays;
use c10k_record::{CellRecord, CellStatus};

use super::cell;
use super::server::Server;
use super::testbed::Testbed;
use crate::plan::{Plan, Unavailable};

/// The variants whose server cannot be started, by name, with the reasons. A server that never listens has failed.
pub(super) fn unavailable(testbed: &Testbed, plan: &Plan) -> BTreeMap<String, Unavailable> {
    let originals = plan
        .variants
        .iter()
        .enumerate()
        .filter(|(_, variant)| variant.control_of.is_none());
    let refused = originals.filter_map(|(index, variant)| {
        let mut of_variant = plan.cells.iter().filter(|cell| cell.variant == index);
        let cell = of_variant.find(|cell| cell.probe.is_none())?;
        let mut scrap: CellRecord = cell::blank(plan, cell, 0, 0);
        let started = Server::start(
            testbed,
            cell,
            variant.external.as_ref(),
            Vec::new(),
            Strays::watch(),
            &mut scrap,
        );
        let end = started.err()?;
        let unavailable = Unavailable {
            reason: Some(end.reason),
            has_failed: end.status != CellStatus::Skipped,
        };
        Some((variant.name.clone(), unavailable))
    });
    refused.collect()
}
