//! The options that say which guest to boot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use c10k_vm::{Accelerator, Machine, Plan, Step, VmError};

use crate::print::errln;

/// The machine that a guest runs on.
#[derive(clap::Args)]
pub(super) struct MachineArgs {
    /// Kernel of the guest: a bzImage, or a folder into which a kernel package was extracted [default: that of the host, or else
    /// the newest installed]. Each of several kernels is booted in turn.
    #[arg(long = "kernel", value_name = "FILE|DIR", env = "C10K_KERNEL")]
    pub(super) kernels: Vec<PathBuf>,
    /// How the guest's instructions are executed; only `tcg` counts them.
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    pub(super) accel: Accel,
    /// Memory of the guest, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    pub(super) memory: u32,
    /// The most host time that a guest may take.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = c10k_units::duration::parse)]
    pub(super) time_limit: Duration,
    /// A module to load, such as /dev/poll's; may be given several times. Of several with one name, that for the kernel is taken.
    #[arg(long = "module", value_name = "FILE")]
    pub(super) modules: Vec<PathBuf>,
    /// A kernel parameter to add, such as `lsm=bpf`; may be given several times.
    #[arg(long = "append", value_name = "PARAMETER")]
    pub(super) parameters: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Accel {
    /// Emulation: exact instruction counts.
    Tcg,
    /// The host's processor through /dev/kvm: fast, without the count.
    Kvm,
}

impl MachineArgs {
    /// One machine for each kernel.
    pub(super) fn find(&self) -> Result<Vec<Machine>, VmError> {
        let named: Vec<Option<&Path>> = match self.kernels.as_slice() {
            [] => vec![None],
            kernels => kernels.iter().map(|kernel| Some(kernel.as_path())).collect(),
        };
        let machine = |kernel| {
            let mut machine = Machine::find(kernel)?;
            machine.accelerator = match self.accel {
                Accel::Tcg => Accelerator::Tcg,
                Accel::Kvm => Accelerator::Kvm,
            };
            machine.memory_mib = self.memory;
            Ok(machine)
        };
        named.into_iter().map(machine).collect()
    }

    pub(super) fn plan(&self, steps: Vec<Step>) -> Plan {
        let mut plan = Plan::of(steps);
        plan.time_limit = self.time_limit;
        plan.modules.clone_from(&self.modules);
        plan.kernel_parameters.clone_from(&self.parameters);
        plan
    }
}

/// Prints the last lines of the guest's console before the error, which is one line.
pub(super) fn with_console<T>(outcome: Result<T, VmError>) -> Result<T, VmError> {
    outcome.inspect_err(|error| {
        for line in error.console() {
            errln!("guest: {line}");
        }
    })
}
