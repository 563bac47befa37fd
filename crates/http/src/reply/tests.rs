use super::*;

/// Feeds `stream` in pieces of `piece` bytes, then says that the peer closed; returns all replies, the bodies, the end.
fn parse(stream: &[u8], piece: usize, limits: ReplyLimits) -> (Vec<Reply>, Vec<u8>, Result<(), ReplyError>) {
    let mut parser = ReplyParser::new(limits);
    let (mut replies, mut bodies) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            match parser.feed(rest, |part| bodies.extend_from_slice(part)) {
                Ok(Progress::Partial) => break,
                Ok(Progress::Complete { reply, consumed }) => {
                    replies.push(reply);
                    rest = &rest[consumed..];
                }
                Err(error) => return (replies, bodies, Err(error)),
            }
        }
    }
    if parser.in_reply() {
        match parser.end() {
            Ok(reply) => replies.push(reply),
            Err(error) => return (replies, bodies, Err(error)),
        }
    }
    (replies, bodies, Ok(()))
}

/// What every way of cutting the stream into pieces leads to.
fn parse_all_cuts(stream: &[u8]) -> (Vec<Reply>, Vec<u8>, Result<(), ReplyError>) {
    let whole = parse(stream, stream.len(), ReplyLimits::default());
    for piece in 1..stream.len() {
        assert_eq!(
            parse(stream, piece, ReplyLimits::default()),
            whole,
            "cut into pieces of {piece}"
        );
    }
    whole
}

fn reply(body_bytes: u64, persistence: Persistence) -> Reply {
    Reply {
        status: 200,
        body_bytes,
        persistence,
    }
}

#[test]
fn a_sized_reply_is_complete_with_its_last_byte() {
    let (replies, body, end) = parse_all_cuts(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(
        (replies, body, end),
        (vec![reply(5, Persistence::KeepAlive)], b"hello".to_vec(), Ok(()))
    );
}

#[test]
fn pipelined_replies_come_out_one_by_one() {
    let stream = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n\
        HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let (replies, body, end) = parse_all_cuts(stream);
    assert_eq!(
        replies.iter().map(|reply| reply.status).collect::<Vec<_>>(),
        [200, 200, 404]
    );
    assert_eq!(replies[2].persistence, Persistence::Close);
    assert_eq!((body, end), (b"ano".to_vec(), Ok(())));
}

#[test]
fn chunks_with_extensions_and_trailers_are_decoded() {
    let stream =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;name=value\r\nhello\r\nA \r\n, chunked!\r\n0\r\n\
        Expires: never\r\nX: y\r\n\r\n";
    let (replies, body, end) = parse_all_cuts(stream);
    assert_eq!((replies, end), (vec![reply(15, Persistence::KeepAlive)], Ok(())));
    assert_eq!(body, b"hello, chunked!");
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let (replies, body, end) = parse_all_cuts(b"HTTP/1.1 200 OK\r\n\r\nall there is");
    assert_eq!((replies, end), (vec![reply(12, Persistence::Close)], Ok(())));
    assert_eq!(body, b"all there is");
}

#[test]
fn interim_replies_are_skipped() {
    let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(parse_all_cuts(stream).0, [reply(0, Persistence::KeepAlive)]);
}

#[test]
fn endless_interim_replies_are_refused() {
    let stream = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let (replies, _, end) = parse(&stream, 4096, ReplyLimits::default());
    assert_eq!(
        (replies.len(), end),
        (0, Err(ReplyError::Malformed("too many interim replies")))
    );
}

#[test]
fn http_1_0_closes_unless_it_says_keep_alive() {
    let closes = parse_all_cuts(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").0;
    let stays = parse_all_cuts(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n").0;
    assert_eq!(closes, [reply(0, Persistence::Close)]);
    assert_eq!(stays, [reply(0, Persistence::KeepAlive)]);
}

#[test]
fn statuses_without_a_body_have_none() {
    let stream = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (replies, body, end) = parse_all_cuts(stream);
    assert_eq!(
        replies
            .iter()
            .map(|reply| (reply.status, reply.body_bytes))
            .collect::<Vec<_>>(),
        [(304, 0), (204, 0)]
    );
    assert_eq!((body.len(), end), (0, Ok(())));
}

#[test]
fn streams_that_are_not_acceptable_replies_are_refused_however_they_are_cut() {
    let cases: &[&[u8]] = &[
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\x01\x02\x03garbage",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
    ];
    for stream in cases {
        let (replies, _, end) = parse_all_cuts(stream);
        assert!(replies.is_empty(), "{}", stream.escape_ascii());
        assert!(
            matches!(end, Err(ReplyError::Malformed(_))),
            "{}: {end:?}",
            stream.escape_ascii()
        );
    }
}

#[test]
fn a_bare_line_feed_is_refused_with_its_byte_and_not_when_the_head_ends() {
    for head in [
        &b"HTTP/1.1 200 OK\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\n",
        b"HTTP/1.1 200 OK\r\n\n",
    ] {
        for piece in 1..=head.len() {
            let mut parser = ReplyParser::new(ReplyLimits::default());
            let results: Vec<_> = head.chunks(piece).map(|piece| parser.feed(piece, |_| {})).collect();
            let (last, before) = results.split_last().unwrap();
            assert!(before.iter().all(|result| *result == Ok(Progress::Partial)), "{piece}");
            assert!(matches!(last, Err(ReplyError::Malformed(_))), "{piece}: {last:?}");
        }
    }
}

#[test]
fn a_stream_that_ends_early_is_truncated() {
    let whole: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for length in 1..whole.len() {
        let (replies, _, end) = parse(&whole[..length], length, ReplyLimits::default());
        assert_eq!(
            (replies.len(), end),
            (0, Err(ReplyError::Truncated)),
            "after {length} bytes"
        );
    }
    assert_eq!(
        ReplyParser::new(ReplyLimits::default()).end(),
        Err(ReplyError::Truncated)
    );
}

#[test]
fn an_endless_head_is_refused_at_the_limit_and_keeps_no_more_than_it() {
    let mut parser = ReplyParser::new(ReplyLimits {
        head_bytes: 1000,
        ..ReplyLimits::default()
    });
    assert_eq!(parser.feed(b"HTTP/1.1 200 OK\r\n", |_| {}), Ok(Progress::Partial));
    let refused = (0..100).find_map(|_| parser.feed(b"X: 0123456789012345678901234567890\r\n", |_| {}).err());
    assert_eq!(refused, Some(ReplyError::HeadTooLong));
    assert!(parser.partial.len() <= 1000);
}

#[test]
fn a_body_beyond_the_limit_is_refused_as_soon_as_it_is_known() {
    let limits = ReplyLimits {
        body_bytes: 10,
        ..ReplyLimits::default()
    };
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n2\r\n";
    let open_ended = b"HTTP/1.1 200 OK\r\n\r\n12345678901";
    for stream in [&sized[..], chunked, open_ended] {
        for piece in 1..=stream.len() {
            let (_, body, end) = parse(stream, piece, limits);
            assert_eq!(end, Err(ReplyError::BodyTooLong));
            assert!(body.len() <= 10);
        }
    }
}

#[test]
fn an_endless_trailer_section_is_refused() {
    let mut parser = ReplyParser::new(ReplyLimits::default());
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    assert_eq!(parser.feed(head, |_| {}), Ok(Progress::Partial));
    let refused = (0..10_000).find_map(|_| parser.feed(b"Trailer: value, and more of it\r\n", |_| {}).err());
    assert_eq!(refused, Some(ReplyError::HeadTooLong));
}

#[test]
fn an_idle_parser_owns_no_memory() {
    let mut parser = ReplyParser::new(ReplyLimits::default());
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" {
        let _ = parser.feed(&[*byte], |_| {}).unwrap();
    }
    assert_eq!(parser.partial.capacity(), 0);
    assert!(!parser.in_reply());
}
