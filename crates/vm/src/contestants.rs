//! The contestants of c10k-event's dispatch benchmark: the library, loops written by hand, and other libraries.
//!
//! The benchmark's executable goes into the guest as it is. It names its contestants (`--competitors`) and counts one of
//! them (`--count NAME`), which prints a [`c10k_record::CostRecord`] a line.

use std::path::{Path, PathBuf};
use std::process::Command;

use c10k_units::Filter;

use crate::{Guest, Step, VmError};

/// Where the benchmark stands in the guest.
const IN_GUEST: &str = "/dispatch";

/// A library that the benchmark loads if it is there, and where the loader of the usual systems looks for it.
const LOADED: &str = "libevent_core-2.1.so.7";
const FOLDERS: [&str; 4] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib",
];

/// The benchmark, and whom it compares.
#[derive(Debug)]
pub(crate) struct Contestants {
    program: PathBuf,
    /// Name and load of each cell.
    cells: Vec<(String, String)>,
}

impl Contestants {
    /// Those of the benchmark in `program`.
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
            return Err(unfit(
                "it names no contestants when it is asked with --competitors".to_owned(),
            ));
        }
        Ok(Self {
            program: program.to_owned(),
            cells,
        })
    }

    /// One step for each contestant of which a cell is asked for.
    pub(crate) fn steps(&self, filter: &Filter) -> Vec<Step> {
        let asked = self
            .cells
            .iter()
            .filter(|(name, load)| filter.matches(&format!("{name} {load}")));
        let mut names: Vec<&str> = asked.map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
            .into_iter()
            .map(|name| Step::new(IN_GUEST).arguments(["--count", name]))
            .collect()
    }

    /// Puts the benchmark into the guest, with the library that it loads where this host has it.
    pub(crate) fn add_to(&self, guest: &mut Guest<'_>) -> Result<(), VmError> {
        guest.add(Path::new(IN_GUEST), &self.program)?;
        let mut places = FOLDERS.iter().map(|folder| Path::new(folder).join(LOADED));
        match places.find(|place| place.exists()) {
            Some(library) => guest.add(&library, &library),
            None => Ok(()),
        }
    }
}
