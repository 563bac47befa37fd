//! Facts about this machine, read from `/proc`, `/sys` and `uname(2)`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use c10k_record::{HostFacts, ProcessLimits};
use rustix::process::{Resource, getrlimit};

/// The settings that limit a server or a load generator.
const SYSCTLS: &[&str] = &[
    "fs.nr_open",
    "fs.file-max",
    "kernel.io_uring_disabled",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "vm.max_map_count",
];

/// Reads the facts. Never fails: a fact that cannot be read is absent.
#[must_use]
pub fn read() -> HostFacts {
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy().into_owned();
    let config = kernel_config(&kernel).unwrap_or_default();
    let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    HostFacts {
        architecture: uname.machine().to_string_lossy().into_owned(),
        cpu_model: cpuinfo_field(&cpuinfo, "model name"),
        cpus: allowed_cpus(),
        memory_bytes: memory_bytes(),
        virtual_machine: cpuinfo_field(&cpuinfo, "flags")
            .map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
        clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        cpu_accounting: cpu_accounting(&config),
        timer_hz: config_value(&config, "CONFIG_HZ").and_then(|value| value.parse().ok()),
        mitigations: mitigations(),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        limits: limits(),
        sysctls: SYSCTLS
            .iter()
            .filter_map(|&name| Some((name.to_owned(), sysctl(name)?)))
            .collect(),
        load_average: text("/proc/loadavg").and_then(|line| line.split(' ').next()?.parse().ok()),
        cpu_pressure_percent: text("/proc/pressure/cpu").and_then(|psi| pressure_avg10(&psi)),
        steal_percent: text("/proc/stat").and_then(|stat| steal_percent(&stat)),
        kernel,
    }
}

/// One kernel setting by its dotted name, white space folded.
#[must_use]
pub fn sysctl(name: &str) -> Option<String> {
    let value = text(&format!("/proc/sys/{}", name.replace('.', "/")))?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The name of the file system that `path` is on, such as `ext4`: that of the last mount at the longest mount point above it.
/// `None` if there is no such path, or if the kernel does not tell.
#[must_use]
pub fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    file_system_in(&text("/proc/self/mountinfo")?, &path)
}

/// In a line of `mountinfo` (proc_pid_mountinfo(5)), the fifth field is the mount point, with octal escapes; the file system
/// follows a dash.
fn file_system_in(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        let name = rest.split(' ').next()?;
        path.starts_with(&point).then(|| (point.len(), name.to_owned()))
    });
    // Of mounts at the same point, the last one is seen.
    mounts.max_by_key(|&(length, _)| length).map(|(_, name)| name)
}

fn text(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

fn cpuinfo_field(cpuinfo: &str, name: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

fn memory_bytes() -> Option<u64> {
    let meminfo = text("/proc/meminfo")?;
    let kib: u64 = cpuinfo_field(&meminfo, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The kernel's build configuration, from `/proc/config.gz` or `/boot`.
fn kernel_config(release: &str) -> Option<String> {
    if let Ok(file) = fs::File::open("/proc/config.gz") {
        let mut config = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut config).ok()?;
        return Some(config);
    }
    text(&format!("/boot/config-{release}"))
}

fn config_value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn cpu_accounting(config: &str) -> Option<String> {
    let modes = [
        ("CONFIG_TICK_CPU_ACCOUNTING", "tick"),
        ("CONFIG_VIRT_CPU_ACCOUNTING_GEN", "virt-gen"),
        ("CONFIG_VIRT_CPU_ACCOUNTING_NATIVE", "virt-native"),
    ];
    let chosen = modes
        .iter()
        .find(|(option, _)| config_value(config, option) == Some("y"))?;
    Some(chosen.1.to_owned())
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let state = text(entry.path().to_str()?)?;
            Some((entry.file_name().into_string().ok()?, state))
        })
        .collect()
}

fn limits() -> ProcessLimits {
    let nofile = getrlimit(Resource::Nofile);
    ProcessLimits {
        nofile_soft: nofile.current,
        nofile_hard: nofile.maximum,
        sigpending_soft: getrlimit(Resource::Sigpending).current,
        nproc_soft: getrlimit(Resource::Nproc).current,
        memlock_soft_bytes: getrlimit(Resource::Memlock).current,
    }
}

fn pressure_avg10(psi: &str) -> Option<f64> {
    let some = psi.lines().find(|line| line.starts_with("some "))?;
    some.split(' ')
        .find_map(|field| field.strip_prefix("avg10="))?
        .parse()
        .ok()
}

/// The first line of `/proc/stat` is user, nice, system, idle, iowait, irq, softirq, steal, … (proc_stat(5)); guest time
/// is already within user and nice.
fn steal_percent(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total: f64 = ticks.iter().sum();
    (ticks.len() == 8 && total > 0.0).then(|| 100.0 * ticks[7] / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_this_machine_are_found() {
        let facts = read();
        assert!(!facts.kernel.is_empty());
        assert!(!facts.cpus.is_empty());
        assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(facts.sysctls.contains_key("net.core.somaxconn"));
    }

    #[test]
    fn a_path_is_on_the_innermost_mount() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /tmp rw shared:3 - tmpfs tmpfs rw\n\
                      3 1 0:6 / /tmp/a\\040b rw - xfs /dev/b rw\n4 1 0:7 / /tmp rw - btrfs c rw\n";
        let on = |path| file_system_in(mounts, Path::new(path));
        assert_eq!(on("/var/tmp").as_deref(), Some("ext4"));
        assert_eq!(on("/tmp/x").as_deref(), Some("btrfs"));
        assert_eq!(on("/tmpfile").as_deref(), Some("ext4"));
        assert_eq!(on("/tmp/a b/c").as_deref(), Some("xfs"));
        assert_eq!(file_system(Path::new("/proc/self")).as_deref(), Some("proc"));
        assert_eq!(file_system(Path::new("/nonexistent")), None);
    }

    #[test]
    fn steal_is_a_share_of_all_time() {
        assert_eq!(steal_percent("cpu  10 0 10 60 0 0 0 20 5 0\ncpu0 …"), Some(20.0));
        assert_eq!(steal_percent("cpu  1 2 3"), None);
    }

    #[test]
    fn accounting_mode_comes_from_the_kernel_configuration() {
        let config = "# CONFIG_VIRT_CPU_ACCOUNTING_GEN is not set\nCONFIG_TICK_CPU_ACCOUNTING=y\nCONFIG_HZ=250";
        assert_eq!(cpu_accounting(config).as_deref(), Some("tick"));
        assert_eq!(config_value(config, "CONFIG_HZ"), Some("250"));
        assert_eq!(cpu_accounting(""), None);
    }

    #[test]
    fn pressure_is_the_some_line() {
        let psi = "some avg10=1.25 avg60=0.45 avg300=0.33 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0";
        assert_eq!(pressure_avg10(psi), Some(1.25));
    }
}
