//! `--httperf`: a parser that was written from httperf(1) reads the output, and the figures agree with the record.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_load::{FORMATS, LoadPlan, LoadReport, Pattern, Probe, Rate, Sessions, Target, run};
use support::{HANG, Peer, read_request};

/// The report in httperf's layout.
fn httperf(report: &LoadReport) -> String {
    let format = FORMATS.iter().find(|format| format.flag == "httperf").unwrap();
    let mut bytes = Vec::new();
    (format.write)(report, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The figures of httperf's output by name. The layout must be exactly that of the manual page.
fn parse(text: &str) -> BTreeMap<String, f64> {
    // Each string is a line of the output. Braces contain the name of a number.
    const LAYOUT: &[&str] = &[
        "Maximum connect burst length: {burst}",
        "",
        "Total: connections {connections} requests {requests} replies {replies} test-duration {duration} s",
        "",
        "Connection rate: {conn_rate} conn/s ({conn_ms} ms/conn, <={concurrent} concurrent connections)",
        "Connection time [ms]: min {life_min} avg {life_avg} max {life_max} median {life_median} stddev {life_stddev}",
        "Connection time [ms]: connect {connect}",
        "Connection length [replies/conn]: {conn_length}",
        "",
        "Request rate: {req_rate} req/s ({req_ms} ms/req)",
        "Request size [B]: {req_size}",
        "",
        "Reply rate [replies/s]: min {rate_min} avg {rate_avg} max {rate_max} stddev {rate_stddev} ({samples} samples)",
        "Reply time [ms]: response {response} transfer {transfer}",
        "Reply size [B]: header {header} content {content} footer {footer} (total {total})",
        "Reply status: 1xx={s1} 2xx={s2} 3xx={s3} 4xx={s4} 5xx={s5}",
        "",
        "CPU time [s]: user {user} system {system} (user {user_pc}% system {system_pc}% total {total_pc}%)",
        "Net I/O: {kbs} KB/s ({mbps}*10^6 bps)",
        "",
        "Errors: total {errors} client-timo {client} socket-timo {socket} connrefused {refused} connreset {reset}",
        "Errors: fd-unavail {fd} addrunavail {addr} ftab-full {ftab} other {other}",
    ];
    // With --wsess only. The histogram, which follows, has as many numbers as replies.
    const SESSIONS: &[&str] = &[
        "",
        "Session rate [sess/s]: min {sess_min} avg {sess_avg} max {sess_max} stddev {sess_dev} ({sess_done}/{sess_all})",
        "Session: avg {sess_conns} connections/session",
        "Session lifetime [s]: {sess_life}",
        "Session failtime [s]: {sess_fail}",
    ];
    let mut found = BTreeMap::new();
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(lengths) = lines.pop_if(|line| line.starts_with("Session length histogram: ")) {
        let (_, lengths) = lengths.split_once(": ").unwrap();
        for (replies, count) in lengths.split(' ').enumerate() {
            found.insert(format!("sess_of_{replies}"), count.parse().unwrap());
        }
        let block = lines.split_off(LAYOUT.len());
        assert_eq!(block.len(), SESSIONS.len(), "{text}");
        for (line, layout) in block.into_iter().zip(SESSIONS) {
            read_line(line, layout, &mut found);
        }
    }
    assert_eq!(lines.len(), LAYOUT.len(), "{text}");
    for (line, layout) in lines.iter().zip(LAYOUT) {
        read_line(line, layout, &mut found);
    }
    found
}

fn read_line(line: &str, layout: &str, found: &mut BTreeMap<String, f64>) {
    let mut rest = line;
    let mut parts = layout.split(['{', '}']);
    while let Some(literal) = parts.next() {
        rest = rest
            .strip_prefix(literal)
            .unwrap_or_else(|| panic!("{line:?} is not laid out as {layout:?}"));
        let Some(name) = parts.next() else { break };
        let length = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let number = rest[..length]
            .parse()
            .unwrap_or_else(|_| panic!("no number for {name} in {line:?}"));
        found.insert(name.to_owned(), number);
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "{line:?} continues after {layout:?}");
}

fn load(peer: &Peer, pattern: Pattern, timeout: Duration) -> LoadReport {
    let plan = LoadPlan {
        rate: Rate::PerSecond(100.0),
        pattern,
        duration: Duration::from_secs(2),
        timeout,
        probe: Probe::Skip,
        lag_bound: HANG,
        ..LoadPlan::new(Target::parse(&peer.url("/bytes/5")).unwrap())
    };
    run(&plan, |_| {}).unwrap()
}

/// Asserts that a figure printed with one decimal is `value`.
#[track_caller]
fn assert_close(found: &BTreeMap<String, f64>, name: &str, value: f64) {
    assert!(
        (found[name] - value).abs() <= 0.0501,
        "{name} is {}, not {value}",
        found[name]
    );
}

#[test]
fn the_figures_agree_with_the_record() {
    let peer = Peer::replying(*b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let request = format!(
        "GET /bytes/5 HTTP/1.1\r\nHost: {}\r\nUser-Agent: c10k-load\r\n\r\n",
        peer.address()
    );
    for (pattern, connections) in [
        (
            Pattern::OnDemand {
                per_connection: NonZeroU64::MIN,
            },
            200.0,
        ),
        (
            Pattern::RoundRobin {
                connections: NonZeroU64::new(5).unwrap(),
                per_connection: None,
            },
            5.0,
        ),
    ] {
        let report = load(&peer, pattern, HANG);
        let found = parse(&httperf(&report));
        let run = &report.summary;
        assert_eq!(found["connections"], connections);
        assert_eq!(
            (found["requests"], found["replies"]),
            (run.sent as f64, run.completed as f64)
        );
        assert_eq!((found["duration"], found["samples"]), (run.duration_s, 2.0));
        assert_close(&found, "req_rate", run.sent as f64 / run.duration_s);
        assert_close(&found, "rate_avg", run.rate_achieved);
        assert_close(&found, "conn_length", run.completed as f64 / connections);
        assert_close(&found, "content", 5.0);
        assert_close(&found, "header", 38.0);
        assert_close(&found, "total", 43.0);
        assert_close(&found, "req_size", request.len() as f64);
        assert_eq!((found["s2"], found["s4"], found["errors"]), (200.0, 0.0, 0.0));
        // Each part is rounded to 0.1 ms.
        let parts = found["connect"] * found["connections"].min(200.0) / 200.0 + found["response"] + found["transfer"];
        assert!(
            (parts - run.service_ns.mean / 1e6).abs() < 0.2,
            "{parts} for {}",
            run.service_ns.mean / 1e6
        );
    }
}

#[test]
fn errors_have_their_columns() {
    // Of every four connections, one is silent, one gets an error status and one gets garbage.
    let peer = Peer::start(|mut stream| {
        static CONNECTIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let reply: &[u8] = match CONNECTIONS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 4 {
            0 => return support::wait_for_close(&mut stream),
            1 => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            2 => b"garbage",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        };
        while read_request(&mut stream) && stream.write_all(reply).is_ok() {}
    });
    let report = load(
        &peer,
        Pattern::OnDemand {
            per_connection: NonZeroU64::MIN,
        },
        // Every silent request takes this long.
        Duration::from_secs(2),
    );
    let found = parse(&httperf(&report));
    let run = &report.summary;
    assert_eq!(found["client"], run.timed_out as f64);
    assert_eq!(found["other"], run.errors["malformed"] as f64);
    assert_eq!(found["s4"], run.errors["bad-status"] as f64);
    assert_eq!(found["errors"], found["client"] + found["other"]);
    assert!(found["client"] > 0.0 && found["other"] > 0.0 && found["s4"] > 0.0);
    assert_eq!(found["replies"] + found["errors"], run.sent as f64);
}

#[test]
fn sessions_have_a_block_of_their_own() {
    // The second reply of every fourth connection is missing.
    let peer = Peer::start(|mut stream| {
        static CONNECTIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let fails = CONNECTIONS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 4 == 3;
        let reply: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for number in 0.. {
            if !read_request(&mut stream) || (fails && number == 1) || stream.write_all(reply).is_err() {
                return;
            }
        }
    });
    let number = |number| NonZeroU64::new(number).unwrap();
    let sessions = Sessions {
        total: number(20),
        calls: number(3),
        burst: NonZeroU64::MIN,
        think: Duration::from_millis(50),
    };
    let report = load(&peer, Pattern::Sessions(sessions), HANG);
    let found = parse(&httperf(&report));
    assert_eq!((found["sess_done"], found["sess_all"]), (15.0, 20.0));
    let lengths = [0, 1, 2, 3].map(|replies| found[&format!("sess_of_{replies}")]);
    assert_eq!(lengths, [0.0, 5.0, 0.0, 15.0]);
    assert_eq!(found["sess_conns"], 1.0);
    assert!(found["sess_life"] >= 0.1 && found["sess_fail"] >= 0.0, "{found:?}");
    assert!(
        found["sess_avg"] > 0.0 && found["sess_max"] >= found["sess_avg"],
        "{found:?}"
    );
}

/// The output of the real httperf for 20 connections with two calls each, or for as many sessions. If it is not installed, prints
/// that and returns `None`.
fn real_httperf(peer: &Peer, what: &[&str]) -> Option<String> {
    let port = peer.address().port().to_string();
    let mut command = std::process::Command::new("httperf");
    command.args(["--server=127.0.0.1", "--port", &port, "--uri=/bytes/5", "--hog"]);
    command.args(what).args(["--rate=100", "--timeout=30"]);
    match command.output() {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(error) => {
            let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
            let is_required = required.split(',').any(|word| word == "all" || word == "httperf");
            assert!(
                !is_required,
                "httperf is required (C10K_REQUIRE) and unavailable: {error}"
            );
            eprintln!("not run: httperf: {error}: install httperf");
            None
        }
    }
}

#[test]
fn the_layout_is_that_of_the_real_httperf() {
    let peer = Peer::replying(*b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let Some(text) = real_httperf(&peer, &["--num-conns=20", "--num-calls=2"]) else {
        return;
    };
    let sessions = real_httperf(&peer, &["--wsess=20,2,0"]).expect("it is installed");
    let real_sessions = parse(sessions.split_once('\n').unwrap().1);
    // The first line repeats the command.
    let (command, summary) = text.split_once('\n').unwrap();
    assert!(command.starts_with("httperf "), "{command}");
    let real = parse(summary);
    assert_eq!(
        (real["connections"], real["requests"], real["replies"]),
        (20.0, 40.0, 40.0)
    );
    // For the same load, all figures that do not depend on time are equal.
    let plan = LoadPlan {
        rate: Rate::PerSecond(100.0),
        pattern: Pattern::Sessions(Sessions {
            total: NonZeroU64::new(20).unwrap(),
            calls: NonZeroU64::new(2).unwrap(),
            burst: NonZeroU64::MIN,
            think: Duration::ZERO,
        }),
        duration: Duration::from_secs(1),
        timeout: HANG,
        probe: Probe::Skip,
        lag_bound: HANG,
        ..LoadPlan::new(Target::parse(&peer.url("/bytes/5")).unwrap())
    };
    let own = parse(&httperf(&run(&plan, |_| {}).unwrap()));
    for name in [
        "connections",
        "requests",
        "replies",
        "conn_length",
        "header",
        "content",
        "footer",
        "total",
        "s2",
        "errors",
    ] {
        assert_eq!(own[name], real[name], "{name}");
    }
    for name in [
        "sess_done",
        "sess_all",
        "sess_conns",
        "sess_of_0",
        "sess_of_1",
        "sess_of_2",
    ] {
        assert_eq!(own[name], real_sessions[name], "{name}");
    }
}
