//! The rows of the tables as records: what `c10k list` and `c10k doctor` both print.

use c10k_event::Mechanism;
use c10k_record::{MechanismRow, ModelRow};
use c10k_server::{Dispatch, Model};

/// Every mechanism, probed here and now.
pub(crate) fn mechanisms() -> Vec<MechanismRow> {
    Mechanism::all()
        .map(|mechanism| {
            let reason = mechanism.probe().err().map(|unavailable| unavailable.to_string());
            MechanismRow {
                name: mechanism.name().to_owned(),
                summary: mechanism.summary().to_owned(),
                trigger: mechanism.triggers().iter().map(ToString::to_string).collect(),
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
                summary: model.descriptor().summary.to_owned(),
                mechanisms: model.descriptor().dispatch == Dispatch::Mechanism,
                available: reason.is_none(),
                reason,
            }
        })
        .collect()
}

/// Prints the mechanisms as aligned lines with their reasons.
pub(crate) fn print_mechanisms(rows: &[MechanismRow]) {
    println!("mechanisms");
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
    println!("\nmodels");
    for row in rows {
        print_row(&row.name, row.available, &row.summary, row.reason.as_deref());
    }
}

fn print_row(name: &str, available: bool, what: &str, reason: Option<&str>) {
    let answer = if available { "yes" } else { "no " };
    println!("  {answer}  {name:<22} {what}");
    if let Some(reason) = reason {
        println!("       {:22} {reason}", "");
    }
}
