//! The directory that the servers of a study read files from, and how fast its disk is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use c10k_host::child::OnParentDeath;
use c10k_host::facts::file_system;
use c10k_host::scratch::Scratch;
use c10k_record::{DiskFacts, Manifest, read};

use super::process::Program;
use super::testbed::Testbed;
use crate::LabError;
use crate::plan::Plan;

/// The time over which the speed is measured.
const TIME: &str = "1s";

/// What the probe may take with its preparations, on a slow disk.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes the directory of a plan whose servers need one: below `parent`, or below the folder of the results. It is removed when
/// it is dropped, and also when the study is killed.
pub(super) fn make(plan: &Plan, parent: Option<&PathBuf>, results: &Path) -> Result<Option<Scratch>, LabError> {
    if !plan.needs_disk() {
        return Ok(None);
    }
    let parent = parent.map_or(results, PathBuf::as_path);
    let refused = |source| LabError::Disk {
        path: parent.to_owned(),
        cause: format!("{source}"),
    };
    Scratch::make(parent).map(Some).map_err(refused)
}

/// The directory of `--disk` with which a study was begun; `None` without one.
pub(super) fn directory(manifest: &Manifest) -> Option<&PathBuf> {
    manifest.disk.as_ref()?.directory.as_ref()
}

/// Whether a study whose servers have files was begun with another directory than the one that is given now, if one is.
pub(super) fn is_other(manifest: &Manifest, given: Option<&PathBuf>) -> bool {
    manifest.disk.is_some() && given.is_some() && given != directory(manifest)
}

/// With which directory it was begun, in words.
pub(super) fn given(manifest: &Manifest) -> String {
    match directory(manifest) {
        Some(directory) => format!("its --disk is {}", directory.display()),
        None => "it was begun without --disk".to_owned(),
    }
}

/// Measures the disk of the directory, if there is one. `given` is the directory of `--disk`.
pub(super) fn facts(testbed: &Testbed, given: Option<PathBuf>) -> Result<Option<DiskFacts>, LabError> {
    let Some(disk) = &testbed.disk else {
        return Ok(None);
    };
    let path = disk.path();
    let refused = |cause: String| LabError::Disk {
        path: path.to_owned(),
        cause,
    };
    let command = [
        &testbed.tool.display().to_string(),
        "probe",
        "disk-speed",
        "--json",
        "--time",
        TIME,
        "--in",
        &path.display().to_string(),
    ];
    let command = command.map(str::to_owned);
    let program = Program::start(&command, testbed.client_cpus(), OnParentDeath::Kill);
    let mut program = program.map_err(|failure| refused(format!("measuring its speed: {}", failure.reason)))?;
    let line = program.line(Instant::now() + LIMIT);
    let Ok(line) = line else {
        return Err(refused(format!("measuring its speed: {}", program.last_error_line())));
    };
    let speed = read::object(line.text.as_bytes()).map_err(|damage| refused(damage.cause))?;
    Ok(Some(DiskFacts {
        directory: given,
        file_system: file_system(path),
        speed,
    }))
}
