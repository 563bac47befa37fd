//! Paths and the resources that they name.

use std::time::Duration;

use c10k_units::{duration, size};

use crate::pattern::MAX_BYTES;

/// The longest spin that a request may ask for.
const MAX_SPIN: Duration = Duration::from_secs(60);

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
            return text(time)
                .and_then(|text| duration::parse(text).ok())
                .filter(|time| *time <= MAX_SPIN)
                .map_or(Route::Missing, Route::Spin);
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
            _ => "GET, HEAD",
        }
    }

    pub(crate) fn offers(self, method: Method) -> bool {
        match self {
            Route::Echo => !matches!(method, Method::Trace | Method::Connect),
            _ => matches!(method, Method::Get | Method::Head),
        }
    }
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
            "/stats/",
            "*",
        ] {
            assert_eq!(Route::of(missing.as_bytes()), Route::Missing, "{missing}");
        }
    }
}
