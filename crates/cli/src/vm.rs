//! `c10k vm`: the deterministic guest.

mod cargo;
mod machine;
mod study;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_record::{CostRecord, GuestRecord};
use c10k_units::Filter;
use c10k_vm::workload::Subject;
use c10k_vm::{Accelerator, Guest, Machine, Plan, Step, VmError};

use crate::Outcome;
use crate::print::outln;
use machine::{MachineArgs, with_console};

/// Run experiments in a virtual machine whose clock is its instruction count.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    Doctor(DoctorArgs),
    Test(TestArgs),
    Study(study::Args),
    /// What a study runs in the guest. Outside the guest, its figures are time, not instructions.
    #[command(hide = true)]
    Workload(WorkloadArgs),
    /// What process 1 of the guest runs.
    #[command(hide = true)]
    Guest,
}

/// Boot a guest that does nothing; print what it is, and whether --accel kvm works here.
#[derive(clap::Args)]
struct DoctorArgs {
    #[command(flatten)]
    machine: MachineArgs,
}

/// Run test executables in the guest; by default the contract suite of c10k-event, which cargo builds.
#[derive(clap::Args)]
struct TestArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Test executables.
    programs: Vec<PathBuf>,
    /// Run only the tests whose name contains this. If it is the name of a mechanism, that must be available in the guest.
    #[arg(long, value_name = "TEXT", default_value = "signal-per-fd")]
    only: String,
}

#[derive(clap::Args)]
struct WorkloadArgs {
    /// The name of the workload.
    workload: String,
    /// The subject: a mechanism, or a model of the server and its mechanism.
    subject: String,
    /// An idle connection occupies a worker of the subject.
    #[arg(long)]
    one_connection_per_worker: bool,
    /// Only the cells whose name has all these words; commas separate alternatives.
    #[arg(long, value_name = "FILTER", default_value = "")]
    only: Filter,
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Action::Doctor(args) => doctor(&args),
        Action::Test(args) => test(&args),
        Action::Study(args) => study::run(&args),
        Action::Workload(args) => {
            let subject = Subject {
                name: args.subject,
                one_connection_per_worker: args.one_connection_per_worker,
            };
            c10k_vm::workload::run(&args.workload, &subject, &args.only, &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Guest => match c10k_vm::guest::run()? {},
    }
}

fn doctor(args: &DoctorArgs) -> Outcome {
    for machine in args.machine.find()? {
        describe(&machine, args.machine.plan(Vec::new()))?;
        if machine.accelerator == Accelerator::Tcg {
            describe_kvm(machine, args.machine.plan(Vec::new()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(machine: &Machine, plan: Plan) -> Result<(), VmError> {
    outln!("emulator      {} {}", machine.emulator.display(), machine.version);
    outln!(
        "kernel        {} ({})",
        machine.kernel.path.display(),
        machine.kernel.release
    );
    outln!("sha256        {}", machine.kernel.sha256);
    let guest = Guest::new(machine, plan)?;
    let report = with_console(guest.run(&mut |record| {
        if let GuestRecord::Booted {
            kernel,
            clock_source,
            lsm,
        } = record
        {
            let unknown = "not reported";
            outln!("booted        {kernel}");
            outln!("clock source  {}", clock_source.as_deref().unwrap_or(unknown));
            outln!("lsm           {}", lsm.as_deref().unwrap_or(unknown));
        }
    }))?;
    outln!(
        "took          {:.1} s from start to power-off",
        report.took.as_secs_f64()
    );
    Ok(())
}

/// Prints whether `--accel kvm` works, by booting with it.
fn describe_kvm(mut machine: Machine, mut plan: Plan) {
    const LIMIT: Duration = Duration::from_secs(60);
    machine.accelerator = Accelerator::Kvm;
    plan.time_limit = plan.time_limit.min(LIMIT);
    match Guest::new(&machine, plan).and_then(|guest| guest.run(&mut |_| {})) {
        Ok(report) => outln!("kvm           usable, {:.1} s", report.took.as_secs_f64()),
        Err(error) => outln!("kvm           not usable: {error}"),
    }
}

fn test(args: &TestArgs) -> Outcome {
    let machines = args.machine.find()?;
    let programs = match args.programs.as_slice() {
        [] => cargo::executables(&cargo::CONTRACT)?,
        named => named.to_vec(),
    };
    let mut passed = true;
    for machine in machines {
        passed &= test_on(&machine, args, &programs)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether all tests passed on this machine.
fn test_on(machine: &Machine, args: &TestArgs, programs: &[PathBuf]) -> Result<bool, Box<dyn std::error::Error>> {
    let in_guest = |index: usize| PathBuf::from(format!("/tests/{index}"));
    let probe = Step::new("/c10k").arguments(["vm", "workload", "probe", &args.only]);
    let tests = (0..programs.len()).map(|index| {
        Step::new(in_guest(index))
            .arguments(["--test-threads=1", &args.only])
            .variable("C10K_REQUIRE", &args.only)
    });
    let known = Mechanism::named(&args.only).is_ok();
    let steps = known.then_some(probe).into_iter().chain(tests).collect();
    let mut guest = Guest::new(machine, args.machine.plan(steps))?;
    for (index, program) in programs.iter().enumerate() {
        guest.add(&in_guest(index), program)?;
    }
    let mut unavailable = None;
    let report = with_console(guest.run(&mut |record| match record {
        GuestRecord::Booted { kernel, .. } => outln!("{kernel}"),
        GuestRecord::Output { line, .. } => match serde_json::from_str(line) {
            Ok(CostRecord::Unavailable { reason, .. }) => unavailable = Some(reason),
            _ => outln!("{line}"),
        },
        GuestRecord::Refused { reason, .. } => outln!("{reason}"),
        _ => {}
    }))?;
    if let Some(reason) = unavailable {
        return Err(format!("{} is not available in the guest: {reason}", args.only).into());
    }
    Ok(report.statuses.iter().all(|status| *status == Some(0)))
}
