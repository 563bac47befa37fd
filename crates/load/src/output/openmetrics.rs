//! The summary in the OpenMetrics 1.0 text format.

use std::collections::BTreeMap;
use std::io;

use c10k_record::{LatencySummary, LoadRow, LoadSummary};

use super::format::{Destination, OutputFormat};

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "openmetrics",
    help: "Write the summary to FILE in the OpenMetrics text format",
    conflicts: &["find-max"],
    destination: Destination::File,
    write: |report, out| summary(&report.summary, out),
};

const NS_PER_S: f64 = 1e9;

/// All counters, gauges and summaries of a run, followed by `# EOF`.
fn summary(run: &LoadSummary, out: &mut dyn io::Write) -> io::Result<()> {
    counters(run, out)?;
    gauges(run, out)?;
    durations(
        out,
        "latency",
        "From the scheduled instant to the last byte.",
        &run.latency_ns,
        run.intended - run.in_flight,
    )?;
    durations(
        out,
        "service",
        "From the send to the last byte.",
        &run.service_ns,
        run.sent - run.in_flight,
    )?;
    durations(
        out,
        "send_lag",
        "From the scheduled instant to the send.",
        &run.send_lag_ns,
        run.sent,
    )?;
    if !run.rows.is_empty() {
        rows(&run.rows, out)?;
    }
    writeln!(out, "# EOF")
}

/// The counters and summaries of the rows of a mix, with the request as a label.
fn rows(rows: &[LoadRow], out: &mut dyn io::Write) -> io::Result<()> {
    type Counter = (&'static str, &'static str, fn(&LoadRow) -> u64);
    let counters: [Counter; 5] = [
        ("intended", "Requests of the row that were due.", |row| row.intended),
        ("sent", "Requests of the row that were sent.", |row| row.sent),
        (
            "never_sent",
            "Requests of the row that could not be sent within the time limit.",
            |row| row.never_sent,
        ),
        (
            "completed",
            "Requests of the row that were answered in full and verified.",
            |row| row.completed,
        ),
        (
            "timed_out",
            "Requests of the row that were not answered within the time limit.",
            |row| row.timed_out,
        ),
    ];
    for (name, help, count) in counters {
        let name = format!("c10k_load_row_requests_{name}");
        writeln!(out, "# TYPE {name} counter\n# HELP {name} {help}")?;
        for row in rows {
            writeln!(out, "{name}_total{{{}}} {}", label(row), count(row))?;
        }
    }
    by_kind(
        rows,
        out,
        "errors",
        "kind",
        "Requests of the row that failed, by kind.",
        |row| &row.errors,
    )?;
    by_kind(
        rows,
        out,
        "replies",
        "status",
        "Replies to the row, by status.",
        |row| &row.statuses,
    )?;
    type Duration = (&'static str, &'static str, fn(&LoadRow) -> (&LatencySummary, u64));
    let durations: [Duration; 2] = [
        ("latency", "From the scheduled instant to the last byte.", |row| {
            (&row.latency_ns, row.intended - row.in_flight)
        }),
        ("service", "From the send to the last byte.", |row| {
            (&row.service_ns, row.sent - row.in_flight)
        }),
    ];
    for (name, help, values) in durations {
        let name = format!("c10k_load_row_{name}_seconds");
        duration_family(out, &name, help)?;
        for row in rows {
            let (of, count) = values(row);
            duration_samples(out, &name, &label(row), of, count)?;
        }
    }
    Ok(())
}

/// A family of counters of the rows with a second label.
fn by_kind(
    rows: &[LoadRow],
    out: &mut dyn io::Write,
    name: &str,
    kind: &str,
    help: &str,
    counts: fn(&LoadRow) -> &BTreeMap<String, u64>,
) -> io::Result<()> {
    let name = format!("c10k_load_row_{name}");
    writeln!(out, "# TYPE {name} counter\n# HELP {name} {help}")?;
    for row in rows {
        for (value, count) in counts(row) {
            writeln!(out, "{name}_total{{{},{kind}=\"{value}\"}} {count}", label(row))?;
        }
    }
    Ok(())
}

/// The label of a row. In a value, backslashes and quotes are escaped.
fn label(row: &LoadRow) -> String {
    let request = row.request.replace('\\', "\\\\").replace('"', "\\\"");
    format!("request=\"{request}\"")
}

fn counters(run: &LoadSummary, out: &mut dyn io::Write) -> io::Result<()> {
    let counters = [
        ("intended", "Requests that were due.", run.intended),
        ("sent", "Requests that were sent.", run.sent),
        ("late", "Requests that were sent later than the bound.", run.late),
        (
            "never_sent",
            "Requests that could not be sent within the time limit.",
            run.never_sent,
        ),
        (
            "completed",
            "Requests that were answered in full and verified.",
            run.completed,
        ),
        (
            "timed_out",
            "Requests that were not answered within the time limit.",
            run.timed_out,
        ),
    ];
    for (name, help, value) in counters {
        writeln!(
            out,
            "# TYPE c10k_load_requests_{name} counter\n# HELP c10k_load_requests_{name} {help}"
        )?;
        writeln!(out, "c10k_load_requests_{name}_total {value}")?;
    }
    writeln!(
        out,
        "# TYPE c10k_load_errors counter\n# HELP c10k_load_errors Requests that failed, by kind."
    )?;
    for (kind, count) in &run.errors {
        writeln!(out, "c10k_load_errors_total{{kind=\"{kind}\"}} {count}")?;
    }
    Ok(())
}

fn gauges(run: &LoadSummary, out: &mut dyn io::Write) -> io::Result<()> {
    let gauges = [
        ("rate_offered", "Requests due per second.", run.rate_offered),
        ("rate_achieved", "Good replies per second.", run.rate_achieved),
        (
            "idle_open_min",
            "The minimum number of open idle connections.",
            run.idle.open_min as f64,
        ),
        (
            "in_flight",
            "Requests without a reply at the end of the run.",
            run.in_flight as f64,
        ),
        (
            "valid",
            "1 if the figures describe the server, 0 if the generator or the idle pool failed.",
            f64::from(u8::from(run.valid)),
        ),
    ];
    for (name, help, value) in gauges {
        writeln!(
            out,
            "# TYPE c10k_load_{name} gauge\n# HELP c10k_load_{name} {help}\nc10k_load_{name} {value}"
        )?;
    }
    Ok(())
}

fn durations(out: &mut dyn io::Write, name: &str, help: &str, of: &LatencySummary, count: u64) -> io::Result<()> {
    let name = format!("c10k_load_{name}_seconds");
    duration_family(out, &name, help)?;
    duration_samples(out, &name, "", of, count)
}

/// The head of a family of durations.
fn duration_family(out: &mut dyn io::Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(
        out,
        "# TYPE {name} summary\n# UNIT {name} seconds\n# HELP {name} {help}"
    )
}

/// The samples of one summary, which has this label, if it is not empty.
fn duration_samples(
    out: &mut dyn io::Write,
    name: &str,
    label: &str,
    of: &LatencySummary,
    count: u64,
) -> io::Result<()> {
    let (prefix, labels) = match label {
        "" => (String::new(), String::new()),
        label => (format!("{label},"), format!("{{{label}}}")),
    };
    for (quantile, value) in [("0.5", of.p50), ("0.9", of.p90), ("0.99", of.p99), ("0.999", of.p999)] {
        writeln!(
            out,
            "{name}{{{prefix}quantile=\"{quantile}\"}} {}",
            value as f64 / NS_PER_S
        )?;
    }
    writeln!(
        out,
        "{name}_sum{labels} {}\n{name}_count{labels} {count}",
        of.mean * count as f64 / NS_PER_S
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_belongs_to_a_declared_family_and_the_text_ends_with_eof() {
        let row = |request: &str| LoadRow {
            request: request.to_owned(),
            errors: [("connreset".to_owned(), 1)].into(),
            statuses: [("200".to_owned(), 2)].into(),
            ..LoadRow::default()
        };
        let run = LoadSummary {
            errors: [("connreset".to_owned(), 3)].into(),
            sent: 3,
            intended: 3,
            rows: vec![row("/a/{zipf:9}"), row("/b\"\\")],
            ..Default::default()
        };
        let written = |run: &LoadSummary| {
            let mut bytes = Vec::new();
            summary(run, &mut bytes).expect("a Vec accepts everything");
            String::from_utf8(bytes).expect("text")
        };
        let text = written(&run);
        assert!(text.ends_with("# EOF\n"));
        let mut family = "";
        let mut families = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} is declared twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(family), "{line} does not belong to {family}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for sample in [
            r#"c10k_load_errors_total{kind="connreset"} 3"#,
            r#"c10k_load_row_replies_total{request="/a/{zipf:9}",status="200"} 2"#,
            r#"c10k_load_row_latency_seconds{request="/b\"\\",quantile="0.99"} 0"#,
            r#"c10k_load_row_latency_seconds_count{request="/b\"\\"} 0"#,
        ] {
            assert!(text.contains(&format!("{sample}\n")), "{sample} is missing in:\n{text}");
        }
        let without = LoadSummary {
            rows: Vec::new(),
            ..run
        };
        assert!(!written(&without).contains("_row_"));
    }
}
