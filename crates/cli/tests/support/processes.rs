//! The processes that a test has started, seen through `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// The processes below `root`, each with its parent.
pub(crate) fn below(root: u32) -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").expect("Linux has it").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        if let Some(parent) = after_name
            .split(' ')
            .nth(1)
            .and_then(|parent| parent.parse::<u32>().ok())
        {
            all.push((pid, parent));
        }
    }
    let mut tree = vec![(root, 0)];
    let mut next = 0;
    while let Some(&(above, _)) = tree.get(next) {
        next += 1;
        tree.extend(all.iter().filter(|(_, parent)| *parent == above));
    }
    tree.split_off(1)
}

pub(crate) fn command_of(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// Whether a process has ended, reaped or not.
pub(crate) fn gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Waits until all these processes have ended. `how` is what should have ended them.
#[track_caller]
pub(crate) fn all_gone(pids: &BTreeSet<u32>, how: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for &pid in pids {
        while !gone(pid) {
            assert!(
                Instant::now() < deadline,
                "{how}: '{}' ({pid}) is still there",
                command_of(pid)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
