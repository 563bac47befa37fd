//! Where each cap on a request begins to refuse, and how a connection ends: what is exactly as long as it may be is served,
//! one byte more is not.

use std::time::Duration;

use c10k_http::{Date, Ending, Files, Host, Limits, Machine, Output, Phase, Resources, Stage, Step, Unsent};

const SMALL: Limits = Limits {
    request_line: 40,
    head: 120,
    fields: 3,
    body: 40,
    chunk_extensions: 4,
    trailers: 16,
    ranges: 2,
};

fn host() -> Host {
    Host {
        limits: SMALL,
        resources: Resources::Lab,
        ..Host::new(Date::from_unix(0))
    }
}

/// The status of the reply to `input`, 0 where there is none yet.
fn status(input: &str) -> u16 {
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let step = machine.feed(input.as_bytes(), &host(), &mut output);
    let status = output.bytes.get(9..12).map_or(0, |digits| {
        String::from_utf8_lossy(digits)
            .parse()
            .expect("a status of three digits")
    });
    let refused = status >= 400;
    assert_eq!(matches!(step, Step::Close(_)), refused, "{input:?}: {step:?}");
    assert_eq!(output.refused, u64::from(refused), "{input:?}");
    assert_eq!(output.replies, u64::from(status > 0), "{input:?}");
    status
}

/// Asserts that a request with a filling of that length is served, and one with a byte more is refused.
fn served_up_to(length: usize, refusal: u16, request: impl Fn(&str) -> String) {
    let filled = |length: usize| request(&"a".repeat(length));
    assert_eq!(status(&filled(length)), 200, "{:?}", filled(length));
    assert_eq!(status(&filled(length + 1)), refusal, "{:?}", filled(length + 1));
}

#[test]
fn a_request_line_may_have_its_limit() {
    served_up_to(18, 414, |filling| {
        let line = format!("GET /bytes/1?{filling} HTTP/1.1");
        assert!(filling.len() > 18 || line.len() == SMALL.request_line);
        format!("{line}\r\nHost: a\r\n\r\n")
    });
}

#[test]
fn a_line_without_an_end_is_refused_when_it_cannot_be_within_the_limit_any_more() {
    let line = "G".repeat(SMALL.request_line);
    assert_eq!(status(&format!("{line}\r")), 0);
    assert_eq!(status(&format!("{line}\rx")), 414);
}

#[test]
fn a_head_may_have_its_limit() {
    served_up_to(81, 431, |filling| {
        let head = format!("GET /bytes/1 HTTP/1.1\r\nHost: a\r\nX: {filling}\r\n\r\n");
        assert!(filling.len() > 81 || head.len() == SMALL.head);
        head
    });
}

#[test]
fn a_head_without_an_end_is_refused_when_it_has_the_limit() {
    let front = "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nX: ";
    let partial = |length: usize| format!("{front}{}", "a".repeat(length - front.len()));
    assert_eq!(status(&partial(SMALL.head - 1)), 0);
    assert_eq!(status(&partial(SMALL.head)), 431);
}

#[test]
fn a_head_may_have_as_many_fields_as_the_limit() {
    let fields = |count: usize| {
        format!(
            "GET /bytes/1 HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count - 1)
        )
    };
    assert_eq!(status(&fields(SMALL.fields)), 200);
    assert_eq!(status(&fields(SMALL.fields + 1)), 431);
}

#[test]
fn a_body_may_have_its_limit_in_one_length_or_in_chunks() {
    served_up_to(40, 413, |filling| {
        let length = filling.len();
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{filling}")
    });
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    served_up_to(20, 413, |filling| {
        let (length, first) = (filling.len(), "b".repeat(20));
        format!("{chunked}14\r\n{first}\r\n{length:x}\r\n{filling}\r\n0\r\n\r\n")
    });
}

#[test]
fn a_length_that_no_addition_may_overflow_is_malformed() {
    let length = |length: u64| {
        status(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ))
    };
    assert_eq!((length(u64::MAX >> 1), length((u64::MAX >> 1) + 1)), (413, 400));
}

#[test]
fn a_chunk_size_may_have_sixteen_digits() {
    let size = |digits: usize| {
        let size = format!("{}1", "0".repeat(digits - 1));
        status(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\na\r\n0\r\n\r\n"
        ))
    };
    assert_eq!((size(16), size(17)), (200, 400));
}

#[test]
fn chunk_extensions_and_trailers_may_have_their_limits_in_all() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    served_up_to(2, 400, |filling| {
        format!("{head}1;bb\r\na\r\n1;{filling}\r\na\r\n0\r\n\r\n")
    });
    // A name, a colon, a value and the end of the line, twice.
    served_up_to(10, 431, |filling| format!("{head}0\r\nA:\r\nB:{filling}\r\n\r\n"));
}

#[test]
fn a_batch_is_answered_until_the_output_is_full_and_then_goes_on() {
    const REQUESTS: u64 = 20;
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let batch = "GET /bytes/8192 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(REQUESTS as usize);
    let mut step = machine.feed(batch.as_bytes(), &host(), &mut output);
    let mut turns = 0;
    while step == Step::Write {
        assert!(
            (64 << 10..80 << 10).contains(&output.bytes.len()),
            "{}",
            output.bytes.len()
        );
        output.bytes.clear();
        turns += 1;
        step = machine.feed(&[], &host(), &mut output);
    }
    assert_eq!((step, turns, output.replies), (Step::Read, 2, REQUESTS));
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn a_connection_ends_plainly_only_where_its_client_has_asked_for_it_and_sent_nothing_beyond() {
    let ending = |input: &str, stage: Stage| {
        let host = Host { stage, ..host() };
        let (mut machine, mut output) = (Machine::new(), Output::default());
        match machine.feed(input.as_bytes(), &host, &mut output) {
            Step::Close(ending) => ending,
            step => panic!("{step:?} after {input:?}"),
        }
    };
    let (keep, close) = (
        "GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bytes/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(ending(close, Stage::Serving), Ending::Agreed);
    assert_eq!(ending(&format!("{close}x"), Stage::Serving), Ending::Lingering);
    assert_eq!(ending(keep, Stage::Draining), Ending::Lingering);
    assert_eq!(ending(close, Stage::Draining), Ending::Agreed);
    assert_eq!(ending("x\r\n\r\n", Stage::Serving), Ending::Lingering);
}

#[test]
fn an_old_client_is_sent_no_interim_reply() {
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let head = "POST /echo HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(machine.feed(head.as_bytes(), &host(), &mut output), Step::Read);
    assert_eq!(String::from_utf8_lossy(&output.bytes), "");
}

#[test]
fn a_deadline_within_a_body_is_answered() {
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab";
    assert_eq!(machine.feed(input.as_bytes(), &host(), &mut output), Step::Read);
    assert_eq!(machine.phase(), Phase::Body);
    assert_eq!(machine.give_up(&host(), &mut output), Step::Close(Ending::Lingering));
    assert!(output.bytes.starts_with(b"HTTP/1.1 408 "));
    assert_eq!((output.refused, output.replies), (1, 1));
}

#[test]
fn work_is_demanded_for_a_file_too() {
    let host = Host {
        work: Duration::from_micros(5),
        files: Files::Served,
        ..host()
    };
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(machine.feed(input.as_bytes(), &host, &mut output), Step::Open);
    let step = machine.answer_file(Err(Unsent::Missing), &host, &mut output);
    assert_eq!(step, Step::Work(Duration::from_micros(5)));
    assert!(output.bytes.starts_with(b"HTTP/1.1 404 "));
    assert_eq!(machine.feed(&[], &host, &mut output), Step::Read);
}

#[test]
fn one_empty_line_is_allowed_in_front_of_each_request() {
    let (mut machine, mut output) = (Machine::new(), Output::default());
    let input = "\r\nGET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    assert_eq!(machine.feed(input.as_bytes(), &host(), &mut output), Step::Read);
    assert_eq!((output.replies, output.refused), (3, 0));
}
