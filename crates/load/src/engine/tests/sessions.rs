//! Sessions: when each call is due, and how a session ends if a call fails.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use super::virtual_world::{OnConnect, OnRequest, Played, Script, play, reply};
use crate::plan::Sessions;
use crate::plan::Target;
use crate::plan::{LoadPlan, Pattern, Rate};

const MS: u64 = 1_000_000;
/// The start of the virtual clock.
const START: u64 = 1_000 * MS;

/// At most `total` sessions, one every 10 ms for a second. Each makes five calls in bursts of three, with a think time of
/// 40 ms.
fn plan(total: u64) -> LoadPlan {
    let number = |number| NonZeroU64::new(number).unwrap();
    LoadPlan {
        rate: Rate::PerSecond(100.0),
        duration: Duration::from_secs(1),
        timeout: Duration::from_millis(200),
        pattern: Pattern::Sessions(Sessions {
            total: number(total),
            calls: number(5),
            burst: number(3),
            think: Duration::from_millis(40),
        }),
        ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
    }
}

/// Simulates a server that handles request n with `react`. Also returns when each request arrived, milliseconds from the
/// start.
fn served(plan: &LoadPlan, react: impl Fn(u64) -> OnRequest + 'static) -> (Played, Vec<u64>) {
    let arrived = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&arrived);
    let played = play(
        plan,
        Script {
            on_connect: Box::new(|_| OnConnect::AtOnce),
            on_request: Box::new(move |n, at| {
                seen.borrow_mut().push((at.0 - START) / MS);
                react(n)
            }),
        },
    );
    let arrived = arrived.borrow().clone();
    (played, arrived)
}

fn in_a_millisecond(_: u64) -> OnRequest {
    OnRequest::Reply {
        after_ns: MS,
        bytes: reply(5),
    }
}

#[test]
fn a_burst_is_one_call_then_the_others_together_then_the_think_time() {
    let (played, mut arrived) = served(&plan(3), in_a_millisecond);
    let of_one = |start: u64| [0, 1, 1, 42, 43].map(|offset| start + offset);
    let mut truth = [of_one(0), of_one(10), of_one(20)].concat();
    truth.sort_unstable();
    arrived.sort_unstable();
    assert_eq!(arrived, truth);
    let sessions = played.sessions.unwrap();
    assert_eq!((sessions.started, sessions.completed, sessions.failed), (3, 3, 0));
    assert_eq!(sessions.lengths, [0, 0, 0, 0, 0, 3], "five replies each");
    let completed: u64 = played.stats.series.slices().iter().map(|slice| slice.sessions).sum();
    assert_eq!(completed, 3);
    assert!(sessions.lifetime.summary().max.abs_diff(44 * MS) <= 44 * MS / 1000);
    assert_eq!((played.stats.intended, played.stats.completed), (15, 15));
    assert_eq!(played.stats.latency.summary().max.div_ceil(MS), 2);
    assert_eq!((played.connects, played.open), (3, 0), "a session has one connection");
}

#[test]
fn a_slow_reply_delays_only_its_own_user() {
    // The first call of the run takes 150 ms.
    let (played, arrived) = served(&plan(2), |n| match n {
        0 => OnRequest::Reply {
            after_ns: 150 * MS,
            bytes: reply(5),
        },
        n => in_a_millisecond(n),
    });
    let late: Vec<u64> = arrived.into_iter().filter(|&at| at > 60).collect();
    assert_eq!(late, [150, 150, 191, 192], "the second user has finished before");
    assert_eq!(played.sessions.unwrap().completed, 2);
}

#[test]
fn a_session_ends_when_a_call_fails() {
    // The first call of the second session is reset.
    let (played, arrived) = served(&plan(3), |n| match n {
        3 => OnRequest::Reset { after_ns: MS },
        n => in_a_millisecond(n),
    });
    let sessions = played.sessions.unwrap();
    assert_eq!((sessions.started, sessions.completed, sessions.failed), (3, 2, 1));
    assert_eq!(sessions.lengths, [1, 0, 0, 0, 0, 2], "the failed one got no reply");
    assert_eq!(sessions.fail_time.count(), 1);
    assert_eq!(arrived.len(), 11);
    assert_eq!((played.stats.intended, played.stats.completed), (11, 10));
}

#[test]
fn a_session_reconnects_if_the_server_closes_after_every_reply() {
    let mut plan = plan(2);
    if let Pattern::Sessions(sessions) = &mut plan.pattern {
        // One call at a time: of several calls made together, all but the first would fail.
        sessions.burst = NonZeroU64::MIN;
    }
    let (played, _) = served(&plan, |_| OnRequest::ReplyAndClose {
        after_ns: MS,
        bytes: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
    });
    assert_eq!((played.stats.completed, played.connects), (10, 10));
    assert_eq!(played.sessions.unwrap().completed, 2);
}

#[test]
fn sessions_that_the_end_of_the_run_cuts_off_are_neither_complete_nor_failed() {
    let (played, arrived) = served(&plan(1000), in_a_millisecond);
    let sessions = played.sessions.unwrap();
    let totals = sessions.totals();
    assert_eq!((totals.started, totals.failed), (100, 0));
    // The last call of a session is due after 43 ms, so sessions that started in the last 43 ms are cut off.
    assert_eq!(totals.cut_off, 4);
    assert_eq!(totals.completed, 96);
    assert!(arrived.iter().all(|&at| at < 1000));
    assert_eq!(played.stats.intended, arrived.len() as u64);
}
