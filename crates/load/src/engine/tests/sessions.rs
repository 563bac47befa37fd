//! Sessions: which call is due when, and what becomes of a session whose call fails.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use super::virtual_world::{Played, Reaction, Script, Welcome, play, reply};
use crate::plan::Sessions;
use crate::plan::Target;
use crate::plan::{LoadPlan, Pattern, Rate};

const MS: u64 = 1_000_000;
/// Where the virtual clock starts.
const START: u64 = 1_000 * MS;

/// At most `total` sessions, one every 10 ms for a second, of five calls in bursts of three with 40 ms of thought.
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

/// Plays against a server that reacts to the n-th request; also when each request came, milliseconds from the start.
fn served(plan: &LoadPlan, react: impl Fn(u64) -> Reaction + 'static) -> (Played, Vec<u64>) {
    let came = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&came);
    let played = play(
        plan,
        Script {
            on_connect: Box::new(|_| Welcome::AtOnce),
            on_request: Box::new(move |n, at| {
                seen.borrow_mut().push((at.0 - START) / MS);
                react(n)
            }),
        },
    );
    let came = came.borrow().clone();
    (played, came)
}

fn in_a_millisecond(_: u64) -> Reaction {
    Reaction::Reply {
        after_ns: MS,
        bytes: reply(5),
    }
}

#[test]
fn a_burst_is_one_call_and_then_the_others_together_and_the_next_comes_a_thought_later() {
    let (played, mut came) = served(&plan(3), in_a_millisecond);
    let of_one = |start: u64| [0, 1, 1, 42, 43].map(|offset| start + offset);
    let mut truth = [of_one(0), of_one(10), of_one(20)].concat();
    truth.sort_unstable();
    came.sort_unstable();
    assert_eq!(came, truth);
    let sessions = played.sessions.unwrap();
    assert_eq!((sessions.started, sessions.completed, sessions.failed), (3, 3, 0));
    assert!(sessions.lifetime.summary().max.abs_diff(44 * MS) <= 44 * MS / 1000);
    assert_eq!((played.stats.intended, played.stats.completed), (15, 15));
    assert_eq!(played.stats.latency.summary().max.div_ceil(MS), 2);
    assert_eq!((played.connects, played.open), (3, 0), "a session is one connection");
}

#[test]
fn a_slow_reply_delays_what_its_user_does_next_and_nobody_else() {
    // The first call of all takes 150 ms.
    let (played, came) = served(&plan(2), |n| match n {
        0 => Reaction::Reply {
            after_ns: 150 * MS,
            bytes: reply(5),
        },
        n => in_a_millisecond(n),
    });
    let late: Vec<u64> = came.into_iter().filter(|&at| at > 60).collect();
    assert_eq!(late, [150, 150, 191, 192], "the second user is gone by then");
    assert_eq!(played.sessions.unwrap().completed, 2);
}

#[test]
fn a_session_whose_call_fails_ends_there() {
    // The second session's first call is reset.
    let (played, came) = served(&plan(3), |n| match n {
        3 => Reaction::Reset { after_ns: MS },
        n => in_a_millisecond(n),
    });
    let sessions = played.sessions.unwrap();
    assert_eq!((sessions.started, sessions.completed, sessions.failed), (3, 2, 1));
    assert_eq!(came.len(), 11);
    assert_eq!((played.stats.intended, played.stats.completed), (11, 10));
}

#[test]
fn a_server_that_closes_after_every_reply_gets_a_new_connection_for_what_comes_next() {
    let mut plan = plan(2);
    if let Pattern::Sessions(sessions) = &mut plan.pattern {
        // Calls one at a time: those that go together would be cut off behind the first.
        sessions.burst = NonZeroU64::MIN;
    }
    let (played, _) = served(&plan, |_| Reaction::ReplyAndClose {
        after_ns: MS,
        bytes: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
    });
    assert_eq!((played.stats.completed, played.connects), (10, 10));
    assert_eq!(played.sessions.unwrap().completed, 2);
}

#[test]
fn sessions_that_the_end_of_the_run_cuts_off_are_neither_complete_nor_failed() {
    let (played, came) = served(&plan(1000), in_a_millisecond);
    let sessions = played.sessions.unwrap();
    let totals = sessions.totals();
    assert_eq!((totals.started, totals.failed), (100, 0));
    // Those begun in the last 43 ms, after which the last call is due.
    assert_eq!(totals.cut_off, 4);
    assert_eq!(totals.completed, 96);
    assert!(came.iter().all(|&at| at < 1000));
    assert_eq!(played.stats.intended, came.len() as u64);
}
