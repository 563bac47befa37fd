//! A second generator, whose requests disturb those that are measured.

use std::net::SocketAddr;
use std::time::Duration;

use c10k_host::child::OnParentDeath;
use c10k_record::{CellRecord, CellStatus};

use super::bench::Bench;
use super::cell::{End, skipped};
use super::process::Program;
use crate::plan::Cell;

/// Starts it where the cell has one; it goes on until it is stopped.
pub(super) fn start(bench: &Bench, cell: &Cell, server: SocketAddr) -> Result<Option<Program>, End> {
    let Some(beside) = &cell.beside else {
        return Ok(None);
    };
    let url = format!("http://{server}{}", beside.path);
    let mut command = vec![
        bench.tool.display().to_string(),
        "load".to_owned(),
        url,
        "--json".to_owned(),
    ];
    command.extend(beside.flags.iter().cloned());
    let program = Program::start(&command, bench.client_cpus(), OnParentDeath::Kill).map_err(skipped)?;
    Ok(Some(program))
}

/// Its own figures are not asked for; but where it has ended before its time, there was nothing beside.
pub(super) fn end(mut beside: Program, record: &mut CellRecord) {
    if beside.ended(Duration::ZERO).is_some() {
        record.status = CellStatus::Invalid;
        let words = beside.last_words();
        record.reasons.push(format!(
            "the requests beside ended before those that were measured: {words}"
        ));
    }
}
