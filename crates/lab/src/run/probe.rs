//! One cell of a study without a server: a probe as a process of its own, which measures and prints one record.

use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_record::{CellRecord, ProbeSummary, read};

use super::end::{CellFailure, invalid, skipped};
use super::process::{NoLine, Program};
use super::testbed::Testbed;
use crate::plan::Cell;

/// What a probe may take beyond its measured time to set up and to clean up.
const SLACK: Duration = Duration::from_secs(60);

/// Above this share of the time, steal by the hypervisor is noted.
const STEAL_NOTED: f64 = 0.02;

/// Runs the probe of `cell` and takes its figures into `record`.
pub(super) fn carry_out(
    testbed: &Testbed,
    cell: &Cell,
    name: &str,
    record: &mut CellRecord,
) -> Result<(), CellFailure> {
    // The server's CPU first: where a probe needs one, it takes that.
    let cpus: Vec<usize> = testbed
        .server_cpus()
        .into_iter()
        .chain(testbed.client_cpus().iter().copied())
        .collect();
    let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
    let mut command = vec![testbed.tool.display().to_string()];
    command.extend(["probe", name, "--json", "--cpus", &list.join(",")].map(str::to_owned));
    command.extend(cell.probe_flags.iter().cloned());
    record.server_command.clone_from(&command);
    let before = testbed.read_cpu();
    let started = Instant::now();
    let mut program = Program::start(&command, &cpus, OnParentDeath::Kill)?;
    let limit = Duration::from_secs_f64(cell.time.warmup_s + cell.time.duration_s) + SLACK;
    let line = match program.line(started + limit) {
        Ok(line) => line,
        Err(NoLine::Late) => {
            return Err(invalid(format!(
                "the probe did not end within {limit:?} and was killed"
            )));
        }
        Err(NoLine::Ended) => {
            let why = program.last_error_line();
            let code = program.ended(Duration::ZERO).and_then(|status| status.code());
            return Err(without_result(code, &why));
        }
    };
    let wall = started.elapsed();
    let summary: ProbeSummary = read::object(line.text.as_bytes())
        .map_err(|damage| invalid(format!("the probe printed what is no record: {}", damage.cause)))?;
    record.probe = Some(summary);
    if program.ended(SLACK).is_none() {
        return Err(invalid(format!(
            "the probe did not clean up within {SLACK:?} and was killed"
        )));
    }
    if let Some((before, after)) = before.zip(testbed.read_cpu()) {
        let steal = after.ticks.steal.saturating_sub(before.ticks.steal);
        if steal.as_secs_f64() > STEAL_NOTED * wall.as_secs_f64() {
            let percent = 100.0 * steal.as_secs_f64() / wall.as_secs_f64();
            record
                .notes
                .push(format!("the hypervisor took {percent:.1}% of the CPU"));
            record.disturbed = true;
        }
    }
    Ok(())
}

/// The end of a probe without a result. Its options were checked before, so that the machine is what it refuses with code 2. It has
/// another code if what it measures failed.
fn without_result(code: Option<i32>, why: &str) -> CellFailure {
    match code {
        Some(2) => skipped(format!("the probe cannot run here: {why}")),
        _ => invalid(format!("the probe ended without a result: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::CellStatus;

    #[test]
    fn what_the_machine_lacks_skips_a_cell_and_what_failed_makes_it_invalid() {
        let status = |code| without_result(code, "3 processes of the daemon were lost").status;
        assert_eq!(status(Some(2)), CellStatus::Skipped);
        assert_eq!(status(Some(1)), CellStatus::Invalid);
        assert_eq!(status(None), CellStatus::Invalid);
    }
}
