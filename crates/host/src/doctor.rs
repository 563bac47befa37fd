//! Checks whether this machine can run the studies. Each failed check names the command that fixes it.
//!
//! The checks are a table: a name, and a function from the facts to the finding. Nothing is changed.

use c10k_record::{DoctorCheck, HostFacts};

/// Descriptors of one process: the connections of the largest cell of the studies, plus listeners, files and a reserve.
pub const DESCRIPTORS_WANTED: u64 = 15_200;

/// Backlog that the server asks of `listen(2)`; the kernel cuts it to `net.core.somaxconn`.
pub const BACKLOG_WANTED: u64 = 4096;

/// Length of the queue of real-time signals in the paper (section 4, table 1), per user.
pub const SIGNALS_WANTED: u64 = 1024;

struct Check {
    name: &'static str,
    examine: fn(&HostFacts) -> Finding,
}

enum Finding {
    Fine(String),
    Limiting(String, &'static str),
}

use Finding::{Fine, Limiting};

const CHECKS: &[Check] = &[
    Check {
        name: "kernel",
        examine: |facts| Fine(format!("{} on {}", facts.kernel, facts.architecture)),
    },
    Check {
        name: "cpu",
        examine: cpu,
    },
    Check {
        name: "cpus",
        examine: cpus,
    },
    Check {
        name: "memory",
        examine: memory,
    },
    Check {
        name: "hypervisor",
        examine: hypervisor,
    },
    Check {
        name: "clock source",
        examine: clock_source,
    },
    Check {
        name: "cpu accounting",
        examine: accounting,
    },
    Check {
        name: "mitigations",
        examine: mitigations,
    },
    Check {
        name: "frequency governor",
        examine: governor,
    },
    Check {
        name: "nofile",
        examine: nofile,
    },
    Check {
        name: "sigpending",
        examine: sigpending,
    },
    Check {
        name: "nproc",
        examine: nproc,
    },
    Check {
        name: "somaxconn",
        examine: somaxconn,
    },
    Check {
        name: "port range",
        examine: port_range,
    },
    Check {
        name: "noise",
        examine: noise,
    },
];

/// Runs every check, in a fixed order.
#[must_use]
pub fn examine(facts: &HostFacts) -> Vec<DoctorCheck> {
    CHECKS
        .iter()
        .map(|check| match (check.examine)(facts) {
            Fine(found) => DoctorCheck {
                name: check.name.to_owned(),
                found,
                ok: true,
                remedy: None,
            },
            Limiting(found, remedy) => DoctorCheck {
                name: check.name.to_owned(),
                found,
                ok: false,
                remedy: Some(remedy.to_owned()),
            },
        })
        .collect()
}

fn unknown() -> String {
    "not reported by this kernel".to_owned()
}

fn cpu(facts: &HostFacts) -> Finding {
    Fine(facts.cpu_model.clone().unwrap_or_else(unknown))
}

fn cpus(facts: &HostFacts) -> Finding {
    match facts.cpus.as_slice() {
        [] => Fine(unknown()),
        [only] => Limiting(
            format!("1 (CPU {only})"),
            "server and generator share it, so no figure is the server's alone; allow a second one: taskset -c 0,1 c10k …",
        ),
        several => Fine(format!(
            "{}: server and generator are pinned to different ones",
            several.len()
        )),
    }
}

fn memory(facts: &HostFacts) -> Finding {
    match facts.memory_bytes {
        Some(bytes) if bytes < 1 << 30 => Limiting(
            format!("{} MiB", bytes >> 20),
            "cells with more than 5,000 connections may not fit; run with --only on the smaller ones",
        ),
        Some(bytes) => Fine(format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))),
        None => Fine(unknown()),
    }
}

fn hypervisor(facts: &HostFacts) -> Finding {
    match (facts.virtual_machine, facts.steal_percent) {
        (Some(true), Some(steal)) => Fine(format!("a virtual machine; {steal:.2}% of CPU time stolen since boot")),
        (Some(true), None) => Fine("a virtual machine".to_owned()),
        (Some(false), _) => Fine("none".to_owned()),
        (None, _) => Fine(unknown()),
    }
}

fn clock_source(facts: &HostFacts) -> Finding {
    match facts.clock_source.as_deref() {
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies")) => Limiting(
            slow.to_owned(),
            "reading the clock costs microseconds; where tsc is listed in available_clocksource: \
             echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        Some(other) => Fine(other.to_owned()),
        None => Fine(unknown()),
    }
}

fn accounting(facts: &HostFacts) -> Finding {
    match facts.cpu_accounting.as_deref() {
        Some("tick") => Fine(format!(
            "tick ({} Hz): user and system time are samples; scheduler run time is exact",
            facts.timer_hz.map_or_else(|| "?".to_owned(), |hz| hz.to_string())
        )),
        Some(other) => Fine(other.to_owned()),
        None => Fine(unknown()),
    }
}

fn mitigations(facts: &HostFacts) -> Finding {
    let active = facts
        .mitigations
        .values()
        .filter(|state| state.starts_with("Mitigation"))
        .count();
    Fine(format!(
        "{active} active of {} known; each makes system calls more expensive",
        facts.mitigations.len()
    ))
}

fn governor(facts: &HostFacts) -> Finding {
    match facts.governor.as_deref() {
        None => Fine("no frequency control here".to_owned()),
        Some("performance") => Fine("performance".to_owned()),
        Some(other) => Limiting(
            other.to_owned(),
            "the clock follows the load, so an idle server looks expensive; cpupower frequency-set -g performance",
        ),
    }
}

fn nofile(facts: &HostFacts) -> Finding {
    match facts.limits.nofile_hard {
        Some(hard) if hard < DESCRIPTORS_WANTED => Limiting(
            format!("{hard} descriptors per process"),
            "cells with more connections are skipped; as root: ulimit -Hn 20000, or LimitNOFILE= in the unit",
        ),
        Some(hard) => Fine(format!(
            "{hard} descriptors per process: up to {} connections",
            hard.saturating_sub(200)
        )),
        None => Fine("unlimited".to_owned()),
    }
}

fn sigpending(facts: &HostFacts) -> Finding {
    match facts.limits.sigpending_soft {
        Some(soft) if soft < SIGNALS_WANTED => Limiting(
            format!("{soft} queued signals per user"),
            "the paper's queue of 1024 does not fit; ulimit -i 1024",
        ),
        Some(soft) => Fine(format!("{soft} queued signals per user (the paper: 1024)")),
        None => Fine("unlimited".to_owned()),
    }
}

fn nproc(facts: &HostFacts) -> Finding {
    match facts.limits.nproc_soft {
        Some(soft) if soft < 2048 => Limiting(
            format!("{soft} processes per user"),
            "models with a process or thread per connection stop there; ulimit -u 32768",
        ),
        Some(soft) => Fine(format!("{soft} processes per user")),
        None => Fine("unlimited".to_owned()),
    }
}

fn somaxconn(facts: &HostFacts) -> Finding {
    match facts
        .sysctls
        .get("net.core.somaxconn")
        .and_then(|value| value.parse::<u64>().ok())
    {
        Some(limit) if limit < BACKLOG_WANTED => Limiting(
            format!("{limit} connections may wait for accept"),
            "bursts beyond it are refused by the kernel, not by the server; sysctl -w net.core.somaxconn=4096",
        ),
        Some(limit) => Fine(format!("{limit} connections may wait for accept")),
        None => Fine(unknown()),
    }
}

fn port_range(facts: &HostFacts) -> Finding {
    let range = facts.sysctls.get("net.ipv4.ip_local_port_range").and_then(|value| {
        let (low, high) = value.split_once(' ')?;
        Some((low.parse::<u64>().ok()?, high.parse::<u64>().ok()?))
    });
    match range {
        Some((low, high)) if high.saturating_sub(low) < 1000 => Limiting(
            format!("{low} to {high}"),
            "the generator needs many source addresses; sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
        ),
        Some((low, high)) => Fine(format!(
            "{low} to {high}: {} ports for each source address",
            high - low + 1
        )),
        None => Fine(unknown()),
    }
}

fn noise(facts: &HostFacts) -> Finding {
    let load = facts.load_average.unwrap_or_default();
    let pressure = facts.cpu_pressure_percent.unwrap_or_default();
    let found = format!("load average {load:.2}, tasks waited for a CPU {pressure:.1}% of the last 10 s");
    if pressure > 5.0 {
        return Limiting(found, "something else is running; stop it, or expect wide intervals");
    }
    Fine(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<'a>(checks: &'a [DoctorCheck], name: &str) -> &'a DoctorCheck {
        checks
            .iter()
            .find(|check| check.name == name)
            .expect("the check is in the table")
    }

    #[test]
    fn every_failed_check_names_a_remedy() {
        let mut facts = HostFacts {
            cpus: vec![0],
            clock_source: Some("hpet".to_owned()),
            ..HostFacts::default()
        };
        facts.limits.nofile_hard = Some(1024);
        facts.limits.sigpending_soft = Some(8);
        facts.sysctls.insert("net.core.somaxconn".to_owned(), "128".to_owned());
        let checks = examine(&facts);
        for name in ["cpus", "clock source", "nofile", "sigpending", "somaxconn"] {
            let check = check(&checks, name);
            assert!(!check.ok, "{name} should fail");
            assert!(check.remedy.is_some(), "{name} should name a remedy");
        }
    }

    #[test]
    fn a_fact_that_the_kernel_does_not_report_is_no_failure() {
        assert!(examine(&HostFacts::default()).iter().all(|check| check.ok));
    }
}
