//! The emulated machine: emulator, kernel, memory, and the arguments that make it deterministic.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::VmError;
use crate::kernel::Kernel;

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accelerator {
    /// By emulation, with the clock bound to the instruction count: exact, but ten to fifty times slower than the host.
    #[default]
    Tcg,
    /// By the host's processor through `/dev/kvm`: fast, but without the count.
    Kvm,
}

/// A machine that runs guests.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The emulator's command.
    pub emulator: PathBuf,
    /// What it prints as its version, such as `7.2.22`.
    pub version: String,
    /// The kernel.
    pub kernel: Kernel,
    /// How it executes instructions.
    pub accelerator: Accelerator,
    /// Memory of the guest, MiB.
    pub memory_mib: u32,
}

/// Enough for 20,000 sockets and their buffers.
const MEMORY_MIB: u32 = 1024;

/// Every guest: one serial port for the console, restart instead of a halt when the kernel panics, nothing random in the layout
/// of memory, and no tests of cryptography, which some kernels run in the background after the boot.
const PARAMETERS: &str = "console=ttyS0 loglevel=4 panic=-1 reboot=t nokaslr norandmaps cryptomgr.notests rdinit=/c10k";

impl Machine {
    /// A machine with the emulator in `PATH` and the given kernel, or the newest in `/boot`.
    ///
    /// # Errors
    /// [`VmError::NoEmulator`]; those of [`Kernel::find`].
    pub fn find(kernel: Option<&Path>) -> Result<Self, VmError> {
        Self::with(Path::new("qemu-system-x86_64"), kernel)
    }

    /// A machine with the given emulator.
    ///
    /// # Errors
    /// As [`Machine::find`].
    pub fn with(emulator: &Path, kernel: Option<&Path>) -> Result<Self, VmError> {
        let absent = |error| VmError::NoEmulator {
            emulator: emulator.to_owned(),
            error,
        };
        let output = Command::new(emulator).arg("--version").output().map_err(absent)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            emulator: emulator.to_owned(),
            version: version(&text).unwrap_or("unknown").to_owned(),
            kernel: Kernel::find(kernel)?,
            accelerator: Accelerator::default(),
            memory_mib: MEMORY_MIB,
        })
    }

    /// The command that boots it with an initramfs; console and records go to the two files.
    pub(crate) fn command(&self, initramfs: &Path, console: &Path, records: &Path, parameters: &[String]) -> Command {
        let mut command = Command::new(&self.emulator);
        match self.accelerator {
            // The processor model is fixed: `max` and the default change from version to version, and what it offers
            // changes which instructions the kernel chooses.
            Accelerator::Tcg => {
                command.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]);
                command.args([
                    "-cpu",
                    "Nehalem,+invtsc",
                    "-seed",
                    "1",
                    "-rtc",
                    "base=2000-01-01,clock=vm",
                ]);
            }
            Accelerator::Kvm => {
                command.args(["-accel", "kvm", "-cpu", "host"]);
            }
        }
        command.args(["-machine", "pc", "-smp", "1", "-m", &self.memory_mib.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        for (name, file) in [("console", console), ("records", records)] {
            // A comma in a path is doubled in QEMU's option syntax.
            let path = file.to_string_lossy().replace(',', ",,");
            command.args(["-chardev", &format!("file,id={name},path={path}")]);
            command.args(["-serial", &format!("chardev:{name}")]);
        }
        let extra: String = parameters.iter().map(|parameter| format!(" {parameter}")).collect();
        command.arg("-kernel").arg(&self.kernel.path);
        command.arg("-initrd").arg(initramfs);
        command.args(["-append", &format!("{PARAMETERS}{extra} -- vm guest")]);
        command
    }
}

fn version(text: &str) -> Option<&str> {
    text.split_once("version ")?.1.split([' ', '\n']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_after_version() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright";
        assert_eq!(version(text), Some("7.2.22"));
        assert_eq!(version("x"), None);
    }

    #[test]
    fn without_an_emulator_the_remedy_is_named() {
        let error = Machine::with(Path::new("/nowhere/qemu-system-x86_64"), None).expect_err("it is not there");
        assert!(error.to_string().contains("apt-get install"), "{error}");
    }
}
