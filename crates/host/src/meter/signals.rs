//! Queued signals.

use std::fs;

/// Signals queued for all processes of this user (`SigQ` of `/proc/self/status`): the kernel counts them by user, so
/// that signals of other processes leave less room for a server. `None` if the kernel does not report it.
#[must_use]
pub fn queued_signals() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The line is `SigQ: QUEUED/LIMIT`.
fn parse(status: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix("SigQ:"))?;
    rest.split('/').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_stands_before_its_limit() {
        assert_eq!(parse("Threads:\t1\nSigQ:\t30/96365\nSigPnd:\t0\n"), Some(30));
        assert_eq!(parse("Threads:\t1\n"), None);
    }
}
