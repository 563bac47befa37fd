//! The output formats: each is an option, and parsers that were written from the descriptions of the formats read them.

use std::collections::BTreeMap;
use std::fs;

use c10k_load::{Destination, FORMATS};
use c10k_record::{LatencySummary, LoadSummary};

use crate::support::{Server, load, refused, relaxed, summary};

/// Runs a load that writes one file; returns the content of the file and the summary.
fn exported(option: &str, arguments: &[&str]) -> (String, LoadSummary) {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let url = server.url("/bytes/92");
    let file = path.to_str().expect("a path in UTF-8");
    let run = summary(&load(&relaxed(&[&[url.as_str(), option, file], arguments].concat())));
    (fs::read_to_string(&path).expect("written"), run)
}

#[test]
fn every_row_of_the_table_is_an_option_that_writes_its_format() {
    let help = String::from_utf8(load(&["--help"]).stdout).expect("text");
    // The help is wrapped.
    let help: Vec<&str> = help.split_whitespace().collect();
    let help = help.join(" ");
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    for format in FORMATS {
        let flag = format!("--{}", format.flag);
        let value = match format.destination {
            Destination::File => " <FILE>",
            Destination::Summary => "",
        };
        let entry = format!("{flag}{value} {}", format.help);
        assert!(help.contains(&entry), "{entry:?} is not in the help: {help}");
        for conflict in format.conflicts {
            assert!(help.contains(&format!("--{conflict}")), "{flag}: --{conflict}");
        }
        match format.destination {
            Destination::File => {
                let (text, _) = exported(&flag, &[]);
                assert!(!text.is_empty(), "{flag}");
                refused(&[&url, &flag, "/nonexistent/file"], &["writing /nonexistent/file"]);
                refused(&[&url, &flag, "/dev/null", "--find-max", "p99<1s"], &["--find-max"]);
            }
            Destination::Summary => {
                let output = load(&relaxed(&[&url, &flag]));
                summary(&output);
                assert!(!output.stderr.is_empty(), "{flag}");
            }
        }
    }
}

#[test]
fn the_slices_of_the_csv_file_add_up_to_the_totals() {
    let (text, run) = exported(
        "--csv",
        &["--duration", "1200ms", "--arrival", "poisson", "--warmup", "100ms"],
    );
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let rows: Vec<BTreeMap<&str, f64>> = lines
        .map(|line| {
            let values = line.split(',').map(|value| value.parse().expect("a number"));
            header.iter().copied().zip(values).collect()
        })
        .collect();
    let sum = |column: &str| rows.iter().map(|row| row[column]).sum::<f64>();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (sum("due"), sum("replies")),
        (run.intended as f64, run.replies_measured as f64)
    );
    assert!((sum("width_s") - run.duration_s).abs() < 1e-9);
    let longest = rows.iter().map(|row| row["latency_max_us"]).fold(0.0, f64::max);
    assert!(longest > 0.0 && rows.iter().all(|row| row["latency_mean_us"] <= row["latency_max_us"]));
}

/// A percentile distribution in HdrHistogram's text format: rows of value, quantile, number of values up to it and
/// 1/(1 - quantile), followed by three lines of totals in `#[…]`.
struct Distribution {
    rows: Vec<(f64, f64, u64)>,
    totals: BTreeMap<String, f64>,
}

impl Distribution {
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
        assert_eq!(header, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        assert_eq!(lines.next(), Some(""));
        let (mut rows, mut totals) = (Vec::new(), BTreeMap::new());
        for line in lines {
            if let Some(inside) = line.strip_prefix("#[").and_then(|line| line.strip_suffix(']')) {
                for part in inside.split(',') {
                    let (name, value) = part.split_once('=').expect("name = value");
                    totals.insert(name.trim().to_owned(), value.trim().parse().expect("a number"));
                }
                continue;
            }
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| fields[index].parse::<f64>().expect("a number");
            let (share, inverse) = (number(1), number(3));
            assert!(
                share == 1.0 && inverse.is_infinite() || (inverse * (1.0 - share) - 1.0).abs() < 0.01,
                "{line}"
            );
            rows.push((number(0), share, fields[2].parse().expect("a count")));
        }
        Self { rows, totals }
    }

    /// The value of the first row at or after a quantile.
    fn at(&self, share: f64) -> f64 {
        let row = self.rows.iter().find(|row| row.1 >= share);
        row.expect("the last row is at 1").0
    }

    /// The value of the last row at or before a quantile.
    fn before(&self, share: f64) -> f64 {
        let row = self.rows.iter().rev().find(|row| row.1 <= share);
        row.map_or(0.0, |row| row.0)
    }
}

#[test]
fn the_hgrm_file_contains_the_distribution_of_the_record() {
    let (text, run) = exported("--hgrm", &["--rate", "1000"]);
    let found = Distribution::read(&text);
    let total = run.intended;
    assert!(
        found
            .rows
            .windows(2)
            .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1 && pair[0].2 <= pair[1].2)
    );
    assert!(
        found.rows.iter().all(|row| row.2 as f64 >= row.1 * total as f64 - 1e-6),
        "{text}"
    );
    assert_eq!(found.rows.last().map(|row| (row.1, row.2)), Some((1.0, total)));
    assert_eq!(found.totals["Total count"], total as f64);
    let LatencySummary {
        p50,
        p90,
        p99,
        p999,
        max,
        mean,
        ..
    } = run.latency_ns;
    // Milliseconds with three decimals.
    let ms = |ns: f64| ns / 1e6;
    for (share, value) in [(0.5, p50), (0.9, p90), (0.99, p99), (0.999, p999), (1.0, max)] {
        let value = ms(value as f64);
        let (low, high) = (found.before(share), found.at(share));
        assert!(
            low - 0.001 <= value && value <= high + 0.001,
            "{share}: {value} is not in {low}..{high}\n{text}"
        );
    }
    assert!((found.totals["Mean"] - ms(mean)).abs() <= 0.001 && (found.totals["Max"] - ms(max as f64)).abs() <= 0.001);
    assert!(found.totals["StdDeviation"] >= 0.0 && found.totals.contains_key("Buckets"));
}

#[test]
fn the_openmetrics_file_agrees_with_the_record() {
    let (text, run) = exported("--openmetrics", &["--idle", "5"]);
    assert!(text.ends_with("\n# EOF\n"));
    let samples: BTreeMap<&str, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("name and value"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    for (name, value) in [
        ("c10k_load_requests_intended_total", run.intended as f64),
        ("c10k_load_requests_sent_total", run.sent as f64),
        ("c10k_load_requests_completed_total", run.completed as f64),
        ("c10k_load_requests_timed_out_total", run.timed_out as f64),
        ("c10k_load_requests_never_sent_total", run.never_sent as f64),
        ("c10k_load_rate_offered", run.rate_offered),
        ("c10k_load_idle_open_min", 5.0),
        ("c10k_load_valid", 1.0),
        ("c10k_load_latency_seconds_count", run.intended as f64),
        (
            "c10k_load_latency_seconds{quantile=\"0.99\"}",
            run.latency_ns.p99 as f64 / 1e9,
        ),
        ("c10k_load_send_lag_seconds_count", run.sent as f64),
    ] {
        assert!(
            (samples[name] - value).abs() <= value.abs() * 1e-9,
            "{name}: {} for {value}",
            samples[name]
        );
    }
}
