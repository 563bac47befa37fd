//! Whatever the server does, every request of the schedule ends in exactly one way.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;

use super::virtual_world::{OnConnect, OnRequest, Script, play_until, play_windows, reply};
use crate::accounting::failure::FAILURES;
use crate::accounting::request_stats::RequestStats;
use crate::plan::Arrival;
use crate::plan::Sessions;
use crate::plan::Target;
use crate::plan::{LoadPlan, Pattern, Rate};

const MS: u64 = 1_000_000;

fn delay() -> impl Strategy<Value = u64> {
    // Near the time limit of 50 ms, and far from it.
    prop_oneof![4 => 0..5 * MS, 2 => 40 * MS..60 * MS, 1 => Just(500 * MS)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
    prop_oneof![
        8 => Just(reply(5)),
        1 => Just(reply(4)),
        1 => Just(reply(6)),
        1 => Just(close.into()),
        1 => Just(chunked.into()),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n".into()),
        1 => Just("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into()),
        1 => Just("HTTP/1.1 200 OK\r\n\r\nhello".into()),
        1 => Just([reply(5), reply(5)].concat()),
        1 => (0..60usize).prop_map(|length| reply(5)[..length.min(reply(5).len())].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..50),
    ]
}

fn on_request() -> impl Strategy<Value = OnRequest> {
    prop_oneof![
        8 => (delay(), bytes()).prop_map(|(after_ns, bytes)| OnRequest::Reply { after_ns, bytes }),
        2 => (delay(), bytes()).prop_map(|(after_ns, bytes)| OnRequest::ReplyAndClose { after_ns, bytes }),
        1 => delay().prop_map(|after_ns| OnRequest::Reset { after_ns }),
        1 => Just(OnRequest::Silence),
    ]
}

fn on_connect() -> impl Strategy<Value = OnConnect> {
    prop_oneof![
        6 => Just(OnConnect::AtOnce),
        3 => delay().prop_map(OnConnect::At),
        1 => delay().prop_map(|after_ns| OnConnect::Refuse { after_ns }),
        1 => Just(OnConnect::RefuseAtOnce),
        1 => Just(OnConnect::Never),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let count = || (1..5u64).prop_map(|count| NonZeroU64::new(count).unwrap());
    prop_oneof![
        (count(), proptest::option::of(count())).prop_map(|(connections, per_connection)| Pattern::RoundRobin {
            connections,
            per_connection
        }),
        count().prop_map(|per_connection| Pattern::OnDemand { per_connection }),
        (count(), count(), 0..60 * MS).prop_map(|(calls, burst, think)| Pattern::Sessions(Sessions {
            total: NonZeroU64::MAX,
            calls,
            burst,
            think: Duration::from_nanos(think),
        })),
    ]
}

fn plan() -> impl Strategy<Value = LoadPlan> {
    let arrival = prop_oneof![Just(Arrival::Constant), Just(Arrival::Poisson)];
    let rate = prop_oneof![3 => (20.0..3000.0).prop_map(Rate::PerSecond), 1 => Just(Rate::Max)];
    (pattern(), arrival, rate, any::<u64>(), 1..4usize, 0..50u64).prop_map(
        |(pattern, arrival, rate, seed, depth, warm_up)| LoadPlan {
            pattern,
            arrival,
            // A closed loop needs a fixed number of connections.
            rate: if pattern.connections() == 0 && rate == Rate::Max {
                Rate::PerSecond(500.0)
            } else {
                rate
            },
            seed,
            depth,
            warm_up: Duration::from_millis(warm_up),
            duration: Duration::from_millis(200),
            timeout: Duration::from_millis(50),
            ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
        },
    )
}

/// A script of these connects and requests, repeated. In virtual time, a closed loop against a server that fails at once never
/// ends: in a closed loop these failures take time.
fn script(on_connects: Vec<OnConnect>, on_requests: Vec<OnRequest>, is_closed: bool) -> Script {
    Script {
        on_connect: Box::new(move |n| match on_connects[n as usize % on_connects.len()] {
            OnConnect::RefuseAtOnce if is_closed => OnConnect::AtOnce,
            on_connect => on_connect,
        }),
        on_request: Box::new(move |n, _| match &on_requests[n as usize % on_requests.len()] {
            OnRequest::Reply { after_ns, bytes } if is_closed => OnRequest::Reply {
                after_ns: after_ns.max(&MS).to_owned(),
                bytes: bytes.clone(),
            },
            OnRequest::ReplyAndClose { after_ns, bytes } if is_closed => OnRequest::ReplyAndClose {
                after_ns: after_ns.max(&MS).to_owned(),
                bytes: bytes.clone(),
            },
            OnRequest::Reset { after_ns } if is_closed => OnRequest::Reset {
                after_ns: after_ns.max(&MS).to_owned(),
            },
            other => other.clone(),
        }),
    }
}

fn assert_reconciled(stats: &RequestStats) -> Result<(), TestCaseError> {
    let failed: u64 = FAILURES.iter().map(|row| stats.failed(row.failure)).sum();
    prop_assert_eq!(stats.intended, stats.sent + stats.never_sent);
    prop_assert_eq!(stats.sent, stats.completed + stats.timed_out + failed);
    prop_assert_eq!(stats.in_flight(), 0);
    prop_assert_eq!(stats.latency.count(), stats.intended);
    prop_assert_eq!(stats.service.count(), stats.sent);
    prop_assert_eq!(stats.send_lag.count(), stats.sent);
    prop_assert_eq!(stats.own_lag.count(), stats.intended);
    prop_assert!(stats.occupancy.reconciles(), "{:?}", stats.occupancy);
    Ok(())
}

/// With a constant schedule, as many requests are due as the rate says.
fn assert_due(plan: &LoadPlan, stats: &RequestStats, measured: Duration) -> Result<(), TestCaseError> {
    if let (Rate::PerSecond(rate), Arrival::Constant) = (&plan.rate, plan.arrival) {
        let due = rate * measured.as_secs_f64();
        prop_assert!(
            (stats.intended as f64 - due).abs() <= 1.0,
            "{} of {due} were due",
            stats.intended
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_counts_reconcile_whatever_the_server_does(
        plan in plan(),
        on_connects in prop::collection::vec(on_connect(), 1..20),
        on_requests in prop::collection::vec(on_request(), 1..40),
        stop_ns in proptest::option::weighted(0.3, 0..250 * MS),
    ) {
        let played = play_until(&plan, script(on_connects, on_requests, plan.rate == Rate::Max), stop_ns);
        assert_reconciled(&played.stats)?;
        if let Some(sessions) = played.sessions {
            prop_assert!(sessions.started >= sessions.completed + sessions.failed);
            prop_assert!(stop_ns.is_some() || sessions.started > 0);
        } else {
            let measured = match stop_ns {
                Some(stop) => Duration::from_nanos(stop).saturating_sub(plan.warm_up).min(plan.duration),
                None => plan.duration,
            };
            assert_due(&plan, &played.stats, measured)?;
        }
    }

    #[test]
    fn the_counts_of_each_window_reconcile(
        plan in plan().prop_filter("sessions have no windows", |plan| !matches!(plan.pattern, Pattern::Sessions(_))),
        on_connects in prop::collection::vec(on_connect(), 1..20),
        on_requests in prop::collection::vec(on_request(), 1..40),
        pause_ns in 0..300 * MS,
    ) {
        for window in play_windows(&plan, script(on_connects, on_requests, plan.rate == Rate::Max), pause_ns) {
            assert_reconciled(&window.stats)?;
            assert_due(&plan, &window.stats, plan.duration)?;
        }
    }
}
