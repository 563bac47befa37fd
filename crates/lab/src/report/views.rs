//! What the page shows of a study's outcome: its numbers as text.

use c10k_record::{CheapestRecord, CheapestRow, ClaimRecord, NoiseFloor, StudyRecord, TableRecord};
use serde::Serialize;

use super::tables::Table;
use super::{crosstab, exact, words};
use crate::measure;
use crate::statistic::{Form, number};

/// A claim.
#[derive(Serialize)]
pub(super) struct ClaimView<'a> {
    claim: &'a str,
    text: &'a str,
    source: &'a str,
    verdict: &'static str,
    verdict_words: String,
    test: String,
    estimates: Vec<EstimateView<'a>>,
    exact: Option<ExactView<'a>>,
    /// How numbers were adjusted.
    speeds: Vec<String>,
    remark: Option<String>,
}

/// The same claim in instructions.
#[derive(Serialize)]
struct ExactView<'a> {
    counted_in: String,
    verdict: &'static str,
    cells: Vec<String>,
    why: &'a str,
    disagreement: Option<String>,
}

/// One number of a claim.
#[derive(Serialize)]
struct EstimateView<'a> {
    of: &'a str,
    value: String,
    interval: String,
    deciding: String,
    /// In instructions, where the claim has them.
    exact: Option<String>,
    blocks: usize,
    verdict: &'static str,
}

/// Advice, given or withheld.
#[derive(Serialize)]
pub(super) struct AdviceView<'a> {
    when: &'a str,
    take: &'a str,
    because: Vec<GroundView<'a>>,
    by_instructions: Option<String>,
    withheld: Option<String>,
}

/// A claim that advice rests on.
#[derive(Serialize)]
struct GroundView<'a> {
    claim: &'a str,
    test: String,
    numbers: Vec<String>,
}

/// The A/A control.
#[derive(Serialize)]
pub(super) struct NoiseFloorView<'a> {
    #[serde(flatten)]
    floor: &'a NoiseFloor,
    measure_label: &'a str,
}

/// The variants compared with the cheapest.
#[derive(Serialize)]
pub(super) struct CheapestView {
    table: Table,
    caption: String,
}

/// A table in the layout of the source.
#[derive(Serialize)]
pub(super) struct TableView<'a> {
    title: &'a str,
    caption: &'a str,
    #[serde(flatten)]
    table: Table,
}

impl<'a> ClaimView<'a> {
    pub(super) fn of(claim: &'a ClaimRecord) -> Self {
        let estimates = claim.estimates.iter().map(|estimate| EstimateView {
            of: &estimate.of,
            value: words::value(claim, estimate),
            interval: words::interval(claim, estimate),
            deciding: words::deciding(claim, estimate),
            exact: claim
                .exact
                .as_ref()
                .map(|exact| exact::of_variant(claim, exact, &estimate.variant)),
            blocks: estimate.blocks,
            verdict: estimate.verdict.word(),
        });
        Self {
            claim: &claim.claim,
            text: &claim.text,
            source: &claim.source,
            verdict: claim.verdict.word(),
            verdict_words: words::verdict_of(claim),
            test: words::test(&claim.test),
            estimates: estimates.collect(),
            exact: claim.exact.as_ref().map(|exact| ExactView {
                counted_in: exact::counted_in(exact),
                verdict: exact.verdict.word(),
                cells: exact::cells(claim, exact),
                why: exact.why.trim_end_matches('.'),
                disagreement: exact::disagreement(claim),
            }),
            speeds: claim
                .estimates
                .iter()
                .filter_map(|estimate| words::speed(claim, estimate))
                .collect(),
            remark: words::remark(claim),
        }
    }
}

/// All advice of a study.
pub(super) fn advice(study: &StudyRecord) -> Vec<AdviceView<'_>> {
    let views = study.advice.iter().map(|advice| AdviceView {
        when: &advice.when,
        take: &advice.take,
        because: words::grounds(study, &advice.because)
            .map(|claim| GroundView {
                claim: &claim.claim,
                test: words::ground(claim),
                numbers: words::numbers(claim),
            })
            .collect(),
        by_instructions: exact::by_instructions(advice),
        withheld: words::withheld(study, advice),
    });
    views.collect()
}

impl<'a> NoiseFloorView<'a> {
    pub(super) fn of(floor: &'a NoiseFloor) -> Self {
        Self {
            measure_label: measure::find(&floor.measure).map_or(&floor.measure, |measure| measure.label),
            floor,
        }
    }
}

impl CheapestView {
    pub(super) fn of(compared: &CheapestRecord) -> Self {
        let row = |row: &CheapestRow| {
            vec![
                row.label.clone(),
                number(Form::Plain, &compared.unit, row.median),
                number(Form::Factor, "", row.ratio),
                words::interval_of(Form::Factor, "", row.ratio_low.zip(row.ratio_high)),
                row.blocks.to_string(),
                if row.is_apart { "yes" } else { "no" }.to_owned(),
            ]
        };
        let heading = [
            "variant",
            "CPU per request",
            "× the first",
            "interval",
            "blocks",
            "distinguished",
        ];
        Self {
            table: Table {
                heading: heading.map(str::to_owned).into(),
                rows: compared.variants.iter().map(row).collect(),
            },
            caption: words::compared(compared),
        }
    }
}

impl<'a> TableView<'a> {
    pub(super) fn of(table: &'a TableRecord) -> Self {
        Self {
            title: &table.title,
            caption: &table.caption,
            table: crosstab::words(table),
        }
    }
}
