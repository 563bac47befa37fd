//! Records are joined and found.

use c10k_record::SCHEMA;

use super::*;
use crate::measure;
use crate::plan::Choices;
use crate::testing;

fn call(status: CellStatus, pass: u32) -> CallRecord {
    CallRecord {
        schema: SCHEMA,
        cell: "a".to_owned(),
        pass,
        status,
        reasons: Vec::new(),
        started_at: String::new(),
        seconds: 0.0,
        tool: "strace".to_owned(),
        window_ns: 0,
        rate_achieved: 0.0,
        by_name: [].into(),
        switches: None,
    }
}

#[test]
fn a_pass_joins_the_block_of_its_number_and_what_failed_gives_way_to_what_did_not() {
    let mut records = vec![testing::record("a", 0, 0.1), testing::record("a", 1, 0.1)];
    let failed = call(CellStatus::Invalid, 0);
    let mut good = call(CellStatus::Measured, 0);
    good.by_name.insert("read".to_owned(), 7);
    join(&mut records, vec![good.clone(), failed]);
    assert_eq!(records[0].calls.as_ref(), Some(&good));
    assert_eq!(records[1].calls, None);
    join(&mut records[1..], vec![call(CellStatus::Invalid, 1)]);
    assert!(
        records[1].calls.is_some(),
        "the reason is kept where there is nothing else"
    );
}

#[test]
fn a_quiet_try_counts_before_a_disturbed_one_whichever_came_first() {
    let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
    let quiet = testing::record("flat idle=10 rate=10%", 0, 0.1);
    let mut disturbed = testing::record("flat idle=10 rate=10%", 0, 0.3);
    disturbed.disturbed = true;
    let measure = measure::find("cpu-percent").expect("it is in the table");
    for records in [[quiet.clone(), disturbed.clone()], [disturbed, quiet]] {
        let results = Results::new(&plan, &records);
        let values: Vec<f64> = results.values("flat idle=10 rate=10%", measure).into_values().collect();
        assert_eq!(values.len(), 1);
        assert!((values[0] - 10.0).abs() < 0.1, "{values:?}");
    }
}
