//! What one CPU did: `/proc/stat`, `/proc/interrupts`, `/proc/softirqs`, `/proc/pressure/cpu`.

use std::fs;
use std::io;
use std::time::Duration;

/// Kernel ticks of `/proc/stat` are in units of `USER_HZ`, which is 100 on every Linux architecture that Rust's
/// standard library supports (proc_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// How one CPU spent its time since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// Idle, waiting for disks or not.
    pub idle: Duration,
    /// Taken by the hypervisor for other guests.
    pub steal: Duration,
    /// Serving interrupts and softirqs, as far as the kernel accounts them apart.
    pub interrupt: Duration,
    /// Everything else: user, nice and system.
    pub tasks: Duration,
}

/// Reads the line `cpuN` of `/proc/stat`.
///
/// # Errors
/// When the file cannot be read or has no line for that CPU.
pub fn cpu_ticks(cpu: usize) -> io::Result<CpuTicks> {
    parse_cpu_line(&fs::read_to_string("/proc/stat")?, cpu).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("/proc/stat has no line for CPU {cpu}; is it online?"),
        )
    })
}

fn parse_cpu_line(stat: &str, cpu: usize) -> Option<CpuTicks> {
    let name = format!("cpu{cpu} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let ticks: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    Some(CpuTicks {
        idle: TICK * (idle + iowait),
        steal: TICK * *steal,
        interrupt: TICK * (irq + softirq),
        tasks: TICK * (user + nice + system),
    })
}

/// Processes and threads created since boot, on the whole machine (`processes` in `/proc/stat`).
///
/// # Errors
/// When the file cannot be read.
pub fn forks_total() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    Ok(stat
        .lines()
        .find_map(|line| line.strip_prefix("processes "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_default())
}

/// Hardware and inter-processor interrupts served by `cpu` since boot.
///
/// # Errors
/// When `/proc/interrupts` cannot be read.
pub fn interrupts_on(cpu: usize) -> io::Result<u64> {
    Ok(column_sum(&fs::read_to_string("/proc/interrupts")?, cpu))
}

/// Softirqs of every kind served by `cpu` since boot.
///
/// # Errors
/// When `/proc/softirqs` cannot be read.
pub fn softirqs_on(cpu: usize) -> io::Result<u64> {
    Ok(column_sum(&fs::read_to_string("/proc/softirqs")?, cpu))
}

/// Both files are tables: a heading of CPU names, then `NAME: count count … [words]`.
fn column_sum(table: &str, cpu: usize) -> u64 {
    let heading = format!("CPU{cpu}");
    let mut lines = table.lines();
    let Some(column) = lines
        .next()
        .and_then(|line| line.split_whitespace().position(|name| name == heading))
    else {
        return 0;
    };
    lines
        .filter_map(|line| line.split_whitespace().nth(column + 1)?.parse::<u64>().ok())
        .sum()
}

/// What tasks may wait for (PSI, pressure stall information).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A CPU.
    Cpu,
    /// Memory that is reclaimed or read back.
    Memory,
    /// Disks.
    Io,
}

/// Time since boot in which at least one task of the machine waited for a resource, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PressureNs(pub u64);

/// Reads `some … total=` of `/proc/pressure/…`; `None` where the kernel has no pressure accounting.
#[must_use]
pub fn pressure(resource: Resource) -> Option<PressureNs> {
    let path = match resource {
        Resource::Cpu => "/proc/pressure/cpu",
        Resource::Memory => "/proc/pressure/memory",
        Resource::Io => "/proc/pressure/io",
    };
    parse_pressure(&fs::read_to_string(path).ok()?)
}

fn parse_pressure(psi: &str) -> Option<PressureNs> {
    let some = psi.lines().find(|line| line.starts_with("some "))?;
    let total_us: u64 = some
        .split(' ')
        .find_map(|field| field.strip_prefix("total="))?
        .parse()
        .ok()?;
    Some(PressureNs(total_us * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_time_in_which_some_task_waited() {
        let psi =
            "some avg10=0.00 avg60=0.12 avg300=0.01 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
        assert_eq!(parse_pressure(psi), Some(PressureNs(1_234_000)));
        assert_eq!(parse_pressure("full avg10=0.00 total=99\n"), None);
    }

    #[test]
    fn a_cpu_line_is_divided_into_idle_steal_interrupts_and_tasks() {
        let stat = "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 10 20 30 40 5 6 7 8 1 0\n";
        let ticks = parse_cpu_line(stat, 1).expect("the line is there");
        assert_eq!(ticks.tasks, TICK * 60);
        assert_eq!(ticks.idle, TICK * 45);
        assert_eq!(ticks.interrupt, TICK * 13);
        assert_eq!(ticks.steal, TICK * 8);
        assert_eq!(parse_cpu_line(stat, 2), None);
    }

    #[test]
    fn counts_are_summed_in_the_column_of_the_cpu() {
        let table = "           CPU0       CPU1\n  24:   1  100  PCI-MSI  eth0\nLOC:  5  7   Local timer\nERR:   3\n";
        assert_eq!(column_sum(table, 0), 9);
        assert_eq!(column_sum(table, 1), 107);
        assert_eq!(column_sum(table, 3), 0);
    }

    #[test]
    fn this_machine_counts_interrupts_and_forks() {
        let cpu = rustix::thread::sched_getcpu();
        assert!(interrupts_on(cpu).expect("/proc/interrupts") > 0);
        assert!(softirqs_on(cpu).expect("/proc/softirqs") > 0);
        assert!(forks_total().expect("/proc/stat") > 0);
        assert!(cpu_ticks(cpu).is_ok());
    }
}
