//! Compares the reported percentiles with those computed from the script.

use std::num::NonZeroU64;
use std::time::Duration;

use super::virtual_world::{OnConnect, OnRequest, Script, play, play_through, reply};
use crate::accounting::failure::Failure;
use crate::accounting::histogram::DurationHistogram;
use crate::clock::Moment;
use crate::plan::Arrival;
use crate::plan::Target;
use crate::plan::{LoadPlan, Pattern, Rate};

const MS: u64 = 1_000_000;

fn plan(rate: f64, seconds: u64) -> LoadPlan {
    LoadPlan {
        rate: Rate::PerSecond(rate),
        duration: Duration::from_secs(seconds),
        ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
    }
}

fn connections(count: u64) -> Pattern {
    Pattern::RoundRobin {
        connections: NonZeroU64::new(count).unwrap(),
        per_connection: None,
    }
}

/// A server that answers request n, received at an instant, `delay_ns` later.
fn delays(mut delay_ns: impl FnMut(u64, Moment) -> u64 + 'static) -> Script {
    Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(move |n, at| OnRequest::Reply {
            after_ns: delay_ns(n, at),
            bytes: reply(5),
        }),
    }
}

/// Asserts that every percentile is that of the true values, within the precision of the histogram.
fn assert_percentiles(found: &DurationHistogram, mut truth: Vec<u64>) {
    truth.sort_unstable();
    assert_eq!(found.count(), truth.len() as u64);
    for quantile in [0.001, 0.1, 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0] {
        let rank = ((quantile * truth.len() as f64).ceil() as usize).max(1) - 1;
        let (value, read) = (truth[rank], found.at(quantile));
        assert!(
            read >= value && read - value <= value / 1000 + 1,
            "at {quantile}: {read} for {value}"
        );
    }
}

#[test]
fn one_reply_in_a_hundred_is_slow() {
    let delay = |n: u64| if n % 100 == 37 { 100 * MS } else { MS };
    let plan = LoadPlan {
        pattern: connections(500),
        ..plan(1000.0, 20)
    };
    let played = play(&plan, delays(move |n, _| delay(n)));
    assert_percentiles(&played.stats.latency, (0..20_000).map(delay).collect());
    assert_percentiles(&played.stats.service, (0..20_000).map(delay).collect());
}

#[test]
fn a_bimodal_mix() {
    let delay = |n: u64| {
        if n.wrapping_mul(2_654_435_761) % 10 < 3 {
            40 * MS
        } else {
            2 * MS + n % 1000
        }
    };
    let plan = LoadPlan {
        pattern: connections(100),
        ..plan(1000.0, 20)
    };
    let played = play(&plan, delays(move |n, _| delay(n)));
    assert_percentiles(&played.stats.latency, (0..20_000).map(delay).collect());
}

#[test]
fn requests_due_during_a_stall_have_the_latency_of_their_users() {
    // The server answers in 1 ms. The run starts at second 1; from second 3 the server does nothing for 500 ms.
    let stall = (3_000 * MS, 3_500 * MS);
    let answered = move |at: u64| {
        if (stall.0..stall.1).contains(&at) {
            stall.1 + MS
        } else {
            at + MS
        }
    };
    for rate in [100.0, 1000.0] {
        let plan = LoadPlan {
            pattern: connections(1000),
            ..plan(rate, 4)
        };
        let played = play(&plan, delays(move |_, at| answered(at.0) - at.0));
        let gap = 1e9 / rate;
        let due = |n: u64| 1_000 * MS + (n as f64 * gap) as u64;
        let truth: Vec<u64> = (0..(4.0 * rate) as u64).map(|n| answered(due(n)) - due(n)).collect();
        assert!(truth.iter().filter(|&&ns| ns > 2 * MS).count() as f64 >= 0.12 * truth.len() as f64);
        assert_percentiles(&played.stats.latency, truth);
    }
}

#[test]
fn the_wait_behind_a_stalled_request_is_latency() {
    // There is one connection, so requests wait unsent while it stalls. A closed-loop client would measure one slow request
    // in 4,000; for the users of the schedule more than 500 are slow.
    let plan = LoadPlan {
        pattern: connections(1),
        ..plan(1000.0, 4)
    };
    let delay = |at: u64| if at == 3_000 * MS { 500 * MS } else { MS / 10 };
    let played = play(&plan, delays(move |_, at| delay(at.0)));
    let mut free_at = 0;
    let (mut latency, mut service, mut lag) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..4000u64 {
        let due = 1_000 * MS + n * MS;
        let sent = due.max(free_at);
        free_at = sent + delay(sent);
        latency.push(free_at - due);
        service.push(free_at - sent);
        lag.push(sent - due);
    }
    assert!(latency.iter().filter(|&&ns| ns > 10 * MS).count() > 500);
    assert_eq!(service.iter().filter(|&&ns| ns > 10 * MS).count(), 1);
    assert_percentiles(&played.stats.latency, latency);
    assert_percentiles(&played.stats.service, service);
    assert_percentiles(&played.stats.send_lag, lag);
    // The requests waited for the connection. The generator itself was never late.
    assert_eq!(played.stats.own_lag.summary().max, 0);
}

#[test]
fn poisson_arrivals_at_a_single_server_wait_as_queueing_theory_says() {
    // M/D/1: service D = 1 ms, rate 500/s, so utilisation 0.5 and a mean wait of rho * D / (2 (1 - rho)) = 0.5 ms.
    let mut free_at = 0;
    let script = delays(move |_, at| {
        free_at = at.0.max(free_at) + MS;
        free_at - at.0
    });
    let plan = LoadPlan {
        arrival: Arrival::Poisson,
        pattern: connections(2000),
        ..plan(500.0, 400)
    };
    let mean = play(&plan, script).stats.latency.summary().mean;
    assert!((mean / (1.5 * MS as f64) - 1.0).abs() < 0.03, "mean latency {mean} ns");
}

#[test]
fn requests_not_answered_in_time_count_with_the_limit() {
    // In the second half of the run the server is silent.
    let script = Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(|_, at| match at.0 {
            0..2_000_000_000 => OnRequest::Reply {
                after_ns: MS,
                bytes: reply(5),
            },
            _ => OnRequest::Silence,
        }),
    };
    let timeout = Duration::from_millis(300);
    let stats = play(
        &LoadPlan {
            timeout,
            pattern: connections(10),
            ..plan(1000.0, 2)
        },
        script,
    )
    .stats;
    assert_eq!((stats.intended, stats.completed), (2000, 1000));
    // Requests that wait for a silent connection are sent on a new one shortly before their limit.
    assert_eq!((stats.timed_out, stats.never_sent), (1000, 0));
    assert!(stats.send_lag.summary().max >= 280 * MS);
    assert_eq!(stats.latency.count(), 2000);
    assert!(stats.latency.at(0.49) <= 2 * MS);
    assert!(stats.latency.at(0.51) >= 300 * MS);
}

#[test]
fn a_silent_connection_delays_only_its_own_requests() {
    // Of four connections, the first does not answer until its request times out after 300 ms. Requests 4, 8, …, 28 wait
    // for it and are then sent on a new connection; the limit of none of them has passed.
    let script = Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(|n, _| match n {
            0 => OnRequest::Silence,
            _ => OnRequest::Reply {
                after_ns: MS,
                bytes: reply(5),
            },
        }),
    };
    let plan = LoadPlan {
        timeout: Duration::from_millis(300),
        duration: Duration::from_millis(300),
        pattern: connections(4),
        ..plan(100.0, 1)
    };
    let played = play(&plan, script);
    assert_eq!((played.stats.timed_out, played.stats.never_sent), (1, 0));
    assert_eq!((played.stats.completed, played.connects), (29, 5));
    // The 22 requests of the other connections do not wait.
    assert!(played.stats.latency.at(0.73) <= MS + MS / 1000);
    assert!(played.stats.latency.at(0.74) > 10 * MS);
}

#[test]
fn warm_up_is_not_counted_and_replies_in_the_measured_time_are() {
    // Requests of the warm-up take 50 ms, later ones 1 ms. The latencies contain only the latter.
    let script = delays(|_, at| if at.0 < 2_000_000_000 { 50 * MS } else { MS });
    let plan = LoadPlan {
        warm_up: Duration::from_secs(1),
        pattern: connections(100),
        ..plan(1000.0, 1)
    };
    let stats = play(&plan, script).stats;
    assert_eq!((stats.intended, stats.completed), (1000, 1000));
    assert!(stats.latency.summary().max <= MS + MS / 1000);
    // 50 replies of the warm-up arrived in the measured time. The last reply of the measured time arrived after it.
    assert_eq!(stats.replies_in_window, 1000 + 50 - 1);
}

#[test]
fn one_connection_per_request_opens_and_closes_a_connection_for_each() {
    let per_connection = NonZeroU64::MIN;
    for pattern in [
        Pattern::OnDemand { per_connection },
        Pattern::RoundRobin {
            connections: NonZeroU64::new(50).unwrap(),
            per_connection: Some(per_connection),
        },
    ] {
        let played = play(
            &LoadPlan {
                pattern,
                ..plan(1000.0, 1)
            },
            delays(|_, _| 3 * MS),
        );
        assert_eq!((played.stats.completed, played.connects, played.open), (1000, 1000, 0));
    }
}

#[test]
fn a_connection_carries_the_planned_number_of_requests() {
    let pattern = Pattern::RoundRobin {
        connections: NonZeroU64::new(3).unwrap(),
        per_connection: NonZeroU64::new(7),
    };
    let played = play(
        &LoadPlan {
            pattern,
            ..plan(700.0, 3)
        },
        delays(|_, _| MS),
    );
    assert_eq!((played.stats.completed, played.connects), (2100, 300));
}

#[test]
fn a_closed_loop_sends_when_the_last_reply_has_arrived() {
    let plan = LoadPlan {
        rate: Rate::Max,
        pattern: connections(4),
        ..plan(1.0, 1)
    };
    let stats = play(&plan, delays(|_, _| 10 * MS)).stats;
    // Four connections with 10 ms per request: 400 requests per second.
    assert_eq!((stats.intended, stats.completed), (400, 400));
    assert_percentiles(&stats.latency, vec![10 * MS; 400]);
}

#[test]
fn pipelined_requests_are_all_answered() {
    let plan = LoadPlan {
        depth: 8,
        pattern: connections(2),
        ..plan(1000.0, 1)
    };
    let stats = play(&plan, delays(|_, _| 10 * MS)).stats;
    assert_eq!((stats.completed, stats.sent), (1000, 1000));
    // 2 connections with 8 unanswered requests and 10 ms per request carry 1,600 per second, so no request waits long.
    assert!(stats.latency.at(0.99) < 15 * MS, "{:?}", stats.latency.summary());
}

#[test]
fn requests_that_are_written_in_parts_arrive_complete() {
    for write_max in [1, 7, 60] {
        let plan = LoadPlan {
            depth: 3,
            pattern: connections(2),
            ..plan(1000.0, 1)
        };
        let stats = play_through(&plan, delays(|_, _| 3 * MS), None, write_max).stats;
        assert_eq!((stats.completed, stats.sent), (1000, 1000), "{write_max} at once");
    }
}

#[test]
fn the_traffic_counts_are_those_of_the_server() {
    let plan = LoadPlan {
        pattern: Pattern::OnDemand {
            per_connection: NonZeroU64::MIN,
        },
        ..plan(100.0, 1)
    };
    let script = Script {
        on_connect: Box::new(|_| OnConnect::At(5 * MS)),
        on_request: Box::new(|_, _| OnRequest::Reply {
            after_ns: 3 * MS,
            bytes: reply(5),
        }),
    };
    let traffic = play(&plan, script).traffic;
    assert_percentiles(&traffic.connect, vec![5 * MS; 100]);
    // The response time excludes the connect.
    assert_percentiles(&traffic.response, vec![3 * MS; 100]);
    assert_percentiles(&traffic.lifetime, vec![8 * MS; 100]);
    assert_eq!((traffic.connections, traffic.open, traffic.open_max), (100, 0, 1));
    let (request, reply) = (plan.target.test_request().len() as u64, reply(5).len() as u64);
    assert_eq!(
        (traffic.bytes_out, traffic.bytes_in, traffic.body_bytes),
        (100 * request, 100 * reply, 500)
    );
    assert_eq!((traffic.statuses, traffic.replies()), ([0, 100, 0, 0, 0], 100));
    let mut both = traffic.clone();
    both.add(&traffic);
    assert_eq!((both.connections, both.open_max, both.replies()), (200, 2, 200));
    assert_eq!(
        (both.bytes_out, both.bytes_in, both.body_bytes),
        (200 * request, 200 * reply, 1000)
    );
    let counts = [both.connect.count(), both.response.count(), both.lifetime.count()];
    assert_eq!(counts, [200; 3]);
}

#[test]
fn pipelining_respects_the_number_of_requests_per_connection() {
    let plan = LoadPlan {
        depth: 4,
        pattern: Pattern::RoundRobin {
            connections: NonZeroU64::new(3).unwrap(),
            per_connection: NonZeroU64::new(5),
        },
        ..plan(300.0, 3)
    };
    let played = play(&plan, delays(|_, _| 30 * MS));
    assert_eq!((played.stats.completed, played.stats.failed_total()), (900, 0));
    assert_eq!(played.connects, 180);
}

#[test]
fn requests_behind_the_last_reply_of_a_connection_fail_at_once() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    let script = Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(move |n, _| match n {
            0 => OnRequest::Reply {
                after_ns: 25 * MS,
                bytes: close.into(),
            },
            1 => OnRequest::Silence,
            _ => OnRequest::Reply {
                after_ns: MS,
                bytes: reply(5),
            },
        }),
    };
    let plan = LoadPlan {
        depth: 2,
        pattern: connections(1),
        ..plan(100.0, 1)
    };
    let stats = play(&plan, script).stats;
    let truncated = stats.failed(Failure::Truncated);
    assert_eq!((truncated, stats.timed_out, stats.completed), (1, 0, 99));
}
