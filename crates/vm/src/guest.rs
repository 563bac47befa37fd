//! Process 1 of the guest.
//!
//! It mounts the usual file systems, brings the loopback interface up, runs the steps of the plan one after the other, and
//! restarts the machine, on which the emulator exits. It sends everything as [`GuestRecord`]s to the second serial port,
//! including the output of the steps; the console is the kernel's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use c10k_record::GuestRecord;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::error::VmError;
use crate::plan::{self, Plan, Step};

/// The second serial port.
const RECORDS: &str = "/dev/ttyS1";

/// What is mounted, in order: source and type, target.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/tmp"),
    ("securityfs", "/sys/kernel/security"),
];

/// Does the work of process 1 and ends the machine. Returns only if it refuses to start.
///
/// # Errors
/// [`VmError::NotAGuest`] if this is not process 1 of a system whose root is an initramfs with a plan. Nothing was changed
/// then.
pub fn run() -> Result<std::convert::Infallible, VmError> {
    check_is_guest()?;
    if let Err(error) = work() {
        // Without the last record, the host shows the lines of the console.
        eprintln!("c10k: {error}");
    }
    let error = match reboot(RebootCommand::Restart) {
        Ok(()) => io::Error::other("the kernel did not restart"),
        Err(error) => error.into(),
    };
    Err(failed("restart")(error))
}

/// Refuses to run outside a guest, such as in process 1 of a container. A guest's root is an initramfs with a plan in it.
fn check_is_guest() -> Result<(), VmError> {
    const RAMFS: i64 = 0x8584_58f6;
    const TMPFS: i64 = 0x0102_1994;
    if std::process::id() != 1 {
        return Err(VmError::NotAGuest(
            "`c10k vm guest` is process 1 of the guest that `c10k vm` boots; run `c10k vm doctor` instead",
        ));
    }
    let root = rustix::fs::statfs("/").map_err(|error| failed("look at its root")(error.into()))?;
    if ![RAMFS, TMPFS].contains(&root.f_type)
        || rustix::fs::accessat(
            CWD,
            plan::PATH,
            rustix::fs::Access::READ_OK,
            rustix::fs::AtFlags::empty(),
        )
        .is_err()
    {
        return Err(VmError::NotAGuest(
            "this is process 1 of a container, not of a guest of `c10k vm`: nothing was changed",
        ));
    }
    Ok(())
}

fn work() -> Result<(), VmError> {
    for (kind, target) in MOUNTS {
        // The mount point may be missing in a file system that has just been mounted; a kernel may lack a type.
        let _ = fs::create_dir(target);
        if let Err(error) = mount(*kind, *target, *kind, MountFlags::empty(), None) {
            eprintln!("c10k: mount of {kind} at {target}: {error}");
        }
    }
    // Nothing in the machine is random, and the kernel would wait for entropy for ever.
    c10k_sys::entropy::seed([1; 32]).map_err(failed("seed the random number generator"))?;
    // Processes of the class SCHED_FIFO may have the whole processor: generators with the server's clock.
    fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1").map_err(failed("let SCHED_FIFO have the processor"))?;
    let mut port = open_port()?;
    c10k_sys::loopback::bring_up().map_err(failed("bring the loopback interface up"))?;
    let plan = read_plan()?;
    let limit = Rlimit {
        current: Some(plan.nofile),
        maximum: Some(plan.nofile),
    };
    setrlimit(Resource::Nofile, limit).map_err(|error| failed("set the limit of descriptors")(error.into()))?;
    for module in &plan.modules_in_guest {
        load(module)?;
    }
    send(&mut port, &booted())?;
    for (index, step) in plan.steps.iter().enumerate() {
        run_step(&mut port, index, step)?;
    }
    send(&mut port, &GuestRecord::Done)?;
    // Everything must be sent before the machine restarts.
    rustix::termios::tcdrain(&port).map_err(|error| failed("drain the records' port")(error.into()))
}

/// `finit_module(2)`.
fn load(module: &Path) -> Result<(), VmError> {
    let operation = format!("load {}", module.display());
    let file = File::open(module).map_err(failed(&operation))?;
    rustix::system::finit_module(&file, c"", 0).map_err(|error| failed(&operation)(error.into()))
}

fn read_plan() -> Result<Plan, VmError> {
    let text = fs::read(plan::PATH).map_err(failed("read its plan"))?;
    serde_json::from_slice(&text).map_err(|error| failed("read its plan")(error.into()))
}

/// Opens the port for records in raw mode, so that no byte is changed.
fn open_port() -> Result<File, VmError> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(RECORDS)
        .map_err(failed("open the records' port"))?;
    let mut mode = tcgetattr(&port).map_err(|error| failed("set up the records' port")(error.into()))?;
    mode.make_raw();
    tcsetattr(&port, OptionalActions::Now, &mode).map_err(|error| failed("set up the records' port")(error.into()))?;
    Ok(port)
}

fn booted() -> GuestRecord {
    let text = |path| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    GuestRecord::Booted {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        lsm: text("/sys/kernel/security/lsm"),
    }
}

fn run_step(port: &mut File, index: usize, step: &Step) -> Result<(), VmError> {
    // Standard output and error are one stream, so that their lines stay in order.
    let (output, input) = io::pipe().map_err(failed("make a pipe"))?;
    let second = input.try_clone().map_err(failed("make a pipe"))?;
    // The `Command` owns the writing ends of the pipe; it is dropped here, so that reading can reach the end of file.
    let started = Command::new(&step.program)
        .args(&step.arguments)
        .env_clear()
        .envs(&step.environment)
        .stdin(Stdio::null())
        .stdout(input)
        .stderr(second)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let reason = format!("cannot start {}: {error}", step.program.display());
            return send(port, &GuestRecord::Refused { step: index, reason });
        }
    };
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(failed("read what a step prints"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        send(port, &GuestRecord::Output { step: index, line })?;
    }
    let status = child.wait().map_err(failed("wait for a step"))?;
    let record = GuestRecord::Exited {
        step: index,
        code: status.code(),
        signal: status.signal(),
    };
    send(port, &record)
}

/// Sends a record as one line, with one write.
fn send(port: &mut File, record: &GuestRecord) -> Result<(), VmError> {
    let mut line = serde_json::to_vec(record).map_err(|error| failed("send a record")(error.into()))?;
    line.push(b'\n');
    port.write_all(&line).map_err(failed("send a record"))
}

fn failed(operation: &str) -> impl Fn(io::Error) -> VmError {
    move |error| VmError::Guest {
        operation: operation.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_guest_nothing_is_touched() {
        let error = run().expect_err("this is no guest");
        assert!(matches!(error, VmError::NotAGuest(_)), "{error}");
    }
}
