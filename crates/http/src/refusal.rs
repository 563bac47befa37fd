//! Statuses, and the reasons for which a request is refused.

/// A status code with its reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) &'static str);

pub(crate) const OK: Status = Status("200 OK");
pub(crate) const PARTIAL_CONTENT: Status = Status("206 Partial Content");
pub(crate) const MOVED: Status = Status("301 Moved Permanently");
pub(crate) const NOT_MODIFIED: Status = Status("304 Not Modified");
pub(crate) const BAD_REQUEST: Status = Status("400 Bad Request");
pub(crate) const FORBIDDEN: Status = Status("403 Forbidden");
pub(crate) const NOT_FOUND: Status = Status("404 Not Found");
pub(crate) const METHOD_NOT_ALLOWED: Status = Status("405 Method Not Allowed");
pub(crate) const REQUEST_TIMEOUT: Status = Status("408 Request Timeout");
pub(crate) const PRECONDITION_FAILED: Status = Status("412 Precondition Failed");
pub(crate) const CONTENT_TOO_LARGE: Status = Status("413 Content Too Large");
pub(crate) const URI_TOO_LONG: Status = Status("414 URI Too Long");
pub(crate) const RANGE_NOT_SATISFIABLE: Status = Status("416 Range Not Satisfiable");
pub(crate) const EXPECTATION_FAILED: Status = Status("417 Expectation Failed");
pub(crate) const FIELDS_TOO_LARGE: Status = Status("431 Request Header Fields Too Large");
pub(crate) const NOT_IMPLEMENTED: Status = Status("501 Not Implemented");
pub(crate) const UNAVAILABLE: Status = Status("503 Service Unavailable");
pub(crate) const VERSION_NOT_SUPPORTED: Status = Status("505 HTTP Version Not Supported");

/// A request that is refused; the connection is closed after the reply, because where the next request would begin is
/// not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    /// Told to the client in the body.
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
