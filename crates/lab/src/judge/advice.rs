//! Recommendations. Each holds for a workload and rests on claims. It is withheld if one of these did not get the required
//! verdict, here or by instructions; which of them are settled by instructions is part of the advice.

use c10k_record::{AdviceGround, AdviceRecord, ClaimRecord, Verdict};

use crate::experiment::{AdviceSpec, Experiment};

/// The advice of an experiment, given or withheld by the verdicts.
pub(crate) fn advise(experiment: &Experiment, claims: &[ClaimRecord]) -> Vec<AdviceRecord> {
    experiment.advice.iter().map(|spec| one(spec, claims)).collect()
}

fn one(spec: &AdviceSpec, claims: &[ClaimRecord]) -> AdviceRecord {
    let confirmed = spec.confirmed.iter().map(|claim| (claim, Verdict::Confirmed));
    let refuted = spec.refuted.iter().map(|claim| (claim, Verdict::Refuted));
    let grounds = confirmed.chain(refuted).map(|(claim, wanted)| AdviceGround {
        claim: claim.get_ref().clone(),
        wanted,
    });
    let because: Vec<AdviceGround> = grounds.collect();
    // Every name was checked when the experiment was read.
    let claim = |ground: &AdviceGround| claims.iter().find(|claim| claim.claim == ground.claim);
    let differs = |ground: &&AdviceGround| claim(ground).is_some_and(|claim| claim.conclusion() != ground.wanted);
    let by_instructions = because
        .iter()
        .filter(|ground| claim(ground).is_some_and(|claim| claim.verdict == Verdict::SettledByInstructions))
        .map(|ground| ground.claim.clone())
        .collect();
    AdviceRecord {
        when: spec.when.get_ref().clone(),
        take: spec.take.clone(),
        withheld_by: because.iter().find(differs).map(|ground| ground.claim.clone()),
        by_instructions,
        because,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Source;
    use crate::testing;

    fn advice(text: &str, verdicts: [Verdict; 3]) -> Vec<AdviceRecord> {
        let source = Source {
            file: "t.toml".to_owned(),
            text: format!("{}\n{text}", testing::EXPERIMENT),
        };
        let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
        let claims: Vec<ClaimRecord> = experiment
            .claims
            .iter()
            .zip(verdicts)
            .map(|(claim, verdict)| testing::claim(claim.id.get_ref(), verdict))
            .collect();
        advise(&experiment, &claims)
    }

    const ADVICE: &str =
        "[[advice]]\nwhen = \"it idles\"\ntake = \"flat\"\nconfirmed = [\"flat\"]\nrefuted = [\"grows\"]\n";

    #[test]
    fn advice_is_given_where_its_claims_came_out_so_and_withheld_with_the_reason_elsewhere() {
        use Verdict::{Confirmed, Inconclusive, Refuted};
        let given = advice(ADVICE, [Confirmed, Refuted, Inconclusive]);
        assert_eq!(given[0].withheld_by, None);
        let grounds: Vec<(&str, Verdict)> = given[0]
            .because
            .iter()
            .map(|ground| (ground.claim.as_str(), ground.wanted))
            .collect();
        assert_eq!(grounds, [("flat", Confirmed), ("grows", Refuted)]);
        for (verdicts, by) in [
            ([Inconclusive, Refuted, Confirmed], "flat"),
            ([Refuted, Refuted, Confirmed], "flat"),
            ([Confirmed, Confirmed, Confirmed], "grows"),
            ([Confirmed, Inconclusive, Confirmed], "grows"),
        ] {
            let withheld = advice(ADVICE, verdicts)[0].withheld_by.clone();
            assert_eq!(withheld.as_deref(), Some(by), "{verdicts:?}");
        }
    }

    #[test]
    fn advice_rests_on_instructions_too_and_says_so() {
        let source = Source {
            file: "t.toml".to_owned(),
            text: format!("{}\n{ADVICE}", testing::EXPERIMENT),
        };
        let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
        let settled = |exact| {
            let flat = testing::settled("flat", exact);
            advise(&experiment, &[flat, testing::claim("grows", Verdict::Refuted)]).remove(0)
        };
        let given = settled(Verdict::Confirmed);
        assert_eq!(
            (given.withheld_by, given.by_instructions),
            (None, vec!["flat".to_owned()])
        );
        assert_eq!(settled(Verdict::Refuted).withheld_by.as_deref(), Some("flat"));
    }
}
