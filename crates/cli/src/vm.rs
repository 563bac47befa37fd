//! `c10k vm`: the deterministic guest.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord, CostTable, GuestRecord};
use c10k_vm::study::{STUDIES, Study, changes};
use c10k_vm::{Accelerator, Guest, Machine, Plan, Step, VmError};

use crate::Outcome;

/// Run an experiment in a guest whose clock is its instruction count.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    Doctor(DoctorArgs),
    Test(TestArgs),
    Study(StudyArgs),
    /// What a study runs in the guest; elsewhere its figures are time and no instructions.
    #[command(hide = true)]
    Workload(WorkloadArgs),
    /// What process 1 of the guest runs.
    #[command(hide = true)]
    Guest,
}

/// The machine that a guest runs on.
#[derive(clap::Args)]
struct MachineArgs {
    /// Kernel of the guest (a bzImage); without it the newest in /boot.
    #[arg(long, value_name = "FILE", env = "C10K_KERNEL")]
    kernel: Option<PathBuf>,
    /// How the guest is executed; only `tcg` counts its instructions.
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// Memory of the guest, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    memory: u32,
    /// Host time within which the guest must finish, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
    /// A further kernel parameter, such as `lsm=bpf`; may be given several times.
    #[arg(long = "append", value_name = "PARAMETER")]
    parameters: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Accel {
    /// Emulation: exact instruction counts.
    Tcg,
    /// The host's processor through /dev/kvm: at speed, without the count.
    Kvm,
}

/// Boot a guest that does nothing, and say what it is.
#[derive(clap::Args)]
struct DoctorArgs {
    #[command(flatten)]
    machine: MachineArgs,
}

/// Run test executables in the guest; without any, those of c10k-event, which `cargo test --no-run` builds.
#[derive(clap::Args)]
struct TestArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Test executables.
    programs: Vec<PathBuf>,
    /// Only tests whose name contains this; where it is the name of a mechanism, the guest must offer it.
    #[arg(long, value_name = "TEXT", default_value = "signal-per-fd")]
    only: String,
}

/// Run a study in the guest: exact costs, the same on every machine.
#[derive(clap::Args)]
struct StudyArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// vm/dispatch-cost, vm/burst-cost or vm/queue-overflow.
    name: String,
    /// Only mechanisms whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Folder for the table: NAME.json and NAME.csv.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A table made before; a cell that changed by more than --tolerance ends with exit code 1.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Change that is let pass, percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    tolerance: f64,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct WorkloadArgs {
    /// Its name.
    workload: String,
    /// The mechanism that does the work.
    mechanism: String,
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Action::Doctor(args) => doctor(&args),
        Action::Test(args) => test(&args),
        Action::Study(args) => study(&args),
        Action::Workload(args) => {
            c10k_vm::workload::run(&args.workload, &args.mechanism, &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Guest => match c10k_vm::guest::run()? {},
    }
}

/// Prints the last lines of the guest's console above the error, which stays one line.
fn with_console<T>(outcome: Result<T, VmError>) -> Result<T, VmError> {
    outcome.inspect_err(|error| {
        for line in error.console() {
            eprintln!("guest: {line}");
        }
    })
}

impl MachineArgs {
    fn find(&self) -> Result<Machine, VmError> {
        let mut machine = Machine::find(self.kernel.as_deref())?;
        machine.accelerator = match self.accel {
            Accel::Tcg => Accelerator::Tcg,
            Accel::Kvm => Accelerator::Kvm,
        };
        machine.memory_mib = self.memory;
        Ok(machine)
    }

    fn plan(&self, steps: Vec<Step>) -> Plan {
        let mut plan = Plan::of(steps);
        self.adjust(&mut plan);
        plan
    }

    fn adjust(&self, plan: &mut Plan) {
        plan.time_limit = Duration::from_secs(self.time_limit);
        plan.kernel_parameters.clone_from(&self.parameters);
    }
}

fn doctor(args: &DoctorArgs) -> Outcome {
    let machine = args.machine.find()?;
    println!("emulator      {} {}", machine.emulator.display(), machine.version);
    println!(
        "kernel        {} ({})",
        machine.kernel.path.display(),
        machine.kernel.release
    );
    println!("sha256        {}", machine.kernel.sha256);
    let guest = Guest::new(&machine, args.machine.plan(Vec::new()))?;
    let report = with_console(guest.run(&mut |record| {
        if let GuestRecord::Booted {
            kernel,
            clock_source,
            lsm,
        } = record
        {
            let unknown = "not told";
            println!("booted        {kernel}");
            println!("clock source  {}", clock_source.as_deref().unwrap_or(unknown));
            println!("lsm           {}", lsm.as_deref().unwrap_or(unknown));
        }
    }))?;
    println!(
        "took          {:.1} s from start to power-off",
        report.took.as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn test(args: &TestArgs) -> Outcome {
    let machine = args.machine.find()?;
    let programs = match args.programs.as_slice() {
        [] => event_tests()?,
        named => named.to_vec(),
    };
    let in_guest = |index: usize| PathBuf::from(format!("/tests/{index}"));
    let probe = Step::new("/c10k").arguments(["vm", "workload", "probe", &args.only]);
    let tests = (0..programs.len()).map(|index| {
        Step::new(in_guest(index))
            .arguments(["--test-threads=1", &args.only])
            .variable("C10K_REQUIRE", &args.only)
    });
    let known = Mechanism::named(&args.only).is_ok();
    let steps = known.then_some(probe).into_iter().chain(tests).collect();
    let mut guest = Guest::new(&machine, args.machine.plan(steps))?;
    for (index, program) in programs.iter().enumerate() {
        guest.add(&in_guest(index), program)?;
    }
    let mut unavailable = None;
    let report = with_console(guest.run(&mut |record| match record {
        GuestRecord::Output { line, .. } => match serde_json::from_str(line) {
            Ok(CostRecord::Unavailable { reason, .. }) => unavailable = Some(reason),
            _ => println!("{line}"),
        },
        GuestRecord::Refused { reason, .. } => println!("{reason}"),
        _ => {}
    }))?;
    if let Some(reason) = unavailable {
        return Err(format!("{} is not to be had in the guest: {reason}", args.only).into());
    }
    let passed = report.statuses.iter().all(|status| *status == Some(0));
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The contract suite of c10k-event, built by cargo in the source tree. (Its other tests read files of the tree, which is
/// not in the guest.)
fn event_tests() -> Result<Vec<PathBuf>, String> {
    let remedy = "run this in the source tree of c10k, or name test executables";
    let output = Command::new("cargo")
        .args([
            "test",
            "--no-run",
            "--package",
            "c10k-event",
            "--test",
            "contract",
            "--message-format",
            "json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo to build the tests: {error}; {remedy}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot build the contract suite of c10k-event; {remedy}"));
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let programs = messages.filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let is_test = message["profile"]["test"].as_bool()?;
        Some(message["executable"].as_str().filter(|_| is_test)?.into())
    });
    Ok(programs.collect())
}

fn study(args: &StudyArgs) -> Outcome {
    let study = Study::named(&args.name).ok_or_else(|| {
        let names: Vec<_> = STUDIES.iter().map(|study| study.name).collect();
        format!("no study {} in the guest; there are {}", args.name, names.join(", "))
    })?;
    let machine = args.machine.find()?;
    let baseline = args.baseline.as_deref().map(read_table).transpose()?;
    let mut plan = study.plan(&args.only);
    args.machine.adjust(&mut plan);
    eprintln!("{}", study.question);
    eprintln!("instructions of kernel and user for: {}; one virtual CPU", study.unit);
    let table = with_console(study.run(&machine, plan, &mut |cell| {
        let (subject, load, cost) = (&cell.subject, &cell.load, cell.instructions_per_work());
        let CostCell { signals, overflows, .. } = cell;
        let queue = if *signals > 0 {
            format!("{signals:8} signals {overflows:5} overflows")
        } else {
            String::new()
        };
        eprintln!("{subject:16} {load:36} {cost:12.1} {queue}");
    }))?;
    for (subject, reason) in &table.unavailable {
        eprintln!("{subject:16} unavailable: {reason}");
    }
    if let ([], [(subject, reason), ..]) = (table.cells.as_slice(), table.unavailable.as_slice()) {
        return Err(format!("{subject} is not to be had in the guest: {reason}").into());
    }
    if args.json {
        println!("{}", serde_json::to_string(&table)?);
    }
    if let Some(folder) = &args.out {
        write_table(folder, &table)?;
    }
    let Some(mut baseline) = baseline else {
        return Ok(ExitCode::SUCCESS);
    };
    baseline.cells.retain(|cell| cell.subject.contains(&args.only));
    if baseline.kernel_sha256 != table.kernel_sha256 {
        let (before, now) = (&baseline.kernel, &table.kernel);
        return Err(format!("the baseline was made with another kernel file ({before}, here {now}): name that one with --kernel, or make a baseline of this one with --out").into());
    }
    let changes = changes(&baseline, &table, args.tolerance);
    for change in &changes {
        eprintln!("changed: {change}");
    }
    Ok(if changes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_table(path: &Path) -> Result<CostTable, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read the baseline {}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

/// Writes the table for programs (JSON) and for spreadsheets (CSV).
fn write_table(folder: &Path, table: &CostTable) -> Result<(), String> {
    let name = table.study.rsplit('/').next().unwrap_or(&table.study);
    let failed = |error: &dyn std::fmt::Display| format!("cannot write the table to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let json = serde_json::to_string_pretty(table).map_err(|error| failed(&error))?;
    std::fs::write(folder.join(format!("{name}.json")), json + "\n").map_err(|error| failed(&error))?;
    let mut csv = "subject,load,instructions_per_work,work,instructions,events,signals,overflows\n".to_owned();
    for cell in &table.cells {
        let CostCell {
            subject,
            load,
            work,
            instructions,
            events,
            signals,
            overflows,
        } = cell;
        let cost = cell.instructions_per_work();
        csv += &format!("{subject},{load},{cost:.1},{work},{instructions},{events},{signals},{overflows}\n");
    }
    std::fs::write(folder.join(format!("{name}.csv")), csv).map_err(|error| failed(&error))
}
