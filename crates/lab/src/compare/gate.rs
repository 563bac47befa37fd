//! The last line of a comparison: whether the gate passed, and what it could have seen.

use c10k_record::{CellComparison, Change, ComparisonRecord};

/// One line about all compared studies.
#[must_use]
pub fn gate_text(comparisons: &[ComparisonRecord]) -> String {
    let cells: Vec<&CellComparison> = comparisons.iter().flat_map(|comparison| &comparison.cells).collect();
    let count = |verdict: Change| cells.iter().filter(|cell| cell.verdict == verdict).count();
    let passed = comparisons.iter().all(ComparisonRecord::is_success);
    let mut words = format!(
        "Gate {}: of {} {}, {} worse",
        if passed { "passed" } else { "failed" },
        cells.len(),
        if cells.len() == 1 { "comparison" } else { "comparisons" },
        count(Change::Worse)
    );
    if count(Change::Lost) > 0 {
        words.push_str(&format!(", {} lost", count(Change::Lost)));
    }
    words.push_str(&format!(", {} undecided", count(Change::Inconclusive)));
    let lacking = comparisons.iter().filter(|comparison| comparison.cells.is_empty());
    let names: Vec<&str> = lacking.map(|comparison| comparison.study.as_str()).collect();
    if !names.is_empty() {
        words.push_str(&format!("; not compared: {}", names.join(", ")));
    }
    words + ". " + &smallest_change(&cells)
}

/// From which change on the gate would have failed.
fn smallest_change(cells: &[&CellComparison]) -> String {
    let mut changes: Vec<f64> = cells.iter().filter_map(|cell| cell.smallest_change).collect();
    changes.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (changes.first(), changes.last()) else {
        return "It could have seen no change: fewer than two blocks can be compared.".to_owned();
    };
    let (least, most) = (percent(least), percent(most));
    let mut words = format!("The smallest change that it could have seen is {least}");
    if least != most {
        words.push_str(&format!(
            " in the most precise cell and {most} in the least precise one"
        ));
    }
    match cells.len() - changes.len() {
        0 => {}
        1 => words.push_str("; in 1 comparison it could have seen none, for lack of blocks"),
        none => words.push_str(&format!(
            "; in {none} comparisons it could have seen none, for lack of blocks"
        )),
    }
    words + "."
}

fn percent(change: f64) -> String {
    match change {
        // The digits of such an interval mean nothing.
        10.0.. => "over 1000%".to_owned(),
        _ => format!("{:.1}%", 100.0 * change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::Pairing;

    fn cell(verdict: Change, smallest_change: Option<f64>) -> CellComparison {
        CellComparison {
            cell: "epoll".to_owned(),
            measure: "cpu-us-per-request".to_owned(),
            unit: "µs".to_owned(),
            a: Some(1.0),
            b: Some(1.0),
            ratio: Some(1.0),
            ratio_low: smallest_change.map(|_| 1.0),
            ratio_high: smallest_change.map(|_| 1.0),
            blocks_a: 2,
            blocks_b: 2,
            verdict,
            smallest_change,
        }
    }

    fn comparison(study: &str, cells: Vec<CellComparison>) -> ComparisonRecord {
        ComparisonRecord {
            schema: 1,
            study: study.to_owned(),
            a: "a".into(),
            b: "b".into(),
            missing_in_b: cells.is_empty(),
            unreadable: None,
            environment: Vec::new(),
            pairing: Pairing::Blocks,
            bound: 0.05,
            confidence: 0.95,
            cells,
            only_in_a: Vec::new(),
            only_in_b: Vec::new(),
        }
    }

    #[test]
    fn the_last_line_counts_and_says_what_could_have_been_seen() {
        let one = comparison(
            "quick",
            vec![
                cell(Change::Equivalent, Some(0.05)),
                cell(Change::Inconclusive, Some(0.314)),
            ],
        );
        assert_eq!(
            gate_text(std::slice::from_ref(&one)),
            "Gate passed: of 2 comparisons, 0 worse, 1 undecided. The smallest change that it could have seen is 5.0% in the \
             most precise cell and 31.4% in the least precise one."
        );
        let two = comparison("other", vec![cell(Change::Worse, Some(0.05)), cell(Change::Lost, None)]);
        assert_eq!(
            gate_text(&[two, comparison("gone", Vec::new())]),
            "Gate failed: of 2 comparisons, 1 worse, 1 lost, 0 undecided; not compared: gone. The smallest change that it \
             could have seen is 5.0%; in 1 comparison it could have seen none, for lack of blocks."
        );
        let nothing = comparison("quick", vec![cell(Change::Inconclusive, None)]);
        assert!(gate_text(&[nothing]).starts_with("Gate failed"));
    }
}
