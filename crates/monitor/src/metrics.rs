//! A sample as OpenMetrics text (the OpenMetrics specification, version 1.0).

use std::fmt::Write as _;

use c10k_record::MonitorSample;

/// The content type that version 1.0 of the specification asks for.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a metric's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It grows from the start of the host on. Its samples have the suffix `_total`.
    Counter,
    Gauge,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Count(u64),
    /// Nanoseconds, written as seconds.
    Time(u64),
    Number(f64),
}

/// A metric: its name ends with its unit, if it has one.
struct Metric {
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    help: &'static str,
    /// Its values, each with its labels; none if the kernel does not report it.
    values: fn(&MonitorSample) -> Vec<(&'static str, Value)>,
}

const METRICS: &[Metric] = &[
    Metric {
        name: "host_uptime_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        help: "Time since the host was started.",
        values: |sample| one(sample.uptime_ns.as_ref(), |&time| Value::Time(time)),
    },
    Metric {
        name: "host_sample_timestamp_seconds",
        kind: Kind::Gauge,
        unit: "seconds",
        help: "When the sample was made, since the Unix epoch.",
        values: |sample| vec![("", Value::Time(sample.unix_ns))],
    },
    Metric {
        name: "host_load",
        kind: Kind::Gauge,
        unit: "",
        help: "Load average over so many minutes.",
        values: |sample| {
            labelled(sample.load.as_ref(), |load| {
                vec![
                    ("minutes=\"1\"", Value::Number(load.load_1)),
                    ("minutes=\"5\"", Value::Number(load.load_5)),
                    ("minutes=\"15\"", Value::Number(load.load_15)),
                ]
            })
        },
    },
    Metric {
        name: "host_tasks",
        kind: Kind::Gauge,
        unit: "",
        help: "Processes and threads that exist.",
        values: |sample| one(sample.load.as_ref(), |load| Value::Count(load.tasks)),
    },
    Metric {
        name: "host_tasks_running",
        kind: Kind::Gauge,
        unit: "",
        help: "Processes and threads that run or wait for a CPU.",
        values: |sample| one(sample.load.as_ref(), |load| Value::Count(load.tasks_running)),
    },
    Metric {
        name: "host_cpus",
        kind: Kind::Gauge,
        unit: "",
        help: "CPUs that are online.",
        values: |sample| one(sample.cpu.as_ref(), |cpu| Value::Count(cpu.cpus)),
    },
    Metric {
        name: "host_cpu_seconds",
        kind: Kind::Counter,
        unit: "seconds",
        help: "Time of all CPUs by what they did.",
        values: |sample| {
            labelled(sample.cpu.as_ref(), |cpu| {
                vec![
                    ("mode=\"user\"", Value::Time(cpu.user_ns)),
                    ("mode=\"system\"", Value::Time(cpu.system_ns)),
                    ("mode=\"idle\"", Value::Time(cpu.idle_ns)),
                    ("mode=\"iowait\"", Value::Time(cpu.iowait_ns)),
                    ("mode=\"steal\"", Value::Time(cpu.steal_ns)),
                ]
            })
        },
    },
    Metric {
        name: "host_context_switches",
        kind: Kind::Counter,
        unit: "",
        help: "Context switches.",
        values: |sample| one(sample.cpu.as_ref(), |cpu| Value::Count(cpu.context_switches)),
    },
    Metric {
        name: "host_forks",
        kind: Kind::Counter,
        unit: "",
        help: "Processes and threads that were created.",
        values: |sample| one(sample.cpu.as_ref(), |cpu| Value::Count(cpu.forks)),
    },
    Metric {
        name: "host_memory_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Memory: all, available without swapping, unused.",
        values: |sample| {
            labelled(sample.memory.as_ref(), |memory| {
                let mut values = vec![("state=\"total\"", Value::Count(memory.total_bytes))];
                let available = memory.available_bytes.map(Value::Count);
                values.extend(available.map(|value| ("state=\"available\"", value)));
                values.push(("state=\"free\"", Value::Count(memory.free_bytes)));
                values
            })
        },
    },
    Metric {
        name: "host_swap_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Swap space: all, unused.",
        values: |sample| {
            labelled(sample.memory.as_ref(), |memory| {
                vec![
                    ("state=\"total\"", Value::Count(memory.swap_total_bytes)),
                    ("state=\"free\"", Value::Count(memory.swap_free_bytes)),
                ]
            })
        },
    },
    Metric {
        name: "host_network_bytes",
        kind: Kind::Counter,
        unit: "bytes",
        help: "Bytes of all interfaces but the loopback interface.",
        values: |sample| {
            labelled(sample.network.as_ref(), |network| {
                vec![
                    ("direction=\"received\"", Value::Count(network.received_bytes)),
                    ("direction=\"sent\"", Value::Count(network.sent_bytes)),
                ]
            })
        },
    },
    Metric {
        name: "host_network_packets",
        kind: Kind::Counter,
        unit: "packets",
        help: "Packets of all interfaces but the loopback interface.",
        values: |sample| {
            labelled(sample.network.as_ref(), |network| {
                vec![
                    ("direction=\"received\"", Value::Count(network.received_packets)),
                    ("direction=\"sent\"", Value::Count(network.sent_packets)),
                ]
            })
        },
    },
    Metric {
        name: "host_network_failures",
        kind: Kind::Counter,
        unit: "",
        help: "Packets with an error, and packets that were dropped.",
        values: |sample| {
            labelled(sample.network.as_ref(), |network| {
                vec![
                    ("direction=\"received\"", Value::Count(network.receive_failures)),
                    ("direction=\"sent\"", Value::Count(network.send_failures)),
                ]
            })
        },
    },
    Metric {
        name: "host_disk_bytes",
        kind: Kind::Counter,
        unit: "bytes",
        help: "Bytes of all disks.",
        values: |sample| {
            labelled(sample.disks.as_ref(), |disks| {
                vec![
                    ("direction=\"read\"", Value::Count(disks.read_bytes)),
                    ("direction=\"written\"", Value::Count(disks.written_bytes)),
                ]
            })
        },
    },
    Metric {
        name: "host_disk_operations",
        kind: Kind::Counter,
        unit: "operations",
        help: "Operations of all disks.",
        values: |sample| {
            labelled(sample.disks.as_ref(), |disks| {
                vec![
                    ("direction=\"read\"", Value::Count(disks.reads)),
                    ("direction=\"written\"", Value::Count(disks.writes)),
                ]
            })
        },
    },
];

fn one<T>(group: Option<&T>, value: impl Fn(&T) -> Value) -> Vec<(&'static str, Value)> {
    group.map(|group| ("", value(group))).into_iter().collect()
}

fn labelled<T>(group: Option<&T>, values: fn(&T) -> Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    group.map(values).unwrap_or_default()
}

/// The whole exposition, with its end.
pub(crate) fn exposition(sample: &MonitorSample) -> String {
    let mut out = String::with_capacity(4096);
    out.push_str("# TYPE host info\n# HELP host The host.\nhost_info{name=\"");
    escape(&sample.host, &mut out);
    out.push_str("\"} 1\n");
    for metric in METRICS {
        let values = (metric.values)(sample);
        if values.is_empty() {
            continue;
        }
        let (kind, suffix) = match metric.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        let _ = writeln!(out, "# TYPE {} {kind}", metric.name);
        if !metric.unit.is_empty() {
            let _ = writeln!(out, "# UNIT {} {}", metric.name, metric.unit);
        }
        let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
        for (labels, value) in values {
            let _ = write!(out, "{}{suffix}", metric.name);
            if !labels.is_empty() {
                let _ = write!(out, "{{{labels}}}");
            }
            let _ = match value {
                Value::Count(count) => writeln!(out, " {count}"),
                Value::Time(ns) => writeln!(out, " {}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
                Value::Number(number) => writeln!(out, " {number}"),
            };
        }
    }
    out.push_str("# EOF\n");
    out
}

/// The value of a label: backslash, quote and line feed are escaped.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::{MonitorCpu, MonitorDisks, MonitorLoad, MonitorMemory, MonitorNetwork};
    use std::collections::BTreeSet;

    #[test]
    fn an_exposition_follows_the_specification() {
        let sample = MonitorSample {
            host: "a\"b\\c\n".to_owned(),
            uptime_ns: Some(1_500_000_000),
            load: Some(MonitorLoad {
                load_1: 0.25,
                ..MonitorLoad::default()
            }),
            cpu: Some(MonitorCpu::default()),
            memory: Some(MonitorMemory::default()),
            network: Some(MonitorNetwork::default()),
            disks: Some(MonitorDisks::default()),
            ..MonitorSample::default()
        };
        let text = exposition(&sample);
        assert!(text.ends_with("\n# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
        for line in [
            "host_info{name=\"a\\\"b\\\\c\\n\"} 1",
            "host_uptime_seconds 1.500000000",
            "host_load{minutes=\"1\"} 0.25",
            "host_cpu_seconds_total{mode=\"user\"} 0.000000000",
            "# UNIT host_cpu_seconds seconds",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        // Every metric is described once, before its values, and names its unit.
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(described.insert(name), "{name} is described twice");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').expect("name and unit");
                assert!(name.ends_with(&format!("_{unit}")), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                let family = name
                    .strip_suffix("_total")
                    .or(name.strip_suffix("_info"))
                    .unwrap_or(name);
                assert!(described.contains(family), "{line}");
            }
        }
        assert_eq!(described.len(), METRICS.len() + 1);
    }

    #[test]
    fn what_the_kernel_does_not_report_is_left_out() {
        let text = exposition(&MonitorSample::default());
        assert!(!text.contains("host_cpu") && !text.contains("host_disk"), "{text}");
        assert!(text.contains("host_sample_timestamp_seconds 0.000000000\n"));
    }
}
