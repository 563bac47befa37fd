//! The rows of the tables as records: what `c10k list` and `c10k doctor` print, and what a study is checked against.

use c10k_event::Mechanism;
use c10k_record::{Inventory, LoadOutputRow, MechanismRow, ModelRow, MonitorModelRow, ProbeRow, RingOptionRow, SCHEMA};
use c10k_server::{Model, RING_OPTIONS, probe_ring_option};

use crate::print::outln;

/// What the lab needs of the rows.
pub(crate) fn lab_rows() -> c10k_lab::Rows {
    let waits = Mechanism::all().flat_map(Mechanism::waits);
    c10k_lab::Rows {
        wait_calls: waits.map(ToString::to_string).collect(),
        probes: c10k_probe::PROBES.iter().map(c10k_probe::Probe::row).collect(),
    }
}

/// All rows of all tables, with what can run here and now.
pub(crate) fn everything() -> Inventory {
    Inventory {
        schema: SCHEMA,
        mechanisms: mechanisms(),
        models: models(),
        ring_options: ring_options(),
        monitor_models: monitor_models(),
        probes: c10k_probe::PROBES.iter().map(c10k_probe::Probe::row).collect(),
        load_outputs: load_outputs(),
        studies: c10k_lab::studies(),
        guest_studies: c10k_vm::study::STUDIES.iter().map(c10k_vm::study::Study::row).collect(),
    }
}

/// Every mechanism, probed here and now.
pub(crate) fn mechanisms() -> Vec<MechanismRow> {
    Mechanism::all()
        .map(|mechanism| {
            let reason = mechanism.probe().err().map(|unavailable| unavailable.to_string());
            MechanismRow {
                name: mechanism.name().to_owned(),
                summary: mechanism.summary().to_owned(),
                trigger: mechanism.triggers().iter().map(ToString::to_string).collect(),
                wait_calls: mechanism.waits().iter().map(ToString::to_string).collect(),
                available: reason.is_none(),
                emulated: mechanism.emulated(),
                reason,
            }
        })
        .collect()
}

/// Every model, probed here and now.
pub(crate) fn models() -> Vec<ModelRow> {
    Model::all()
        .map(|model| {
            let reason = model.availability().err();
            ModelRow {
                name: model.name().to_owned(),
                summary: model.summary().to_owned(),
                mechanisms: model.takes_mechanism(),
                only_on: only_on(model),
                one_connection_per_worker: model.serves_one_connection_per_worker(),
                available: reason.is_none(),
                reason,
            }
        })
        .collect()
}

/// Every option of a ring, probed here and now.
fn ring_options() -> Vec<RingOptionRow> {
    let rows = RING_OPTIONS.iter().map(|option| {
        let reason = probe_ring_option(option).err();
        let value = if option.takes_time() { "=DURATION" } else { "" };
        RingOptionRow {
            name: format!("{}{value}", option.name),
            summary: option.summary.to_owned(),
            since: option.since.to_owned(),
            polls: option.is_of_polls(),
            available: reason.is_none(),
            reason,
        }
    });
    rows.collect()
}

/// Every model of the monitoring daemon. All run everywhere.
fn monitor_models() -> Vec<MonitorModelRow> {
    let rows = c10k_monitor::Model::all().map(|model| MonitorModelRow {
        name: model.name().to_owned(),
        summary: model.descriptor().summary.to_owned(),
        mechanisms: model.takes_mechanism(),
    });
    rows.collect()
}

/// The mechanisms that a model fits, if not all.
fn only_on(model: Model) -> Vec<String> {
    let fits: Vec<bool> = Mechanism::all()
        .map(|mechanism| model.fits(mechanism).is_ok())
        .collect();
    let names = Mechanism::all().zip(&fits).filter(|(_, fits)| **fits);
    match fits.contains(&false) {
        true => names.map(|(mechanism, _)| mechanism.name().to_owned()).collect(),
        false => Vec::new(),
    }
}

fn load_outputs() -> Vec<LoadOutputRow> {
    let rows = c10k_load::FORMATS.iter().map(|format| LoadOutputRow {
        name: format.flag.to_owned(),
        summary: format.help.to_owned(),
    });
    rows.collect()
}

/// Prints the mechanisms as aligned lines with their reasons.
pub(crate) fn print_mechanisms(rows: &[MechanismRow]) {
    outln!("mechanisms");
    for row in rows {
        let label = if row.emulated { " (emulated)" } else { "" };
        print_row(
            &row.name,
            row.available,
            &format!("{}{label}; {}", row.summary, row.trigger.join(", ")),
            row.reason.as_deref(),
        );
    }
}

/// Prints the models as aligned lines with their reasons.
pub(crate) fn print_models(rows: &[ModelRow]) {
    outln!("\nmodels");
    for row in rows {
        let what = match row.only_on.is_empty() {
            true => row.summary.clone(),
            false => format!("{}; on {}", row.summary, row.only_on.join(", ")),
        };
        print_row(&row.name, row.available, &what, row.reason.as_deref());
    }
}

/// Prints the options of a ring as aligned lines with their reasons.
pub(crate) fn print_ring_options(rows: &[RingOptionRow]) {
    outln!(
        "\nring options (c10k serve --model io-uring --ring OPTION,…, and --mechanism io-uring-poll where it says so)"
    );
    for row in rows {
        let polls = if row.polls { "; also io-uring-poll" } else { "" };
        let what = format!("{}; Linux {}{polls}", row.summary, row.since);
        print_row(&row.name, row.available, &what, row.reason.as_deref());
    }
}

/// Prints the models of the monitoring daemon as aligned lines.
pub(crate) fn print_monitor_models(rows: &[MonitorModelRow]) {
    outln!("\nmodels of the monitoring daemon (c10k monitor serve --model NAME)");
    for row in rows {
        outln!("  {:<28} {}", row.name, row.summary);
    }
}

/// Prints the probes as aligned lines.
pub(crate) fn print_probes(rows: &[ProbeRow]) {
    outln!("\nprobes (c10k probe NAME)");
    for row in rows {
        outln!("  {:<28} {}", row.name, row.summary);
    }
}

fn print_row(name: &str, available: bool, what: &str, reason: Option<&str>) {
    let answer = if available { "yes" } else { "no " };
    outln!("  {answer}  {name:<22} {what}");
    if let Some(reason) = reason {
        outln!("       {:22} {reason}", "");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_built_in_experiment_fits_the_rows() {
        c10k_lab::register(super::lab_rows());
        for study in c10k_lab::BUILT_IN {
            c10k_lab::check(study.name).expect(study.name);
        }
        assert_eq!(c10k_lab::studies().len(), c10k_lab::BUILT_IN.len());
    }
}
