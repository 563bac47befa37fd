//! The competitors of c10k-event's dispatch benchmark: the library, loops written by hand, and other libraries.
//!
//! The benchmark's executable is copied into the guest. `--competitors` prints the names of its competitors, and `--count NAME`
//! measures one and prints one [`c10k_record::CostRecord`] per line.

use std::path::{Path, PathBuf};
use std::process::Command;

use c10k_units::Filter;

use crate::error::VmError;
use crate::plan::Step;
use crate::qemu::Guest;

/// The benchmark's path in the guest.
const IN_GUEST: &str = "/dispatch";

/// A library that the benchmark loads if it is installed, and the folders where it is looked for.
const LOADED: &str = "libevent_core-2.1.so.7";
const FOLDERS: [&str; 4] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib",
];

/// The benchmark and its competitors.
#[derive(Debug)]
pub(crate) struct Competitors {
    program: PathBuf,
    /// Name and load of each cell.
    cells: Vec<(String, String)>,
}

impl Competitors {
    /// The competitors of the benchmark `program`.
    pub(crate) fn of(program: &Path) -> Result<Self, VmError> {
        let unfit = |why: String| VmError::Program {
            path: program.to_owned(),
            why,
        };
        let output = Command::new(program).arg("--competitors").output();
        let output = output.map_err(|error| unfit(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let cells: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, load)| (name.to_owned(), load.to_owned()))
            .collect();
        if !output.status.success() || cells.is_empty() {
            return Err(unfit("it prints no names of competitors with --competitors".to_owned()));
        }
        Ok(Self {
            program: program.to_owned(),
            cells,
        })
    }

    /// One step for each competitor of which a cell is selected.
    pub(crate) fn steps(&self, filter: &Filter) -> Vec<Step> {
        let selected = self
            .cells
            .iter()
            .filter(|(name, load)| filter.matches(&format!("{name} {load}")));
        let mut names: Vec<&str> = selected.map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
            .into_iter()
            .map(|name| Step::new(IN_GUEST).arguments(["--count", name]))
            .collect()
    }

    /// Copies the benchmark into the guest, with the library that it loads if this host has it.
    pub(crate) fn add_to(&self, guest: &mut Guest<'_>) -> Result<(), VmError> {
        guest.add(Path::new(IN_GUEST), &self.program)?;
        let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(LOADED));
        match places.find(|place| place.exists()) {
            Some(library) => guest.add(&library, &library),
            None => Ok(()),
        }
    }
}
