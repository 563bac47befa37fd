//! Servers that run for the whole study, each with a generator that keeps its connections open. They take turns: a cell is a
//! short window of one of them, a block is a window of each, and only one generator sends at a time.
//!
//! So a block takes little more than its windows, and what is compared lies seconds apart. A window that is not valid costs its
//! server and its generator: the next try starts new ones. A server that uses CPU between its windows would disturb all the
//! others; it is found by its CPU time and measured by itself, as in a study without windows.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_host::guard::Strays;
use c10k_host::meter::{ProcessTree, available_memory, tcp_sockets};
use c10k_record::{CellRecord, CellStatus};

use super::cell;
use super::context::RunContext;
use super::end::{CellFailure, invalid};
use super::metering::{Also, Metered, Watched, meter, opened};
use super::process::Program;
use super::server::Server;
use super::testbed::Testbed;
use crate::plan::{Cell, Plan};
use crate::progress::Progress;

/// Memory that an open connection takes in the kernel and in both programs, bytes: about twice what 90,000 connections of
/// `quick` took each, servers and generators included.
const PER_CONNECTION: u64 = 16 << 10;

/// The same for a server and its generator without connections.
const PER_PAIR: u64 = 16 << 20;

/// How often the server's CPU is watched without a server: a part of the time, but often enough for a drift of its clock.
const CALIBRATE_EVERY: Duration = Duration::from_millis(500);

/// How long all servers are watched for CPU time that no request has caused, before the first block, and how often: one that is
/// idle in any of these times may share the CPU.
const WATCH: Duration = Duration::from_millis(300);
const WATCHES: u32 = 5;

/// Above this share of a CPU, a server that has no requests is not idle …
const NOT_IDLE: f64 = 0.02;

/// … unless it is less than this in all: the end of its last window may be part of it.
const NOT_IDLE_AT_LEAST: Duration = Duration::from_millis(2);

/// Why the servers of a plan cannot all run at once; `None` if they can.
pub(super) fn why_not(plan: &Plan) -> Option<String> {
    let cells = || {
        let cells = plan.cells.iter();
        cells.filter(|cell| plan.why_unavailable(cell).is_none())
    };
    let urls = cells().filter_map(|cell| Some(&plan.variants[cell.variant].external.as_ref()?.url));
    let mut seen = BTreeSet::new();
    for url in urls {
        if !seen.insert(url) {
            return Some(format!("several cells have their server at {url}"));
        }
    }
    let needed: u64 = cells().map(|cell| PER_PAIR + cell.connections * PER_CONNECTION).sum();
    // Half of it is left to whatever else runs.
    let allowed = available_memory().map(|available| available / 2);
    allowed.filter(|&allowed| needed > allowed).map(|allowed| {
        format!(
            "they may need {} MiB of memory with their connections, and {} MiB are to spare",
            needed >> 20,
            allowed >> 20
        )
    })
}

/// All servers with their generators.
pub(super) struct Pairs {
    by_cell: BTreeMap<String, Pair>,
    /// Cells that are measured by themselves, and why.
    apart: BTreeMap<String, String>,
    sockets_before: u64,
    /// Dropped last: what is left of the servers ends after them.
    _strays: Strays,
}

impl Pairs {
    /// Starts all of them and opens their connections. One that does not start is tried again at its first window, whose record
    /// says why.
    pub(super) fn start(testbed: &Testbed, plan: &Plan, progress: &Progress) -> Self {
        let mut pairs = Self {
            by_cell: BTreeMap::new(),
            apart: BTreeMap::new(),
            sockets_before: tcp_sockets().unwrap_or_default(),
            _strays: Strays::watch(),
        };
        let windows = plan.order(0).into_iter().filter_map(|index| {
            let cell = &plan.cells[index];
            plan.why_unavailable(cell).is_none().then_some(cell.window.as_deref()?)
        });
        let windows: Vec<&Cell> = windows.collect();
        let connections: u64 = windows.iter().map(|window| window.connections).sum();
        progress.say(&format!(
            "starting {} servers, each with its generator, which open {connections} connections in all",
            windows.len()
        ));
        for window in &windows {
            let mut scrap = cell::blank(plan, window, 0, 0);
            if let Ok(pair) = Pair::start(testbed, plan, window, &mut scrap) {
                pairs.by_cell.insert(window.id.clone(), pair);
            }
        }
        pairs.set_apart_what_is_not_idle(progress);
        pairs
    }

    /// Watches all servers while nobody sends, and ends those that go on using CPU.
    fn set_apart_what_is_not_idle(&mut self, progress: &Progress) {
        // A server that works once a second, for its timers, is idle in some of these times.
        let mut not_idle: Option<BTreeMap<String, String>> = None;
        for _ in 0..WATCHES {
            self.by_cell.values_mut().for_each(Pair::rest);
            std::thread::sleep(WATCH);
            let pairs = self.by_cell.iter();
            let now: BTreeMap<String, String> = pairs
                .filter(|(id, _)| not_idle.as_ref().is_none_or(|before| before.contains_key(*id)))
                .filter_map(|(id, pair)| Some((id.clone(), pair.why_not_idle()?)))
                .collect();
            let are_idle = now.is_empty();
            not_idle = Some(now);
            if are_idle {
                break;
            }
        }
        for (id, reason) in not_idle.unwrap_or_default() {
            progress.say(&format!("  {id} is measured by itself: {reason}"));
            self.by_cell.remove(&id);
            self.apart.insert(id, reason);
        }
    }

    /// Measures a cell: a window of its server, or in a run of its own if its server is not idle between its windows.
    pub(super) fn measure(
        &mut self,
        testbed: &mut Testbed,
        plan: &Plan,
        cell: &Cell,
        context: RunContext,
    ) -> CellRecord {
        let Some(window) = cell.window.as_deref() else {
            return by_itself(testbed, plan, cell, context, None);
        };
        if let Some(reason) = self.by_cell.get(&cell.id).and_then(Pair::why_not_idle) {
            self.by_cell.remove(&cell.id);
            self.apart.insert(cell.id.clone(), reason);
        }
        if let Some(reason) = self.apart.get(&cell.id) {
            return by_itself(testbed, plan, cell, context, Some(reason));
        }
        testbed.calibrate_every(CALIBRATE_EVERY);
        let context = RunContext {
            idle_elsewhere: self.idle_except(&cell.id),
            ..context
        };
        let record = cell::recorded(plan, window, context, |seed, record| {
            self.window(testbed, plan, window, seed, record)
        });
        if record.status != CellStatus::Measured {
            self.by_cell.remove(&cell.id);
        }
        record
    }

    fn window(
        &mut self,
        testbed: &Testbed,
        plan: &Plan,
        window: &Cell,
        seed: u64,
        record: &mut CellRecord,
    ) -> Result<(), CellFailure> {
        let pair = match self.by_cell.entry(window.id.clone()) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => free.insert(Pair::start(testbed, plan, window, record)?),
        };
        record.server_command.clone_from(&pair.server_command);
        record.load_command.clone_from(&pair.load_command);
        let metered = pair.window(testbed, window, seed)?;
        record.load = Some(metered.summary.clone());
        record.meters = metered.meters(testbed, self.sockets_before, None);
        pair.rest();
        cell::complete(&metered, record)
    }

    /// Idle connections that other servers hold.
    fn idle_except(&self, cell: &str) -> u64 {
        let others = self.by_cell.iter().filter(|(id, _)| *id != cell);
        others.map(|(_, pair)| pair.idle).sum()
    }
}

/// Measures a cell as a study without windows does.
fn by_itself(
    testbed: &mut Testbed,
    plan: &Plan,
    cell: &Cell,
    context: RunContext,
    reason: Option<&String>,
) -> CellRecord {
    testbed.calibrate();
    let mut record = cell::run(testbed, plan, cell, context, None);
    let note = reason.map(|reason| format!("it was measured by itself: {reason}"));
    record.notes.extend(note);
    record
}

/// A server and its generator. The generator is dropped first.
struct Pair {
    load: Program,
    server: Server,
    workers: Watched,
    idle: u64,
    server_command: Vec<String>,
    load_command: Vec<String>,
    rested: Option<Rest>,
}

/// The CPU time of a server when its last window had ended.
#[derive(Debug, Clone, Copy)]
struct Rest {
    at: Instant,
    run_time: Duration,
}

impl Pair {
    fn start(testbed: &Testbed, plan: &Plan, window: &Cell, record: &mut CellRecord) -> Result<Self, CellFailure> {
        cell::check_limits(testbed, window)?;
        let external = plan.variants[window.variant].external.as_ref();
        let strays = Strays::unwatched();
        let mut server = Server::start(testbed, window, external, Vec::new(), strays, record)?;
        let workers = Watched::before_load(&server);
        let load_command = cell::load_command(testbed, window, &server, &["--windows"]);
        record.load_command.clone_from(&load_command);
        let mut load = Program::start_held(&load_command, &testbed.client_cpus, OnParentDeath::Kill)?;
        opened(window, &mut server, &mut load).map_err(|failure| cell::or_server_ended(&mut server, failure))?;
        Ok(Self {
            load,
            server,
            workers,
            idle: window.idle,
            server_command: record.server_command.clone(),
            load_command,
            rested: None,
        })
    }

    fn window(&mut self, testbed: &Testbed, window: &Cell, seed: u64) -> Result<Metered, CellFailure> {
        // Before the window: in a short warm-up, the answer would be part of what is measured.
        let open_connections = self.server.ask_open_connections().join().ok().flatten();
        let also = Also::Nothing { open_connections };
        self.load
            .say(&seed.to_string())
            .map_err(|error| invalid(format!("the generator took no seed for a window: {error}")))?;
        meter(testbed, window, &mut self.server, &self.workers, &mut self.load, also)
            .map_err(|failure| cell::or_server_ended(&mut self.server, failure))
    }

    fn run_time(&self) -> Option<Rest> {
        let usage = ProcessTree::new(self.server.program.pid()).read(&[]).ok()?;
        Some(Rest {
            at: Instant::now(),
            run_time: usage.run_time,
        })
    }

    /// From now on, the server has nothing to do.
    fn rest(&mut self) {
        self.rested = self.run_time();
    }

    /// What is wrong if the server has used CPU since it has nothing to do.
    fn why_not_idle(&self) -> Option<String> {
        let (before, now) = self.rested.zip(self.run_time())?;
        let used = now.run_time.saturating_sub(before.run_time);
        let share = used.as_secs_f64() / now.at.duration_since(before.at).as_secs_f64().max(f64::MIN_POSITIVE);
        (share > NOT_IDLE && used > NOT_IDLE_AT_LEAST)
            .then(|| format!("without requests its server uses {:.1}% of a CPU", 100.0 * share))
    }
}
