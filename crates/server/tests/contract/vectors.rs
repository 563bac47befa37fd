//! Requests and the statuses of their replies; `None` if the server waits for more and has not replied yet.

/// A request, its status, and whether the connection is closed after the reply.
pub(crate) type Vector = (&'static str, u16, After);

/// What happens to the connection after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Kept,
    Closed,
}

use After::{Closed, Kept};

/// Framing by RFC 9112. The tests of the request machine have many more.
pub(crate) const VECTORS: &[Vector] = &[
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", 200, Kept),
    ("\r\nGET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", 200, Kept),
    ("GET http://a/bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", 200, Kept),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        200,
        Closed,
    ),
    ("GET /bytes/3 HTTP/1.0\r\n\r\n", 200, Closed),
    ("GET /bytes/3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, Kept),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
        200,
        Kept,
    ),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        200,
        Kept,
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
        200,
        Kept,
    ),
    (
        "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        200,
        Kept,
    ),
    ("GET /headers HTTP/1.1\r\nHost: a\r\n\r\n", 200, Kept),
    ("GET /spin/1us HTTP/1.1\r\nHost: a\r\n\r\n", 200, Kept),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, Kept),
    (
        "POST /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        405,
        Kept,
    ),
    ("GET /bytes/3 HTTP/1.1\r\n\r\n", 400, Closed),
    ("GET /bytes/3 HTTP/1.1\nHost: a\r\n\r\n", 400, Closed),
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400, Closed),
    ("GET /bytes/3 HTTP/1.1\r\nHost : a\r\n\r\n", 400, Closed),
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", 400, Closed),
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, Closed),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        Closed,
    ),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
        400,
        Closed,
    ),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n",
        400,
        Closed,
    ),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        413,
        Closed,
    ),
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417, Closed),
    ("BREW /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", 501, Closed),
    (
        "GET /bytes/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        501,
        Closed,
    ),
    ("GET /bytes/3 HTTP/2.0\r\nHost: a\r\n\r\n", 505, Closed),
];
