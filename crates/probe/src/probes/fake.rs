//! A row that exists only for the test that adds one: see `crates/cli/tests/fake_rows.rs`.

use crate::option::{Kind, OptionRow, TIME};
use crate::row::{Figure, Figures, Probe};
use crate::timing::repeat;

pub(super) const ROW: Probe = Probe {
    name: "fake",
    summary: "nothing, a number of times",
    options: &[
        TIME,
        OptionRow {
            name: "fakes",
            summary: "Times that nothing is done",
            kind: Kind::Count(1, 9),
            default: Some("1"),
            label: "fakes",
            setup_us: 0,
        },
    ],
    figures: &[Figure {
        key: "fake_us",
        measure: "fake-us",
        label: "time of a fake",
        unit: "µs",
    }],
    run: |values| {
        let fakes = values.count("fakes");
        let timed = repeat(values.time(), || {
            (0..fakes).for_each(|fake| drop(std::hint::black_box(fake)));
            Ok(())
        })?;
        Ok(Figures {
            operations: timed.operations,
            values: vec![("fake_us", timed.cost_us())],
        })
    },
};
