//! `c10k vm study`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use c10k_record::{CostCell, CostTable, ScanCounts};
use c10k_units::Filter;
use c10k_vm::kernels::{self, Cost, SideBySide};
use c10k_vm::study::{STUDIES, Study};
use c10k_vm::{Machine, Scaling, Selection, changes, claims, curves, report};

use super::cargo;
use super::machine::{MachineArgs, with_console};
use crate::print::{errln, outln};
use crate::{Outcome, inventory};

/// Run studies in the guest: exact costs, the same on every machine.
///
/// The exit code is 1 if a cell differs from the baseline by more than --tolerance.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Studies in the guest (see `c10k list`), `paper` for those of the paper's figures and table, or `all`.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Run only the cells whose name has all these words, such as `epoll idle=10`; commas separate alternatives.
    #[arg(long, value_name = "FILTER", default_value = "")]
    only: Filter,
    /// Folder for the results: NAME.json and NAME.csv for each study, and report.html. Several kernels get a subfolder each;
    /// NAME.csv, kernels.html and an SVG for each load have them next to each other, and kernels.csv has the sum of each file.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// An earlier table, or a folder of tables. If a cell differs by more than --tolerance, the exit code is 1.
    #[arg(long, value_name = "FILE|DIR")]
    baseline: Option<PathBuf>,
    /// Difference from the baseline that is accepted, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    tolerance: f64,
    /// The dispatch benchmark for vm/peers [default: cargo builds it from the source tree].
    #[arg(long, value_name = "FILE")]
    benchmark: Option<PathBuf>,
    /// Guests that run at the same time. Load curves boot one for each cell; all other studies share one [default: the number of
    /// CPUs].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Draw load curves for a processor of so many million instructions a second instead of 1,000. This scales the axes; tables
    /// and verdicts stay as they are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    mips: Option<u32>,
    /// Print one JSON object per study and kernel on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let studies = studies(&args.names)?;
    let machines = args.machine.find()?;
    differ(&machines)?;
    let baselines = match &args.baseline {
        Some(path) => studies
            .iter()
            .map(|study| read_baseline(path, study))
            .collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    for baseline in &baselines {
        comparable(baseline, &machines)?;
    }
    let needs_benchmark = studies.iter().any(|study| study.needs_benchmark());
    let selection = Selection {
        benchmark: match &args.benchmark {
            None if needs_benchmark => cargo::executables(&cargo::DISPATCH)?.pop(),
            named => named.clone(),
        },
        studies,
        filter: args.only.clone(),
        models: inventory::models(),
    };
    let mut tables = Vec::new();
    for machine in &machines {
        let made = measure(args, &selection, machine)?;
        if let Some(folder) = &args.out {
            let folder = match machines.len() {
                1 => folder.clone(),
                _ => folder.join(&machine.kernel.release),
            };
            write_tables(
                &folder,
                &made,
                args.mips.map_or_else(Scaling::default, Scaling::to_mips),
            )?;
        }
        print_verdicts(&made);
        tables.push(made);
    }
    if machines.len() > 1 {
        compare_kernels(args, &tables)?;
    }
    one_cell_each(&tables)?;
    let mut is_unchanged = true;
    for table in tables.iter().flatten() {
        let Some(baseline) = baselines.iter().find(|baseline| baseline.study == table.study) else {
            continue;
        };
        for change in changes(baseline, table, &args.only, args.tolerance) {
            errln!("changed: {}: {change}", table.study);
            is_unchanged = false;
        }
    }
    Ok(if is_unchanged {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The named studies, each once.
fn studies(names: &[String]) -> Result<Vec<&'static Study>, String> {
    if names.iter().any(|name| name == "all") {
        return Ok(STUDIES.iter().collect());
    }
    let mut studies: Vec<&Study> = Vec::new();
    for name in names {
        let named: Vec<&Study> = match name.as_str() {
            "paper" => STUDIES.iter().filter(|study| study.is_of_the_paper()).collect(),
            _ => vec![study(name)?],
        };
        for study in named {
            if !studies.iter().any(|known| known.name == study.name) {
                studies.push(study);
            }
        }
    }
    Ok(studies)
}

fn study(name: &str) -> Result<&'static Study, String> {
    Study::named(name).ok_or_else(|| {
        let names: Vec<_> = STUDIES.iter().map(|study| study.name).collect();
        format!(
            "no study in the guest is called {name}; there are {}, paper, or all",
            names.join(", ")
        )
    })
}

fn measure(
    args: &Args,
    selection: &Selection,
    machine: &Machine,
) -> Result<Vec<CostTable>, Box<dyn std::error::Error>> {
    let mut last = "";
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok());
    let plan = args.machine.plan(Vec::new());
    let tables = with_console(
        selection.run(machine, &plan, jobs.unwrap_or(NonZeroUsize::MIN), &mut |study, cell| {
            if last.is_empty() {
                let release = &machine.kernel.release;
                errln!("kernel {release}, one virtual CPU; instructions of kernel and user together");
            }
            if last != study.name {
                last = study.name;
                errln!("\n{}: {}\ninstructions for: {}", study.name, study.question, study.unit);
            }
            print_cell(cell);
        }),
    )?;
    for table in &tables {
        for (subject, reason) in &table.unavailable {
            errln!("{subject:28} unavailable: {reason}");
        }
        if table.cells.is_empty() {
            errln!("{}: no cell can run on {}", table.study, table.kernel);
        }
        if args.json {
            outln!("{}", serde_json::to_string(table)?);
        }
    }
    Ok(tables)
}

/// Refuses a study of which no cell could run on any kernel.
fn one_cell_each(tables: &[Vec<CostTable>]) -> Result<(), String> {
    for table in tables.iter().flatten() {
        let mut of_study = tables.iter().flatten().filter(|other| other.study == table.study);
        if let (true, [(subject, reason), ..]) = (of_study.all(|other| other.cells.is_empty()), &*table.unavailable) {
            return Err(format!("{subject} is not available in the guest: {reason}"));
        }
    }
    Ok(())
}

/// What the paper says of these figures, judged.
fn print_verdicts(tables: &[CostTable]) {
    for table in tables {
        let verdicts = claims::judge(table);
        if !verdicts.is_empty() {
            errln!("\n{}: what the paper says", table.study);
        }
        for verdict in verdicts {
            let holds = if verdict.holds { "confirmed" } else { "refuted" };
            errln!(
                "{holds:9} {:9.3} {}: {} ({})",
                verdict.value,
                verdict.claim,
                verdict.text,
                verdict.what
            );
        }
    }
}

fn print_cell(cell: &CostCell) {
    let CostCell {
        subject,
        load,
        signals,
        overflows,
        scan,
        curve,
        ..
    } = cell;
    let cost = cell.instructions_per_work();
    let mut counts = String::new();
    if let Some(point) = curve {
        let (p50, p99) = (point.response_ns_p50 as f64 / 1e6, point.response_ns_p99 as f64 / 1e6);
        let cpu = 100.0 * cell.cpu_share().unwrap_or_default();
        let answered = 100.0 * point.answered as f64 / point.due.max(1) as f64;
        counts = format!(
            "{:9.1} replies/s {cpu:6.2}% CPU {p50:10.4} ms median {p99:10.4} ms p99 {answered:6.2}% answered ",
            point.replies_per_s
        );
    }
    if let Some(ScanCounts { visited, asked }) = scan {
        counts += &format!("{visited:8} visited {asked:8} asked");
    }
    if *signals > 0 {
        counts += &format!("{signals:8} signals {overflows:5} overflows");
    }
    errln!("{subject:28} {load:36} {cost:12.1} {counts}");
}

/// Prints each study on all kernels, cell by cell; writes it as CSV, and all studies as a page with charts.
fn compare_kernels(args: &Args, tables: &[Vec<CostTable>]) -> Result<(), String> {
    let names = tables.iter().flatten().map(|table| table.study.as_str());
    let mut studies: Vec<SideBySide> = Vec::new();
    for name in names {
        if studies.iter().any(|study| study.tables[0].study == name) {
            continue;
        }
        let of_study = tables.iter().flatten().filter(|table| table.study == name);
        studies.push(SideBySide::of(of_study.collect()));
    }
    for study in &studies {
        print_side_by_side(study);
    }
    let Some(folder) = &args.out else {
        return Ok(());
    };
    for study in &studies {
        let name = file_name(&study.tables[0].study);
        write(folder, &format!("{name}.csv"), &kernels::csv(study))?;
        for (name, svg) in kernels::charts(study).map_err(|error| cannot_write(folder, &error))? {
            write(folder, &format!("{name}.svg"), &svg)?;
        }
    }
    if let Some(study) = studies.first() {
        write(folder, "kernels.csv", &kernels::kernels_csv(study))?;
    }
    let page = kernels::html(&studies).map_err(|error| cannot_write(folder, &error))?;
    write(folder, "kernels.html", &page)
}

fn print_side_by_side(study: &SideBySide) {
    let releases: Vec<&str> = study.tables.iter().map(|table| table.kernel.as_str()).collect();
    errln!("\n{}: {}", study.tables[0].study, releases.join(", "));
    for row in &study.rows {
        let figures = row.costs.iter().zip(row.ratios()).enumerate();
        let figures = figures.map(|(kernel, (cost, ratio))| match (cost, ratio) {
            (Cost::Counted(cost), Some(ratio)) if kernel > 0 => format!("{cost:12.1} {:+7.1}%", 100.0 * (ratio - 1.0)),
            (Cost::Counted(cost), _) => format!("{cost:12.1}"),
            (Cost::Unavailable, _) => format!("{:>12}", "unavailable"),
            (Cost::Absent, _) => format!("{:>12}", "-"),
        });
        let figures: Vec<String> = figures.collect();
        errln!("{:28} {:36} {}", row.subject, row.load, figures.join(" "));
    }
}

/// The kernels' results have a folder each, named after the release.
fn differ(machines: &[Machine]) -> Result<(), String> {
    for (index, machine) in machines.iter().enumerate() {
        let release = &machine.kernel.release;
        if machines[..index].iter().any(|other| other.kernel.release == *release) {
            return Err(format!(
                "--kernel: two kernels have the release {release}, so their results cannot be distinguished; give them one after \
                 the other with an --out each, or build one with another CONFIG_LOCALVERSION"
            ));
        }
    }
    Ok(())
}

/// Reads the table of a study from the file or the folder `path`.
fn read_baseline(path: &Path, study: &Study) -> Result<CostTable, String> {
    let path = match path.is_dir() {
        true => path.join(file_name(study.name)).with_extension("json"),
        false => path.to_owned(),
    };
    let failed = |error: &dyn std::fmt::Display| format!("cannot read the baseline {}: {error}", path.display());
    let text = std::fs::read(&path).map_err(|error| failed(&error))?;
    let table: CostTable = c10k_record::read::object(&text).map_err(|damage| failed(&damage))?;
    if table.study != study.name {
        let other = table.study;
        return Err(failed(&format!("it is a table of {other}, not of {}", study.name)));
    }
    Ok(table)
}

fn comparable(baseline: &CostTable, machines: &[Machine]) -> Result<(), String> {
    let other = machines
        .iter()
        .find(|machine| machine.kernel.sha256 != baseline.kernel_sha256);
    match other {
        None => Ok(()),
        Some(Machine { kernel, .. }) => Err(format!(
            "the baseline was made with another kernel file ({}, here {}): give that file with --kernel, or make a \
             baseline with this one with --out",
            baseline.kernel, kernel.release
        )),
    }
}

fn file_name(study: &str) -> &str {
    study.rsplit('/').next().unwrap_or(study)
}

/// Writes the tables of one kernel as JSON, CSV and HTML.
fn write_tables(folder: &Path, tables: &[CostTable], scaling: Scaling) -> Result<(), String> {
    for table in tables {
        let name = file_name(&table.study);
        let json = serde_json::to_string_pretty(table).map_err(|error| cannot_write(folder, &error))?;
        write(folder, &format!("{name}.json"), &(json + "\n"))?;
        write(folder, &format!("{name}.csv"), &report::csv(table))?;
        for figure in curves::figures(table, scaling).map_err(|error| cannot_write(folder, &error))? {
            write(folder, &format!("{}.svg", figure.name), &figure.wide)?;
        }
    }
    let verdicts: Vec<claims::Verdict> = tables.iter().flat_map(claims::judge).collect();
    if !verdicts.is_empty() {
        let json = serde_json::to_string_pretty(&verdicts).map_err(|error| cannot_write(folder, &error))?;
        write(folder, "claims.json", &(json + "\n"))?;
    }
    let page = report::html(tables, scaling).map_err(|error| cannot_write(folder, &error))?;
    write(folder, "report.html", &page)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    std::fs::write(folder.join(name), text).map_err(|error| cannot_write(folder, &error))
}

fn cannot_write(folder: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot write the results to {}: {error}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::SCHEMA;

    fn table(kernel: &str, cells: &[&str], unavailable: &[&str]) -> CostTable {
        let cell = |subject: &&str| CostCell {
            subject: (*subject).to_owned(),
            load: "idle=10".to_owned(),
            work: 1,
            instructions: 1,
            events: 1,
            signals: 0,
            overflows: 0,
            scan: None,
            curve: None,
        };
        let reason = |subject: &&str| ((*subject).to_owned(), "no such device".to_owned());
        CostTable {
            schema: SCHEMA,
            study: "vm/dispatch-cost".to_owned(),
            version: String::new(),
            kernel: kernel.to_owned(),
            kernel_sha256: String::new(),
            emulator: String::new(),
            cells: cells.iter().map(cell).collect(),
            unavailable: unavailable.iter().map(reason).collect(),
        }
    }

    #[test]
    fn a_study_without_a_cell_is_refused_only_if_no_kernel_has_one() {
        let has = vec![table("6.1", &["poll"], &["dev-poll-kernel"])];
        let lacks = |kernel| vec![table(kernel, &[], &["poll"])];
        assert_eq!(one_cell_each(&[lacks("6.0"), has.clone(), lacks("6.2")]), Ok(()));
        assert_eq!(one_cell_each(&[has]), Ok(()), "one subject may be missing");
        assert_eq!(
            one_cell_each(&[lacks("6.0"), lacks("6.2")]),
            Err("poll is not available in the guest: no such device".to_owned())
        );
    }

    fn names(given: &[&str]) -> Result<Vec<&'static str>, String> {
        let given: Vec<String> = given.iter().map(|&name| name.to_owned()).collect();
        Ok(studies(&given)?.iter().map(|study| study.name).collect())
    }

    #[test]
    fn the_paper_is_all_studies_of_its_figures_and_each_study_is_run_once() {
        let paper = names(&["paper"]).expect("known");
        assert_eq!(paper.len(), 5);
        assert_eq!(names(&["figure-7", "paper", "vm/table-1"]).expect("known").len(), 5);
        assert_eq!(
            names(&["figure-4", "burst-cost"]).expect("known"),
            ["vm/idle-connections", "vm/burst-cost"]
        );
        let error = names(&["figure-1"]).expect_err("the paper does not measure it");
        assert!(
            error.contains("vm/table-1") && error.contains("paper, or all"),
            "{error}"
        );
    }
}
