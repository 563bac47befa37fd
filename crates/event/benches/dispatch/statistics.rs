//! Medians of paired ratios, and how sure they are.

use rand_pcg::{
    Pcg64,
    rand_core::{Rng, SeedableRng},
};

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of a sample and the percentile bootstrap's 95 % interval of it (2,000 resamples, fixed seed).
pub(crate) fn estimate(sample: &[f64]) -> Estimate {
    const RESAMPLES: usize = 2_000;
    let mut random = Pcg64::seed_from_u64(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample = (0..sample.len()).map(|_| sample[below(&mut random, sample.len())]);
            median(resample.collect())
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |quantile: usize| medians[quantile * (RESAMPLES - 1) / 1_000];
    Estimate {
        median: median(sample.to_vec()),
        low: at(25),
        high: at(975),
    }
}

pub(crate) fn median(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    let middle = sample.len() / 2;
    if sample.len() % 2 == 1 {
        sample[middle]
    } else {
        f64::midpoint(sample[middle - 1], sample[middle])
    }
}

/// A number below `bound`. The bias of the remainder is below one in 2^40 for the bounds used here.
pub(crate) fn below(random: &mut Pcg64, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).expect("below a usize")
}
