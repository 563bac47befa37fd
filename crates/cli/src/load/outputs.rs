//! The options of the output formats, which come from the table [`FORMATS`].

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use c10k_load::{Destination, FORMATS, LoadReport, OutputFormat};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, value_parser};

/// The heading of these options in the help.
pub(super) const OUT: &str = "Output";

/// The formats that were selected.
#[derive(Clone)]
pub(super) struct Outputs {
    summary: &'static OutputFormat,
    files: Vec<(&'static OutputFormat, PathBuf)>,
}

impl clap::Args for Outputs {
    fn augment_args(command: Command) -> Command {
        command.args(FORMATS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Outputs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_selected = |format: &&OutputFormat| matches.value_source(format.flag) == Some(ValueSource::CommandLine);
        let with = |destination| FORMATS.iter().filter(move |format| format.destination == destination);
        let default = with(Destination::Summary).next().expect("FORMATS has a summary");
        let files = with(Destination::File).filter_map(|format| {
            let path = matches.get_one::<PathBuf>(format.flag)?;
            Some((format, path.clone()))
        });
        Ok(Self {
            summary: with(Destination::Summary).find(is_selected).unwrap_or(default),
            files: files.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The option of a format.
fn option(format: &'static OutputFormat) -> Arg {
    let option = Arg::new(format.flag)
        .long(format.flag)
        .help(format.help)
        .help_heading(OUT)
        .conflicts_with_all(format.conflicts);
    match format.destination {
        Destination::File => option.value_name("FILE").value_parser(value_parser!(PathBuf)),
        Destination::Summary => option.action(ArgAction::SetTrue),
    }
}

impl Outputs {
    /// Creates the files. Called before the run, so that a wrong path is reported at once.
    pub(super) fn create_files(&self) -> Result<Files, String> {
        let files = self.files.iter().map(|(format, path)| {
            let file = File::create(path).map_err(|error| not_writable(path, &error))?;
            Ok((*format, path.clone(), file))
        });
        Ok(Files(files.collect::<Result<_, String>>()?))
    }

    /// Writes the summary for people.
    pub(super) fn write_summary(&self, report: &LoadReport, out: &mut dyn Write) -> io::Result<()> {
        (self.summary.write)(report, out)
    }
}

/// The files of the selected formats.
pub(super) struct Files(Vec<(&'static OutputFormat, PathBuf, File)>);

impl Files {
    pub(super) fn write(self, report: &LoadReport) -> Result<(), String> {
        for (format, path, file) in self.0 {
            let mut out = io::BufWriter::new(file);
            (format.write)(report, &mut out)
                .and_then(|()| out.flush())
                .map_err(|error| not_writable(&path, &error))?;
        }
        Ok(())
    }
}

fn not_writable(path: &Path, error: &io::Error) -> String {
    format!("writing {}: {error}: give a path that can be written", path.display())
}
