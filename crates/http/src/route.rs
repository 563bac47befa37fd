//! Paths and the resources that they name.

use std::time::Duration;

use c10k_units::{duration, size};

use crate::blocking_work::{BlockingWork, Cache};
use crate::pattern::MAX_BYTES;

/// The longest spin, or sleep, that a request may ask for.
const MAX_TIME: Duration = Duration::from_secs(60);

/// The methods that the server knows. A known method that a resource does not offer is 405, any other 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    pub(crate) fn named(name: &[u8]) -> Option<Method> {
        Some(match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => return None,
        })
    }
}

/// A resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A body of that many bytes.
    Bytes(u64),
    /// That much CPU time, then one byte.
    Spin(Duration),
    /// That much time without work, then one byte.
    Sleep(Duration),
    /// The file of that number.
    File(u32, Cache),
    /// The mailbox of that number, which takes the body of the request.
    Mail(u32),
    /// The counters.
    Stats,
    /// The body of the request.
    Echo,
    /// The head of the request, unchanged.
    Headers,
    /// No resource has this path.
    Missing,
}

impl Route {
    pub(crate) fn of(path: &[u8]) -> Route {
        if let Some(bytes) = path.strip_prefix(b"/bytes/") {
            return text(bytes)
                .and_then(|text| size::parse(text).ok())
                .filter(|bytes| *bytes <= MAX_BYTES)
                .map_or(Route::Missing, Route::Bytes);
        }
        if let Some(time) = path.strip_prefix(b"/spin/") {
            return time_of(time).map_or(Route::Missing, Route::Spin);
        }
        if let Some(time) = path.strip_prefix(b"/sleep/") {
            return time_of(time).map_or(Route::Missing, Route::Sleep);
        }
        if let Some(file) = path.strip_prefix(b"/file/") {
            return file_of(file).unwrap_or(Route::Missing);
        }
        if let Some(mailbox) = path.strip_prefix(b"/mail/") {
            return number(mailbox).map_or(Route::Missing, Route::Mail);
        }
        match path {
            b"/stats" => Route::Stats,
            b"/echo" => Route::Echo,
            b"/headers" => Route::Headers,
            _ => Route::Missing,
        }
    }

    /// The methods offered, as the `Allow` field lists them.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Route::Echo => "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH",
            Route::Mail(_) => "POST",
            _ => "GET, HEAD",
        }
    }

    pub(crate) fn offers(self, method: Method) -> bool {
        match self {
            Route::Echo => !matches!(method, Method::Trace | Method::Connect),
            Route::Mail(_) => method == Method::Post,
            _ => matches!(method, Method::Get | Method::Head),
        }
    }

    /// Whether the body of the request is needed.
    pub(crate) fn keeps_body(self) -> bool {
        matches!(self, Route::Echo | Route::Mail(_))
    }

    /// Whether the driver has to bring the answer.
    pub(crate) fn asks(self) -> bool {
        matches!(self, Route::Stats | Route::File(..) | Route::Mail(_) | Route::Sleep(_))
    }

    /// The work that may block, for a route that has some.
    pub(crate) fn work(self, message: Vec<u8>) -> Option<BlockingWork> {
        match self {
            Route::File(number, cache) => Some(BlockingWork::File { number, cache }),
            Route::Mail(mailbox) => Some(BlockingWork::Mail { mailbox, message }),
            Route::Sleep(time) => Some(BlockingWork::Sleep(time)),
            _ => None,
        }
    }
}

/// `N`, `N/cold` or `N/direct`.
fn file_of(path: &[u8]) -> Option<Route> {
    let mut parts = path.splitn(2, |byte| *byte == b'/');
    let number = number(parts.next()?)?;
    let cache = parts.next().map_or(Some(Cache::Warm), Cache::named)?;
    Some(Route::File(number, cache))
}

/// A number of decimal digits only.
fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| text(digits)?.parse().ok())
        .flatten()
}

fn time_of(time: &[u8]) -> Option<Duration> {
    text(time)
        .and_then(|text| duration::parse(text).ok())
        .filter(|time| *time <= MAX_TIME)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        assert_eq!(Route::of(b"/bytes/92"), Route::Bytes(92));
        assert_eq!(Route::of(b"/bytes/1g"), Route::Bytes(MAX_BYTES));
        assert_eq!(Route::of(b"/spin/10ms"), Route::Spin(Duration::from_millis(10)));
        assert_eq!(Route::of(b"/spin/1500ns"), Route::Spin(Duration::from_nanos(1500)));
        assert_eq!(Route::of(b"/spin/1.5ms"), Route::Spin(Duration::from_micros(1500)));
        assert_eq!(Route::of(b"/sleep/5ms"), Route::Sleep(Duration::from_millis(5)));
        assert_eq!(Route::of(b"/file/17"), Route::File(17, Cache::Warm));
        assert_eq!(Route::of(b"/file/0/cold"), Route::File(0, Cache::Cold));
        assert_eq!(
            Route::of(b"/file/4294967295/direct"),
            Route::File(u32::MAX, Cache::Direct)
        );
        assert_eq!(Route::of(b"/mail/3"), Route::Mail(3));
        assert_eq!(Route::of(b"/stats"), Route::Stats);
        assert_eq!(Route::of(b"/echo"), Route::Echo);
        assert_eq!(Route::of(b"/headers"), Route::Headers);
        for missing in [
            "/",
            "/bytes/",
            "/bytes/1073741825",
            "/bytes/-1",
            "/bytes/1/",
            "/spin/61s",
            "/spin/1",
            "/sleep/61s",
            "/file/",
            "/file/+1",
            "/file/4294967296",
            "/file/1/warm",
            "/file/1/cold/",
            "/mail/",
            "/mail/x",
            "/stats/",
            "*",
        ] {
            assert_eq!(Route::of(missing.as_bytes()), Route::Missing, "{missing}");
        }
    }
}
