//! Which request of a mix is due: a function of the seed and of the index of the request. So every thread computes the
//! choices of its own requests, and the sequence is the same for every number of threads.

use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64;

use crate::plan::{Choice, Numbers, RequestRow};

/// The choices of a run.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    seed: u64,
    rows: Vec<Row>,
    /// The sum of all weights.
    total: f64,
    /// The index of the last row with a weight above 0.
    last: usize,
}

#[derive(Debug, Clone)]
struct Row {
    /// The sum of the weights of this row and of those before it.
    up_to: f64,
    number: Sampler,
}

#[derive(Debug, Clone)]
enum Sampler {
    Zero,
    Below(u32),
    /// Of the numbers 1 to COUNT.
    Rank(Zipf<f64>),
}

impl Choices {
    /// The choices among `rows`, of which there is at least one with a weight above 0.
    #[must_use]
    pub(crate) fn new(rows: &[RequestRow], seed: u64) -> Self {
        let mut total = 0.0;
        let rows = rows.iter().map(|row| {
            total += row.weight;
            Row {
                up_to: total,
                number: Sampler::new(row.numbers),
            }
        });
        let rows: Vec<Row> = rows.collect();
        let last = rows.partition_point(|row| row.up_to < total);
        Self {
            seed,
            rows,
            total,
            last,
        }
    }

    /// The request with this index.
    #[must_use]
    pub(crate) fn at(&self, index: u64) -> Choice {
        if let [
            Row {
                number: Sampler::Zero, ..
            },
        ] = self.rows[..]
        {
            return Choice::default();
        }
        let mut random = Pcg64::seed_from_u64(mixed(self.seed, index));
        let point = random.random::<f64>() * self.total;
        // The product can be rounded up to the total.
        let row = self.rows.partition_point(|row| row.up_to <= point).min(self.last);
        Choice {
            // A mix has at most 64 rows.
            row: row as u16,
            number: self.rows[row].number.draw(&mut random),
        }
    }
}

impl Sampler {
    fn new(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Absent => Self::Zero,
            Numbers::Uniform { count } => Self::Below(count),
            Numbers::Zipf { count, exponent } => {
                let zipf = Zipf::new(f64::from(count), exponent);
                Self::Rank(zipf.expect("a count from 1 and an exponent from 0 are valid"))
            }
        }
    }

    fn draw(&self, random: &mut Pcg64) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Below(count) => random.random_range(0..*count),
            // Ranks count from 1.
            Self::Rank(zipf) => (zipf.sample(random) as u32).saturating_sub(1),
        }
    }
}

/// The output of SplitMix64 number `index`, started at `seed` (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators", figure 17): any two of them are as good as independent.
fn mixed(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{MixRow, Target};

    fn choices(rows: &[&str], seed: u64) -> Choices {
        let rows: Vec<MixRow> = rows.iter().map(|row| MixRow::parse(row).unwrap()).collect();
        let target = Target::parse("http://127.0.0.1/").unwrap().with_mix(&rows).unwrap();
        Choices::new(&target.rows, seed)
    }

    /// How often each of `kinds` kinds occurs among the first `count` requests.
    fn counts(choices: &Choices, count: u64, kinds: usize, kind: impl Fn(Choice) -> usize) -> Vec<f64> {
        let mut counts = vec![0.0; kinds];
        (0..count).for_each(|index| counts[kind(choices.at(index))] += 1.0);
        counts
    }

    /// Pearson's statistic. With the right shares it has a mean of `counts.len() - 1` and twice that as variance; a value
    /// five standard deviations above the mean has a probability below 0.0001.
    fn assert_fits(counts: &[f64], shares: &[f64]) {
        let total: f64 = counts.iter().sum();
        let statistic: f64 = counts
            .iter()
            .zip(shares)
            .map(|(count, share)| (count - total * share).powi(2) / (total * share))
            .sum();
        let freedom = counts.len() as f64 - 1.0;
        let limit = freedom + 5.0 * (2.0 * freedom).sqrt();
        assert!(statistic < limit, "{statistic} of at most {limit}: {counts:?}");
    }

    #[test]
    fn the_shares_of_the_rows_are_those_of_their_weights() {
        let rows = [
            "90=/a",
            "0=/never",
            "9=/b/{zipf:10}",
            "1=POST /c/{uniform:4}",
            "0=/never/either",
        ];
        for seed in [0, 1, u64::MAX] {
            let counts = counts(&choices(&rows, seed), 200_000, 5, |choice| choice.row.into());
            assert_eq!((counts[1], counts[4]), (0.0, 0.0));
            assert_fits(&[counts[0], counts[2], counts[3]], &[0.9, 0.09, 0.01]);
        }
    }

    #[test]
    fn numbers_have_the_frequencies_of_their_distribution() {
        let number = |choice: Choice| choice.number as usize;
        for exponent in [0.0, 0.5, 1.0, 2.5] {
            let frequencies: Vec<f64> = (1..=100).map(|rank| f64::from(rank).powf(-exponent)).collect();
            let total: f64 = frequencies.iter().sum();
            let shares: Vec<f64> = frequencies.iter().map(|frequency| frequency / total).collect();
            let zipf = choices(&[&format!("1=/{{zipf:100:{exponent}}}")], 7);
            assert_fits(&counts(&zipf, 200_000, 100, number), &shares);
        }
        let default = choices(&["1=/{zipf:100}"], 7);
        let stated = choices(&["1=/{zipf:100:1}"], 7);
        assert!((0..1000).all(|index| default.at(index) == stated.at(index)));
        let uniform = choices(&["1=/{uniform:4}"], 7);
        assert_fits(&counts(&uniform, 200_000, 4, number), &[0.25; 4]);
    }

    #[test]
    fn the_choice_of_a_row_says_nothing_about_the_next_one() {
        let choices = choices(&["1=/a", "1=/b"], 3);
        let pair = |index: u64| usize::from(2 * choices.at(index).row + choices.at(index + 1).row);
        let mut pairs = [0.0; 4];
        (0..100_000).for_each(|index| pairs[pair(2 * index)] += 1.0);
        assert_fits(&pairs, &[0.25; 4]);
    }

    proptest! {
        #[test]
        fn every_choice_exists(seed: u64, index: u64, count in 1..=u32::MAX, exponent in 0.0..10.0f64, weights: [u16; 3]) {
            let exponent = (exponent * 100.0).round() / 100.0;
            let rows = [
                format!("{}=/a/{{zipf:{count}:{exponent}}}", weights[0]),
                format!("{}=/b/{{uniform:{count}}}", u32::from(weights[1]) + 1),
                format!("{}=/c", weights[2]),
            ];
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let choices = choices(&rows, seed);
            let choice = choices.at(index);
            prop_assert!(choice.row < 3 && choice.number < count);
            prop_assert!(choice.row != 0 || weights[0] > 0);
            prop_assert!(choice.row != 2 || weights[2] > 0);
            prop_assert_eq!(choice, choices.at(index));
        }
    }
}
