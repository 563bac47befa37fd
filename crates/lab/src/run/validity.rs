//! Whether a cell's figures describe the server, and what disturbed it.
//!
//! *Invalid*: the figures describe something else, and the cell does not count. *Disturbed*: they describe the server under
//! conditions that its neighbours did not have; the cell counts, and is repeated where the budget leaves room.

use c10k_record::{CellRecord, CellStatus, LoadRow, LoadSummary, Meters, ServeSummary};

use super::context::RunContext;
use crate::measure;
use crate::plan::Cell;

/// Above this share of the measured time, steal by the hypervisor is noted.
const STEAL_NOTED: f64 = 0.02;

/// Below this share of the best speed that the server's CPU has shown in this study, the cell is disturbed.
const SPEED_QUIET: f64 = 0.85;

/// Above this share of the measured time, what else ran on the server's CPU disturbs the cell: beyond the interrupts of any
/// server, and beyond the grain of tick accounting.
const FOREIGN_NOTED: f64 = 0.15;

/// Above this share of the measured time, the one thread of a server waited for its CPU, which somebody else had.
const WAIT_NOTED: f64 = 0.05;

/// Above this share of the measured time, the generator waited for a CPU.
const GENERATOR_WAIT_NOTED: f64 = 0.10;

/// Above this share of the measured time, some task of the machine waited for memory or for a disk.
const PRESSURE_NOTED: f64 = 0.05;

/// Above this share of the measured time, a late reading of the meters makes the cell invalid.
const LAG_ALLOWED: f64 = 0.05;

/// By more than this part, the number of requests in the system is not their rate times their response time.
const LITTLE_ALLOWED: f64 = 0.05;

/// Response times above this share of the measured time reach over its ends.
const WITHIN: f64 = 0.1;

/// Where a server that has time left answers less than this share in time, something else is the limit.
const ACHIEVED_AT_LEAST: f64 = 0.9;

/// What is checked.
struct Facts<'a> {
    cell: &'a Cell,
    idle_elsewhere: u64,
    load: &'a LoadSummary,
    server: Option<&'a ServeSummary>,
    meters: &'a Meters,
}

/// Each finds one thing that makes a cell invalid.
const RULES: &[fn(&Facts) -> Option<String>] = &[
    generator_totals,
    rows_answered,
    littles_law,
    achieved,
    server_totals,
    sockets,
    open_connections,
    idle_open,
    meters_late,
];

/// Makes a cell invalid whose figures do not describe the server, and notes what disturbed it.
pub(super) fn check(cell: &Cell, context: RunContext, record: &mut CellRecord) {
    let (Some(load), Some(meters)) = (&record.load, &record.meters) else {
        return;
    };
    let facts = Facts {
        cell,
        idle_elsewhere: context.idle_elsewhere,
        load,
        server: record.server.as_ref(),
        meters,
    };
    let mut reasons = load.invalid_because.clone();
    if !load.valid && reasons.is_empty() {
        reasons.push("the generator calls its result invalid and does not say why".to_owned());
    }
    reasons.extend(RULES.iter().filter_map(|rule| rule(&facts)));
    let notes = disturbances(cell, meters, context.best_speed);
    record.disturbed = !notes.is_empty();
    let own = own_waits(cell, meters);
    record.notes.extend(notes.into_iter().chain(own));
    if !reasons.is_empty() {
        record.status = CellStatus::Invalid;
        record.reasons.extend(reasons);
    }
}

fn generator_totals(facts: &Facts) -> Option<String> {
    (!facts.load.reconciles()).then(|| "the generator's totals do not reconcile".to_owned())
}

/// What one kind of requests does to the others is not measured if the server does not have what all of that kind ask for, as it
/// has no reads from the disk on a file system without one. Requests that fail otherwise are what an overload does.
fn rows_answered(facts: &Facts) -> Option<String> {
    /// Not found, and not implemented.
    const LACKING: [&str; 2] = ["404", "501"];
    let lacking = |row: &&LoadRow| {
        let statuses = LACKING.iter().filter_map(|status| row.statuses.get(*status));
        row.sent > 0 && row.completed == 0 && statuses.sum::<u64>() == row.sent
    };
    let row = facts.load.rows.iter().find(lacking)?;
    let statuses = row.statuses.iter();
    let statuses: Vec<String> = statuses
        .map(|(status, count)| format!("{count} × status {status}"))
        .collect();
    Some(format!(
        "none of the {} requests for {} got a good reply ({}): choose what this server can do here, such as another disk (--disk)",
        row.sent,
        row.request,
        statuses.join(", ")
    ))
}

/// Tested where every request was answered, and soon enough: a queue that grows is no steady state. Requests that reach over an
/// end of the measured time, and those of the warm-up that are answered within it, are in one of the two sides only.
fn littles_law(facts: &Facts) -> Option<String> {
    let load = facts.load;
    let (duration_s, longest_s) = (load.duration_s, load.latency_ns.max as f64 / 1e9);
    let is_steady = load.completed == load.intended && longest_s <= WITHIN * duration_s;
    let counted = load.in_system_mean;
    let by_times = load.rate_achieved * load.latency_ns.mean / 1e9;
    let strays = load.replies_measured.abs_diff(load.completed) as f64;
    let edges = (2.0 * (counted + 1.0) + strays) * longest_s / duration_s;
    let differ = (counted - by_times).abs() > LITTLE_ALLOWED * counted.max(by_times) + edges;
    (is_steady && differ).then(|| {
        format!(
            "the generator counted {counted:.2} requests in the system, but the reply rate times the response time is \
             {by_times:.2} (Little's law)"
        )
    })
}

/// A server that is not full and has answered everything keeps up; where the replies nevertheless come more slowly than the
/// requests were due, the generator or what lies between them was the limit.
fn achieved(facts: &Facts) -> Option<String> {
    let Facts { load, meters, .. } = facts;
    // With one CPU for both the generator takes its part of it.
    let busy_ns = meters.cpu_busy_ns?;
    let used_ns = meters
        .cpu_idle_counter_ns
        .unwrap_or_default()
        .max(meters.cpu_run_ns)
        .max(busy_ns);
    let is_full = used_ns as f64 > ACHIEVED_AT_LEAST * meters.wall_ns as f64;
    let all_answered = load.completed == load.intended && load.loop_kind == "open";
    // What was under way when the measured time ended, a last burst among it.
    let under_way = 3.0 * load.in_system_mean + facts.cell.burst as f64;
    let is_short = (load.replies_measured as f64) < load.intended as f64 * ACHIEVED_AT_LEAST - under_way;
    (all_answered && is_short && !is_full).then(|| {
        format!(
            "{:.0} replies a second came for {:.0} requests a second, but the server's CPU had time left: something other \
             than the server was the limit",
            load.rate_achieved, load.rate_offered
        )
    })
}

fn server_totals(facts: &Facts) -> Option<String> {
    let server = facts.server?;
    (!server.reconciles()).then(|| "the server's counters of signals do not reconcile".to_owned())
}

/// Not less what was open before: sockets of the cell before may still be on their way out.
fn sockets(facts: &Facts) -> Option<String> {
    let idle = facts.load.idle.target + facts.idle_elsewhere;
    let open = facts.meters.tcp_sockets_open;
    (open < 2 * idle).then(|| {
        format!(
            "{idle} idle connections need {} sockets on loopback, and the kernel counts {open} (sockstat)",
            2 * idle
        )
    })
}

fn open_connections(facts: &Facts) -> Option<String> {
    let idle = facts.load.idle.target;
    let open = facts.meters.open_connections.filter(|&open| open < idle)?;
    Some(format!(
        "the server counts {open} open connections (/stats), fewer than the {idle} idle ones"
    ))
}

fn idle_open(facts: &Facts) -> Option<String> {
    let idle = facts.load.idle;
    (idle.open_min < idle.target)
        .then(|| format!("only {} of {} idle connections stayed open", idle.open_min, idle.target))
}

fn meters_late(facts: &Facts) -> Option<String> {
    let Meters {
        meter_lag_ns, wall_ns, ..
    } = *facts.meters;
    (meter_lag_ns as f64 > LAG_ALLOWED * wall_ns as f64).then(|| {
        format!(
            "the meters were read {:.0} ms late, and the measured time is {:.0} ms",
            meter_lag_ns as f64 / 1e6,
            facts.cell.time.duration_s * 1e3
        )
    })
}

/// That some task waited for a disk, if the server of the cell works on one: it is what is measured.
fn own_waits(cell: &Cell, meters: &Meters) -> Option<String> {
    let share = meters.io_pressure_ns.filter(|_| cell.needs_disk)? as f64 / meters.wall_ns as f64;
    (share > PRESSURE_NOTED).then(|| {
        format!(
            "some task of the machine waited {:.1}% of the time for a disk; the server's own reads and writes count, so that the \
             cell is not called disturbed",
            100.0 * share
        )
    })
}

/// What took the machine from the server or the generator, or slowed the server's CPU, by more than its bound. Pressure on
/// CPUs is none of it: the idle counter waits for the server by design, and so do the server's threads for each other. Nor is
/// pressure on a disk if the server works on one.
fn disturbances(cell: &Cell, meters: &Meters, best_speed: Option<f64>) -> Vec<String> {
    let share = |time_ns: u64| time_ns as f64 / meters.wall_ns as f64;
    let beyond = |time_ns: Option<u64>, bound: f64| {
        let share = time_ns.map(share).filter(|&share| share > bound)?;
        Some(format!("{:.1}%", 100.0 * share))
    };
    let foreign_ns = meters.cpu_busy_ns.map(|busy| busy.saturating_sub(meters.cpu_run_ns));
    // One thread that serves, and ours has another that waits for signals.
    let serves_alone = meters.processes == 1 && meters.threads <= 2;
    // With one CPU for both they wait for each other.
    let has_own_cpu = meters.cpu_busy_ns.is_some();
    let alone_ns = Some(meters.cpu_wait_ns).filter(|_| serves_alone && has_own_cpu);
    let generator_ns = meters.generator_wait_ns.filter(|_| has_own_cpu);
    let disk_ns = meters.io_pressure_ns.filter(|_| !cell.needs_disk);
    let mut notes = Vec::new();
    for (time_ns, bound, before, after) in [
        (
            Some(meters.steal_ns),
            STEAL_NOTED,
            "the hypervisor took",
            "of the server's CPU",
        ),
        (
            foreign_ns,
            FOREIGN_NOTED,
            "something other than the server took",
            "of its CPU, and the server waited for it",
        ),
        (
            alone_ns,
            WAIT_NOTED,
            "the server's thread waited",
            "of the time for its CPU",
        ),
        (
            generator_ns,
            GENERATOR_WAIT_NOTED,
            "the generator waited",
            "of the time for a CPU",
        ),
        (
            meters.memory_pressure_ns,
            PRESSURE_NOTED,
            "some task of the machine waited",
            "of the time for memory",
        ),
        (
            disk_ns,
            PRESSURE_NOTED,
            "some task of the machine waited",
            "of the time for a disk",
        ),
    ] {
        if let Some(percent) = beyond(time_ns, bound) {
            notes.push(format!("{before} {percent} {after}"));
        }
    }
    if let Some(speed) = best_speed.and_then(|best| Some(measure::cpu_speed(meters)? / best))
        && speed < SPEED_QUIET
    {
        let percent = 100.0 * speed;
        notes.push(format!(
            "the server's CPU ran at {percent:.0}% of its best speed in this study; a neighbour of a virtual machine can \
             cause this"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Choices, Plan};
    use crate::testing;

    fn cell() -> Cell {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        plan.cells[0].clone()
    }

    fn checked(change: impl FnOnce(&mut LoadSummary, &mut Meters)) -> CellRecord {
        checked_as(&cell(), change)
    }

    fn checked_as(cell: &Cell, change: impl FnOnce(&mut LoadSummary, &mut Meters)) -> CellRecord {
        let mut record = testing::record("flat idle=10", 0, 0.1);
        let (Some(load), Some(meters)) = (&mut record.load, &mut record.meters) else {
            panic!("a record has both");
        };
        load.idle.target = 10;
        load.idle.open_min = 10;
        // 1,000 replies a second of 1 ms each.
        load.loop_kind = "open".to_owned();
        (load.latency_ns.mean, load.latency_ns.max) = (1e6, 1_000_000);
        load.in_system_mean = 1.0;
        load.replies_measured = load.completed;
        meters.tcp_sockets_open = 36;
        change(load, meters);
        check(cell, among(0), &mut record);
        record
    }

    fn among(idle_elsewhere: u64) -> RunContext {
        RunContext {
            best_speed: Some(1e6),
            idle_elsewhere,
            ..RunContext::default()
        }
    }

    #[test]
    fn the_sockets_of_the_servers_that_wait_are_there_too() {
        let mut record = checked(|_, _| {});
        check(&cell(), among(8), &mut record);
        assert_eq!(record.status, CellStatus::Measured, "{:?}", record.reasons);
        check(&cell(), among(9), &mut record);
        assert_eq!(
            record.reasons,
            ["19 idle connections need 38 sockets on loopback, and the kernel counts 36 (sockstat)"]
        );
    }

    #[test]
    fn a_clean_cell_is_measured() {
        let record = checked(|_, _| {});
        assert_eq!(record.status, CellStatus::Measured, "{:?}", record.reasons);
    }

    #[test]
    fn each_doubt_makes_a_cell_invalid_and_is_named() {
        type Change = fn(&mut LoadSummary, &mut Meters);
        let cases: [(Change, &str); 9] = [
            (|load, _| load.valid = false, "calls its result invalid"),
            (|load, _| load.sent += 1, "do not reconcile"),
            (|load, _| load.in_system_mean = 1.07, "Little's law"),
            (|load, _| load.latency_ns.mean = 1.5e6, "Little's law"),
            (
                |load, _| (load.replies_measured, load.latency_ns.max) = (440, 80_000_000),
                "was the limit",
            ),
            (|_, meters| meters.tcp_sockets_open = 12, "sockstat"),
            (|_, meters| meters.open_connections = Some(9), "/stats"),
            (|load, _| load.idle.open_min = 9, "only 9 of 10"),
            (|_, meters| meters.meter_lag_ns = meters.wall_ns / 10, "late"),
        ];
        for (change, reason) in cases {
            let record = checked(change);
            assert_eq!(record.status, CellStatus::Invalid, "{reason}");
            assert!(
                record.reasons.iter().any(|text| text.contains(reason)),
                "{:?}",
                record.reasons
            );
        }
    }

    #[test]
    fn a_server_that_is_full_or_lost_requests_may_answer_fewer_than_were_due() {
        let full = checked(|load, meters| {
            load.replies_measured = 200;
            meters.cpu_run_ns = meters.wall_ns * 99 / 100;
            meters.cpu_busy_ns = Some(meters.cpu_run_ns);
        });
        assert_eq!(full.status, CellStatus::Measured, "{:?}", full.reasons);
        let bursts = checked(|load, _| {
            (load.replies_measured, load.latency_ns.max) = (449, 80_000_000);
        });
        assert_eq!(bursts.status, CellStatus::Measured, "{:?}", bursts.reasons);
        let lossy = checked(|load, _| {
            (load.completed, load.timed_out) = (400, 100);
            load.replies_measured = 400;
        });
        assert_eq!(lossy.status, CellStatus::Measured, "{:?}", lossy.reasons);
    }

    #[test]
    fn a_kind_of_requests_that_the_server_lacks_makes_the_cell_invalid_and_one_that_fails_otherwise_does_not() {
        let row = |intended, completed, status: &str| {
            let refused: u64 = intended - completed;
            let counts = |name: &str| [(name.to_owned(), refused)].into_iter().filter(|(_, count)| *count > 0);
            LoadRow {
                request: "/file/{zipf:9}/cold".to_owned(),
                intended,
                sent: intended,
                completed,
                errors: counts("bad-status").collect(),
                statuses: counts(status).collect(),
                ..LoadRow::default()
            }
        };
        let with = |refused: u64, status: &str| {
            checked(|load, _| {
                load.rows = vec![row(450, 450, status), row(50, 50 - refused, status)];
                load.completed = 500 - refused;
                load.errors = load.rows[1].errors.clone();
            })
        };
        for (refused, status) in [(0, "501"), (49, "501"), (50, "503")] {
            let record = with(refused, status);
            assert_eq!(record.status, CellStatus::Measured, "{:?}", record.reasons);
        }
        for status in ["404", "501"] {
            let record = with(50, status);
            assert_eq!(record.status, CellStatus::Invalid);
            let (reason, found) = (&record.reasons[0], format!("(50 × status {status})"));
            assert!(
                reason.contains("/cold got a good reply") && reason.contains(&found),
                "{reason}"
            );
        }
        let reset = checked(|load, _| {
            let mut lost = row(50, 0, "501");
            lost.statuses.clear();
            load.rows = vec![row(450, 450, "501"), lost];
            load.completed = 450;
            load.errors = load.rows[1].errors.clone();
        });
        assert_eq!(reset.status, CellStatus::Measured, "{:?}", reset.reasons);
    }

    #[test]
    fn each_disturbance_has_its_bound_and_drops_no_cell() {
        type Change = fn(&mut Meters, u64);
        let cases: [(Change, f64, &str); 6] = [
            (|meters, ns| meters.steal_ns = ns, STEAL_NOTED, "hypervisor"),
            (
                |meters, ns| meters.cpu_busy_ns = Some(meters.cpu_run_ns + ns),
                FOREIGN_NOTED,
                "something other",
            ),
            (
                |meters, ns| meters.cpu_wait_ns = ns,
                WAIT_NOTED,
                "server's thread waited",
            ),
            (
                |meters, ns| meters.generator_wait_ns = Some(ns),
                GENERATOR_WAIT_NOTED,
                "generator waited",
            ),
            (
                |meters, ns| meters.memory_pressure_ns = Some(ns),
                PRESSURE_NOTED,
                "for memory",
            ),
            (
                |meters, ns| meters.io_pressure_ns = Some(ns),
                PRESSURE_NOTED,
                "for a disk",
            ),
        ];
        for (change, bound, words) in cases {
            let at = |share: f64| {
                checked(|_, meters| {
                    (meters.processes, meters.threads) = (1, 2);
                    change(meters, (share * meters.wall_ns as f64) as u64);
                })
            };
            assert!(!at(bound - 0.01).disturbed, "{words}");
            let beyond = at(bound + 0.01);
            assert_eq!(
                (beyond.status, beyond.disturbed),
                (CellStatus::Measured, true),
                "{words}"
            );
            assert!(
                beyond.notes.len() == 1 && beyond.notes[0].contains(words),
                "{:?}",
                beyond.notes
            );
        }
        let threads = checked(|_, meters| {
            (meters.processes, meters.threads, meters.cpu_wait_ns) = (1, 8, meters.wall_ns);
        });
        assert!(!threads.disturbed, "threads wait for each other");
        let one_cpu = checked(|_, meters| {
            (meters.processes, meters.threads, meters.cpu_wait_ns) = (1, 2, meters.wall_ns);
            (meters.cpu_busy_ns, meters.generator_wait_ns) = (None, Some(meters.wall_ns));
        });
        assert!(!one_cpu.disturbed, "server and generator wait for each other");
    }

    #[test]
    fn waits_for_the_disk_that_a_server_works_on_are_noted_and_disturb_nothing() {
        let with_files = Cell {
            needs_disk: true,
            ..cell()
        };
        let waited = |meters: &mut Meters| meters.io_pressure_ns = Some(meters.wall_ns / 2);
        let record = checked_as(&with_files, |_, meters| waited(meters));
        assert!(!record.disturbed, "{:?}", record.notes);
        assert!(
            record.notes.len() == 1 && record.notes[0].contains("50.0% of the time for a disk"),
            "{:?}",
            record.notes
        );
        let both = checked_as(&with_files, |_, meters| {
            waited(meters);
            meters.steal_ns = meters.wall_ns / 2;
        });
        assert!(both.disturbed, "{:?}", both.notes);
        assert!(checked_as(&with_files, |_, _| {}).notes.is_empty());
    }

    #[test]
    fn a_slow_cpu_disturbs_a_cell() {
        let with_loops = |loops| {
            checked(|_, meters| {
                meters.idle_loops = Some(loops);
                meters.idle_run_ns = Some(400_000_000);
            })
        };
        // The best speed of the tests is a million loops a second: 0.4 s of it are 400,000 loops.
        assert!(!with_loops(390_000).disturbed);
        assert!(with_loops(300_000).disturbed);
    }
}
