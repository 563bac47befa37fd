//! The values of the options, as they are written on the command line or in files.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use c10k_load::search::Criterion;
use c10k_load::{Ports, Rate, Sessions};

pub(super) fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "max" => Ok(Rate::Max),
        _ => match text.parse() {
            Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(Rate::PerSecond(rate)),
            _ => Err("give a positive number of requests per second, or max".to_owned()),
        },
    }
}

pub(super) fn ramp(text: &str) -> Result<Rate, String> {
    let ends = text
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.map(|(from, to)| Rate::Ramp(from, to))
        .ok_or_else(|| "give two rates, such as 100..5000".to_owned())
}

/// Reads the instants of a trace: seconds, one a line; empty lines and lines that start with # are passed over.
pub(super) fn trace(path: &Path) -> Result<Arc<[u64]>, String> {
    let refuse = |cause: String| format!("reading the trace {}: {cause}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| match line.trim().parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => Ok((seconds * 1e9) as u64),
            _ => Err(refuse(format!(
                "line {} is not a number of seconds: '{line}'",
                number + 1
            ))),
        })
        .collect()
}

pub(super) fn criterion(text: &str) -> Result<Criterion, String> {
    let parse = || {
        let (percentile, limit) = text.strip_prefix('p')?.split_once('<')?;
        let percentile: f64 = percentile
            .parse()
            .ok()
            .filter(|percentile| (0.0..100.0).contains(percentile))?;
        Some(Criterion::new(
            text,
            percentile / 100.0,
            c10k_http::units::duration(limit)?,
        ))
    };
    parse().ok_or_else(|| "give a percentile and a bound, such as p99<5ms or p99.9<20ms".to_owned())
}

pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ends {
        Some((first, last)) if 0 < first && first <= last => Ok(Ports { first, last }),
        _ => Err("give the first and the last port, such as 40000-40999".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    c10k_http::units::duration(text).ok_or_else(|| "give a duration such as 250us, 10ms, 5s, 2m".to_owned())
}

/// httperf's `--wsess=N1,N2,X`; the burst is another option.
pub(super) fn sessions(text: &str) -> Result<Sessions, String> {
    let mut parts = text.split(',');
    let mut number = || parts.next()?.parse::<NonZeroU64>().ok();
    let (total, calls) = (number(), number());
    let think = parts.next().and_then(c10k_http::units::duration);
    match (total, calls, think, parts.next()) {
        (Some(total), Some(calls), Some(think), None) => Ok(Sessions {
            total,
            calls,
            burst: NonZeroU64::MIN,
            think,
        }),
        _ => Err("give the number of sessions, the calls of each and the think time, such as 100,10,500ms".to_owned()),
    }
}
