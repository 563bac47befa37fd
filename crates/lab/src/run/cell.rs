//! One cell: a server and a generator as processes, and the meters read between two phases of the generator.

use std::thread;
use std::time::Instant;

use c10k_host::calls::CallCounting;
use c10k_host::child::OnParentDeath;
use c10k_host::guard::Strays;
use c10k_host::meter::{kernel_memory, queued_signals, tcp_sockets};
use c10k_host::network;
use c10k_record::{CellRecord, CellStatus, Overload, SCHEMA};

use super::context::RunContext;
use super::end::{CellFailure, invalid, skipped};
use super::metering::{Also, Metered, Watched, meter};
use super::process::Program;
use super::server::Server;
use super::testbed::Testbed;
use super::{background, probe, validity};
use crate::format::now_rfc3339;
use crate::plan::{Cell, ExternalServer, Plan};

/// Descriptors that a process needs in addition to its connections.
const OTHER_DESCRIPTORS: u64 = 64;

/// Runs one cell. Whatever happens becomes a record. With `counting`, system calls are counted while it is measured, and
/// its times are those of a server that is being counted.
pub(super) fn run(
    testbed: &Testbed,
    plan: &Plan,
    cell: &Cell,
    context: RunContext,
    counting: Option<&mut CallCounting>,
) -> CellRecord {
    let external = plan.variants[cell.variant].external.as_ref();
    recorded(plan, cell, context, |seed, record| match &cell.probe {
        Some(name) => probe::carry_out(testbed, cell, name, record),
        None if cell.network.is_empty() => carry_out(testbed, cell, external, seed, record, counting),
        None => in_own_network(cell, || carry_out(testbed, cell, external, seed, record, counting)),
    })
}

/// The record of a cell that `carry_out` measures, with the seed of its schedule.
pub(super) fn recorded(
    plan: &Plan,
    cell: &Cell,
    context: RunContext,
    carry_out: impl FnOnce(u64, &mut CellRecord) -> Result<(), CellFailure>,
) -> CellRecord {
    let started = Instant::now();
    let mut record = blank(plan, cell, context.block, context.position);
    // The same schedule for every variant of a block, another one in the next.
    let seed = plan.seed.wrapping_add(u64::from(context.block));
    if let Err(end) = carry_out(seed, &mut record) {
        record.status = end.status;
        record.reasons.push(end.reason);
    }
    if record.status == CellStatus::Measured {
        validity::check(cell, context, &mut record);
    }
    record.seconds = started.elapsed().as_secs_f64();
    record
}

/// The record of a cell that cannot run, as was found out before.
pub(super) fn without_run(plan: &Plan, cell: &Cell, context: RunContext, reason: &str) -> CellRecord {
    CellRecord {
        status: plan.status_without_run(cell),
        reasons: vec![reason.to_owned()],
        ..blank(plan, cell, context.block, context.position)
    }
}

/// The record of a cell of which nothing is known yet.
pub(super) fn blank(plan: &Plan, cell: &Cell, block: u32, position: u32) -> CellRecord {
    CellRecord {
        schema: SCHEMA,
        study: plan.experiment.name.clone(),
        cell: cell.id.clone(),
        variant: plan.variants[cell.variant].name.clone(),
        levels: plan
            .axes
            .iter()
            .zip(&cell.levels)
            .map(|(axis, &level)| (axis.name.clone(), axis.levels[level].value))
            .collect(),
        block,
        position,
        status: CellStatus::Measured,
        reasons: Vec::new(),
        notes: Vec::new(),
        disturbed: false,
        started_at: now_rfc3339(),
        seconds: 0.0,
        server_command: Vec::new(),
        load_command: Vec::new(),
        overload: cell.overload.map(|time| Overload {
            limit_per_s: plan.saturation,
            start_s: time.start_s,
            end_s: time.end_s,
        }),
        load: None,
        server: None,
        meters: None,
        probe: None,
        calls: None,
    }
}

/// Runs a cell in a network namespace of its own. A thread cannot leave that again, so it is one that ends with the cell. All
/// processes are started from it, and so are in the same network.
pub(super) fn in_own_network(
    cell: &Cell,
    carry_out: impl FnOnce() -> Result<(), CellFailure> + Send,
) -> Result<(), CellFailure> {
    let run = || {
        network::enter_own(&cell.network).map_err(skipped)?;
        carry_out()
    };
    thread::scope(|scope| {
        let ran = scope.spawn(run).join();
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn carry_out(
    testbed: &Testbed,
    cell: &Cell,
    external: Option<&ExternalServer>,
    seed: u64,
    record: &mut CellRecord,
    counting: Option<&mut CallCounting>,
) -> Result<(), CellFailure> {
    check_limits(testbed, cell)?;
    let prefix = counting.as_ref().map(|counting| counting.prefix()).unwrap_or_default();
    let mut server = Server::start(testbed, cell, external, prefix, Strays::watch(), record)?;
    let workers = Watched::before_load(&server);
    let sockets_before = tcp_sockets().unwrap_or_default();
    let kernel_before = kernel_memory();
    let background = background::start(testbed, cell, server.address)?;
    let command = load_command(testbed, cell, &server, &["--hold", "--seed", &seed.to_string()]);
    record.load_command.clone_from(&command);
    let mut load = Program::start_held(&command, &testbed.client_cpus, OnParentDeath::Kill)?;
    let metered = meter(testbed, cell, &mut server, &workers, &mut load, Also::Ask(counting));
    let metered = metered.map_err(|failure| or_server_ended(&mut server, failure));
    drop(load);
    if let Some(background) = background {
        background::end(background, record);
    }
    if let Ok(metered) = &metered {
        record.load = Some(metered.summary.clone());
        record.meters = metered.meters(testbed, sockets_before, kernel_before);
    }
    server.finish(record);
    complete(&metered?, record)
}

/// What this machine and this user allow each of the two processes.
pub(super) fn check_limits(testbed: &Testbed, cell: &Cell) -> Result<(), CellFailure> {
    let wanted = cell.connections + OTHER_DESCRIPTORS;
    if wanted > testbed.nofile {
        return Err(skipped(format!(
            "{} connections need {wanted} descriptors and a process may open {} (ulimit -Hn)",
            cell.connections, testbed.nofile
        )));
    }
    room_for_signals(cell, queued_signals().unwrap_or_default())
}

/// A generator that cannot reach a server that has ended is not what is impossible here.
pub(super) fn or_server_ended(server: &mut Server, failure: CellFailure) -> CellFailure {
    match server.why_ended() {
        Some(why) => invalid(format!("the server ended while it was measured: {why}")),
        None => failure,
    }
}

/// Whether what was metered is the whole server.
pub(super) fn complete(metered: &Metered, record: &mut CellRecord) -> Result<(), CellFailure> {
    if let Some(ended) = &metered.ended {
        // The meters have a part of the server only.
        record.meters = None;
        return Err(invalid(ended.clone()));
    }
    if record.meters.is_none() {
        return Err(invalid(
            "the generator did not announce its phases, so that nothing was metered",
        ));
    }
    Ok(())
}

/// The kernel counts the signals that wait by user: those of other processes leave a server a shorter queue than it asked
/// for, down to none.
fn room_for_signals(cell: &Cell, taken: u64) -> Result<(), CellFailure> {
    /// Of the queue, that others may take.
    const SHARE: u64 = 4;
    let flags = cell.server_flags.iter();
    let queue = flags.skip_while(|&flag| flag != "--signal-queue").nth(1);
    match queue.and_then(|queue| queue.parse::<u64>().ok()) {
        Some(queue) if taken * SHARE > queue => Err(invalid(format!(
            "{taken} signals of this user's other processes are queued already (SigQ in /proc/self/status), and the \
             server's queue is to hold {queue}: end those processes, or measure as another user"
        ))),
        _ => Ok(()),
    }
}

/// The generator of a cell, driven as `driven` says.
pub(super) fn load_command(testbed: &Testbed, cell: &Cell, server: &Server, driven: &[&str]) -> Vec<String> {
    let mut command = vec![
        testbed.tool.display().to_string(),
        "load".to_owned(),
        server.url.clone(),
    ];
    command.extend(["--json", "--phases"].iter().chain(driven).map(|&word| word.to_owned()));
    command.extend(cell.load_flags.iter().cloned());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    #[test]
    fn a_cell_is_invalid_if_others_fill_the_signal_queue() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let with = |flags: &[&str]| Cell {
            server_flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            ..plan.cells[0].clone()
        };
        let short = with(&["--accept", "all", "--signal-queue", "8"]);
        assert!(room_for_signals(&short, 2).is_ok());
        let end = room_for_signals(&short, 30).expect_err("it is full");
        assert_eq!(end.status, CellStatus::Invalid);
        assert!(end.reason.contains("SigQ"), "{}", end.reason);
        assert!(room_for_signals(&with(&["--signal-queue", "1024"]), 30).is_ok());
        assert!(room_for_signals(&with(&["--accept", "all"]), 30).is_ok());
    }
}
