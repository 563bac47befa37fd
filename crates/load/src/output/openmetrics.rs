//! The summary in the OpenMetrics 1.0 text format.

use std::io;

use c10k_record::{LatencySummary, LoadSummary};

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
    writeln!(out, "# EOF")
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
    writeln!(
        out,
        "# TYPE {name} summary\n# UNIT {name} seconds\n# HELP {name} {help}"
    )?;
    for (quantile, value) in [("0.5", of.p50), ("0.9", of.p90), ("0.99", of.p99), ("0.999", of.p999)] {
        writeln!(out, "{name}{{quantile=\"{quantile}\"}} {}", value as f64 / NS_PER_S)?;
    }
    writeln!(
        out,
        "{name}_sum {}\n{name}_count {count}",
        of.mean * count as f64 / NS_PER_S
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_belongs_to_a_declared_family_and_the_text_ends_with_eof() {
        let run = LoadSummary {
            errors: [("connreset".to_owned(), 3)].into(),
            sent: 3,
            intended: 3,
            ..Default::default()
        };
        let mut bytes = Vec::new();
        summary(&run, &mut bytes).expect("a Vec accepts everything");
        let text = String::from_utf8(bytes).expect("text");
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
        assert!(text.contains("c10k_load_errors_total{kind=\"connreset\"} 3\n"));
    }
}
