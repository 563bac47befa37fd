//! The pass that counts system calls: every cell once more, after the blocks, with nothing else read from it.
//!
//! A counted call is dearer than an uncounted one, so that no time is ever taken from a counted run.

use std::path::Path;
use std::time::Duration;

use c10k_host::calls::{CallCounting, CallCounts, CallTool};
use c10k_record::{CallRecord, CellStatus, SCHEMA};

use super::cell;
use super::context::RunContext;
use super::testbed::Testbed;
use crate::LabError;
use crate::folder::{self, Folder};
use crate::format::now_rfc3339;
use crate::plan::{Cell, Plan};
use crate::progress::Progress;

/// Runs what is missing of the counting passes.
pub(super) fn run_passes(testbed: &Testbed, plan: &Plan, path: &Path, progress: &Progress) -> Result<(), LabError> {
    if plan.call_passes == 0 {
        return Ok(());
    }
    let mut records = folder::read_calls(path)?.records;
    let due = |records: &[CallRecord], cell: &Cell, pass: u32| {
        let tries = || {
            records
                .iter()
                .filter(|record| record.pass == pass && record.cell == cell.id)
        };
        tries().count() < 2 && tries().all(|record| record.status == CellStatus::Invalid)
    };
    if !(0..plan.call_passes).any(|pass| plan.cells.iter().any(|cell| due(&records, cell, pass))) {
        return Ok(());
    }
    let tool = CallTool::find(testbed.server_cpu());
    progress.say(&match &tool {
        Ok(tool) => format!("counting system calls with {}, in a pass of its own", tool.name()),
        Err(reason) => format!("system calls are not counted: {reason}"),
    });
    let mut folder = Folder::open_calls(path)?;
    for pass in 0..plan.call_passes {
        for index in plan.order(plan.blocks + pass) {
            let cell = &plan.cells[index];
            while due(&records, cell, pass) {
                let record = match &tool {
                    _ if plan.why_unavailable(cell).is_some() => {
                        let reason = plan.why_unavailable(cell).unwrap_or_default();
                        ended(cell, pass, "", plan.status_without_run(cell), reason.to_owned())
                    }
                    Ok(tool) => count(testbed, plan, cell, pass, *tool, path),
                    Err(reason) => ended(cell, pass, "", CellStatus::Skipped, reason.clone()),
                };
                folder.append(&record)?;
                records.push(record);
            }
        }
    }
    Ok(())
}

fn count(testbed: &Testbed, plan: &Plan, cell: &Cell, pass: u32, tool: CallTool, path: &Path) -> CallRecord {
    let name = tool.name();
    let external = plan.variants[cell.variant].external.as_ref();
    let program = external
        .and_then(|external| external.command.first())
        .map_or(testbed.tool.as_path(), Path::new);
    let mut counting = match tool.prepare(program, path, testbed.client_cpus()) {
        Ok(counting) => counting,
        Err(error) => return ended(cell, pass, name, CellStatus::Skipped, format!("{name}: {error}")),
    };
    let place = RunContext {
        block: plan.blocks + pass,
        ..RunContext::default()
    };
    let run = cell::run(testbed, plan, cell, place, Some(&mut counting));
    let mut record = CallRecord {
        seconds: run.seconds,
        started_at: run.started_at.clone(),
        rate_achieved: run.load.as_ref().map_or(0.0, |load| load.rate_achieved),
        ..ended(cell, pass, name, run.status, String::new())
    };
    record.reasons = run.reasons;
    if record.status == CellStatus::Measured {
        take(counting, &mut record);
    }
    record
}

fn take(counting: CallCounting, record: &mut CallRecord) {
    match counting.finish() {
        Ok(CallCounts { by_name, .. }) if by_name.is_empty() && record.rate_achieved > 0.0 => {
            record.status = CellStatus::Invalid;
            record
                .reasons
                .push("no system call of a task called like the server was seen".to_owned());
        }
        Ok(CallCounts {
            by_name,
            switches,
            window,
        }) => {
            record.by_name = by_name;
            record.switches = switches;
            record.window_ns = nanos(window);
        }
        Err(error) => {
            record.status = CellStatus::Invalid;
            record.reasons.push(format!("system calls were not counted: {error}"));
        }
    }
}

fn ended(cell: &Cell, pass: u32, tool: &str, status: CellStatus, reason: String) -> CallRecord {
    CallRecord {
        schema: SCHEMA,
        cell: cell.id.clone(),
        pass,
        status,
        reasons: Some(reason).filter(|reason| !reason.is_empty()).into_iter().collect(),
        started_at: now_rfc3339(),
        seconds: 0.0,
        tool: tool.to_owned(),
        window_ns: 0,
        rate_achieved: 0.0,
        by_name: [].into(),
        switches: None,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
