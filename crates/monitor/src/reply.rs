//! Replies, without I/O: appended to a buffer.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use c10k_http::Date;

use crate::reading::Framing;
use crate::request::{After, Method, Refusal, Request};

/// Appends the reply that has a whole body.
pub(crate) fn whole(out: &mut Vec<u8>, request: &Request, body: &[u8]) {
    head(out, "200 OK", request.resource.media_type);
    let _ = write!(out, "Content-Length: {}\r\n", body.len());
    if request.after == After::Close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if request.method == Method::Get {
        out.extend_from_slice(body);
    }
}

/// Appends the head of a stream, after which the connection has nothing else.
pub(crate) fn stream_head(out: &mut Vec<u8>, request: &Request, framing: Framing) {
    head(out, "200 OK", request.resource.media_type);
    if framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
}

/// Appends a refusal.
pub(crate) fn refusal(out: &mut Vec<u8>, refusal: &Refusal, method: Method) {
    head(out, refusal.status, "text/plain; charset=utf-8");
    let length = refusal.why.len();
    let _ = write!(
        out,
        "{}Content-Length: {length}\r\nConnection: close\r\n\r\n",
        refusal.fields
    );
    if method == Method::Get {
        out.extend_from_slice(refusal.why.as_bytes());
    }
}

fn head(out: &mut Vec<u8>, status: &str, media_type: &str) {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let _ = write!(out, "HTTP/1.1 {status}\r\nDate: ");
    out.extend_from_slice(Date::from_unix(seconds).as_bytes());
    let _ = write!(out, "\r\nContent-Type: {media_type}\r\nCache-Control: no-store\r\n");
}
