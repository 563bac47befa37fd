//! What can go wrong before, during and after a study. Each is one line: the operation, the cause, the remedy.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error that ends a study or a report. A cell that cannot run is not an error: its record says why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// An experiment file has a mistake.
    #[error("{file}:{line}: {problem}; {remedy}")]
    Experiment {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
        /// What to write instead.
        remedy: String,
    },
    /// Neither a built-in study nor a file has this name.
    #[error("there is no study and no file called '{name}'; `c10k list` describes the studies: {known}")]
    UnknownStudy {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// The files of the servers cannot be made, or their disk cannot be measured.
    #[error("preparing a directory of files in {}: {cause}: give a directory on another disk with --disk", path.display())]
    Disk {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A result folder cannot be written.
    #[error("cannot write {}: {source}; choose another folder with --out", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds a study already.
    #[error("{} holds a study already; resume it with --resume, or choose another folder with --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is no study in the folder.
    #[error("{} holds no study (no manifest.json); run one with `c10k study --out {}`", path.display(), path.display())]
    NoStudy {
        /// The folder.
        path: PathBuf,
    },
    /// `--resume` was asked for with other options or another experiment than the study was planned with.
    #[error("cannot resume {}: {difference}; resume it as it was planned, or start a new study with another --out", path.display())]
    OtherPlan {
        /// The folder.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The executable that serves and loads is another file than when the study began.
    #[error("{} was replaced during the study; measure with a copy of c10k that stays, or start a new study", path.display())]
    ToolReplaced {
        /// The executable.
        path: PathBuf,
    },
    /// A folder holds records of which nothing says what was measured.
    #[error("{} holds records and no manifest.json, which says what they measured; restore it, or choose another folder with --out", path.display())]
    NoManifest {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a study folder does not hold what it should.
    #[error("{}:{line}: {cause}; {lost}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was found.
        cause: String,
        /// What is lost, and how to go on.
        lost: &'static str,
    },
    /// `--only` leaves nothing.
    #[error("--only '{filter}' matches none of the {cells} cells; the first is '{first}'")]
    NothingMatches {
        /// The filter.
        filter: String,
        /// How many cells there are.
        cells: usize,
        /// One of them.
        first: String,
    },
    /// An option of the command line cannot be used.
    #[error("{option}: {problem}")]
    Usage {
        /// The option.
        option: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The saturation that the rates are fractions of could not be measured.
    #[error("cannot measure the saturation of '{variant}', to which rates in percent refer: {cause}")]
    Saturation {
        /// The reference variant.
        variant: String,
        /// Why.
        cause: String,
    },
    /// A study ended in a panic, which has been printed. A mistake of the program, not of the user.
    #[error("the lab itself failed in {study}; the records so far are kept, and --resume continues from them")]
    Panicked {
        /// The file of the experiment.
        study: String,
    },
    /// Two folders cannot be compared.
    #[error("{} and {} have no cell in common; compare two folders of the same study", a.display(), b.display())]
    NothingInCommon {
        /// The first.
        a: PathBuf,
        /// The second.
        b: PathBuf,
    },
    /// The report cannot be drawn. A mistake of the program, not of the user.
    #[error("cannot draw the report: {0}")]
    Report(String),
}
