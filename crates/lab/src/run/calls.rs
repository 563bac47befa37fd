//! The pass that counts system calls: every cell once more, after the blocks, with nothing else read from it.
//!
//! A counted call is dearer than an uncounted one, so that no time is ever taken from a counted run.

use std::path::Path;
use std::time::Duration;

use c10k_host::calls::{CallCounting, CallCounts, CallTool};
use c10k_record::{CallRecord, CellRecord, CellStatus, SCHEMA};

use super::bench::Bench;
use super::cell::{self, Place};
use super::folder::{self, Folder};
use crate::LabError;
use crate::plan::{Cell, Plan};
use crate::progress::Progress;

/// Runs what is missing of the counting passes.
pub(super) fn run_passes(bench: &Bench, plan: &Plan, path: &Path, progress: &Progress) -> Result<(), LabError> {
    if plan.call_passes == 0 {
        return Ok(());
    }
    let mut records = folder::read_calls(path)?;
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
    let tool = CallTool::find(bench.server_cpu());
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
                    Ok(tool) => count(bench, plan, cell, pass, *tool, path),
                    Err(reason) => ended(cell, pass, "", CellStatus::Skipped, reason.clone()),
                };
                folder.append(&record)?;
                records.push(record);
            }
        }
    }
    Ok(())
}

/// Gives the record of each block what was counted in the pass of the same number, so that the pass is judged like any
/// measure, block by block.
pub(super) fn join(records: &mut [CellRecord], calls: Vec<CallRecord>) {
    for call in calls {
        let valid = call.status == CellStatus::Measured;
        let same = records
            .iter_mut()
            .filter(|record| record.cell == call.cell && record.block == call.pass);
        for record in same.filter(|record| valid || record.calls.is_none()) {
            record.calls = Some(call.clone());
        }
    }
}

fn count(bench: &Bench, plan: &Plan, cell: &Cell, pass: u32, tool: CallTool, path: &Path) -> CallRecord {
    let name = tool.name();
    let outside = plan.variants[cell.variant].outside.as_ref();
    let program = outside
        .and_then(|outside| outside.command.first())
        .map_or(bench.tool.as_path(), Path::new);
    let mut counting = match tool.prepare(program, path, bench.client_cpus()) {
        Ok(counting) => counting,
        Err(error) => return ended(cell, pass, name, CellStatus::Skipped, format!("{name}: {error}")),
    };
    let place = Place {
        block: plan.blocks + pass,
        position: 0,
        best_speed: None,
    };
    let run = cell::run(bench, plan, cell, place, Some(&mut counting));
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
        Ok(CallCounts { by_name, window }) => {
            record.by_name = by_name;
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
        started_at: super::now_rfc3339(),
        seconds: 0.0,
        tool: tool.to_owned(),
        window_ns: 0,
        rate_achieved: 0.0,
        by_name: [].into(),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_pass_joins_the_block_of_its_number_and_what_failed_gives_way_to_what_did_not() {
        let mut records = vec![testing::record("a", 0, 0.1), testing::record("a", 1, 0.1)];
        let plan = Plan::resolve(&testing::experiment(), &crate::plan::Choices::default(), Some(1e3));
        let mut cell = plan.expect("it resolves").cells[0].clone();
        cell.id = "a".to_owned();
        let failed = ended(&cell, 0, "strace", CellStatus::Invalid, "late".to_owned());
        let mut good = ended(&cell, 0, "strace", CellStatus::Measured, String::new());
        good.by_name.insert("read".to_owned(), 7);
        join(&mut records, vec![good.clone(), failed.clone()]);
        assert_eq!(records[0].calls.as_ref(), Some(&good));
        assert_eq!(records[1].calls, None);
        join(&mut records[1..], vec![CallRecord { pass: 1, ..failed }]);
        assert!(
            records[1].calls.is_some(),
            "the reason is kept where there is nothing else"
        );
    }
}
