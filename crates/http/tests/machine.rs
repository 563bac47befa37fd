//! The request machine, driven with bytes alone.

use std::time::Duration;

use c10k_http::{Date, Ending, Files, Host, Machine, Output, Phase, Resources, Stage, Step, after_sleep, pattern};

fn host() -> Host {
    Host {
        resources: Resources::Lab,
        ..Host::new(Date::from_unix(784_111_777))
    }
}

/// Drives a machine over `pieces` as a driver would, and returns all that it sent and whether it closed.
fn drive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, host: &Host) -> (String, bool) {
    let mut machine = Machine::new();
    let mut output = Output::default();
    let mut sent = Vec::new();
    for piece in pieces {
        let mut step = machine.feed(piece, host, &mut output);
        loop {
            match step {
                Step::Read => break,
                Step::Write => {
                    sent.append(&mut output.bytes);
                    while !machine.tail().is_empty() {
                        let tail = machine.tail();
                        sent.extend_from_slice(tail);
                        machine.tail_sent(tail.len());
                    }
                }
                Step::Work(_) => {}
                Step::Stats => machine.answer_stats(b"{}", host, &mut output),
                Step::Open => unreachable!("no files are served"),
                Step::Block => unreachable!("no work is asked for"),
                Step::Close(_) => {
                    sent.append(&mut output.bytes);
                    return (String::from_utf8_lossy(&sent).into_owned(), true);
                }
            }
            step = machine.feed(&[], host, &mut output);
        }
        sent.append(&mut output.bytes);
    }
    (String::from_utf8_lossy(&sent).into_owned(), false)
}

/// The replies to `input`, asserted to be the same for every split of it in two and for single bytes.
fn replies(input: &[u8]) -> (String, bool) {
    let host = host();
    let whole = drive([input], &host);
    for cut in 1..input.len() {
        let (front, back) = input.split_at(cut);
        assert_eq!(
            drive([front, back], &host),
            whole,
            "cut at {cut} of {:?}",
            String::from_utf8_lossy(input)
        );
    }
    assert_eq!(
        drive(input.chunks(1), &host),
        whole,
        "byte by byte: {:?}",
        String::from_utf8_lossy(input)
    );
    whole
}

fn status_of(input: &[u8]) -> String {
    let (text, closed) = replies(input);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .unwrap_or("none")
        .to_owned();
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert_eq!(closed, text.contains("\r\nConnection: close\r\n"), "{text}");
    status
}

#[test]
fn a_get_is_answered_to_the_byte() {
    let (text, closed) = replies(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: 5\r\n\r\n\0\u{1}\u{2}\u{3}\u{4}"
    );
    assert!(!closed);
}

#[test]
fn head_has_the_same_head_and_no_body() {
    let (get, _) = replies(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, _) = replies(b"HEAD /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head, get[..get.len() - 5]);
}

#[test]
fn pipelined_requests_are_answered_in_order_in_one_output() {
    let host = host();
    let mut machine = Machine::new();
    let mut output = Output::default();
    let input = b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: a\r\n\r\nGET /byt";
    assert_eq!(machine.feed(input, &host, &mut output), Step::Read);
    assert_eq!((output.requests, output.replies, output.refused), (2, 2, 0));
    let text = String::from_utf8_lossy(&output.bytes).into_owned();
    assert!(
        text.find("Content-Length: 1\r\n") < text.find("Content-Length: 2\r\n"),
        "{text}"
    );
    assert_eq!(machine.phase(), Phase::Head);
}

#[test]
fn persistence_follows_version_and_wish() {
    for (request, field, closes) in [
        ("GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n", None, false),
        (
            "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Some("close"),
            true,
        ),
        (
            "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            Some("close"),
            true,
        ),
        ("GET /bytes/1 HTTP/1.0\r\n\r\n", Some("close"), true),
        (
            "GET /bytes/1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            Some("keep-alive"),
            false,
        ),
        (
            "GET /bytes/1 HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
            Some("close"),
            true,
        ),
        ("GET /bytes/1 HTTP/1.9\r\nHost: a\r\n\r\n", None, false),
    ] {
        let (text, closed) = replies(request.as_bytes());
        let said = text.split("\r\n").find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!((said, closed), (field, closes), "{request}");
    }
}

#[test]
fn a_draining_host_closes_after_the_reply() {
    let host = Host {
        stage: Stage::Draining,
        ..host()
    };
    let (text, closed) = drive([b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n".as_slice()], &host);
    assert!(closed && text.contains("Connection: close\r\n"));
}

#[test]
// long: a table of framing vectors
fn malformed_requests_are_refused_with_their_status() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8192));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (input, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400"),
        ("GET /\r\n\r\n", "400"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "505"),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "505"),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", "413"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "501",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "501",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\n\r\n", "417"),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", "417"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n",
            "417",
        ),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
        ("CONNECT a:443 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "501"),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (&long_target, "414"),
        (&many, "431"),
    ] {
        assert_eq!(status_of(input.as_bytes()), status, "{input:?}");
        a_head_request_is_refused_without_a_body(input);
    }
}

/// Replaces the method of a request that is refused by HEAD: the reply is the same without its body.
fn a_head_request_is_refused_without_a_body(input: &str) {
    let Some(rest) = input.strip_prefix("GET ") else {
        return;
    };
    let (refused, _) = replies(input.as_bytes());
    let (head, closed) = replies(format!("HEAD {rest}").as_bytes());
    let (fields, body) = refused.split_at(refused.find("\r\n\r\n").expect("a reply") + 4);
    assert!(!body.is_empty() && closed, "{input:?}");
    assert_eq!(head, fields, "{input:?}");
}

#[test]
fn a_head_beyond_the_cap_is_refused_however_it_arrives() {
    let host = host();
    let field = format!("A: {}\r\n", "b".repeat(1000));
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(33));
    let whole = drive([input.as_bytes()], &host);
    assert!(whole.0.starts_with("HTTP/1.1 431 "));
    for size in [1, 7, 1000, 4096] {
        assert_eq!(drive(input.as_bytes().chunks(size), &host), whole, "{size}");
    }
}

#[test]
fn well_formed_requests_for_what_is_not_here_keep_the_connection() {
    for (input, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        (
            "POST /bytes/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "405",
        ),
        ("GET /bytes/1073741825 HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("OPTIONS /stats HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ] {
        assert_eq!(status_of(input.as_bytes()), status, "{input:?}");
    }
}

#[test]
fn bodies_are_taken_and_the_next_request_follows() {
    for body in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: CHUNKED\r\n\r\n0003 ;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n0;x\r\nT: a b\r\nU:\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1 ; a ; b\t= \"c\\\" ;\\\\\u{e9}\" ;d=e;f\r\nx\r\n0\r\n\r\n",
    ] {
        let input = format!("GET /bytes/1 HTTP/1.1\r\nHost: a\r\n{body}GET /bytes/2 HTTP/1.1\r\nHost: a\r\n\r\n");
        let (text, closed) = replies(input.as_bytes());
        assert!(
            !closed && text.contains("Content-Length: 1\r\n") && text.contains("Content-Length: 2\r\n"),
            "{text}"
        );
    }
}

#[test]
fn echo_gives_the_body_back() {
    for (method, body, echoed) in [
        ("POST", "Content-Length: 5\r\n\r\nhello", "hello"),
        (
            "PUT",
            "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
            "abc0123456789",
        ),
        ("GET", "\r\n", ""),
        ("PATCH", "Content-Length: 0\r\n\r\n", ""),
    ] {
        let (text, closed) = replies(format!("{method} /echo HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
        assert!(!closed && text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.contains(&format!("Content-Length: {}\r\n", echoed.len())),
            "{text}"
        );
        assert!(text.ends_with(&format!("\r\n\r\n{echoed}")), "{text}");
    }
    let (text, _) = replies(b"TRACE /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nAllow: GET, HEAD, POST, PUT, "),
        "{text}"
    );
}

#[test]
fn headers_gives_the_head_back() {
    let head = "GET /headers?x HTTP/1.1\r\nHost: a\r\nX-Odd:   b \r\n\r\n";
    let (text, _) = replies(head.as_bytes());
    assert!(text.ends_with(&format!("\r\n\r\n{head}")), "{text}");
}

#[test]
fn a_refused_method_keeps_nothing() {
    let host = host();
    let mut machine = Machine::new();
    let mut output = Output::default();
    let step = machine.feed(b"POST /headers HTTP/1.1\r\nHost: a\r\n\r\n", &host, &mut output);
    assert_eq!((step, machine.phase()), (Step::Read, Phase::Idle));
    assert!(output.bytes.starts_with(b"HTTP/1.1 405 "));
}

#[test]
fn malformed_chunks_are_refused() {
    for (body, status) in [
        ("\r\n", "400"),
        ("g\r\n", "400"),
        ("-1\r\n", "400"),
        ("0x1\r\n", "400"),
        ("1\na\r\n0\r\n\r\n", "400"),
        ("1 \r\na", "400"),
        ("1\r\nab", "400"),
        ("1\r\na\n0", "400"),
        ("1;a\nb\r\n", "400"),
        ("1;\r\n", "400"),
        ("1; \r\n", "400"),
        ("1;;a\r\n", "400"),
        ("1;=a\r\n", "400"),
        ("1;a=\r\n", "400"),
        ("1;a =;b\r\n", "400"),
        ("1;a \r\n", "400"),
        ("1;a b\r\n", "400"),
        ("1;a=b c\r\n", "400"),
        ("1;a=b=c\r\n", "400"),
        ("1;a=\"b\r\n", "400"),
        ("1;a=\"b\\\r\n", "400"),
        ("1;a=\"b\"c\r\n", "400"),
        ("1;a=b\"c\"\r\n", "400"),
        ("1;(\r\n", "400"),
        ("00000000000000001\r\na", "400"),
        ("0\r\nbad trailer\r\n\r\n", "400"),
        ("0\r\nA: b\r\n c\r\n\r\n", "400"),
        ("0\r\n\n", "400"),
        ("ffffffffffffffff\r\n", "413"),
        ("100001\r\n", "413"),
    ] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(status_of(input.as_bytes()), status, "{body:?}");
        a_head_request_is_refused_without_a_body(&input);
    }
    let extensions = format!("1;{}", "a".repeat(4097));
    let trailers = format!("0\r\nA: {}", "b".repeat(8192));
    for (body, status) in [(extensions, "400"), (trailers, "431")] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(
            drive(input.as_bytes().chunks(5), &host())
                .0
                .starts_with(&format!("HTTP/1.1 {status} "))
        );
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let host = host();
    let head = b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n".as_slice();
    let (text, _) = drive([head, b"x"], &host);
    assert!(
        text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{text}"
    );
    let (text, _) = drive([[head, b"x"].concat().as_slice()], &host);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[test]
fn a_long_body_is_a_tail_and_takes_no_memory() {
    let host = host();
    let mut machine = Machine::new();
    let mut output = Output::default();
    let step = machine.feed(b"GET /bytes/1g HTTP/1.1\r\nHost: a\r\n\r\n", &host, &mut output);
    assert_eq!(step, Step::Write);
    assert!(output.bytes.len() < 300 && output.bytes.capacity() < 4096);
    assert_eq!(machine.phase(), Phase::Reply);
    let mut sent = 0_u64;
    while !machine.tail().is_empty() {
        let tail = machine.tail();
        assert_eq!(tail[0], pattern(sent, 1)[0]);
        let part = tail.len().min(50_000);
        machine.tail_sent(part);
        sent += part as u64;
    }
    assert_eq!(sent, 1 << 30);
    assert_eq!(machine.feed(&[], &host, &mut output), Step::Read);
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn work_is_demanded_for_each_request() {
    let host = Host {
        work: Duration::from_micros(5),
        ..host()
    };
    let mut machine = Machine::new();
    let mut output = Output::default();
    let input = b"GET /spin/1ms HTTP/1.1\r\nHost: a\r\n\r\nGET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(
        machine.feed(input, &host, &mut output),
        Step::Work(Duration::from_micros(1005))
    );
    assert_eq!(
        machine.feed(&[], &host, &mut output),
        Step::Work(Duration::from_micros(5))
    );
    assert_eq!(machine.feed(&[], &host, &mut output), Step::Read);
    assert_eq!(output.replies, 2);
}

#[test]
fn a_deadline_is_answered_only_within_a_request() {
    let host = host();
    let mut output = Output::default();
    let mut machine = Machine::new();
    assert_eq!(machine.give_up(&host, &mut output), Step::Close(Ending::Agreed));
    assert!(output.bytes.is_empty());
    let mut machine = Machine::new();
    assert_eq!(machine.feed(b"GET /", &host, &mut output), Step::Read);
    assert_eq!(machine.give_up(&host, &mut output), Step::Close(Ending::Lingering));
    assert!(output.bytes.starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn a_deadline_of_a_head_request_is_answered_without_a_body() {
    for (input, has_body) in [
        ("HEAD", false),
        ("HEAD /", false),
        ("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", false),
        ("HEADS /", true),
        ("HEA", true),
    ] {
        let (mut machine, mut output) = (Machine::new(), Output::default());
        assert_eq!(machine.feed(input.as_bytes(), &host(), &mut output), Step::Read);
        assert_eq!(machine.give_up(&host(), &mut output), Step::Close(Ending::Lingering));
        assert!(output.bytes.starts_with(b"HTTP/1.1 408 "));
        assert_eq!(!output.bytes.ends_with(b"\r\n\r\n"), has_body, "{input}");
    }
}

#[test]
fn expectations_are_a_list() {
    let head = "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n";
    for lines in [
        "Expect: 100-continue, , 100-Continue\r\n",
        "Expect: 100-continue\r\nExpect:\r\n",
    ] {
        let (text, _) = drive([format!("{head}{lines}\r\n").as_bytes(), b"x"], &host());
        assert!(
            text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
            "{text}"
        );
    }
    let (text, _) = drive([format!("{head}Expect: ,\r\n\r\n").as_bytes(), b"x"], &host());
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[test]
fn the_resources_of_the_lab_are_there_if_the_server_offers_them() {
    let lab = ["/spin/1us", "/sleep/1us", "/echo", "/headers", "/stats"];
    for (resources, files, path, there) in lab
        .iter()
        .flat_map(|path| {
            [
                (Resources::Plain, Files::None, *path, "404"),
                (Resources::Plain, Files::Served, *path, "a file"),
                (Resources::Lab, Files::None, *path, "200"),
                (Resources::Lab, Files::Served, *path, "200"),
            ]
        })
        .chain([
            (Resources::Plain, Files::None, "/bytes/1", "200"),
            (Resources::Plain, Files::Served, "/bytes/1", "a file"),
            (Resources::Lab, Files::None, "/bytes/1", "200"),
            (Resources::Lab, Files::Served, "/bytes/1", "200"),
            (Resources::Plain, Files::None, "/bytes/x", "404"),
            (Resources::Lab, Files::Served, "/bytes/x", "a file"),
        ])
    {
        let host = Host {
            resources,
            files,
            ..host()
        };
        let (mut machine, mut output) = (Machine::new(), Output::default());
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut step = machine.feed(request.as_bytes(), &host, &mut output);
        if step == Step::Stats {
            machine.answer_stats(b"{}", &host, &mut output);
            step = machine.feed(&[], &host, &mut output);
        }
        if step == Step::Block {
            step = machine.answer_work(Ok(after_sleep()), &host, &mut output);
        }
        let found = match (step, output.bytes.get(9..12)) {
            (Step::Open, _) => "a file",
            (_, Some(b"200")) => "200",
            (_, Some(b"404")) => "404",
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(found, there, "{path} {resources:?} {files:?}");
    }
}

#[test]
fn a_body_is_kept_for_a_route_that_needs_it_and_can_be_shed() {
    for (path, kept) in [("/echo", 3), ("/bytes/1", 0)] {
        let (mut machine, mut output) = (Machine::new(), Output::default());
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
        assert_eq!(machine.feed(request.as_bytes(), &host(), &mut output), Step::Read);
        assert_eq!(machine.kept_of_body(), kept, "{path}");
        assert_eq!(machine.shed(&host(), &mut output), Step::Close(Ending::Lingering));
        assert!(output.bytes.starts_with(b"HTTP/1.1 503 "));
        assert_eq!((machine.kept_of_body(), output.refused), (0, 1));
    }
}
