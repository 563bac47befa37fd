//! An overload in the middle of the measured time: the rate before and after it, and its own.

use std::collections::BTreeMap;

use c10k_units::duration;

use crate::experiment::options;

/// Equal parts of the measured time: those before the overload, and those up to its end. The rest is after it.
const BEFORE: u32 = 1;
const UNTIL_END: u32 = 2;
const PARTS: u32 = 12;

/// Slices of the generator's time series in a part.
const SLICES: u32 = 6;

/// When the overload is, seconds from the start of the measured time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OverloadTime {
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
}

/// Turns the options `rate` and `overload` into a rate for each part of the measured time, and asks for the time series.
/// Without an overload it changes nothing.
pub(super) fn replace_in(load: &mut BTreeMap<String, String>) -> Option<OverloadTime> {
    let overload = load.remove(options::OVERLOAD)?;
    let rate = load.get("rate")?.clone();
    let length = duration::parse(load.get("duration")?).ok()?;
    let steps: Vec<&str> = (0..PARTS)
        .map(|part| match part {
            BEFORE..UNTIL_END => overload.as_str(),
            _ => rate.as_str(),
        })
        .collect();
    load.insert("steps".to_owned(), steps.join(","));
    load.insert("slice".to_owned(), duration::exact(length / (PARTS * SLICES)));
    load.remove("rate");
    let part_s = length.as_secs_f64() / f64::from(PARTS);
    Some(OverloadTime {
        start_s: part_s * f64::from(BEFORE),
        end_s: part_s * f64::from(UNTIL_END),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_second_twelfth_of_the_measured_time_has_the_rate_of_the_overload() {
        let mut options = load(&[
            ("rate", "200"),
            ("overload", "800"),
            ("duration", "1800ms"),
            ("warmup", "100ms"),
        ]);
        let time = replace_in(&mut options).expect("there is one");
        assert_eq!((time.start_s, time.end_s), (0.15, 0.3));
        let steps = "200,800,200,200,200,200,200,200,200,200,200,200";
        assert_eq!(
            options,
            load(&[
                ("steps", steps),
                ("slice", "25ms"),
                ("duration", "1800ms"),
                ("warmup", "100ms")
            ])
        );
    }

    #[test]
    fn a_load_without_an_overload_stays_as_it_is() {
        let mut options = load(&[("rate", "200"), ("duration", "2s")]);
        assert_eq!(replace_in(&mut options), None);
        assert_eq!(options, load(&[("rate", "200"), ("duration", "2s")]));
    }
}
