//! Every mistake is found, where it is.

use super::*;

const GOOD: &str = r#"
name = "t"
title = "T"
question = "Q?"
seconds = 1
[server]
model = "event-loop"
[load]
rate = 100
[axes]
idle = [10, 20]
[[variant]]
name = "a"
server = { mechanism = "poll" }
[[claim]]
id = "c"
text = "a is flat"
source = "s"
statistic = "change"
measure = "cpu-percent"
variants = ["a"]
along = "idle"
at-most = 0.1
[[figure]]
id = "f"
title = "F"
x = "idle"
y = "cpu-percent"
caption = "C"
"#;

fn parse(text: &str) -> Result<Experiment, LabError> {
    Experiment::parse(&Source {
        file: "t.toml".to_owned(),
        text: text.to_owned(),
    })
}

#[test]
fn a_whole_experiment_is_read() {
    let experiment = parse(GOOD).expect("nothing is wrong with it");
    assert_eq!(experiment.axes.len(), 1);
}

const PROBE: &str = r#"
name = "t"
title = "T"
question = "Q?"
seconds = 1
[probe]
name = "fake-probe"
[axes]
fakes = [2]
[[variant]]
name = "a"
probe = { by = "one" }
[[claim]]
id = "c"
text = "a is cheap"
source = "s"
statistic = "value"
measure = "fake-ns"
variants = ["a"]
at-most = 10.0
[[figure]]
id = "f"
title = "F"
x = "fakes"
y = "fake-ns"
caption = "C"
"#;

#[test]
fn a_table_is_as_wide_and_as_long_as_its_axes() {
    const TABLE: &str = r#"
[[table]]
id = "t"
title = "T"
caption = "C"
variant = "a"
rows = "idle"
columns = "work"
measures = ["signals", "overflows"]
heads = ["s", "o"]
published-as = "rate"
published = [
  ["1", "2", "3"],
  ["4", "5", "6"],
]
"#;
    let good = GOOD.replacen("idle = [10, 20]", "idle = [10, 20]\nwork = [\"1us\"]", 1) + TABLE;
    parse(&good).expect("nothing is wrong with it");
    for (right, wrong, line) in [
        ("heads = [\"s\", \"o\"]", "heads = [\"s\"]", 33),
        ("  [\"1\", \"2\", \"3\"],", "  [\"1\", \"2\"],", 43),
        ("  [\"4\", \"5\", \"6\"],", "", 33),
        ("columns = \"work\"", "columns = \"rate\"", 38),
    ] {
        let error = parse(&good.replacen(right, wrong, 1)).expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("t.toml:{line}:")), "{wrong}: {error}");
    }
}

#[test]
fn a_probe_stands_alone_and_has_a_name_that_exists() {
    parse(PROBE).expect("nothing is wrong with it");
    let cases = [
        ("name = \"fake-probe\"", "name = \"real-probe\"", 7),
        ("name = \"fake-probe\"", "by = \"one\"", 7),
        ("fakes = [2]", "idle = [2]", 9),
        ("[probe]", "[load]\nrate = 1\n[probe]", 7),
        ("probe = { by", "server = { model", 12),
        ("probe = { by", "probe = { buy", 12),
        ("by = \"one\"", "by = \"two\"", 12),
        ("by = \"one\"", "by = 1", 12),
        ("[axes]", "[saturation]\nvariant = \"a\"\n[axes]", 9),
    ];
    for (right, wrong, line) in cases {
        let error = parse(&PROBE.replacen(right, wrong, 1)).expect_err(wrong);
        let LabError::Experiment { line: found, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, line, "{wrong}: {error}");
    }
    let error = parse(&GOOD.replacen("[load]\nrate = 100\n", "", 1)).expect_err("there is no load");
    assert!(error.to_string().contains("[load]"), "{error}");
    let error = parse(&GOOD.replacen("server = { mechanism", "probe = { by", 1)).expect_err("there is no probe");
    assert!(error.to_string().starts_with("t.toml:14"), "{error}");
}

#[test]
fn each_mistake_names_its_line_and_a_remedy() {
    let cases = [
        ("rate = 100", "rate = = 100", 9),
        ("rate = 100", "rate = \"fast\"", 9),
        ("rate = 100", "rate = \"5%\"", 9),
        ("rate = 100", "ratio = 100", 9),
        ("rate = 100", "rate = [1]", 9),
        ("rate = 100", "rate = 0", 9),
        ("rate = 100", "rate = 100\nduration = \"0s\"", 10),
        ("rate = 100", "rate = 100\ntimeout = \"0\"", 10),
        ("rate = 100", "rate = 100\nconnections = 0", 10),
        ("idle = [10, 20]", "idle = [10, 20]\nburst = [1, 0]", 12),
        ("seconds = 1", "seconds = 0", 5),
        ("seconds = 1", "seconds = 1\nrepeats = 0", 6),
        ("seconds = 1", "seconds = 1\nrepeats = 4000000000", 6),
        ("seconds = 1", "seconds = 1\ncall-passes = 4000000000", 6),
        ("seconds = 1", "seconds = 1\nlooks = 0", 6),
        ("seconds = 1", "seconds = 1\nlooks = 21", 6),
        ("seconds = 1", "seconds = 1\ncovariate = \"weather\"", 6),
        ("seconds = 1", "seconds = 1\ncovariate = \"cpu-speed\"", 6),
        ("at-most = 0.1", "at-most = inf", 16),
        ("at-most = 0.1", "at-least = -inf", 16),
        ("at-most = 0.1", "at-most = nan", 16),
        ("idle = [10, 20]", "idel = [10, 20]", 11),
        ("idle = [10, 20]", "idle = [10, \"x\"]", 11),
        ("idle = [10, 20]", "idle = 10", 11),
        ("idle = [10, 20]", "rate = [10, 20]", 11),
        ("seconds = 1", "second = 1", 5),
        ("mechanism = \"poll\"", "mechanisms = \"poll\"", 14),
        ("mechanism = \"poll\"", "command = [\"nginx\"]", 13),
        ("statistic = \"change\"", "statistic = \"chance\"", 19),
        ("measure = \"cpu-percent\"", "measure = \"cpu\"", 20),
        ("variants = [\"a\"]", "variants = [\"b\"]", 21),
        ("along = \"idle\"", "along = \"rate\"", 22),
        ("along = \"idle\"\n", "", 16),
        ("at-most = 0.1", "where = { idle = 30 }\nat-most = 0.1", 23),
        ("at-most = 0.1\n", "", 16),
    ];
    for (right, wrong, line) in cases {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "the case does not change the text: {right}");
        let error = parse(&text).expect_err(wrong);
        let LabError::Experiment {
            line: found, remedy, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*found, line, "{wrong}: {error}");
        assert!(!remedy.is_empty());
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[test]
fn a_block_has_no_more_cells_than_could_ever_run() {
    let levels = |count: u64| {
        let all: Vec<String> = (1..=count).map(|level| level.to_string()).collect();
        GOOD.replacen(
            "idle = [10, 20]",
            &format!("idle = [{}]\nburst = [{0}]", all.join(", ")),
            1,
        )
    };
    parse(&levels(100)).expect("10,000 cells are allowed");
    let error = parse(&levels(101)).expect_err("10,201 cells").to_string();
    assert!(error.contains("10201 cells"), "{error}");
    let saturated = |tries: u64| format!("{GOOD}[saturation]\nvariant = \"a\"\ntries = {tries}\n");
    parse(&saturated(1)).expect("one try is enough");
    let error = parse(&saturated(0)).expect_err("no try").to_string();
    assert!(error.starts_with("t.toml:32:") && error.contains("tries"), "{error}");
}

#[test]
fn a_probe_gets_no_count_that_it_would_refuse() {
    parse(&PROBE.replacen("fakes = [2]", "fakes = [1, 7]", 1)).expect("it takes 1 to 7");
    for (right, wrong, line) in [
        ("fakes = [2]", "fakes = [2, 0]", 9),
        ("fakes = [2]", "fakes = [8]", 9),
        ("[axes]\nfakes = [2]", "fakes = 8\n[axes]\ntime = [\"1ms\"]", 8),
    ] {
        let text = PROBE.replacen(right, wrong, 1);
        let text = if wrong.contains("time") {
            text.replacen("x = \"fakes\"", "x = \"time\"", 1)
        } else {
            text
        };
        let error = parse(&text).expect_err(wrong).to_string();
        assert!(
            error.starts_with(&format!("t.toml:{line}:")) && error.contains("1 to 7"),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn a_control_runs_at_levels_that_exist_and_advice_rests_on_claims_that_do() {
    let control = format!("{GOOD}[control]\nvariant = \"a\"\nmeasure = \"cpu-percent\"\nwhere = {{ idle = 10 }}\n");
    let advice = format!("{control}[[advice]]\nwhen = \"it idles\"\ntake = \"a\"\nconfirmed = [\"c\"]\n");
    parse(&advice).expect("nothing is wrong with it");
    for (right, wrong, line) in [
        ("{ idle = 10 }", "{ idle = 11 }", 33),
        ("{ idle = 10 }", "{ rate = 11 }", 33),
        ("confirmed = [\"c\"]\n", "confirmed = [\"d\"]\n", 37),
        ("confirmed = [\"c\"]\n", "refuted = [\"d\"]\n", 37),
        ("confirmed = [\"c\"]\n", "", 35),
        ("take =", "taken =", 36),
    ] {
        let error = parse(&advice.replacen(right, wrong, 1)).expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("t.toml:{line}:")), "{wrong}: {error}");
    }
}

#[test]
fn a_spin_is_a_duration_or_adaptive() {
    let with = |spin: &str| parse(&GOOD.replacen("mechanism = \"poll\"", &format!("spin = \"{spin}\""), 1)).map(|_| ());
    for right in ["50us", "adaptive", "adaptive:1ms"] {
        assert_eq!(with(right).map_err(|error| error.to_string()), Ok(()), "{right}");
    }
    for wrong in ["5", "adaptive:", "adaptive:5", "max"] {
        let error = with(wrong).expect_err(wrong).to_string();
        assert!(
            error.starts_with("t.toml:14:") && error.contains("is not a duration"),
            "{error}"
        );
    }
}

#[test]
fn what_a_window_does_not_have_is_refused() {
    let windows = "[interleaved]\nduration = \"100ms\"\nwarmup = \"20ms\"\n";
    let with = |windows: &str, from: &str, to: &str| {
        let text = GOOD
            .replacen("[axes]", &format!("{windows}[axes]"), 1)
            .replace(from, to);
        parse(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(windows, "", ""), Ok(()));
    let cases = [
        (
            "[interleaved]\nduration = \"100ms\"\n",
            "",
            "",
            "does not say the warmup",
        ),
        ("[interleaved]\nrate = 7\n", "", "", "'rate' is no option of a window"),
        (
            "[interleaved]\nduration = \"0\"\nwarmup = \"0\"\n",
            "",
            "",
            "'duration' is \"0\"; write more than 0",
        ),
        (
            windows,
            "idle = [10, 20]",
            "idle = [10, 20]\nduration = [\"1s\"]",
            "'duration' varies them",
        ),
        (
            windows,
            "rate = 100",
            "rate = 100\nbackground-rate = 7",
            "'background-rate' varies them",
        ),
        (
            windows,
            "mechanism = \"poll\"",
            "mechanism = \"poll\", tcp-migrate-req = 1",
            "'tcp-migrate-req' varies them",
        ),
        (
            windows,
            "cpu-percent",
            "overflows",
            "'overflows' is read at the end of a server",
        ),
        (
            windows,
            "y = \"cpu-percent\"",
            "y = \"pss-kib\"",
            "'pss-kib' is read at the end of a server",
        ),
    ];
    for (windows, from, to, word) in cases {
        let error = with(windows, from, to).expect_err(word);
        assert!(error.contains(word), "{error}");
    }
    let probed = PROBE.replacen("[axes]", &format!("{windows}[axes]"), 1);
    let error = parse(&probed).expect_err("a probe has no windows").to_string();
    assert!(error.contains("a probe has no windows"), "{error}");
}

/// A claim with cells of the guest: its statistic is in line 19, its measure in line 20, and `[claim.exact]` begins in line 24.
fn with_cells() -> String {
    let exact = r#"at-most = 0.1
[claim.exact]
table = "vm/dispatch-cost"
cells.a = [["poll idle=10 active=1", "poll idle=5000 active=1"]]
why = "One event."
"#;
    let text = GOOD.replacen("at-most = 0.1\n", exact, 1);
    text.replacen("measure = \"cpu-percent\"", "measure = \"cpu-us-per-request\"", 1)
}

#[test]
fn cells_of_the_guest_are_read_for_each_statistic_that_two_numbers_give() {
    let experiment = parse(&with_cells()).expect("nothing is wrong with it");
    let exact = experiment.claims[0].exact.as_ref().expect("it has cells");
    assert_eq!((exact.cells.len(), exact.why.get_ref().as_str()), (1, "One event."));
    let other = |statistic: &str| with_cells().replacen("\"change\"", statistic, 1);
    parse(&other("\"factor\"")).expect("a factor along the axis");
    parse(&other("\"ratio\"\nagainst = \"a\"")).expect("a ratio of two variants");
}

/// What is right, what is wrong, the line that the error names, its cause and its remedy.
const MISTAKES_IN_CELLS: &[(&str, &str, usize, &str, &str)] = &[
    (
        "vm/dispatch-cost",
        "dispatch-cost",
        25,
        "no table 'dispatch-cost'",
        "vm/dispatch-cost, vm/idle-connections",
    ),
    (
        "idle=5000",
        "idle=10000",
        26,
        "no cell 'poll idle=10000 active=1'",
        "poll idle=1000 active=1",
    ),
    (
        "\"poll idle=10",
        "\"pol idle=10",
        26,
        "no cell 'pol idle=10 active=1'",
        "idle=10 active=1",
    ),
    ("idle=5000", "idle=10", 26, "with itself", "two cells"),
    (
        ", \"poll idle=5000 active=1\"",
        "",
        26,
        "1 cells where two are due",
        "[FROM, TO]",
    ),
    (
        "cells.a = ",
        "cells.b = ",
        26,
        "not about the variant 'b'",
        "cells of: a",
    ),
    (
        "[[\"poll idle=10 active=1\", \"poll idle=5000 active=1\"]]",
        "[]",
        25,
        "no cells of the variant 'a'",
        "cells.a",
    ),
    (
        "\"change\"",
        "\"slope\"",
        19,
        "do not give the statistic 'slope'",
        "change, factor, ratio",
    ),
    (
        "cpu-us-per-request",
        "response-ms",
        20,
        "nothing about 'response-ms'",
        "cpu-us-per-request",
    ),
    (
        "\"One event.\"",
        "\" \"",
        27,
        "'why' says nothing",
        "what the cells are",
    ),
    ("why = ", "because = ", 27, "because", "docs/method.md"),
];

#[test]
fn a_mistake_in_the_cells_of_the_guest_is_found_where_it_is() {
    for (right, wrong, line, cause, remedy) in MISTAKES_IN_CELLS {
        let text = with_cells().replacen(right, wrong, 1);
        assert_ne!(text, with_cells(), "the case does not change the text: {right}");
        let error = parse(&text).expect_err(wrong).to_string();
        assert!(error.starts_with(&format!("t.toml:{line}:")), "{wrong}: {error}");
        assert!(error.contains(cause) && error.contains(remedy), "{wrong}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_claim_about_two_variants_needs_cells_of_both() {
    let second = "[[variant]]\nname = \"b\"\nserver = { mechanism = \"select\" }\n[[claim]]";
    let text =
        with_cells()
            .replacen("[[claim]]", second, 1)
            .replacen("variants = [\"a\"]", "variants = [\"a\", \"b\"]", 1);
    let error = parse(&text).expect_err("cells of one only").to_string();
    assert!(
        error.starts_with("t.toml:28:") && error.contains("variant 'b'"),
        "{error}"
    );
    let both = "cells.b = [[\"select idle=10 active=1\", \"select idle=5000 active=1\"]]\nwhy";
    parse(&text.replacen("why", both, 1)).expect("cells of both");
}

#[test]
fn a_mix_of_requests_has_a_path_and_a_share_and_its_measures_need_it() {
    let mixed = GOOD
        .replace("rate = 100", "rate = 100\nother-path = \"/file/{zipf:10}\"")
        .replace("idle = [10, 20]", "idle = [10, 20]\nother-share = [0, 100]")
        .replace("measure = \"cpu-percent\"", "measure = \"response-ms-p99-main\"");
    parse(&mixed).expect("nothing is wrong with it");
    for (from, to, words) in [
        ("other-share = [0, 100]", "", "add other-share"),
        ("\nother-path = \"/file/{zipf:10}\"", "", "add other-path"),
        ("[0, 100]", "[0, 101]", "0 to 100"),
        ("[0, 100]", "[0.5]", "whole number"),
    ] {
        let error = parse(&mixed.replace(from, to)).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("t.toml"), "{error}");
    }
    let without = GOOD.replace("measure = \"cpu-percent\"", "measure = \"response-ms-p99-other\"");
    let error = parse(&without).expect_err("one request").to_string();
    assert!(error.contains("there is one request"), "{error}");
}

#[test]
fn an_overload_needs_a_load_around_it() {
    let with = |load: &str, axis: &str| {
        let text =
            GOOD.replacen("rate = 100\n", load, 1)
                .replacen("idle = [10, 20]", &format!("idle = [10, 20]\n{axis}"), 1);
        parse(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    let whole = "rate = 100\nduration = \"2s\"\n";
    assert_eq!(with(whole, "overload = [200]"), Ok(()));
    for (load, axis, word) in [
        ("rate = 100\n", "overload = [200]", "without a duration"),
        ("duration = \"2s\"\n", "overload = [200]", "without a rate"),
        (
            "rate = \"max\"\nduration = \"2s\"\noverload = 200\n",
            "",
            "without a rate",
        ),
        (whole, "overload = [0]", "write more than 0"),
        (whole, "overload = [\"200%\"]", "a saturation that nothing measures"),
    ] {
        let error = with(load, axis).expect_err(word);
        assert!(error.contains(word), "{error}");
    }
    let windows = "overload = [200]\n[interleaved]\nduration = \"100ms\"\nwarmup = \"20ms\"";
    let error = with(whole, windows).expect_err("windows");
    assert!(error.contains("[interleaved] has no 'overload'"), "{error}");
}
