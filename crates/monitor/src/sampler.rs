//! Reading the figures of a host from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use c10k_record::{MonitorCpu, MonitorDisks, MonitorLoad, MonitorMemory, MonitorNetwork, MonitorSample, SCHEMA};
use procfs::{Current as _, CurrentSI as _};

use crate::MonitorError;

/// The unit of `/proc/diskstats`, whatever the disk's own (the kernel's `Documentation/admin-guide/iostats.rst`).
const SECTOR_BYTES: u64 = 512;

const NS_PER_MS: u64 = 1_000_000;

/// Makes samples. It reads counters of the whole host, and nothing about a process or a user.
#[derive(Debug)]
pub(crate) struct Sampler {
    host: String,
    period_ns: u64,
    made: u64,
    /// Whether a block device is a disk, by its name.
    disks: HashMap<String, bool>,
}

impl Sampler {
    /// Reads the name of the host, and checks that there is something to sample.
    pub(crate) fn open(period: Duration) -> Result<Sampler, MonitorError> {
        procfs::KernelStats::current().map_err(|error| MonitorError::Proc {
            file: "/proc/stat",
            cause: error.to_string(),
        })?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Sampler {
            host: host.trim_end().to_owned(),
            period_ns: nanoseconds(period),
            made: 0,
            disks: HashMap::new(),
        })
    }

    /// Makes the next sample. What the kernel does not report is `None`.
    pub(crate) fn sample(&mut self) -> MonitorSample {
        self.made += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let uptime = procfs::Uptime::current().ok();
        MonitorSample {
            schema: SCHEMA,
            host: self.host.clone(),
            sequence: self.made,
            unix_ns: nanoseconds(now),
            period_ns: self.period_ns,
            uptime_ns: uptime.map(|uptime| nanoseconds(Duration::from_secs_f64(uptime.uptime.max(0.0)))),
            load: load(),
            cpu: cpu(),
            memory: memory(),
            network: network(),
            disks: self.disks(),
        }
    }

    fn disks(&mut self) -> Option<MonitorDisks> {
        let mut sum = MonitorDisks::default();
        for device in procfs::diskstats().ok()? {
            let is_disk = *self.disks.entry(device.name).or_insert_with_key(|name| is_disk(name));
            if is_disk {
                sum.read_bytes += device.sectors_read * SECTOR_BYTES;
                sum.written_bytes += device.sectors_written * SECTOR_BYTES;
                sum.reads += device.reads;
                sum.writes += device.writes;
            }
        }
        Some(sum)
    }
}

/// Partitions have no folder there; loop devices, RAM disks, RAID arrays and mapped devices stand on no hardware of their own.
fn is_disk(name: &str) -> bool {
    // The kernel writes a slash in a device's name as an exclamation mark there.
    Path::new("/sys/block")
        .join(name.replace('/', "!"))
        .join("device")
        .exists()
}

fn load() -> Option<MonitorLoad> {
    let found = procfs::LoadAverage::current().ok()?;
    Some(MonitorLoad {
        load_1: hundredths(found.one),
        load_5: hundredths(found.five),
        load_15: hundredths(found.fifteen),
        tasks_running: found.cur.into(),
        tasks: found.max.into(),
    })
}

/// The kernel prints two digits, of which single precision keeps no more than that.
fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

fn cpu() -> Option<MonitorCpu> {
    let found = procfs::KernelStats::current().ok()?;
    let total = &found.total;
    let part = |milliseconds: Option<u64>| milliseconds.unwrap_or_default() * NS_PER_MS;
    Some(MonitorCpu {
        cpus: found.cpu_time.len() as u64,
        user_ns: (total.user_ms() + total.nice_ms()) * NS_PER_MS,
        system_ns: total.system_ms() * NS_PER_MS + part(total.irq_ms()) + part(total.softirq_ms()),
        idle_ns: total.idle_ms() * NS_PER_MS,
        iowait_ns: part(total.iowait_ms()),
        steal_ns: part(total.steal_ms()),
        context_switches: found.ctxt,
        forks: found.processes,
    })
}

fn memory() -> Option<MonitorMemory> {
    let found = procfs::Meminfo::current().ok()?;
    Some(MonitorMemory {
        total_bytes: found.mem_total,
        available_bytes: found.mem_available,
        free_bytes: found.mem_free,
        swap_total_bytes: found.swap_total,
        swap_free_bytes: found.swap_free,
    })
}

fn network() -> Option<MonitorNetwork> {
    let mut sum = MonitorNetwork::default();
    for (name, interface) in procfs::net::dev_status().ok()? {
        if name != "lo" {
            sum.received_bytes += interface.recv_bytes;
            sum.received_packets += interface.recv_packets;
            sum.receive_failures += interface.recv_errs + interface.recv_drop;
            sum.sent_bytes += interface.sent_bytes;
            sum.sent_packets += interface.sent_packets;
            sum.send_failures += interface.sent_errs + interface.sent_drop;
        }
    }
    Some(sum)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_numbered_and_their_totals_never_shrink() {
        let mut sampler = Sampler::open(Duration::from_secs(1)).expect("Linux has /proc");
        let (first, second) = (sampler.sample(), sampler.sample());
        assert_eq!(
            (first.sequence, second.sequence, first.period_ns),
            (1, 2, 1_000_000_000)
        );
        assert!(second.uptime_ns >= first.uptime_ns && first.uptime_ns > Some(0));
        let (first_cpu, second_cpu) = (first.cpu.expect("/proc/stat"), second.cpu.expect("/proc/stat"));
        assert!(first_cpu.cpus > 0 && second_cpu.context_switches >= first_cpu.context_switches);
        assert!(second_cpu.user_ns >= first_cpu.user_ns && first_cpu.user_ns > 0);
        let memory = first.memory.expect("/proc/meminfo");
        assert!(memory.total_bytes > memory.free_bytes);
        let load = first.load.expect("/proc/loadavg");
        assert!(
            load.tasks >= load.tasks_running && load.tasks_running > 0,
            "this one runs"
        );
    }

    #[test]
    fn a_sample_says_nothing_about_processes_and_users() {
        let mut sampler = Sampler::open(Duration::from_secs(1)).expect("Linux has /proc");
        let sample = serde_json::to_value(sampler.sample()).expect("numbers and a name");
        let strings = |value: &serde_json::Value| value.is_string();
        let fields = sample.as_object().expect("an object");
        let texts: Vec<&String> = fields
            .iter()
            .filter(|(_, value)| strings(value))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(texts, ["host"], "the only text of a sample");
        let groups = fields.values().filter_map(|value| value.as_object());
        assert!(
            groups
                .flat_map(|group| group.values())
                .all(|value| value.is_number() || value.is_null())
        );
    }
}
