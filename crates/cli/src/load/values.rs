//! Parsers for the values of the options, and for trace files.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use c10k_load::{Criterion, MixRow, Ports, Rate, Sessions};

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    // clap's message already quotes the text.
    c10k_units::duration::parse(text).map_err(|error| format!("give {}", error.expected()))
}

pub(super) fn per_second(text: &str) -> Result<f64, String> {
    c10k_units::rate::parse(text).map_err(|error| format!("give {}", error.expected()))
}

pub(super) fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "max" => Ok(Rate::Max),
        _ => match per_second(text) {
            Ok(rate) if rate > 0.0 => Ok(Rate::PerSecond(rate)),
            _ => Err("give a positive number of requests per second, or max".to_owned()),
        },
    }
}

/// A row of a mix: `WEIGHT=[METHOD ]PATH[ BODY-SIZE]`.
pub(super) fn mix_row(text: &str) -> Result<MixRow, String> {
    MixRow::parse(text).map_err(|error| error.to_string())
}

pub(super) fn ramp(text: &str) -> Result<Rate, String> {
    let ends = text
        .split_once("..")
        .and_then(|(from, to)| Some((per_second(from).ok()?, per_second(to).ok()?)));
    ends.map(|(from, to)| Rate::Ramp(from, to))
        .ok_or_else(|| "give two rates, such as 100..5000".to_owned())
}

/// `p99<5ms`: a percentile and a limit.
pub(super) fn criterion(text: &str) -> Result<Criterion, String> {
    let parse = || {
        let (percentile, limit) = text.strip_prefix('p')?.split_once('<')?;
        let quantile = c10k_units::share::parse(&format!("{percentile}%")).ok()?;
        let limit = duration(limit).ok()?;
        (quantile < 1.0).then(|| Criterion::new(text, quantile, limit))
    };
    parse().ok_or_else(|| "give a percentile and a limit, such as p99<5ms or p99.9<20ms".to_owned())
}

/// `40000-40999`: the first and the last port.
pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ends {
        Some((first, last)) if 0 < first && first <= last => Ok(Ports { first, last }),
        _ => Err("give the first and the last port, such as 40000-40999".to_owned()),
    }
}

/// httperf's `--wsess=N1,N2,X`. The length of a burst is set by another option.
pub(super) fn sessions(text: &str) -> Result<Sessions, String> {
    let mut parts = text.split(',');
    let mut number = || parts.next()?.parse::<NonZeroU64>().ok();
    let (total, calls) = (number(), number());
    let think = parts.next().and_then(|think| duration(think).ok());
    match (total, calls, think, parts.next()) {
        (Some(total), Some(calls), Some(think), None) => Ok(Sessions {
            total,
            calls,
            burst: NonZeroU64::MIN,
            think,
        }),
        _ => Err("give the number of sessions, their calls and the think time, such as 100,10,500ms".to_owned()),
    }
}

/// Reads a trace: one line per request, with the seconds from the start until it is due. Empty lines and lines that start
/// with # are ignored. Other programs write such files, so the numbers may have any form and are rounded down to
/// nanoseconds.
pub(super) fn trace(path: &Path) -> Result<Arc<[u64]>, String> {
    let refuse = |cause: String| format!("reading the trace {}: {cause}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("{error}: give a file with one number of seconds per line")))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_grammar_of_all_options_with_units() {
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("1.5ms"), Ok(Duration::from_micros(1500)));
        assert_eq!(rate("0.25"), Ok(Rate::PerSecond(0.25)));
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(ramp("100..5000"), Ok(Rate::Ramp(100.0, 5000.0)));
        let limit = Duration::from_micros(1500);
        assert_eq!(
            criterion("p99.9<1.5ms"),
            Ok(Criterion::new("p99.9<1.5ms", 0.999, limit))
        );
        let sessions = sessions("100,10,0.5s").expect("sessions");
        assert_eq!(
            (sessions.total.get(), sessions.calls.get(), sessions.think),
            (100, 10, Duration::from_millis(500))
        );
    }

    #[test]
    fn a_refused_value_is_answered_with_a_correct_one() {
        let refused = [
            duration("10").map(drop),
            rate("-5").map(drop),
            rate("1e3").map(drop),
            rate("0").map(drop),
            mix_row("1=bytes").map(drop),
            ramp("100-5000").map(drop),
            criterion("p100<5ms").map(drop),
            criterion("p99<5").map(drop),
            ports("9-1").map(drop),
            sessions("5,6,1").map(drop),
        ];
        for result in refused {
            let message = result.expect_err("refused");
            assert!(!message.contains('\n'));
            assert!(message.contains("such as") || message.contains("give"), "{message}");
        }
    }
}
