//! Reads the meters when the generator changes its phase, and the generator's own result.

use std::io;
use std::time::{Duration, Instant};

use c10k_host::calls::CallCounting;
use c10k_host::meter::{
    KernelMemory, Member, PressureNs, ProcessTree, Resource, TreeUsage, forks_total, interrupts_on, kernel_memory,
    page_table_bytes, pressure, proportional_set_bytes, run_queue_wait, softirqs_on, tcp_sockets,
};
use c10k_record::{LoadPhase, LoadRecord, LoadSummary, Meters, read};

use super::end::{CellFailure, failed, invalid, skipped};
use super::process::{Line, NoLine, Program};
use super::server::Server;
use super::testbed::{CpuReading, Testbed};
use crate::plan::Cell;

/// What the generator gets beyond its own times for starting, for each connection, and for ending.
const LOAD_SLACK: Duration = Duration::from_secs(15);
const PER_CONNECTION: Duration = Duration::from_millis(4);

/// How often the server is asked whether it is still there: a generator would go on for minutes without it.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// The processes of a server that were running at some instant, to be asked later whether they still are.
pub(super) struct Watched(Vec<Member>);

impl Watched {
    /// All processes of the server, before a generator connects: none of them serves a single connection.
    pub(super) fn before_load(server: &Server) -> Self {
        /// How long a server may take to start its workers after it has begun to listen.
        const STARTING: Duration = Duration::from_millis(200);
        const PAUSE: Duration = Duration::from_millis(5);
        let tree = ProcessTree::new(server.program.pid());
        let until = Instant::now() + STARTING;
        let mut members = tree.members().unwrap_or_default();
        loop {
            std::thread::sleep(PAUSE);
            let now = tree.members().unwrap_or_default();
            if now.len() == members.len() || Instant::now() >= until {
                return Self(now);
            }
            members = now;
        }
    }

    /// Those that have ended since, in one sentence; `None` if there are none.
    fn ended(&self) -> Option<String> {
        let ended = self.0.iter().filter(|member| !member.is_running()).count();
        (ended > 0).then(|| {
            format!(
                "{ended} of {} processes of the server ended before the measured time did: find out what killed them, or \
                 have the server keep its workers",
                self.0.len()
            )
        })
    }
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
    generator_wait: Option<Duration>,
    cpu_pressure: Option<PressureNs>,
    memory_pressure: Option<PressureNs>,
    io_pressure: Option<PressureNs>,
}

/// What was seen while the generator ran.
pub(super) struct Metered {
    pub(super) summary: LoadSummary,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    open_connections: Option<u64>,
    tcp_sockets_open: u64,
    pss_bytes: Option<u64>,
    page_table_bytes: Option<u64>,
    kernel: Option<KernelMemory>,
    /// Why the figures are not those of the whole server, if some of it has ended.
    pub(super) ended: Option<String>,
}

/// Follows a generator with windows until all its connections are open and it waits.
pub(super) fn opened(cell: &Cell, server: &mut Server, load: &mut Program) -> Result<(), CellFailure> {
    let deadline = Instant::now() + time_allowed(cell);
    loop {
        match next_record(server, load, deadline)? {
            (
                LoadRecord::Phase {
                    phase: LoadPhase::Waiting,
                    ..
                },
                _,
            ) => return Ok(()),
            (LoadRecord::Phase { .. }, _) => {}
            (LoadRecord::Unavailable { reason, .. }, _) => return Err(unavailable(&reason)),
            (LoadRecord::Summary(_), _) => {
                return Err(invalid("the generator printed a result before its first window"));
            }
        }
    }
}

fn unavailable(reason: &str) -> CellFailure {
    skipped(format!("the generator cannot run here: {reason}"))
}

/// What is done in addition to reading the meters.
pub(super) enum Also<'a> {
    /// The server is asked for its open connections in the warm-up. The counting, if any, is on while the generator measures.
    Ask(Option<&'a mut CallCounting>),
    /// Nothing: the server was asked before.
    Nothing { open_connections: Option<u64> },
}

/// Follows the generator to its end, or to the end of its window.
pub(super) fn meter(
    testbed: &Testbed,
    cell: &Cell,
    server: &mut Server,
    workers: &Watched,
    load: &mut Program,
    also: Also<'_>,
) -> Result<Metered, CellFailure> {
    let (is_asked, mut counting, open_connections) = match also {
        Also::Ask(counting) => (true, counting, None),
        Also::Nothing { open_connections } => (false, None, open_connections),
    };
    let tree = ProcessTree::new(server.program.pid());
    let mut metered = Metered {
        summary: LoadSummary::default(),
        before: None,
        after: None,
        open_connections,
        tcp_sockets_open: 0,
        pss_bytes: None,
        page_table_bytes: None,
        kernel: None,
        ended: None,
    };
    let mut asked = None;
    let deadline = Instant::now() + time_allowed(cell);
    // The processes that serve when the measured time begins, listed beforehand: with thousands it takes a while.
    let mut known = Vec::new();
    loop {
        let (record, at) = next_record(server, load, deadline)?;
        match record {
            LoadRecord::Phase { phase, .. } => match phase {
                LoadPhase::WarmUp => {
                    asked = is_asked.then(|| server.ask_open_connections());
                    known = tree.pids().unwrap_or_default();
                }
                LoadPhase::Measuring => {
                    switch(&mut counting, CallCounting::start)?;
                    metered.before = snapshot(testbed, tree, &known, load, at);
                    metered.tcp_sockets_open = tcp_sockets().unwrap_or_default();
                }
                LoadPhase::Measured => {
                    switch(&mut counting, CallCounting::stop)?;
                    metered.after = snapshot(testbed, tree, &known, load, at);
                    metered.ended = server
                        .why_ended()
                        .map(|why| format!("the server ended while it was measured: {why}"));
                    metered.ended = metered.ended.or_else(|| workers.ended());
                }
                // Everything is still open, and nothing is sent any more.
                LoadPhase::Closing => {
                    metered.read_memory(tree);
                    load.end_input();
                }
                LoadPhase::Connecting | LoadPhase::Waiting => {}
            },
            LoadRecord::Unavailable { reason, .. } => return Err(unavailable(&reason)),
            LoadRecord::Summary(summary) => {
                metered.summary = *summary;
                let answer = asked.and_then(|asked| asked.join().ok().flatten());
                metered.open_connections = metered.open_connections.or(answer);
                return Ok(metered);
            }
        }
    }
}

/// The next record of the generator, and when it came.
fn next_record(
    server: &mut Server,
    load: &mut Program,
    deadline: Instant,
) -> Result<(LoadRecord, Instant), CellFailure> {
    let line = match next_line(server, load, deadline)? {
        Ok(line) => line,
        Err(NoLine::Late) => return Err(invalid("the generator did not end in time and was killed")),
        Err(NoLine::Ended) => return Err(ended_without_result(load)),
    };
    match read::object(line.text.as_bytes()) {
        Ok(record) => Ok((record, line.at)),
        Err(damage) => {
            let cause = damage.cause;
            Err(invalid(format!("the generator printed what is no record: {cause}")))
        }
    }
}

fn ended_without_result(load: &mut Program) -> CellFailure {
    let reason = format!("the generator ended without a result: {}", load.last_error_line());
    let status = load.ended(Duration::ZERO);
    if status.is_some_and(|status| status.code() == Some(2)) {
        failed(reason)
    } else {
        invalid(reason)
    }
}

/// The next line of the generator, unless the server ends before it.
fn next_line(server: &mut Server, load: &mut Program, deadline: Instant) -> Result<Result<Line, NoLine>, CellFailure> {
    loop {
        let line = load.line(deadline.min(Instant::now() + WATCH_EVERY));
        if line.is_err()
            && let Some(why) = server.why_ended()
        {
            return Err(invalid(format!("the server ended while it was measured: {why}")));
        }
        match line {
            Err(NoLine::Late) if Instant::now() < deadline => {}
            line => return Ok(line),
        }
    }
}

fn time_allowed(cell: &Cell) -> Duration {
    let own = cell.time.warmup_s + cell.time.duration_s + cell.time.timeout_s;
    let connecting = PER_CONNECTION * u32::try_from(cell.connections).unwrap_or(u32::MAX);
    Duration::from_secs_f64(own) + connecting + LOAD_SLACK
}

fn switch(
    counting: &mut Option<&mut CallCounting>,
    how: fn(&mut CallCounting) -> io::Result<()>,
) -> Result<(), CellFailure> {
    match counting {
        Some(counting) => how(counting).map_err(|error| invalid(format!("system calls were not counted: {error}"))),
        None => Ok(()),
    }
}

/// `None` if the server has ended. The wall clock is read right before the server's time, because the two are divided by
/// each other.
fn snapshot(
    testbed: &Testbed,
    tree: ProcessTree,
    known: &[u32],
    load: &Program,
    announced: Instant,
) -> Option<Snapshot> {
    let at = Instant::now();
    let usage = tree.read(known).ok()?;
    let cpu = testbed.read_cpu();
    let server_cpu = testbed.server_cpu.unwrap_or_default();
    Some(Snapshot {
        at,
        lag: at.duration_since(announced),
        tree: usage,
        cpu,
        interrupts: interrupts_on(server_cpu).unwrap_or_default(),
        softirqs: softirqs_on(server_cpu).unwrap_or_default(),
        forks: forks_total().unwrap_or_default(),
        generator_wait: run_queue_wait(load.pid()),
        cpu_pressure: pressure(Resource::Cpu),
        memory_pressure: pressure(Resource::Memory),
        io_pressure: pressure(Resource::Io),
    })
}

impl Metered {
    fn read_memory(&mut self, tree: ProcessTree) {
        self.kernel = kernel_memory();
        if let Ok(pids) = tree.pids() {
            self.page_table_bytes = Some(pids.iter().copied().filter_map(page_table_bytes).sum());
            self.pss_bytes = Some(pids.into_iter().filter_map(proportional_set_bytes).sum());
        }
    }

    pub(super) fn meters(
        &self,
        testbed: &Testbed,
        sockets_before: u64,
        kernel_before: Option<KernelMemory>,
    ) -> Option<Meters> {
        let (before, after) = self.before.as_ref().zip(self.after.as_ref())?;
        let wall = after.at.duration_since(before.at);
        let tree = after.tree.since(&before.tree);
        let cpu = before.cpu.zip(after.cpu);
        let kernel = self.kernel.zip(kernel_before);
        let growth = |read: fn(&KernelMemory) -> u64| {
            kernel.map(|(after, before)| read(&after).cast_signed() - read(&before).cast_signed())
        };
        let waited = |read: fn(&Snapshot) -> Option<PressureNs>| {
            let both = read(before).zip(read(after));
            both.map(|(before, after)| after.0.saturating_sub(before.0))
        };
        let generator = before.generator_wait.zip(after.generator_wait);
        let share_of_wall = |share: f64| nanos(wall.mul_f64(share.clamp(0.0, 1.0)));
        Some(Meters {
            wall_ns: nanos(wall),
            cpu_run_ns: nanos(tree.run_time),
            cpu_idle_counter_ns: cpu.zip(testbed.baseline).map(|((before, after), baseline)| {
                share_of_wall(1.0 - after.idle_counter.rate_since(&before.idle_counter) / baseline.loops_per_s)
            }),
            idle_loops: cpu.map(|(before, after)| after.idle_counter.loops - before.idle_counter.loops),
            idle_run_ns: cpu
                .map(|(before, after)| nanos(after.idle_counter.run_time.saturating_sub(before.idle_counter.run_time))),
            idle_loops_per_s_alone: testbed.baseline.map(|baseline| baseline.loops_per_s),
            cpu_busy_ns: cpu.zip(testbed.baseline).map(|((before, after), baseline)| {
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
            pressure_ns: waited(|snapshot| snapshot.cpu_pressure),
            memory_pressure_ns: waited(|snapshot| snapshot.memory_pressure),
            io_pressure_ns: waited(|snapshot| snapshot.io_pressure),
            generator_wait_ns: generator.map(|(before, after)| nanos(after.saturating_sub(before))),
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
