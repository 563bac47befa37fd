//! For the lab: an error that is this machine's fault is also a record on standard output, so that a cell is skipped for it. Any
//! other error of a server or a generator makes the cell fail.

use std::error::Error;

use c10k_load::LoadError;
use c10k_record::{LoadRecord, SCHEMA, ServeRecord};
use c10k_server::ServeError;
use serde::Serialize;

use crate::Outcome;
use crate::print::outln;

/// An error of `c10k serve`, with a record where it is this machine's fault and `json` was asked for.
pub(crate) fn of_server(json: bool, outcome: Outcome) -> Outcome {
    announced(json, outcome, |error| {
        let error = error
            .downcast_ref::<ServeError>()
            .filter(|error| error.is_of_this_machine())?;
        Some(ServeRecord::Unavailable {
            schema: SCHEMA,
            reason: error.to_string(),
        })
    })
}

/// The same of `c10k load`.
pub(crate) fn of_generator(json: bool, outcome: Outcome) -> Outcome {
    announced(json, outcome, |error| {
        let error = error
            .downcast_ref::<LoadError>()
            .filter(|error| error.is_of_this_machine())?;
        Some(LoadRecord::Unavailable {
            schema: SCHEMA,
            reason: error.to_string(),
        })
    })
}

fn announced<R: Serialize>(
    json: bool,
    outcome: Outcome,
    record: impl FnOnce(&(dyn Error + 'static)) -> Option<R>,
) -> Outcome {
    if let Err(error) = &outcome
        && json
        && let Some(record) = record(error.as_ref())
    {
        outln!("{}", serde_json::to_string(&record)?);
    }
    outcome
}
