//! Process 1 of the guest.
//!
//! It mounts what programs expect, brings the loopback interface up, runs the steps of the plan one after the other, and
//! restarts the machine, which the emulator takes as the end. All that it reports is a [`GuestRecord`] on the second
//! serial port, what the steps print included; the console is the kernel's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use c10k_record::GuestRecord;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::VmError;
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

/// Does the work of process 1 and ends the machine. Returns only where it refuses to begin.
///
/// # Errors
/// [`VmError::NotAGuest`] where this is not process 1 of a system that lives in an initramfs with a plan: then nothing was
/// touched.
pub fn run() -> Result<std::convert::Infallible, VmError> {
    confirm()?;
    if let Err(error) = work() {
        // The console is the last resort: without its end record the host reports these lines.
        eprintln!("c10k: {error}");
    }
    let error = match reboot(RebootCommand::Restart) {
        Ok(()) => io::Error::other("the kernel went on"),
        Err(error) => error.into(),
    };
    Err(failed("restart")(error))
}

/// Process 1 of a container is not a guest: a guest's root is the initramfs itself, and it has a plan in it.
fn confirm() -> Result<(), VmError> {
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
        // A mount point inside a file system that has just been mounted may be missing; a kernel may lack a type.
        let _ = fs::create_dir(target);
        if let Err(error) = mount(*kind, *target, *kind, MountFlags::empty(), None) {
            eprintln!("c10k: mount of {kind} at {target}: {error}");
        }
    }
    let mut port = open_port()?;
    c10k_sys::loopback::bring_up().map_err(failed("bring the loopback interface up"))?;
    let plan = read_plan()?;
    let limit = Rlimit {
        current: Some(plan.nofile),
        maximum: Some(plan.nofile),
    };
    setrlimit(Resource::Nofile, limit).map_err(|error| failed("set the limit of descriptors")(error.into()))?;
    send(&mut port, &booted())?;
    for (index, step) in plan.steps.iter().enumerate() {
        run_step(&mut port, index, step)?;
    }
    send(&mut port, &GuestRecord::Done)?;
    // The port is drained before the machine goes away.
    rustix::termios::tcdrain(&port).map_err(|error| failed("drain the records' port")(error.into()))
}

fn read_plan() -> Result<Plan, VmError> {
    let text = fs::read(plan::PATH).map_err(failed("read its plan"))?;
    serde_json::from_slice(&text).map_err(|error| failed("read its plan")(error.into()))
}

/// Opens the records' port; nothing on the way may change a byte.
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
    // Both outputs are one stream, so that what a step says when it fails stands behind what it printed before.
    let (output, input) = io::pipe().map_err(failed("make a pipe"))?;
    let second = input.try_clone().map_err(failed("make a pipe"))?;
    // The command holds the pipe's ends for writing; it is gone before the end for reading waits for them to close.
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

/// One record is one line and one write.
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
