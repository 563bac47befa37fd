//! Tests of plans.

use std::collections::BTreeMap;

use super::resolve::{BLOCKS_MAX, WINDOWS_MAX};
use super::*;
use crate::LabError;
use crate::experiment::Source;
use crate::testing;

fn plan(choices: &Choices) -> Result<Plan, LabError> {
    Plan::resolve(&testing::experiment(), choices, Some(10_000.0))
}

fn planned(text: String) -> Plan {
    let source = Source {
        file: "t.toml".to_owned(),
        text,
    };
    let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
    Plan::resolve(&experiment, &Choices::default(), Some(1000.0)).expect("it resolves")
}

#[test]
fn every_variant_meets_every_level_once() {
    let plan = plan(&Choices::default()).expect("it resolves");
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "flat idle=10 rate=10%",
            "flat idle=20 rate=10%",
            "steep idle=10 rate=10%",
            "steep idle=20 rate=10%",
            "flat-again idle=10 rate=10%",
            "flat-again idle=20 rate=10%",
        ]
    );
    let cell = &plan.cells[3];
    assert_eq!(cell.server_flags.join(" "), "--mechanism poll --model event-loop");
    assert_eq!(cell.path, "/bytes/92");
    assert!(
        cell.load_flags.join(" ").contains("--idle 20 --rate 1000 "),
        "{:?}",
        cell.load_flags
    );
    assert_eq!(cell.connections, 28);
}

#[test]
fn the_order_is_the_seeds_and_differs_between_blocks() {
    let plan = plan(&Choices::default()).expect("it resolves");
    let orders: Vec<Vec<usize>> = (0..8).map(|block| plan.order(block)).collect();
    assert!(orders.iter().any(|order| *order != orders[0]));
    assert_eq!(plan.order(3), orders[3]);
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..plan.cells.len()).collect::<Vec<_>>());
        let levels = |place: &usize| &plan.cells[*place].levels;
        let changes = order
            .windows(2)
            .filter(|pair| levels(&pair[0]) != levels(&pair[1]))
            .count();
        assert_eq!(changes, 1, "the variants of each of two combinations run side by side");
    }
}

#[test]
fn variants_that_cannot_run_here_take_no_time() {
    let all = plan(&Choices::default()).expect("it resolves");
    let some = plan(&Choices {
        unavailable: BTreeMap::from([("steep".to_owned(), Unavailable::default())]),
        ..Choices::default()
    })
    .expect("it resolves");
    assert_eq!(
        some.cells.len(),
        all.cells.len(),
        "they are skipped, each with its reason"
    );
    // Of three variants, the control among them.
    let part = |name: &str| {
        let some = plan(&Choices {
            unavailable: BTreeMap::from([(name.to_owned(), Unavailable::default())]),
            ..Choices::default()
        });
        some.expect("it resolves").expected.block_s / all.expected.block_s
    };
    assert!((part("steep") - 2.0 / 3.0).abs() < 0.02 && (part("flat") - 1.0 / 3.0).abs() < 0.02);
}

#[test]
fn a_budget_decides_the_number_of_blocks_and_repeats_cap_it() {
    let one = plan(&Choices::default()).expect("it resolves").expected.block_s;
    let with = |budget_s, repeats| {
        plan(&Choices {
            budget: Budget::Asked(budget_s),
            repeats,
            ..Choices::default()
        })
        .expect("it resolves")
        .blocks
    };
    assert_eq!(
        with(one * 4.5, None),
        3,
        "the fourth is the pass that counts system calls"
    );
    assert_eq!(with(one * 4.5, Some(2)), 2);
    assert_eq!(with(one / 10.0, None), 1);
    assert_eq!(with(one * 1e6, None), BLOCKS_MAX);
}

#[test]
fn a_block_of_windows_takes_the_time_of_its_windows_and_the_servers_start_once() {
    let text = format!(
        "{}\n[interleaved]\nduration = \"100ms\"\nwarmup = \"20ms\"\n",
        testing::EXPERIMENT
    );
    let source = Source {
        file: "t.toml".to_owned(),
        text,
    };
    let experiment = Experiment::parse(&source).expect("nothing is wrong with it");
    let resolved = |can_interleave, budget| {
        let choices = Choices {
            can_interleave,
            budget,
            ..Choices::default()
        };
        Plan::resolve(&experiment, &choices, Some(1000.0)).expect("it resolves")
    };
    let (plan, apart) = (resolved(true, Budget::None), resolved(false, Budget::None));
    assert!(plan.interleaved && !apart.interleaved);
    let window = plan.cells[0].window.as_deref().expect("it has one");
    assert!(
        window.load_flags.join(" ").contains("--duration 100ms"),
        "{:?}",
        window.load_flags
    );
    assert!(
        window.load_flags.join(" ").contains("--warmup 20ms"),
        "{:?}",
        window.load_flags
    );
    assert!(
        window.server_flags.join(" ").contains("--idle-timeout"),
        "{:?}",
        window.server_flags
    );
    assert_eq!(window.id, plan.cells[0].id);
    assert!(!plan.cells[0].server_flags.join(" ").contains("--idle-timeout"));
    // Six cells: 100 + 20 ms and the readings, where a cell by itself takes 200 + 50 ms and its start.
    let (whole, parts) = (plan.expected, apart.expected);
    assert!((whole.block_s - 6.0 * 0.15).abs() < 1e-9, "{whole:?}");
    assert!((whole.start_s - 6.0 * 0.2).abs() < 0.1, "{whole:?}");
    assert_eq!((parts.start_s, parts.block_s), (0.0, whole.pass_s));
    assert!((whole.pass_s - 6.0 * 0.45).abs() < 0.1, "{whole:?}");
    let budget = Budget::Asked(whole.start_s + whole.pass_s + 10.5 * whole.block_s);
    assert_eq!(resolved(true, budget).blocks, 10);
    assert_eq!(resolved(true, Budget::Asked(1e6)).blocks, WINDOWS_MAX);
    let least = plan.least().as_secs_f64();
    let saturation = plan.saturation_cell().expect("rates are in percent");
    let saturation_s = 3.0 * saturation.time.expected_s(saturation.connections);
    assert!(
        (least - saturation_s - whole.start_s - whole.block_s - whole.pass_s).abs() < 0.01,
        "{least}"
    );
}

#[test]
fn a_duration_reaches_the_command_and_the_axis_as_it_is_written() {
    let text = testing::EXPERIMENT
        .replacen(
            "idle = [10, 20]\n",
            "idle = [10, 20]\nwork = [\"500ns\", \"1500ns\"]\n",
            1,
        )
        .replacen("[load]\n", "[load]\nmax-lag = \"1.5ms\"\n", 1)
        .replacen("duration = \"200ms\"", "duration = \"1h\"", 1);
    let plan = planned(text);
    let axis = &plan.axes[plan.axis("work").expect("an axis")];
    assert_eq!(axis.describe(0), "500 ns of work per request");
    assert_eq!(axis.describe(1), "1.5 µs of work per request");
    assert_eq!(
        axis.levels.iter().map(|level| level.value).collect::<Vec<_>>(),
        [5e-7, 1.5e-6]
    );
    let flags = |cell: &Cell| cell.server_flags.join(" ");
    assert!(
        flags(&plan.cells[0]).ends_with("--work 500ns"),
        "{}",
        flags(&plan.cells[0])
    );
    assert!(
        flags(&plan.cells[1]).ends_with("--work 1.5us"),
        "{}",
        flags(&plan.cells[1])
    );
    let load = plan.cells[0].load_flags.join(" ");
    assert!(
        load.contains("--duration 1h") && load.contains("--max-lag 1.5ms"),
        "{load}"
    );
    assert_eq!(plan.cells[0].time.duration_s, 3600.0);
}

#[test]
fn a_rate_below_one_reaches_the_command_as_it_is_written() {
    let plan = planned(testing::EXPERIMENT.replacen("rate = [\"10%\"]", "rate = [0.25]", 1));
    assert!(
        plan.cells[0]
            .load_flags
            .join(" ")
            .ends_with("--rate 0.25 --timeout 1s --warmup 50ms")
    );
}

#[test]
fn a_filter_keeps_the_cells_that_have_all_words_of_an_alternative() {
    let only = |filter: &str| {
        plan(&Choices {
            only: Some(filter.to_owned()),
            ..Choices::default()
        })
    };
    assert_eq!(only("steep idle=20").expect("one matches").cells.len(), 1);
    assert!(only("idle=2").is_err(), "a level is matched whole");
    assert_eq!(only("steep,flat-again").expect("four match").cells.len(), 4);
    let error = only("nonsense").expect_err("none matches").to_string();
    assert!(error.contains("nonsense") && error.contains("flat idle=10"), "{error}");
}

#[test]
fn a_control_runs_at_its_levels_alone() {
    let text = testing::EXPERIMENT.replacen(
        "measure = \"cpu-us-per-request\"\n",
        "measure = \"cpu-us-per-request\"\nwhere = { idle = 20 }\n",
        1,
    );
    let plan = planned(text);
    let again: Vec<&str> = plan
        .cells
        .iter()
        .map(|cell| cell.id.as_str())
        .filter(|id| id.contains("again"))
        .collect();
    assert_eq!(again, ["flat-again idle=20 rate=10%"]);
    assert_eq!(plan.cells.len(), 5);
}

#[test]
fn an_overload_is_steps_of_the_load_and_no_part_of_the_saturation() {
    let text = testing::EXPERIMENT.replacen("rate = [\"10%\"]", "overload = [\"200%\"]", 1);
    let plan = planned(text.replacen("connections = 8", "connections = 8\nrate = \"10%\"", 1));
    let load = plan.cells[0].load_flags.join(" ");
    assert!(
        load.contains("--steps 100,2000,100,100") && !load.contains("--rate"),
        "{load}"
    );
    assert!(plan.cells[0].id.ends_with("overload=200%"), "{}", plan.cells[0].id);
    let time = plan.cells[0].overload.expect("there is one");
    assert!(
        (time.end_s - 2.0 * time.start_s).abs() < 1e-9 && time.start_s > 0.0,
        "{time:?}"
    );
    let saturation = plan.saturation_cell().expect("there is one");
    let load = saturation.load_flags.join(" ");
    assert!(load.contains("--rate max") && !load.contains("--steps"), "{load}");
}
