//! Recommendations. Each holds for a workload and rests on claims. It is withheld if one of these did not get the required
//! verdict.

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
    let differs = |ground: &&AdviceGround| {
        // Every name was checked when the experiment was read.
        let found = claims.iter().find(|claim| claim.claim == ground.claim);
        found.is_some_and(|claim| claim.verdict != ground.wanted)
    };
    AdviceRecord {
        when: spec.when.get_ref().clone(),
        take: spec.take.clone(),
        withheld_by: because.iter().find(differs).map(|ground| ground.claim.clone()),
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
}
