//! Statuses, and the reasons for which a request is refused.

/// A status line with its CRLF, to be copied at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) &'static str);

macro_rules! status {
    ($code_and_reason:literal) => {
        Status(concat!("HTTP/1.1 ", $code_and_reason, "\r\n"))
    };
}

pub(crate) const OK: Status = status!("200 OK");
pub(crate) const PARTIAL_CONTENT: Status = status!("206 Partial Content");
pub(crate) const MOVED: Status = status!("301 Moved Permanently");
pub(crate) const NOT_MODIFIED: Status = status!("304 Not Modified");
pub(crate) const BAD_REQUEST: Status = status!("400 Bad Request");
pub(crate) const FORBIDDEN: Status = status!("403 Forbidden");
pub(crate) const NOT_FOUND: Status = status!("404 Not Found");
pub(crate) const METHOD_NOT_ALLOWED: Status = status!("405 Method Not Allowed");
pub(crate) const REQUEST_TIMEOUT: Status = status!("408 Request Timeout");
pub(crate) const PRECONDITION_FAILED: Status = status!("412 Precondition Failed");
pub(crate) const CONTENT_TOO_LARGE: Status = status!("413 Content Too Large");
pub(crate) const URI_TOO_LONG: Status = status!("414 URI Too Long");
pub(crate) const RANGE_NOT_SATISFIABLE: Status = status!("416 Range Not Satisfiable");
pub(crate) const EXPECTATION_FAILED: Status = status!("417 Expectation Failed");
pub(crate) const FIELDS_TOO_LARGE: Status = status!("431 Request Header Fields Too Large");
pub(crate) const FAILED: Status = status!("500 Internal Server Error");
pub(crate) const NOT_IMPLEMENTED: Status = status!("501 Not Implemented");
pub(crate) const UNAVAILABLE: Status = status!("503 Service Unavailable");
pub(crate) const VERSION_NOT_SUPPORTED: Status = status!("505 HTTP Version Not Supported");
pub(crate) const STORAGE_FULL: Status = status!("507 Insufficient Storage");

/// A request that is refused; the connection is closed after the reply, because where the next request would begin is
/// not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    /// The body of the reply to the client.
    pub(crate) why: &'static str,
}

impl Refusal {
    pub(crate) const fn bad(why: &'static str) -> Refusal {
        Refusal {
            status: BAD_REQUEST,
            why,
        }
    }

    pub(crate) const fn with(status: Status, why: &'static str) -> Refusal {
        Refusal { status, why }
    }
}
