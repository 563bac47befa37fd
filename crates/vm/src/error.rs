//! Why a guest could not be started, or did not finish. Each message is one line with the remedy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use c10k_units::duration;

/// Why a guest could not be started, or did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// There is no emulator.
    #[error(
        "cannot start {emulator}: {error}; install it (Debian: apt-get install --no-install-recommends qemu-system-x86)"
    )]
    NoEmulator {
        /// The command.
        emulator: PathBuf,
        /// What the host answered.
        error: io::Error,
    },
    /// There is no kernel where one was looked for.
    #[error(
        "there is no readable kernel below {folder}: name one with --kernel FILE|DIR (Debian: apt-get download the versioned \
         package that linux-image-cloud-amd64 depends on, dpkg-deb --extract it, and name that folder)"
    )]
    NoKernel {
        /// The folder.
        folder: PathBuf,
    },
    /// The kernel file is something else.
    #[error("{path} is not a bootable x86 kernel: name a bzImage (vmlinuz-*) with --kernel FILE")]
    NotAKernel {
        /// The file.
        path: PathBuf,
    },
    /// A file that the guest needs cannot be read.
    #[error("cannot read {path}: {error}; check its name and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the host answered.
        error: io::Error,
    },
    /// A program cannot run in the guest.
    #[error("{path} cannot run in the guest: {why}; name an x86-64 Linux executable that runs here")]
    Program {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A kernel module cannot be loaded in the guest.
    #[error("{path} cannot be loaded in the guest: {why}; build it for the kernel that --kernel names")]
    Module {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A temporary file of the host failed.
    #[error("cannot {operation} for the guest: {error}; check the space in the directory for temporary files (TMPDIR)")]
    Host {
        /// What failed.
        operation: &'static str,
        /// What the host answered.
        error: io::Error,
    },
    /// `/dev/kvm` cannot be opened.
    #[error("/dev/kvm cannot be used: {error}; use --accel tcg, which also counts the instructions exactly")]
    NoKvm {
        /// What the host answered.
        error: io::Error,
    },
    /// `/dev/kvm` can be opened, but the emulator fails with it.
    #[error(
        "the emulator cannot run a guest on /dev/kvm here ({status}: {last_line}); use --accel tcg, which also counts the \
             instructions exactly"
    )]
    KvmFails {
        /// Its exit status.
        status: String,
        /// The last line that it printed.
        last_line: String,
    },
    /// The emulator refused its arguments or died.
    #[error("the emulator ended with {status}: {last_line}; see `c10k vm doctor`")]
    Emulator {
        /// Its exit status.
        status: String,
        /// The last line that it printed.
        last_line: String,
    },
    /// The guest's kernel panicked.
    #[error(
        "the guest panicked: {reason}; its last console lines are above (a kernel for this guest has an initramfs, \
             ELF programs and a serial console built in; a panic in the middle of a study can be a fault of QEMU 7.2, \
             which --append clearcpuid=cx16 avoids)"
    )]
    Panicked {
        /// What the kernel says.
        reason: String,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The guest ended without a panic and without finishing its plan.
    #[error("the guest ended before its plan did, after {statuses} of {steps} steps; its last console lines are above")]
    Ended {
        /// Steps that ended.
        statuses: usize,
        /// Steps of the plan.
        steps: usize,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The time limit passed.
    #[error(
        "the guest did not finish within {limit} ({stage}); its last console lines are above; raise --time-limit, \
             or name another --kernel if it printed nothing",
        limit = duration::exact(*.limit)
    )]
    TimeLimit {
        /// The limit.
        limit: Duration,
        /// How far the guest got.
        stage: &'static str,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// A step of a study failed.
    #[error("{step} failed in the guest: {last_line}")]
    Step {
        /// Its arguments.
        step: String,
        /// The last line that it printed.
        last_line: String,
    },
    /// The filter selects no cell of the studies.
    #[error(
        "no cell matches {filter:?}: give words of a cell's name such as \"epoll-edge idle=10\", with commas between \
             alternatives"
    )]
    NothingMatches {
        /// The filter.
        filter: String,
    },
    /// A line on the port for records is not a record.
    #[error("the guest sent a line that is not a record: {line:?}; check that host and guest run the same c10k")]
    Record {
        /// The line.
        line: String,
    },
    /// The commands of process 1 were called outside a guest.
    #[error("{0}")]
    NotAGuest(&'static str),
    /// An operation inside the guest failed.
    #[error("the guest cannot {operation}: {error}")]
    Guest {
        /// What failed.
        operation: String,
        /// What its kernel answered.
        error: io::Error,
    },
}

impl VmError {
    /// The last lines of the guest's console; empty for an error without any.
    #[must_use]
    pub fn console(&self) -> &[String] {
        match self {
            Self::Panicked { console, .. } | Self::Ended { console, .. } | Self::TimeLimit { console, .. } => console,
            _ => &[],
        }
    }
}
