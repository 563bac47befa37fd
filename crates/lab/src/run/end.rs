//! Why a cell ended before its time.
//!
//! Only the machine makes a cell *skipped*: its kernel, its limits, its devices. Whatever the experiment asks for and does not
//! get for another reason is *failed*. A cell that ran but tells nothing about its server is *invalid*.

use std::io;

use c10k_record::CellStatus;

/// Why a cell ended before its time.
#[derive(Debug)]
pub(super) struct CellFailure {
    pub(super) status: CellStatus,
    pub(super) reason: String,
}

fn ended(status: CellStatus, reason: impl Into<String>) -> CellFailure {
    CellFailure {
        status,
        reason: reason.into(),
    }
}

pub(super) fn skipped(reason: impl Into<String>) -> CellFailure {
    ended(CellStatus::Skipped, reason)
}

pub(super) fn failed(reason: impl Into<String>) -> CellFailure {
    ended(CellStatus::Failed, reason)
}

pub(super) fn invalid(reason: impl Into<String>) -> CellFailure {
    ended(CellStatus::Invalid, reason)
}

/// A program that could not be started: skipped where a limit of the machine is the cause, failed where the command is.
pub(super) fn not_started(program: &str, cpus: &[usize], error: &io::Error) -> CellFailure {
    /// EAGAIN: too many processes; ENOMEM; EINVAL: CPUs that this process may not use; ENFILE and EMFILE: too many descriptors.
    const OF_THE_MACHINE: [i32; 5] = [11, 12, 22, 23, 24];
    let reason = format!("cannot start {program} on CPUs {cpus:?}: {error}");
    match error.raw_os_error() {
        Some(errno) if OF_THE_MACHINE.contains(&errno) => skipped(reason),
        _ => failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_exist_is_failed_and_a_limit_of_the_machine_is_skipped() {
        let status = |error: io::Error| not_started("nginx", &[1], &error).status;
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::InvalidInput,
        ] {
            assert_eq!(status(kind.into()), CellStatus::Failed, "{kind}");
        }
        let (enoent, enoexec, eagain, emfile) = (2, 8, 11, 24);
        for errno in [enoent, enoexec] {
            assert_eq!(
                status(io::Error::from_raw_os_error(errno)),
                CellStatus::Failed,
                "{errno}"
            );
        }
        for errno in [eagain, emfile] {
            assert_eq!(
                status(io::Error::from_raw_os_error(errno)),
                CellStatus::Skipped,
                "{errno}"
            );
        }
    }
}
