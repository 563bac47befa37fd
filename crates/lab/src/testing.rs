//! A small experiment and records with a known truth, for tests.

use c10k_record::{
    CellCounts, CellRecord, CellStatus, ClaimRecord, ClaimTest, EstimateRecord, ExactRecord, ExactValue, Form,
    LoadSummary, Meters, OptionKind, ProbeFigure, ProbeOption, ProbeRow, SCHEMA, ServeSummary, StudyRecord, Verdict,
};

use crate::experiment::{Experiment, Source};
use crate::rows::Rows;

/// Rows that no build has: a wait of its own, and a probe of its own.
pub(crate) fn rows() -> Rows {
    let option = |name: &str, kind, values: &[&str], default: Option<&str>, setup_us| ProbeOption {
        name: name.to_owned(),
        summary: String::new(),
        kind,
        values: values.iter().map(|&word| word.to_owned()).collect(),
        least: None,
        most: None,
        default: default.map(str::to_owned),
        label: format!("{name} of the probe"),
        setup_us,
    };
    Rows {
        wait_calls: ["epoll_wait", "ppoll", "read", "rt_sigtimedwait", "fake_wait"]
            .map(str::to_owned)
            .into(),
        probes: vec![ProbeRow {
            name: "fake-probe".to_owned(),
            summary: String::new(),
            options: vec![
                option("time", OptionKind::Duration, &[], Some("300ms"), 0),
                option("by", OptionKind::Word, &["one"], None, 0),
                ProbeOption {
                    least: Some(1),
                    most: Some(7),
                    ..option("fakes", OptionKind::Count, &[], Some("1"), 500_000)
                },
            ],
            figures: vec![ProbeFigure {
                key: "fake_ns".to_owned(),
                measure: "fake-ns".to_owned(),
                label: "time of a fake".to_owned(),
                unit: "ns".to_owned(),
            }],
        }],
    }
}

/// Two variants, two levels, a rate in percent, a control, three claims.
pub(crate) const EXPERIMENT: &str = r#"
name = "test"
title = "A test"
question = "Does it?"
seconds = 1

[server]
model = "event-loop"

[load]
connections = 8
reply = 92
duration = "200ms"
warmup = "50ms"
timeout = "1s"

[axes]
idle = [10, 20]
rate = ["10%"]

[saturation]
variant = "flat"

[[variant]]
name = "flat"
server = { mechanism = "epoll-level" }

[[variant]]
name = "steep"
server = { mechanism = "poll" }

[control]
variant = "flat"
measure = "cpu-us-per-request"

[[claim]]
id = "flat"
text = "flat does not depend on idle"
source = "nobody"
statistic = "change"
measure = "cpu-us-per-request"
variants = ["flat"]
along = "idle"
at-least = -0.1
at-most = 0.1

[[claim]]
id = "grows"
text = "steep grows"
source = "nobody"
statistic = "change"
measure = "cpu-us-per-request"
variants = ["steep"]
along = "idle"
at-least = 0.5
confirmed = "It grew: {}."

[[claim]]
id = "dearer"
text = "steep is dearer"
source = "nobody"
statistic = "ratio"
measure = "cpu-us-per-request"
variants = ["steep"]
against = "flat"
where = { idle = 20 }
at-least = 1.5

[[figure]]
id = "cpu"
title = "CPU"
x = "idle"
y = "cpu-percent"
caption = "It grows."
"#;

pub(crate) fn experiment() -> Experiment {
    let source = Source {
        file: "test.toml".to_owned(),
        text: EXPERIMENT.to_owned(),
    };
    Experiment::parse(&source).expect("the test experiment has no mistake")
}

/// A valid record in which the server used `cpu_share` of a CPU for 1000 replies a second.
pub(crate) fn record(cell: &str, block: u32, cpu_share: f64) -> CellRecord {
    let wall_ns = 500_000_000_u64;
    let used_ns = (wall_ns as f64 * cpu_share) as u64;
    CellRecord {
        schema: SCHEMA,
        study: "test".to_owned(),
        cell: cell.to_owned(),
        variant: cell.split(' ').next().unwrap_or_default().to_owned(),
        levels: [("rate".to_owned(), 1000.0)].into(),
        block,
        position: 0,
        status: CellStatus::Measured,
        reasons: Vec::new(),
        notes: Vec::new(),
        disturbed: false,
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        seconds: 1.0,
        server_command: Vec::new(),
        load_command: Vec::new(),
        overload: None,
        load: Some(LoadSummary {
            intended: 500,
            sent: 500,
            completed: 500,
            duration_s: 0.5,
            rate_offered: 1000.0,
            rate_achieved: 1000.0,
            valid: true,
            ..LoadSummary::default()
        }),
        server: Some(ServeSummary::default()),
        meters: Some(Meters {
            wall_ns,
            cpu_run_ns: used_ns,
            cpu_idle_counter_ns: Some(used_ns),
            cpu_busy_ns: Some(used_ns),
            ..Meters::default()
        }),
        probe: None,
        calls: None,
    }
}

/// A claim with this verdict and without numbers.
pub(crate) fn claim(name: &str, verdict: Verdict) -> ClaimRecord {
    ClaimRecord {
        claim: name.to_owned(),
        text: format!("the claim {name}"),
        source: String::new(),
        verdict,
        test: ClaimTest {
            statistic: "change".to_owned(),
            measure: "cpu-us-per-request".to_owned(),
            along: Some("idle".to_owned()),
            against: None,
            at_least: None,
            at_most: Some(0.1),
            form: Form::Share,
            unit: String::new(),
        },
        estimates: Vec::new(),
        sentence: String::new(),
        needs: None,
        settled_after: None,
        exact: None,
    }
}

/// A claim about the variant `flat` that noise left open and that instructions settle in this way.
pub(crate) fn settled(name: &str, exact: Verdict) -> ClaimRecord {
    let cell = |idle| format!("epoll-level idle={idle} active=1");
    let mut claim = claim(name, Verdict::SettledByInstructions);
    claim.exact = Some(ExactRecord {
        table: "vm/dispatch-cost".to_owned(),
        kernel: "6.1.0".to_owned(),
        emulator: "7.2".to_owned(),
        why: "One event.".to_owned(),
        values: vec![ExactValue {
            variant: "flat".to_owned(),
            from: cell(10),
            to: cell(20),
            value: 0.002,
            is_within: Some(true),
            verdict: exact,
        }],
        verdict: exact,
    });
    claim
}

/// A number of a variant, over five blocks, without intervals.
pub(crate) fn estimate(variant: &str, verdict: Verdict) -> EstimateRecord {
    EstimateRecord {
        of: variant.to_owned(),
        variant: variant.to_owned(),
        levels: [].into(),
        value: Some(0.05),
        low: None,
        high: None,
        unit: String::new(),
        confidence: 0.95,
        confirms: None,
        refutes: None,
        blocks: 5,
        speed: None,
        verdict,
    }
}

/// A study with these claims and nothing else.
pub(crate) fn study(claims: Vec<ClaimRecord>) -> StudyRecord {
    StudyRecord {
        schema: SCHEMA,
        study: "test".to_owned(),
        folder: "test".into(),
        report: "test/report.html".into(),
        answer: String::new(),
        claims,
        advice: Vec::new(),
        noise_floor: None,
        cheapest: None,
        tables: Vec::new(),
        cells: CellCounts::default(),
        failures: Vec::new(),
        damage: Vec::new(),
    }
}
