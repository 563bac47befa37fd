//! One cell: a server and a generator as processes, and the meters read between two phases of the generator.

use std::time::Instant;

use c10k_host::calls::CallCounting;
use c10k_host::child::OnParentDeath;
use c10k_host::meter::{kernel_memory, queued_signals, tcp_sockets};
use c10k_record::{CellRecord, CellStatus, Meters, SCHEMA};

use super::bench::Bench;
use super::beside;
use super::process::Program;
use super::server::Server;
use super::watch::watch;
use crate::measure;
use crate::plan::{Cell, Outside, Plan};

/// Descriptors that a process needs beside its connections.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Above this share of the measured time, steal by the hypervisor is noted.
const STEAL_NOTED: f64 = 0.02;

/// Below this share of the best speed that the server's CPU has shown in this study, the cell is disturbed.
const SPEED_QUIET: f64 = 0.85;

/// Above this share of the measured time, what else ran on the server's CPU disturbs the cell: beyond the interrupts of any
/// server, and beyond the grain of tick accounting.
const FOREIGN_NOTED: f64 = 0.15;

/// Above this share of the measured time, a late reading of the meters makes the cell invalid.
const LAG_ALLOWED: f64 = 0.05;

/// Where a cell stands in its study.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) position: u32,
    /// The best speed of the server's CPU so far, loops of the idle counter per second.
    pub(super) best_speed: Option<f64>,
}

/// Runs one cell. Whatever happens becomes a record. With `counting`, system calls are counted while it is measured, and
/// its times are those of a server that is being counted.
pub(super) fn run(
    bench: &Bench,
    plan: &Plan,
    cell: &Cell,
    place: Place,
    counting: Option<&mut CallCounting>,
) -> CellRecord {
    let started = Instant::now();
    let mut record = CellRecord {
        schema: SCHEMA,
        study: plan.experiment.name.clone(),
        cell: cell.id.clone(),
        variant: plan.variants[cell.variant].name.clone(),
        levels: plan
            .axes
            .iter()
            .zip(&cell.levels)
            .map(|(axis, &level)| (axis.row.name.to_owned(), axis.levels[level].value))
            .collect(),
        block: place.block,
        position: place.position,
        status: CellStatus::Measured,
        reasons: Vec::new(),
        notes: Vec::new(),
        disturbed: false,
        started_at: super::now_rfc3339(),
        seconds: 0.0,
        server_command: Vec::new(),
        load_command: Vec::new(),
        load: None,
        server: None,
        meters: None,
        probe: None,
        calls: None,
    };
    let outside = plan.variants[cell.variant].outside.as_ref();
    // The same schedule for every variant of a block, another one in the next.
    let seed = plan.seed.wrapping_add(u64::from(place.block));
    let carried_out = match &cell.probe {
        Some(name) => super::probe::carry_out(bench, cell, name, &mut record),
        None => carry_out(bench, cell, outside, seed, &mut record, counting),
    };
    if let Err(end) = carried_out {
        record.status = end.status;
        record.reasons.push(end.reason);
    }
    if record.status == CellStatus::Measured {
        judge_validity(cell, place.best_speed, &mut record);
    }
    record.seconds = started.elapsed().as_secs_f64();
    record
}

/// Why a cell ended before its time.
pub(super) struct End {
    status: CellStatus,
    reason: String,
}

pub(super) fn skipped(reason: impl Into<String>) -> End {
    End {
        status: CellStatus::Skipped,
        reason: reason.into(),
    }
}

pub(super) fn invalid(reason: impl Into<String>) -> End {
    End {
        status: CellStatus::Invalid,
        reason: reason.into(),
    }
}

fn carry_out(
    bench: &Bench,
    cell: &Cell,
    outside: Option<&Outside>,
    seed: u64,
    record: &mut CellRecord,
    counting: Option<&mut CallCounting>,
) -> Result<(), End> {
    let wanted = cell.connections + DESCRIPTORS_BESIDE;
    if wanted > bench.nofile {
        return Err(skipped(format!(
            "{} connections need {wanted} descriptors and a process may open {} (ulimit -Hn)",
            cell.connections, bench.nofile
        )));
    }
    room_for_signals(cell, queued_signals().unwrap_or_default())?;
    let prefix = counting.as_ref().map(|counting| counting.prefix()).unwrap_or_default();
    let server = Server::start(bench, cell, outside, prefix, record)?;
    let sockets_before = tcp_sockets().unwrap_or_default();
    let kernel_before = kernel_memory();
    let beside = beside::start(bench, cell, server.address)?;
    let mut load = start_load(bench, cell, &server, seed, record)?;
    let watched = watch(bench, cell, &server, &mut load, counting);
    drop(load);
    if let Some(beside) = beside {
        beside::end(beside, record);
    }
    if let Ok(watched) = &watched {
        record.load = Some(watched.summary.clone());
        record.meters = watched.meters(bench, sockets_before, kernel_before);
    }
    server.finish(outside.is_none(), record);
    let watched = watched?;
    if record.meters.is_none() {
        return Err(invalid(
            "the generator did not announce its phases, so that nothing was metered",
        ));
    }
    if watched.server_gone {
        return Err(invalid("the server ended while it was measured"));
    }
    Ok(())
}

/// The kernel counts the signals that wait by user: those of other processes leave a server a shorter queue than it asked
/// for, down to none.
fn room_for_signals(cell: &Cell, taken: u64) -> Result<(), End> {
    /// Of the queue, that others may take.
    const SHARE: u64 = 4;
    let flags = cell.server_flags.iter();
    let queue = flags.skip_while(|&flag| flag != "--signal-queue").nth(1);
    match queue.and_then(|queue| queue.parse::<u64>().ok()) {
        Some(queue) if taken * SHARE > queue => Err(invalid(format!(
            "{taken} signals of this user's other processes wait already (SigQ in /proc/self/status), where the server's \
             queue is to hold {queue}: end those processes, or measure as another user"
        ))),
        _ => Ok(()),
    }
}

fn start_load(bench: &Bench, cell: &Cell, server: &Server, seed: u64, record: &mut CellRecord) -> Result<Program, End> {
    let mut command = vec![bench.tool.display().to_string(), "load".to_owned(), server.url.clone()];
    command.extend(["--json", "--phases", "--hold", "--seed"].map(str::to_owned));
    command.push(seed.to_string());
    command.extend(cell.load_flags.iter().cloned());
    record.load_command.clone_from(&command);
    Program::start_held(&command, &bench.client_cpus, OnParentDeath::Kill).map_err(skipped)
}

/// Whether the figures describe the server: the generator's own word, the sums, the connections, the meters.
fn judge_validity(cell: &Cell, best_speed: Option<f64>, record: &mut CellRecord) {
    let (Some(load), Some(meters)) = (&record.load, &record.meters) else {
        return;
    };
    let mut reasons = load.invalid_because.clone();
    if !load.valid && reasons.is_empty() {
        reasons.push("the generator calls its result invalid and does not say why".to_owned());
    }
    if !load.reconciles() {
        reasons.push("the generator's totals do not reconcile".to_owned());
    }
    let idle = load.idle.target;
    if record.server.as_ref().is_some_and(|server| !server.reconciles()) {
        reasons.push("the server's counters of signals do not reconcile".to_owned());
    }
    // Not less what was open before: sockets of the cell before may still be on their way out.
    if meters.tcp_sockets_open < 2 * idle {
        reasons.push(format!(
            "{idle} idle connections are {} sockets on loopback and the kernel counts {} (sockstat)",
            2 * idle,
            meters.tcp_sockets_open
        ));
    }
    if let Some(open) = meters.open_connections.filter(|&open| open < idle) {
        reasons.push(format!(
            "the server counts {open} open connections (/stats), of {idle} idle ones alone"
        ));
    }
    if load.idle.open_min < idle {
        reasons.push(format!(
            "only {} of {idle} idle connections stayed open",
            load.idle.open_min
        ));
    }
    let wall_ns = meters.wall_ns as f64;
    if meters.meter_lag_ns as f64 > LAG_ALLOWED * wall_ns {
        reasons.push(format!(
            "the meters were read {:.0} ms late, against {:.0} ms measured",
            meters.meter_lag_ns as f64 / 1e6,
            cell.time.duration_s * 1e3
        ));
    }
    let notes = disturbances(meters, best_speed);
    record.disturbed = !notes.is_empty();
    record.notes.extend(notes);
    if !reasons.is_empty() {
        record.status = CellStatus::Invalid;
        record.reasons.extend(reasons);
    }
}

/// What beside the server took or slowed its CPU by more than its bound.
fn disturbances(meters: &Meters, best_speed: Option<f64>) -> Vec<String> {
    let wall_ns = meters.wall_ns as f64;
    let mut notes = Vec::new();
    if meters.steal_ns as f64 > STEAL_NOTED * wall_ns {
        let percent = 100.0 * meters.steal_ns as f64 / wall_ns;
        notes.push(format!("the hypervisor took {percent:.1}% of the server's CPU"));
    }
    if let Some(busy_ns) = meters.cpu_busy_ns {
        let foreign = busy_ns.saturating_sub(meters.cpu_run_ns) as f64 / wall_ns;
        if foreign > FOREIGN_NOTED {
            let percent = 100.0 * foreign;
            notes.push(format!(
                "something beside the server took {percent:.0}% of its CPU, and the server waited for it"
            ));
        }
    }
    if let Some(speed) = best_speed.and_then(|best| Some(measure::cpu_speed(meters)? / best))
        && speed < SPEED_QUIET
    {
        let percent = 100.0 * speed;
        notes.push(format!(
            "the server's CPU ran at {percent:.0}% of its best speed in this study, as neighbours of a virtual machine \
             make it"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;
    use c10k_record::LoadSummary;

    fn cell() -> Cell {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        plan.cells[0].clone()
    }

    fn judged(change: impl FnOnce(&mut LoadSummary, &mut Meters)) -> CellRecord {
        let mut record = testing::record("flat idle=10", 0, 0.1);
        let (Some(load), Some(meters)) = (&mut record.load, &mut record.meters) else {
            panic!("a record has both");
        };
        load.idle.target = 10;
        load.idle.open_min = 10;
        meters.tcp_sockets_open = 36;
        change(load, meters);
        judge_validity(&cell(), Some(1e6), &mut record);
        record
    }

    #[test]
    fn a_clean_cell_is_measured() {
        let record = judged(|_, _| {});
        assert_eq!(record.status, CellStatus::Measured, "{:?}", record.reasons);
    }

    #[test]
    fn each_doubt_makes_a_cell_invalid_and_is_named() {
        type Change = fn(&mut LoadSummary, &mut Meters);
        let cases: [(Change, &str); 6] = [
            (|load, _| load.valid = false, "calls its result invalid"),
            (|load, _| load.sent += 1, "do not reconcile"),
            (|_, meters| meters.tcp_sockets_open = 12, "sockstat"),
            (|_, meters| meters.open_connections = Some(9), "/stats"),
            (|load, _| load.idle.open_min = 9, "only 9 of 10"),
            (|_, meters| meters.meter_lag_ns = meters.wall_ns / 10, "late"),
        ];
        for (change, reason) in cases {
            let record = judged(change);
            assert_eq!(record.status, CellStatus::Invalid, "{reason}");
            assert!(
                record.reasons.iter().any(|text| text.contains(reason)),
                "{:?}",
                record.reasons
            );
        }
    }

    #[test]
    fn a_signal_queue_that_others_fill_is_no_queue() {
        let with = |flags: &[&str]| Cell {
            server_flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            ..cell()
        };
        let short = with(&["--accept", "all", "--signal-queue", "8"]);
        assert!(room_for_signals(&short, 2).is_ok());
        let end = room_for_signals(&short, 30).expect_err("it is full");
        assert_eq!(end.status, CellStatus::Invalid);
        assert!(end.reason.contains("SigQ"), "{}", end.reason);
        assert!(room_for_signals(&with(&["--signal-queue", "1024"]), 30).is_ok());
        assert!(room_for_signals(&with(&["--accept", "all"]), 30).is_ok());
    }

    #[test]
    fn steal_is_noted_and_no_reason_to_drop_the_cell() {
        let record = judged(|_, meters| meters.steal_ns = meters.wall_ns / 20);
        assert_eq!(record.status, CellStatus::Measured);
        assert_eq!((record.notes.len(), record.disturbed), (1, true));
    }

    #[test]
    fn a_stranger_on_the_servers_cpu_disturbs_a_cell() {
        let with_stranger = |share: f64| {
            judged(|_, meters| {
                let stranger_ns = (share * meters.wall_ns as f64) as u64;
                meters.cpu_busy_ns = Some(meters.cpu_run_ns + stranger_ns);
            })
        };
        assert!(!with_stranger(0.1).disturbed);
        assert!(with_stranger(0.3).disturbed);
    }

    #[test]
    fn a_slow_cpu_disturbs_a_cell() {
        let with_loops = |loops| {
            judged(|_, meters| {
                meters.idle_loops = Some(loops);
                meters.idle_run_ns = Some(400_000_000);
            })
        };
        // The best speed of the tests is a million loops a second: 0.4 s of it are 400,000 loops.
        assert!(!with_loops(390_000).disturbed);
        assert!(with_loops(300_000).disturbed);
    }
}
