//! One cell: a server and a generator as processes, and the meters read between two phases of the generator.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_host::meter::{
    KernelMemory, PressureNs, ProcessTree, TreeUsage, cpu_pressure, forks_total, interrupts_on, kernel_memory,
    page_table_bytes, proportional_set_bytes, softirqs_on, tcp_sockets,
};
use c10k_record::{
    CellRecord, CellStatus, LoadPhase, LoadRecord, LoadSummary, Meters, SCHEMA, ServeRecord, ServeSummary,
};

use super::bench::{Bench, CpuReading};
use super::beside;
use super::process::{NoLine, Program};
use crate::measure;
use crate::plan::{Cell, Outside, Plan};

/// A server that has not said that it listens by then will not.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What a server gets to drain and to print its summary.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What the server's own count of connections may take to answer. A hung server must not hang the lab.
const STATS_LIMIT: Duration = Duration::from_millis(500);

/// What the generator gets beyond its own times for starting, for each connection, and for ending.
const LOAD_SLACK: Duration = Duration::from_secs(15);
const PER_CONNECTION: Duration = Duration::from_millis(1);

/// Descriptors that a process needs beside its connections.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Above this share of the measured time, steal by the hypervisor is noted.
const STEAL_NOTED: f64 = 0.02;

/// Below this share of the best speed that the server's CPU has shown in this study, the cell is disturbed.
const SPEED_QUIET: f64 = 0.85;

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

/// Runs one cell. Whatever happens becomes a record.
pub(super) fn run(bench: &Bench, plan: &Plan, cell: &Cell, place: Place) -> CellRecord {
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
    };
    let outside = plan.variants[cell.variant].outside.as_ref();
    // The same schedule for every variant of a block, another one in the next.
    let seed = plan.seed.wrapping_add(u64::from(place.block));
    let carried_out = match &cell.probe {
        Some(name) => super::probe::carry_out(bench, cell, name, &mut record),
        None => carry_out(bench, cell, outside, seed, &mut record),
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
) -> Result<(), End> {
    let wanted = cell.connections + DESCRIPTORS_BESIDE;
    if wanted > bench.nofile {
        return Err(skipped(format!(
            "{} connections need {wanted} descriptors and a process may open {} (ulimit -Hn)",
            cell.connections, bench.nofile
        )));
    }
    let server = Server::start(bench, cell, outside, record)?;
    let sockets_before = tcp_sockets().unwrap_or_default();
    let kernel_before = kernel_memory();
    let beside = beside::start(bench, cell, server.address)?;
    let mut load = start_load(bench, cell, &server, seed, record)?;
    let watched = watch(bench, cell, &server, &mut load);
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

/// A running server and where it answers.
struct Server {
    program: Program,
    address: SocketAddr,
    url: String,
}

impl Server {
    fn start(bench: &Bench, cell: &Cell, outside: Option<&Outside>, record: &mut CellRecord) -> Result<Self, End> {
        match outside {
            Some(outside) => Self::start_outside(bench, cell, outside, record),
            None => Self::start_own(bench, cell, record),
        }
    }

    fn start_own(bench: &Bench, cell: &Cell, record: &mut CellRecord) -> Result<Self, End> {
        let mut command = vec![bench.tool.display().to_string()];
        command.extend(["serve", "--listen", "127.0.0.1:0", "--json"].map(str::to_owned));
        command.extend(cell.server_flags.iter().cloned());
        record.server_command.clone_from(&command);
        let mut program = Program::start(&command, &bench.server_cpus(), OnParentDeath::Kill).map_err(skipped)?;
        let deadline = Instant::now() + START_LIMIT;
        let line = match program.line(deadline) {
            Ok(line) => line,
            Err(NoLine::Ended) => return Err(skipped(format!("the server did not start: {}", program.last_words()))),
            Err(NoLine::Late) => return Err(invalid(format!("the server did not listen within {START_LIMIT:?}"))),
        };
        let Ok(ServeRecord::Listening { address, .. }) = serde_json::from_str(&line.text) else {
            return Err(invalid(format!(
                "the server said '{}' instead of where it listens",
                line.text
            )));
        };
        let url = format!("http://{address}{}", cell.path);
        let address = address
            .parse()
            .map_err(|_| invalid(format!("the server listens on '{address}', which is no address")))?;
        Ok(Self { program, address, url })
    }

    /// Any command: it is ready when its port accepts a connection.
    fn start_outside(bench: &Bench, cell: &Cell, outside: &Outside, record: &mut CellRecord) -> Result<Self, End> {
        record.server_command.clone_from(&outside.command);
        let authority = outside
            .url
            .strip_prefix("http://")
            .unwrap_or(&outside.url)
            .trim_end_matches('/');
        let address = authority
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| skipped(format!("'{}' names no host and port", outside.url)))?;
        if TcpStream::connect_timeout(&address, STATS_LIMIT).is_ok() {
            return Err(skipped(format!("something else answers at {address} already; stop it")));
        }
        let mut program =
            Program::start(&outside.command, &bench.server_cpus(), OnParentDeath::Terminate).map_err(skipped)?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect_timeout(&address, STATS_LIMIT).is_err() {
            if program.ended(Duration::from_millis(5)).is_some() {
                return Err(skipped(format!("the server did not start: {}", program.last_words())));
            }
            if Instant::now() >= deadline {
                return Err(invalid(format!("nothing answered at {address} within {START_LIMIT:?}")));
            }
        }
        let url = format!("http://{authority}{}", cell.path);
        Ok(Self { program, address, url })
    }

    /// Drains the server and takes its summary where it is ours.
    fn finish(mut self, ours: bool, record: &mut CellRecord) {
        if self.program.stop(DRAIN_LIMIT).is_none() {
            record.notes.push(format!(
                "the server did not drain within {DRAIN_LIMIT:?} and was killed"
            ));
        }
        if ours {
            record.server = self.summary();
            if record.server.is_none() {
                record.notes.push("the server printed no summary".to_owned());
            }
        }
    }

    fn summary(&self) -> Option<ServeSummary> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Ok(line) = self.program.line(deadline) {
            if let Ok(ServeRecord::Summary(summary)) = serde_json::from_str(&line.text) {
                return Some(*summary);
            }
        }
        None
    }

    /// The server's own count of open connections, from `/stats`; `None` where it does not tell in time.
    fn open_connections(&self) -> Option<u64> {
        let mut stream = TcpStream::connect_timeout(&self.address, STATS_LIMIT).ok()?;
        stream.set_read_timeout(Some(STATS_LIMIT)).ok()?;
        stream.set_write_timeout(Some(STATS_LIMIT)).ok()?;
        write!(
            stream,
            "GET /stats HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut reply = Vec::new();
        // What came before a timeout may still be whole.
        let _ = stream.take(64 * 1024).read_to_end(&mut reply);
        let text = String::from_utf8(reply).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        // This request's own connection is among them.
        value
            .get("open_connections")?
            .as_u64()
            .map(|open| open.saturating_sub(1))
    }
}

fn start_load(bench: &Bench, cell: &Cell, server: &Server, seed: u64, record: &mut CellRecord) -> Result<Program, End> {
    let mut command = vec![bench.tool.display().to_string(), "load".to_owned(), server.url.clone()];
    command.extend(["--json", "--phases", "--seed"].map(str::to_owned));
    command.push(seed.to_string());
    command.extend(cell.load_flags.iter().cloned());
    record.load_command.clone_from(&command);
    Program::start(&command, &bench.client_cpus, OnParentDeath::Kill).map_err(skipped)
}

/// The meters at one instant.
struct Snapshot {
    at: Instant,
    lag: Duration,
    tree: TreeUsage,
    cpu: Option<CpuReading>,
    interrupts: u64,
    softirqs: u64,
    forks: u64,
    pressure: Option<PressureNs>,
}

/// What was seen while the generator ran.
struct Watched {
    summary: LoadSummary,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    open_connections: Option<u64>,
    tcp_sockets_open: u64,
    pss_bytes: Option<u64>,
    page_table_bytes: Option<u64>,
    kernel: Option<KernelMemory>,
    server_gone: bool,
}

fn watch(bench: &Bench, cell: &Cell, server: &Server, load: &mut Program) -> Result<Watched, End> {
    let tree = ProcessTree::new(server.program.pid());
    let mut watched = Watched {
        summary: LoadSummary::default(),
        before: None,
        after: None,
        open_connections: None,
        tcp_sockets_open: 0,
        pss_bytes: None,
        page_table_bytes: None,
        kernel: None,
        server_gone: false,
    };
    let own = cell.time.warmup_s + cell.time.duration_s + cell.time.timeout_s;
    let connecting = PER_CONNECTION * u32::try_from(cell.connections).unwrap_or(u32::MAX);
    let deadline = Instant::now() + Duration::from_secs_f64(own) + connecting + LOAD_SLACK;
    loop {
        let line = match load.line(deadline) {
            Ok(line) => line,
            Err(NoLine::Late) => return Err(invalid("the generator did not end in time and was killed")),
            Err(NoLine::Ended) => {
                let words = load.last_words();
                let impossible = load
                    .ended(Duration::ZERO)
                    .is_some_and(|status| status.code() == Some(2));
                let reason = format!("the generator ended without a result: {words}");
                return Err(if impossible { skipped(reason) } else { invalid(reason) });
            }
        };
        match serde_json::from_str(&line.text) {
            Ok(LoadRecord::Phase { phase, .. }) => match phase {
                LoadPhase::WarmUp => watched.open_connections = server.open_connections(),
                LoadPhase::Measuring => {
                    watched.before = snapshot(bench, tree, line.at);
                    watched.tcp_sockets_open = tcp_sockets().unwrap_or_default();
                }
                LoadPhase::Measured => {
                    watched.after = snapshot(bench, tree, line.at);
                    watched.server_gone = watched.after.is_none();
                    watched.kernel = kernel_memory();
                    if let Ok(pids) = tree.pids() {
                        watched.page_table_bytes = Some(pids.iter().copied().filter_map(page_table_bytes).sum());
                        watched.pss_bytes = Some(pids.into_iter().filter_map(proportional_set_bytes).sum());
                    }
                }
                LoadPhase::Connecting | LoadPhase::Closing => {}
            },
            Ok(LoadRecord::Summary(summary)) => {
                watched.summary = *summary;
                return Ok(watched);
            }
            Err(error) => return Err(invalid(format!("the generator printed what is no record: {error}"))),
        }
    }
}

/// `None` when the server is gone. The server's own time is read first and the wall clock beside it, since they are
/// divided by each other.
fn snapshot(bench: &Bench, tree: ProcessTree, announced: Instant) -> Option<Snapshot> {
    let at = Instant::now();
    let usage = tree.read().ok()?;
    let cpu = bench.read_cpu();
    let server_cpu = bench.server_cpu.unwrap_or_default();
    Some(Snapshot {
        at,
        lag: at.duration_since(announced),
        tree: usage,
        cpu,
        interrupts: interrupts_on(server_cpu).unwrap_or_default(),
        softirqs: softirqs_on(server_cpu).unwrap_or_default(),
        forks: forks_total().unwrap_or_default(),
        pressure: cpu_pressure(),
    })
}

impl Watched {
    fn meters(&self, bench: &Bench, sockets_before: u64, kernel_before: Option<KernelMemory>) -> Option<Meters> {
        let (before, after) = self.before.as_ref().zip(self.after.as_ref())?;
        let wall = after.at.duration_since(before.at);
        let tree = after.tree.since(&before.tree);
        let cpu = before.cpu.zip(after.cpu);
        let kernel = self.kernel.zip(kernel_before);
        let growth = |read: fn(&KernelMemory) -> u64| {
            kernel.map(|(after, before)| read(&after).cast_signed() - read(&before).cast_signed())
        };
        let share_of_wall = |share: f64| nanos(wall.mul_f64(share.clamp(0.0, 1.0)));
        Some(Meters {
            wall_ns: nanos(wall),
            cpu_run_ns: nanos(tree.run_time),
            cpu_idle_counter_ns: cpu.zip(bench.baseline).map(|((before, after), baseline)| {
                share_of_wall(1.0 - after.soaker.rate_since(&before.soaker) / baseline.loops_per_s)
            }),
            idle_loops: cpu.map(|(before, after)| after.soaker.loops - before.soaker.loops),
            idle_run_ns: cpu.map(|(before, after)| nanos(after.soaker.run_time.saturating_sub(before.soaker.run_time))),
            idle_loops_per_s_alone: bench.baseline.map(|baseline| baseline.loops_per_s),
            cpu_busy_ns: cpu.zip(bench.baseline).map(|((before, after), baseline)| {
                share_of_wall(after.busy_share_since(&before) - baseline.busy_share)
            }),
            cpu_wait_ns: nanos(tree.wait_time),
            switches_voluntary: tree.switches_voluntary,
            switches_involuntary: tree.switches_involuntary,
            page_faults: tree.page_faults,
            processes: tree.processes,
            threads: tree.threads,
            interrupts: after.interrupts - before.interrupts,
            softirqs: after.softirqs - before.softirqs,
            forks: after.forks - before.forks,
            steal_ns: cpu.map_or(0, |(before, after)| {
                nanos(after.ticks.steal.saturating_sub(before.ticks.steal))
            }),
            pressure_ns: before
                .pressure
                .zip(after.pressure)
                .map(|(before, after)| after.0 - before.0),
            meter_lag_ns: nanos(before.lag.max(after.lag)),
            open_connections: self.open_connections,
            tcp_sockets_before: sockets_before,
            tcp_sockets_open: self.tcp_sockets_open,
            pss_bytes: self.pss_bytes,
            slab_growth_bytes: growth(|kernel| kernel.slab),
            stacks_growth_bytes: growth(|kernel| kernel.stacks),
            page_tables_growth_bytes: growth(|kernel| kernel.page_tables),
            page_table_bytes: self.page_table_bytes,
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
    let mut notes = Vec::new();
    if meters.steal_ns as f64 > STEAL_NOTED * wall_ns {
        let percent = 100.0 * meters.steal_ns as f64 / wall_ns;
        notes.push(format!("the hypervisor took {percent:.1}% of the server's CPU"));
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
    record.disturbed = !notes.is_empty();
    record.notes.extend(notes);
    if !reasons.is_empty() {
        record.status = CellStatus::Invalid;
        record.reasons.extend(reasons);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

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
    fn steal_is_noted_and_no_reason_to_drop_the_cell() {
        let record = judged(|_, meters| meters.steal_ns = meters.wall_ns / 20);
        assert_eq!(record.status, CellStatus::Measured);
        assert_eq!((record.notes.len(), record.disturbed), (1, true));
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
