//! `c10k vm`: the deterministic guest.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use c10k_record::GuestRecord;
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
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(args: Args) -> Outcome {
    let outcome = match args.command {
        Action::Doctor(args) => doctor(&args),
        Action::Test(args) => test(args),
        Action::Guest => c10k_vm::guest::run().map(|never| match never {}),
    };
    // The last lines of the console stand above the error, which stays one line.
    outcome.map_err(|error| {
        for line in error.console() {
            eprintln!("guest: {line}");
        }
        error.into()
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
        plan.time_limit = Duration::from_secs(self.time_limit);
        plan.kernel_parameters = self.parameters.clone();
        plan
    }
}

fn doctor(args: &DoctorArgs) -> Result<ExitCode, VmError> {
    let machine = args.machine.find()?;
    println!("emulator      {} {}", machine.emulator.display(), machine.version);
    println!(
        "kernel        {} ({})",
        machine.kernel.path.display(),
        machine.kernel.release
    );
    println!("sha256        {}", machine.kernel.sha256);
    let guest = Guest::new(&machine, args.machine.plan(Vec::new()))?;
    let report = guest.run(&mut |record| {
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
    })?;
    println!(
        "took          {:.1} s from start to power-off",
        report.took.as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn test(args: TestArgs) -> Result<ExitCode, VmError> {
    let machine = args.machine.find()?;
    let mut steps = Vec::new();
    let mut programs = Vec::new();
    for (index, program) in args.programs.iter().enumerate() {
        let path = PathBuf::from(format!("/tests/{index}"));
        let mut step = Step::new(&path).variable("C10K_REQUIRE", "signal-per-fd");
        // One CPU, and a panic's message on the console instead of lost in a captured stream.
        step = step.argument("--test-threads=1");
        if let Some(only) = &args.only {
            step = step.argument(only);
        }
        steps.push(step);
        programs.push((path, program.clone()));
    }
    let mut guest = Guest::new(&machine, args.machine.plan(steps))?;
    for (path, program) in &programs {
        guest.add(path, program)?;
    }
    let report = guest.run(&mut |record| match record {
        GuestRecord::Output { line, .. } => println!("{line}"),
        GuestRecord::Refused { reason, .. } => println!("{reason}"),
        _ => {}
    })?;
    let passed = report.statuses.iter().all(|status| *status == Some(0));
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
