//! What an overload does: how many requests are answered during it, and how long the response time stays high after it.

use c10k_record::{CellRecord, LoadSeries, Overload};

/// After an overload the response time is back when it is at most so many times what it was before.
const BACK: f64 = 2.0;

/// So many slices in a row have to be good: a single one may be so by chance.
const IN_A_ROW: usize = 3;

/// Good replies per second during the overload ÷ the saturation.
pub(super) fn goodput_share(record: &CellRecord) -> Option<f64> {
    let (series, overload) = of(record)?;
    let limit = overload.limit_per_s.filter(|limit| *limit > 0.0)?;
    let (start, end) = slices_of(series, overload)?;
    let replies: u64 = series.replies[start..end].iter().sum();
    Some(replies as f64 / ((end - start) as f64 * series.width_s) / limit)
}

/// From the end of the overload to the end of the first slice that is good and is followed by good ones, milliseconds. A slice is
/// good if no request was lost in it, and the mean response time of its replies is at most twice that before the overload. If
/// there is none, the time that was observed: the true one is longer.
pub(super) fn recovery_ms(record: &CellRecord) -> Option<f64> {
    let (series, overload) = of(record)?;
    let (start, end) = slices_of(series, overload)?;
    let before = mean_ns(series, 0..start)?;
    let is_good = |slice: usize| match mean_ns(series, slice..slice + 1) {
        Some(mean) => series.lost[slice] == 0 && mean <= BACK * before,
        // Nothing was due, or nothing was answered.
        None => series.lost[slice] == 0 && series.due[slice] == 0,
    };
    let after: Vec<bool> = (end..series.due.len()).map(is_good).collect();
    let first = after.windows(IN_A_ROW).position(|row| row.iter().all(|good| *good));
    let slices = first.map_or(after.len(), |first| first + 1);
    (!after.is_empty()).then_some(slices as f64 * series.width_s * 1e3)
}

fn of(record: &CellRecord) -> Option<(&LoadSeries, &Overload)> {
    let series = record.load.as_ref()?.series.as_ref()?;
    let lists = [&series.replies, &series.lost, &series.latency_sum_ns];
    let are_whole = lists.iter().all(|list| list.len() == series.due.len());
    (are_whole && series.width_s > 0.0)
        .then_some(series)
        .zip(record.overload.as_ref())
}

/// The first slice of the overload, and the first after it.
fn slices_of(series: &LoadSeries, overload: &Overload) -> Option<(usize, usize)> {
    let slice = |at_s: f64| (at_s / series.width_s).round() as usize;
    let (start, end) = (slice(overload.start_s), slice(overload.end_s));
    (start < end && end <= series.due.len()).then_some((start, end))
}

/// Mean response time of the replies of these slices, nanoseconds.
fn mean_ns(series: &LoadSeries, slices: std::ops::Range<usize>) -> Option<f64> {
    let replies: u64 = series.replies[slices.clone()].iter().sum();
    let sum: u64 = series.latency_sum_ns[slices].iter().sum();
    (replies > 0).then(|| sum as f64 / replies as f64)
}

#[cfg(test)]
mod tests {
    use c10k_record::LoadSummary;

    use super::*;
    use crate::testing;

    /// Ten slices of 10 ms: two before an overload of two, and six after it. Each element: replies, requests lost, mean response
    /// time in milliseconds.
    fn record(after: [(u64, u64, u64); 6]) -> CellRecord {
        let slices = [(5, 0, 2), (5, 0, 2), (9, 1, 40), (3, 17, 90)];
        let slices: Vec<(u64, u64, u64)> = slices.into_iter().chain(after).collect();
        let mut record = testing::record("flat idle=10", 0, 0.1);
        let load = record.load.get_or_insert_with(LoadSummary::default);
        load.series = Some(LoadSeries {
            width_s: 0.01,
            due: vec![5; slices.len()],
            replies: slices.iter().map(|slice| slice.0).collect(),
            lost: slices.iter().map(|slice| slice.1).collect(),
            latency_sum_ns: slices.iter().map(|slice| slice.0 * slice.2 * 1_000_000).collect(),
        });
        record.overload = Some(Overload {
            limit_per_s: Some(1000.0),
            start_s: 0.02,
            end_s: 0.04,
        });
        record
    }

    const GOOD: (u64, u64, u64) = (5, 0, 4);
    const SLOW: (u64, u64, u64) = (5, 0, 5);
    const LOSSY: (u64, u64, u64) = (5, 1, 2);
    const SILENT: (u64, u64, u64) = (0, 0, 0);

    #[test]
    fn goodput_is_what_is_answered_during_the_overload_as_a_share_of_the_limit() {
        let mut some = record([GOOD; 6]);
        assert_eq!(goodput_share(&some), Some(0.6), "12 replies in 20 ms");
        some.overload = some.overload.map(|overload| Overload {
            limit_per_s: None,
            ..overload
        });
        assert_eq!(goodput_share(&some), None);
        some.overload = None;
        assert_eq!(recovery_ms(&some), None);
    }

    #[test]
    fn a_server_is_back_at_the_first_of_three_good_slices() {
        for (after, ms) in [
            ([GOOD; 6], 10.0),
            ([SLOW, GOOD, GOOD, GOOD, SLOW, SLOW], 20.0),
            ([LOSSY, SILENT, GOOD, GOOD, GOOD, GOOD], 30.0),
            ([GOOD, SLOW, GOOD, GOOD, GOOD, GOOD], 30.0),
            ([GOOD, GOOD, LOSSY, GOOD, GOOD, SILENT], 60.0),
            ([SLOW; 6], 60.0),
        ] {
            let found = recovery_ms(&record(after)).expect("a series");
            assert!((found - ms).abs() < 1e-9, "{after:?}: {found}, not {ms}");
        }
    }

    #[test]
    fn a_series_that_does_not_have_the_overload_gives_nothing() {
        let mut short = record([GOOD; 6]);
        short.overload = short.overload.map(|overload| Overload { end_s: 0.2, ..overload });
        assert_eq!((goodput_share(&short), recovery_ms(&short)), (None, None));
        let mut torn = record([GOOD; 6]);
        if let Some(series) = torn.load.as_mut().and_then(|load| load.series.as_mut()) {
            series.replies.pop();
        }
        assert_eq!(goodput_share(&torn), None);
    }
}
