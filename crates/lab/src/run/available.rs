//! Which variants can run here: each server is started once before anything is planned, so that the time that a study may
//! take is planned for those that can, and none that cannot is waited for again. The server of a cell with a network namespace of
//! its own is started in such a one.

use std::collections::BTreeMap;

use c10k_host::guard::Strays;
use c10k_record::{CellRecord, CellStatus};

use super::cell;
use super::server::Server;
use super::testbed::Testbed;
use crate::plan::{Plan, Unavailable};

/// The variants whose server, or whose network, cannot be started, by name, with the reasons. A server that never listens has
/// failed.
pub(super) fn unavailable(testbed: &Testbed, plan: &Plan) -> BTreeMap<String, Unavailable> {
    let originals = plan
        .variants
        .iter()
        .enumerate()
        .filter(|(_, variant)| variant.control_of.is_none());
    let refused = originals.filter_map(|(index, variant)| {
        let mut of_variant = plan.cells.iter().filter(|cell| cell.variant == index);
        let cell = of_variant.find(|cell| cell.probe.is_none())?;
        let start = || {
            let mut scrap: CellRecord = cell::blank(plan, cell, 0, 0);
            let external = variant.external.as_ref();
            let started = Server::start(testbed, cell, external, Vec::new(), Strays::watch(), &mut scrap);
            started.map(drop)
        };
        let started = match cell.network.is_empty() {
            true => start(),
            false => cell::in_own_network(cell, start),
        };
        let end = started.err()?;
        let unavailable = Unavailable {
            reason: Some(end.reason),
            has_failed: end.status != CellStatus::Skipped,
        };
        Some((variant.name.clone(), unavailable))
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{Experiment, Source};
    use crate::plan::Choices;
    use c10k_record::HostFacts;
    use std::path::Path;

    /// The test experiment, with a network namespace of its own for each cell.
    fn with_own_network() -> Experiment {
        let text = crate::testing::EXPERIMENT.replacen("[server]\n", "[server]\ntcp-migrate-req = 0\n", 1);
        let source = Source {
            file: "test.toml".to_owned(),
            text,
        };
        Experiment::parse(&source).expect("it parses")
    }

    #[test]
    fn a_variant_whose_network_cannot_be_made_is_unavailable_and_skipped() {
        let plan = Plan::resolve(&with_own_network(), &Choices::default(), None).expect("it resolves");
        let may_not = plan.cells[0].network.clone();
        let entered = std::thread::spawn(move || c10k_host::network::enter_own(&may_not)).join();
        let Err(reason) = entered.expect("no panic") else {
            eprintln!("skipped: this user may make network namespaces");
            return;
        };
        let testbed = Testbed::set_up(Path::new("/nowhere/c10k"), &HostFacts::default());
        let found = unavailable(&testbed, &plan);
        let expected = Unavailable {
            reason: Some(reason),
            has_failed: false,
        };
        assert_eq!(found.keys().collect::<Vec<_>>(), ["flat", "steep"]);
        assert!(found.values().all(|why| *why == expected), "{found:?}");
    }
}
