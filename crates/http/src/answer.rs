//! Heads of replies.

use crate::Date;
use crate::refusal::Status;

/// The field of a body of bytes.
pub(crate) const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

/// The field of a line that says what happened.
pub(crate) const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// What becomes of the connection after a reply, and what must be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Kept, which HTTP/1.1 takes for granted.
    Keep,
    /// Kept; a reply to an HTTP/1.0 client must say so.
    KeepSaid,
    /// Closed; the reply says so.
    Close,
}

/// Whether the reply carries its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Sent,
    /// The reply to HEAD: the same head, no body.
    HeadOnly,
}

impl Content {
    pub(crate) fn of(is_head: bool) -> Content {
        if is_head { Content::HeadOnly } else { Content::Sent }
    }
}

/// How the request being answered wants its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) persistence: Persistence,
    pub(crate) content: Content,
}

/// What a head says of the length of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Of(u64),
    /// Nothing: there is no body, and its length would be another reply's.
    Unsaid,
}

/// Appends a head. `fields` are whole field lines, each with its CRLF, or empty.
pub(crate) fn head(out: &mut Vec<u8>, status: Status, fields: &str, length: Length, manner: Manner, date: &Date) {
    out.extend_from_slice(status.0.as_bytes());
    out.extend_from_slice(date.line());
    out.extend_from_slice(fields.as_bytes());
    if let Length::Of(length) = length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(match manner.persistence {
        Persistence::Keep => b"\r\n".as_slice(),
        Persistence::KeepSaid => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
}

/// Appends a whole reply.
pub(crate) fn whole(out: &mut Vec<u8>, status: Status, fields: &str, body: &[u8], manner: Manner, date: &Date) {
    head(out, status, fields, Length::Of(body.len() as u64), manner, date);
    if manner.content == Content::Sent {
        out.extend_from_slice(body);
    }
}
