//! Recommendations: each holds for a workload, rests on claims, and is withheld where one of them did not come out so.

use serde::Serialize;

use super::verdict::{Judgement, Verdict};
use crate::experiment::{AdviceSpec, Experiment};

/// What to take for a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The workload, after "where".
    pub when: String,
    /// What to take.
    pub take: String,
    /// What it rests on.
    pub because: Vec<Ground>,
    /// Why it is not given here; `None` where it is.
    pub withheld: Option<String>,
}

/// A claim that advice rests on, with the cells that decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ground {
    /// Short name of the claim.
    pub claim: String,
    /// What was tested, with "not" where it was refuted.
    pub test: String,
    /// Variant, levels, number and interval of every cell or pair of cells that the claim looks at.
    pub cells: Vec<String>,
}

/// The advice of an experiment, given or withheld by the verdicts.
pub(crate) fn advise(experiment: &Experiment, judgements: &[Judgement]) -> Vec<Advice> {
    experiment.advice.iter().map(|spec| one(spec, judgements)).collect()
}

fn one(spec: &AdviceSpec, judgements: &[Judgement]) -> Advice {
    let confirmed = spec.confirmed.iter().map(|id| (id, Verdict::Confirmed));
    let refuted = spec.refuted.iter().map(|id| (id, Verdict::Refuted));
    let mut advice = Advice {
        when: spec.when.get_ref().clone(),
        take: spec.take.clone(),
        because: Vec::new(),
        withheld: None,
    };
    for (id, wanted) in confirmed.chain(refuted) {
        // Every name was checked when the experiment was read.
        let Some(judgement) = judgements.iter().find(|judgement| judgement.id == *id.get_ref()) else {
            continue;
        };
        if judgement.verdict != wanted {
            let found = judgement.verdict.word();
            advice
                .withheld
                .get_or_insert_with(|| format!("\"{}\" is {found} here", judgement.text));
        }
        advice.because.push(ground(judgement));
    }
    advice
}

fn ground(judgement: &Judgement) -> Ground {
    let not = if judgement.verdict == Verdict::Refuted {
        "not "
    } else {
        ""
    };
    let estimates = judgement.estimates.iter();
    Ground {
        claim: judgement.id.clone(),
        test: format!("{not}{}", judgement.test),
        cells: estimates
            .map(|estimate| format!("{}: {} ({})", estimate.of, estimate.value, estimate.interval))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Source;
    use crate::testing;

    fn advice(text: &str, verdicts: [Verdict; 3]) -> Vec<Advice> {
        let source = Source {
            file: "t.toml".to_owned(),
            text: format!("{}\n{text}", testing::EXPERIMENT),
        };
        let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
        let judgements: Vec<Judgement> = experiment
            .claims
            .iter()
            .zip(verdicts)
            .map(|(claim, verdict)| Judgement {
                id: claim.id.get_ref().clone(),
                text: claim.text.clone(),
                source: String::new(),
                verdict,
                test: format!("test of {}", claim.id.get_ref()),
                estimates: Vec::new(),
                sentence: String::new(),
                settles: None,
            })
            .collect();
        advise(&experiment, &judgements)
    }

    const ADVICE: &str =
        "[[advice]]\nwhen = \"it idles\"\ntake = \"flat\"\nconfirmed = [\"flat\"]\nrefuted = [\"grows\"]\n";

    #[test]
    fn advice_is_given_where_its_claims_came_out_so_and_withheld_with_the_reason_elsewhere() {
        use Verdict::{Confirmed, Inconclusive, Refuted};
        let given = advice(ADVICE, [Confirmed, Refuted, Inconclusive]);
        assert_eq!(given[0].withheld, None);
        let tests: Vec<&str> = given[0].because.iter().map(|ground| ground.test.as_str()).collect();
        assert_eq!(tests, ["test of flat", "not test of grows"]);
        for (verdicts, why) in [
            (
                [Inconclusive, Refuted, Confirmed],
                "\"flat does not depend on idle\" is inconclusive here",
            ),
            (
                [Refuted, Refuted, Confirmed],
                "\"flat does not depend on idle\" is refuted here",
            ),
            ([Confirmed, Confirmed, Confirmed], "\"steep grows\" is confirmed here"),
            (
                [Confirmed, Inconclusive, Confirmed],
                "\"steep grows\" is inconclusive here",
            ),
        ] {
            assert_eq!(
                advice(ADVICE, verdicts)[0].withheld.as_deref(),
                Some(why),
                "{verdicts:?}"
            );
        }
    }
}
