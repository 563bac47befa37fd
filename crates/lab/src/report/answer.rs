//! The answer in one paragraph: what failed, who is the cheapest, then what was confirmed, refuted, settled by
//! instructions and left open.

use c10k_record::{CheapestRecord, CheapestRow, StudyRecord, Verdict};

use super::words;
use crate::statistic::{Form, number};

/// Writes the paragraph from the verdicts and the comparison with the cheapest.
pub(crate) fn answer(outcome: &StudyRecord) -> String {
    let mut sentences: Vec<String> = words::failures(outcome).into_iter().collect();
    if outcome.cells.measured == 0 {
        sentences.push(format!(
            "Nothing could be measured here: {}. The reasons are listed below.",
            words::cells(outcome.cells)
        ));
        return sentences.join(" ");
    }
    sentences.extend(outcome.cheapest.as_ref().and_then(headline));
    let said = |verdict: Verdict| -> Vec<&str> {
        let with = outcome.claims.iter().filter(|claim| claim.verdict == verdict);
        with.map(|claim| claim.sentence.trim_end_matches('.')).collect()
    };
    sentences.extend(
        said(Verdict::Confirmed)
            .into_iter()
            .map(|sentence| format!("{sentence}.")),
    );
    for (verdict, lead) in [
        (Verdict::Refuted, "Refuted here"),
        (
            Verdict::SettledByInstructions,
            "Inconclusive in these runs, settled by instructions that the guest counted",
        ),
        (Verdict::Inconclusive, "Inconclusive in these runs"),
    ] {
        let all = said(verdict);
        if !all.is_empty() {
            sentences.push(format!("{lead}: {}.", all.join("; ")));
        }
    }
    let excluded = outcome.count(Verdict::NotMeasured);
    if excluded > 0 {
        sentences.push(format!("{}: excluded by --only.", words::not_measured(excluded)));
    }
    sentences.join(" ")
}

/// Which variants use the least CPU per request, and how many times as much the others use. A number stands only where the
/// whole interval lies beyond the noise floor. `None` without an interval.
fn headline(compared: &CheapestRecord) -> Option<String> {
    let (best, _) = compared.variants.split_first()?;
    let (apart, group): (Vec<&CheapestRow>, Vec<&CheapestRow>) = compared.variants.iter().partition(|row| row.is_apart);
    let place = match compared.at.as_str() {
        "" => String::new(),
        at => format!("At {at}, "),
    };
    let names = names(&group);
    let cost = |row: &CheapestRow| number(Form::Plain, &compared.unit, row.median);
    let medians = || group.iter().map(|row| row.median);
    let lowest = group.iter().min_by(|one, two| one.median.total_cmp(&two.median))?;
    let highest = group.iter().max_by(|one, two| one.median.total_cmp(&two.median))?;
    let range = match medians().count() {
        1 => cost(best),
        _ => format!("{} to {}", cost(lowest), cost(highest)),
    };
    let group = match (group.len(), apart.is_empty()) {
        (1, _) => format!("{place}{names} uses the least CPU per request: {range}."),
        (_, true) => {
            let blocks = compared.variants.iter().map(|row| row.blocks).max().unwrap_or_default();
            format!("{place}{blocks} blocks do not distinguish {names} by their CPU per request ({range}).")
        }
        (_, false) => {
            format!("{place}{names} use the least CPU per request ({range}) and cannot be distinguished.")
        }
    };
    let times = |row: &CheapestRow| Some((factor(row.ratio), factor(row.ratio_low?), factor(row.ratio_high?)));
    let others = match apart.as_slice() {
        [] => String::new(),
        [one] => {
            let (ratio, low, high) = times(one)?;
            format!(
                " {} uses {ratio} as much as {} ({low} … {high}).",
                one.label, best.label
            )
        }
        [least, .., most] => {
            let [least, most] = [least, most].map(|row| {
                let (ratio, low, high) = times(row)?;
                Some(format!("{ratio} ({}; {low} … {high})", row.label))
            });
            format!(
                " The others use from {} to {} as much as {}.",
                least?, most?, best.label
            )
        }
    };
    Some(capitalised(&(group + &others)))
}

fn factor(value: f64) -> String {
    number(Form::Factor, "", value)
}

/// At most four names; of more, the first three and how many follow.
fn names(rows: &[&CheapestRow]) -> String {
    let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    match labels.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [some @ .., last] if labels.len() <= 4 => format!("{} and {last}", some.join(", ")),
        all => format!("{} and {} more", all[..3].join(", "), all.len() - 3),
    }
}

fn capitalised(sentence: &str) -> String {
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn row(label: &str, median: f64, interval: Option<(f64, f64)>, is_apart: bool) -> CheapestRow {
        CheapestRow {
            variant: label.to_owned(),
            label: label.to_owned(),
            median,
            ratio: median / 10.0,
            ratio_low: interval.map(|(low, _)| low),
            ratio_high: interval.map(|(_, high)| high),
            blocks: 5,
            is_apart,
        }
    }

    fn said(variants: Vec<CheapestRow>) -> String {
        let compared = CheapestRecord {
            measure: "cpu-us-per-request".to_owned(),
            unit: "µs".to_owned(),
            at: "6,000 idle connections".to_owned(),
            levels: [].into(),
            confidence: 0.95,
            floor_percent: Some(3.0),
            variants,
        };
        headline(&compared).expect("there is a variant")
    }

    #[test]
    fn variants_that_are_not_apart_are_named_together_and_without_a_factor() {
        let text = said(vec![
            row("edge", 10.0, None, false),
            row("level", 10.4, Some((0.9, 1.2)), false),
        ]);
        assert_eq!(
            text,
            "At 6,000 idle connections, 5 blocks do not distinguish edge and level by their CPU per request (10 µs to 10.4 µs)."
        );
    }

    #[test]
    fn a_factor_stands_with_its_interval_and_is_that_of_the_table() {
        let apart = |label, median, low, high| row(label, median, Some((low, high)), true);
        let two = said(vec![
            row("edge", 10.0, None, false),
            apart("select", 950.0, 90.0, 101.0),
        ]);
        assert_eq!(
            two,
            "At 6,000 idle connections, edge uses the least CPU per request: 10 µs. select uses 95× as much as edge \
             (90× … 101×)."
        );
        let more = said(vec![
            row("edge", 10.0, None, false),
            row("level", 10.4, Some((0.9, 1.2)), false),
            apart("poll", 13.0, 1.2, 1.5),
            apart("select", 950.0, 90.0, 101.0),
        ]);
        assert_eq!(
            more,
            "At 6,000 idle connections, edge and level use the least CPU per request (10 µs to 10.4 µs) and cannot be \
             distinguished. The others use from 1.3× (poll; 1.2× … 1.5×) to 95× (select; 90× … 101×) as much as edge."
        );
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let rows: Vec<CheapestRow> = ["a", "b", "c", "d", "e"]
            .map(|label| row(label, 1.0, None, false))
            .into();
        let rows: Vec<&CheapestRow> = rows.iter().collect();
        assert_eq!(names(&rows), "a, b, c and 2 more");
        assert_eq!(names(&rows[..4]), "a, b, c and d");
    }

    #[test]
    fn what_instructions_settle_is_said_apart_from_what_these_runs_settle() {
        let mut settled = testing::settled("flat", Verdict::Confirmed);
        settled.sentence = "flat (+5%): confirmed by instructions (+0.2%)".to_owned();
        let mut study = testing::study(vec![settled]);
        study.cells.measured = 1;
        assert_eq!(
            answer(&study),
            "Inconclusive in these runs, settled by instructions that the guest counted: flat (+5%): confirmed by \
             instructions (+0.2%)."
        );
    }
}
