//! Boots a guest, reads its records, and reports how it ended.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use c10k_record::GuestRecord;
use tempfile::TempDir;

use crate::error::VmError;
use crate::initramfs::Initramfs;
use crate::machine::{Accelerator, Machine};
use crate::module::Module;
use crate::plan::{self, Plan};
use crate::program::{keep_loaded, libraries, read};

/// The program of the host that becomes process 1, by its path in the guest.
const PROCESS_1: &str = "/c10k";

/// How often the file of records is read.
const READ_INTERVAL: Duration = Duration::from_millis(20);

/// Lines of the console in an error.
const CONSOLE_LINES: usize = 20;

/// A guest that can be booted.
pub struct Guest<'m> {
    machine: &'m Machine,
    plan: Plan,
    tree: Initramfs,
}

/// How the steps of a plan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The exit code of each step, in order; `None` if a signal ended it or it could not be started.
    pub statuses: Vec<Option<i32>>,
    /// Host time from start to end.
    pub took: Duration,
}

impl<'m> Guest<'m> {
    /// A guest whose process 1 is this executable.
    ///
    /// # Errors
    /// [`VmError::NoKvm`], [`VmError::Unreadable`], [`VmError::Program`], [`VmError::Module`].
    pub fn new(machine: &'m Machine, plan: Plan) -> Result<Self, VmError> {
        let own = std::env::current_exe().map_err(|error| VmError::Host {
            operation: "find this executable",
            error,
        })?;
        Self::with(machine, plan, &own)
    }

    /// A guest whose process 1 is `process_1`, which must call [`crate::guest::run`] when its arguments are `vm guest`.
    ///
    /// # Errors
    /// As [`Guest::new`].
    pub fn with(machine: &'m Machine, plan: Plan, process_1: &Path) -> Result<Self, VmError> {
        if machine.accelerator == Accelerator::Kvm {
            let kvm = File::options().read(true).write(true).open("/dev/kvm");
            kvm.map_err(|error| VmError::NoKvm { error })?;
        }
        let mut guest = Self {
            machine,
            plan,
            tree: Initramfs::new(),
        };
        guest.add(Path::new(PROCESS_1), process_1)?;
        for module in Module::of_kernel(&std::mem::take(&mut guest.plan.modules), &machine.kernel)? {
            guest.tree.add(&module.in_guest, module.image);
            guest.plan.modules_in_guest.push(module.in_guest);
        }
        Ok(guest)
    }

    /// Copies a program of the host into the guest, with the libraries that it needs.
    ///
    /// # Errors
    /// [`VmError::Unreadable`], [`VmError::Program`].
    pub fn add(&mut self, path: &Path, program: &Path) -> Result<(), VmError> {
        let image = read(program)?;
        for library in libraries(program, &image)? {
            let contents = read(&library)?;
            self.tree.add(&library, keep_loaded(contents));
        }
        self.tree.add(path, keep_loaded(image));
        Ok(())
    }

    /// Boots the guest and waits until it has powered off. `watch` is called with each record as it arrives.
    ///
    /// # Errors
    /// [`VmError`]: the emulator is missing or fails, or the guest panics, ends early, or does not finish in time.
    pub fn run(mut self, watch: &mut dyn FnMut(&GuestRecord)) -> Result<Report, VmError> {
        let plan = serde_json::to_vec(&self.plan).map_err(|error| host("write the plan")(error.into()))?;
        self.tree.add(Path::new(plan::PATH), plan);
        let folder = TempDir::with_prefix("c10k-vm-").map_err(host("make a folder"))?;
        let file = |name: &str| folder.path().join(name);
        let (initramfs, console, records) = (file("initramfs"), file("console"), file("records"));
        let stderr = file("stderr");
        fs::write(&initramfs, self.tree.archive()).map_err(host("write the initramfs"))?;
        let stderr_file = File::create(&stderr).map_err(host("make a file"))?;
        fs::write(&records, b"").map_err(host("make a file"))?;

        let started = Instant::now();
        let child = self
            .machine
            .command(&initramfs, &console, &records, &self.plan.kernel_parameters)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr_file)
            .spawn()
            .map_err(|error| VmError::NoEmulator {
                emulator: self.machine.emulator.clone(),
                error,
            })?;
        let mut run = Run {
            emulator: Emulator(child),
            accelerator: self.machine.accelerator,
            records: File::open(&records).map_err(host("open the records"))?,
            partial: Vec::new(),
            statuses: Vec::new(),
            stage: Stage::Starting,
        };
        let status = run.follow(started + self.plan.time_limit, watch)?;
        let console = last_lines(&console);
        let Some(status) = status else {
            return Err(VmError::TimeLimit {
                limit: self.plan.time_limit,
                stage: run.stage.words(&console),
                console,
            });
        };
        if run.stage == Stage::Done {
            return Ok(Report {
                statuses: run.statuses,
                took: started.elapsed(),
            });
        }
        Err(run.unfinished(status, self.plan.steps.len(), console, &stderr))
    }
}

/// The emulator's process. Dropping it ends the process.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Booted,
    Done,
}

impl Stage {
    fn words(self, console: &[String]) -> &'static str {
        match self {
            Self::Starting if console.is_empty() => "it printed nothing",
            Self::Starting => "its process 1 did not report",
            Self::Booted | Self::Done => "it was running its plan",
        }
    }
}

struct Run {
    emulator: Emulator,
    accelerator: Accelerator,
    records: File,
    partial: Vec<u8>,
    statuses: Vec<Option<i32>>,
    stage: Stage,
}

impl Run {
    /// Reads the records until the emulator ends; `None` if the deadline passes first.
    fn follow(
        &mut self,
        deadline: Instant,
        watch: &mut dyn FnMut(&GuestRecord),
    ) -> Result<Option<ExitStatus>, VmError> {
        loop {
            let status = self.emulator.0.try_wait().map_err(host("wait for the emulator"))?;
            self.read_records(watch)?;
            if status.is_some() {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(READ_INTERVAL);
        }
    }

    fn read_records(&mut self, watch: &mut dyn FnMut(&GuestRecord)) -> Result<(), VmError> {
        self.records
            .read_to_end(&mut self.partial)
            .map_err(host("read the records"))?;
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let record = serde_json::from_slice(&line).map_err(|_| VmError::Record {
                line: String::from_utf8_lossy(&line).trim_end().to_owned(),
            })?;
            match &record {
                GuestRecord::Booted { .. } => self.stage = Stage::Booted,
                GuestRecord::Exited { code, .. } => self.statuses.push(*code),
                GuestRecord::Refused { .. } => self.statuses.push(None),
                GuestRecord::Done => self.stage = Stage::Done,
                GuestRecord::Output { .. } => {}
            }
            watch(&record);
        }
        Ok(())
    }

    /// Why the emulator ended before its plan was done.
    fn unfinished(&self, status: ExitStatus, steps: usize, console: Vec<String>, stderr: &Path) -> VmError {
        if let Some(reason) = console.iter().find_map(|line| panic_reason(line)) {
            let reason = reason.to_owned();
            return VmError::Panicked { reason, console };
        }
        if !status.success() {
            let last_line = last_lines(stderr).pop().unwrap_or_default();
            let status = status.to_string();
            return match self.accelerator {
                Accelerator::Tcg => VmError::Emulator { status, last_line },
                Accelerator::Kvm => VmError::KvmFails { status, last_line },
            };
        }
        VmError::Ended {
            statuses: self.statuses.len(),
            steps,
            console,
        }
    }
}

/// What follows `Kernel panic - not syncing: ` on a line of the console.
fn panic_reason(line: &str) -> Option<&str> {
    let reason = line.split_once("Kernel panic - not syncing: ")?.1;
    Some(reason.trim_end())
}

/// The last lines of a file, which may be large and may not be text.
fn last_lines(path: &Path) -> Vec<String> {
    const TAIL: u64 = 16 * 1024;
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.replace(|c: char| c.is_control(), ""))
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].to_vec()
}

fn host(operation: &'static str) -> impl Fn(io::Error) -> VmError {
    move |error| VmError::Host { operation, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_recognised_on_the_console() {
        let line = "[    1.5] Kernel panic - not syncing: No working init found.  Try passing init= option to kernel.";
        assert_eq!(
            panic_reason(line),
            Some("No working init found.  Try passing init= option to kernel.")
        );
        assert_eq!(panic_reason("[    0.0] Linux version 6.1"), None);
    }

    #[test]
    fn only_the_last_lines_of_the_console_are_kept() {
        let folder = TempDir::new().expect("space");
        let path = folder.path().join("console");
        let text: String = (0..100).map(|n| format!("line {n}\r\n\r\n")).collect();
        fs::write(&path, text).expect("space");
        let lines = last_lines(&path);
        assert_eq!(lines.len(), CONSOLE_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("line 99"));
        assert!(last_lines(&folder.path().join("absent")).is_empty());
    }
}
