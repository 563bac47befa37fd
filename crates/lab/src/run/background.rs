//! A second generator: its requests are not measured, and load the server in the background.

use std::net::SocketAddr;
use std::time::Duration;

use c10k_host::child::OnParentDeath;
use c10k_record::{CellRecord, CellStatus};

use super::end::CellFailure;
use super::process::Program;
use super::testbed::Testbed;
use crate::plan::Cell;

/// Starts the background load if the cell has one. It runs until it is stopped.
pub(super) fn start(testbed: &Testbed, cell: &Cell, server: SocketAddr) -> Result<Option<Program>, CellFailure> {
    let Some(background) = &cell.background else {
        return Ok(None);
    };
    let url = format!("http://{server}{}", background.path);
    let mut command = vec![
        testbed.tool.display().to_string(),
        "load".to_owned(),
        url,
        "--json".to_owned(),
    ];
    command.extend(background.flags.iter().cloned());
    let program = Program::start(&command, testbed.client_cpus(), OnParentDeath::Kill)?;
    Ok(Some(program))
}

/// Stops the background load. Its results are not read, but a cell is invalid if it ended too early.
pub(super) fn end(mut background: Program, record: &mut CellRecord) {
    if background.ended(Duration::ZERO).is_some() {
        record.status = CellStatus::Invalid;
        let words = background.last_error_line();
        record.reasons.push(format!(
            "the background load ended before the measured requests: {words}"
        ));
    }
}
