//! `--require confirmed`: the exit code of a study that has to settle its claims.

use c10k_record::{ClaimRecord, StudyRecord, Verdict};
use clap::ValueEnum;

use crate::print::errln;

/// What `--require` can ask for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Requirement {
    /// Every claim is confirmed.
    Confirmed,
}

/// Whether the studies meet what was required of them. If not, and also where claims did not count, a line on standard error
/// says so.
pub(crate) fn is_met(requirement: Option<Requirement>, studies: &[&StudyRecord]) -> bool {
    let Some(Requirement::Confirmed) = requirement else {
        return true;
    };
    let (met, words) = confirmed(studies);
    if let Some(words) = words {
        errln!("c10k: --require confirmed: {words}");
    }
    met
}

/// A claim that this machine cannot run, or that `--only` excluded, does not count: no run like this one could confirm it. But
/// one at least has to count. A claim that is settled by instructions is not confirmed: the guest's tables are the same whatever
/// runs here, so that a server that has become slower would pass.
fn confirmed(studies: &[&StudyRecord]) -> (bool, Option<String>) {
    let all = || {
        studies
            .iter()
            .flat_map(|study| study.claims.iter().map(|claim| (*study, claim)))
    };
    let name = |(study, claim): (&StudyRecord, &ClaimRecord)| match studies.len() {
        1 => claim.claim.clone(),
        _ => format!("{} {}", study.study, claim.claim),
    };
    let counted = all().filter(|(_, claim)| claim.is_within_reach()).count();
    let open: Vec<String> = all()
        .filter(|(_, claim)| claim.is_within_reach() && claim.verdict != Verdict::Confirmed)
        .map(|of| format!("{} ({})", name(of), of.1.verdict.word().replace('-', " ")))
        .collect();
    let out_of_reach: Vec<String> = all().filter(|(_, claim)| !claim.is_within_reach()).map(name).collect();
    let without = match out_of_reach.as_slice() {
        [] => String::new(),
        names => format!(
            "not counted, as this machine cannot run them or --only excludes them: {}",
            names.join(", ")
        ),
    };
    match (counted, open.as_slice()) {
        (0, _) if without.is_empty() => (false, Some("there is no claim".to_owned())),
        (0, _) => (false, Some(format!("no claim counts; {without}"))),
        (_, []) if without.is_empty() => (true, None),
        (_, []) => (true, Some(format!("met by all {counted} claims that count; {without}"))),
        (_, open) => (false, Some(format!("not confirmed: {}", open.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::{CellCounts, ClaimNeeds, ClaimTest, Form, SCHEMA};

    fn study(claims: &[(&str, Verdict, Option<ClaimNeeds>)]) -> StudyRecord {
        let claims = claims.iter().map(|&(claim, verdict, needs)| ClaimRecord {
            claim: claim.to_owned(),
            text: String::new(),
            source: String::new(),
            verdict,
            test: ClaimTest {
                statistic: "value".to_owned(),
                measure: "cpu-percent".to_owned(),
                along: None,
                against: None,
                at_least: None,
                at_most: None,
                form: Form::Plain,
                unit: String::new(),
            },
            estimates: Vec::new(),
            sentence: String::new(),
            needs,
            settled_after: None,
            exact: None,
        });
        StudyRecord {
            schema: SCHEMA,
            study: "quick".to_owned(),
            folder: "out".into(),
            report: "out/report.html".into(),
            answer: String::new(),
            claims: claims.collect(),
            advice: Vec::new(),
            noise_floor: None,
            cheapest: None,
            tables: Vec::new(),
            cells: CellCounts::default(),
            failures: Vec::new(),
            damage: Vec::new(),
        }
    }

    #[test]
    fn claims_that_no_run_here_could_settle_do_not_count_and_are_named() {
        let good = ("flat", Verdict::Confirmed, None);
        let elsewhere = ("grows", Verdict::Inconclusive, Some(ClaimNeeds::AnotherMachine));
        let excluded = ("holds", Verdict::NotMeasured, Some(ClaimNeeds::WholeStudy));
        assert_eq!(confirmed(&[&study(&[good])]), (true, None));
        let (met, words) = confirmed(&[&study(&[good, elsewhere, excluded])]);
        let words = words.expect("it says what did not count");
        assert!(
            met && words.contains("all 1") && words.ends_with("grows, holds"),
            "{words}"
        );
        let (met, words) = confirmed(&[&study(&[elsewhere, excluded])]);
        assert!(!met && words.expect("it says why").starts_with("no claim counts"));
        assert!(!confirmed(&[&study(&[])]).0);
    }

    #[test]
    fn whatever_is_not_confirmed_is_named() {
        let refuted = ("flat", Verdict::Refuted, None);
        let failed = ("grows", Verdict::Inconclusive, Some(ClaimNeeds::WorkingServer));
        let (met, words) = confirmed(&[
            &study(&[refuted, failed]),
            &study(&[("holds", Verdict::Confirmed, None)]),
        ]);
        assert_eq!(
            (met, words.as_deref()),
            (
                false,
                Some("not confirmed: quick flat (refuted), quick grows (inconclusive)")
            )
        );
    }

    #[test]
    fn instructions_do_not_confirm_a_claim_here() {
        let settled = ("flat", Verdict::SettledByInstructions, None);
        let (met, words) = confirmed(&[&study(&[settled])]);
        assert_eq!(
            (met, words.as_deref()),
            (false, Some("not confirmed: flat (settled by instructions)"))
        );
    }
}
