//! `c10k probe`. The subcommands and their flags are made from the rows of the table of probes.

use std::process::ExitCode;

use c10k_probe::{Kind, OptionRow, PROBES, Probe};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, value_parser};

use crate::Outcome;
use crate::print::{errln, outln};

/// The command line of `c10k probe`: the name of a probe, and flags that depend on it.
pub(crate) struct Args {
    probe: String,
    flags: ArgMatches,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let probe = c10k_probe::named(&args.probe)?;
    let cpus: Vec<usize> = args.flags.get_many("cpus").into_iter().flatten().copied().collect();
    let given = probe.options.iter().filter_map(|option| {
        let value = args.flags.get_one::<String>(option.name)?;
        Some((option.name.to_owned(), value.clone()))
    });
    let summary = match c10k_probe::run(probe, &cpus, &given.collect::<Vec<_>>()) {
        // Exit code 2 would say that it cannot be measured here.
        Err(error) if error.is_finding() => {
            errln!("c10k: {error}");
            return Ok(ExitCode::from(1));
        }
        summary => summary?,
    };
    if args.flags.get_flag("json") {
        outln!("{}", serde_json::to_string(&summary)?);
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{}: {}", probe.name, probe.summary);
    outln!("  {:<30} {:>12}", "operations", summary.operations);
    for figure in probe.figures {
        if let Some(value) = summary.values.get(figure.key) {
            outln!("  {:<30} {value:>12.3} {}", figure.label, figure.unit);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let command = command
            .about("Run one measurement that needs no server: tasks, switches, libraries, fan-out, disks")
            .long_about(
                "Run one measurement that needs no server: tasks, switches, libraries, fan-out, disks\n\nStudies run these; run \
                 one by hand to see how a figure is measured. Exit code 1: what is measured failed; 2: it cannot be measured here.",
            )
            .subcommand_required(true)
            // An unknown name gets here, so that the error can list the names.
            .allow_external_subcommands(true)
            .subcommand_value_name("NAME")
            .subcommand_help_heading("Probes");
        command.subcommands(PROBES.iter().map(subcommand))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (probe, flags) = matches.subcommand().ok_or_else(missing)?;
        Ok(Self {
            probe: probe.to_owned(),
            flags: flags.clone(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn subcommand(probe: &Probe) -> Command {
    let cpus = Arg::new("cpus")
        .long("cpus")
        .value_name("LIST")
        .value_delimiter(',')
        .value_parser(value_parser!(usize))
        .help("CPUs to use, the most important first [default: any, not pinned]");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print one JSON object");
    let command = Command::new(probe.name).about(probe.summary).arg(cpus);
    command.args(probe.options.iter().map(flag)).arg(json)
}

fn flag(option: &OptionRow) -> Arg {
    let flag = Arg::new(option.name).long(option.name);
    let help = match option.default {
        Some(default) => format!("{} [default: {default}]", option.summary),
        None => format!("{} (required)", option.summary),
    };
    match option.kind {
        Kind::Word(words) => flag
            .value_parser(PossibleValuesParser::new(words))
            .value_name("WORD")
            .help(help),
        Kind::Count(least, most) => flag.value_name("N").help(format!("{help} [{least} to {most}]")),
        Kind::Duration => flag.value_name("DURATION").help(help),
        Kind::Directory => flag.value_name("DIR").help(help),
    }
}
