//! Request targets (RFC 9112, section 3.2) and the `Host` field (RFC 9110, section 7.2).

use crate::refusal::Refusal;
use crate::route::Method;

const INVALID: Refusal = Refusal::bad("invalid request target");

/// The path of a request target, without its query. `*` and an authority are returned as they are.
pub(crate) fn path(method: Method, target: &[u8]) -> Result<&str, Refusal> {
    let whole = std::str::from_utf8(target).map_err(|_| INVALID)?;
    if method == Method::Connect {
        return if is_authority(target, PortRule::Required) {
            Ok(whole)
        } else {
            Err(INVALID)
        };
    }
    if whole == "*" {
        return if method == Method::Options {
            Ok(whole)
        } else {
            Err(INVALID)
        };
    }
    let origin = if target.first() == Some(&b'/') {
        whole
    } else {
        after_authority(whole)?
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    if !is_valid(path.as_bytes(), |byte| is_pchar(byte) || byte == b'/')
        || !is_valid(query.as_bytes(), |byte| is_pchar(byte) || matches!(byte, b'/' | b'?'))
    {
        return Err(INVALID);
    }
    Ok(if path.is_empty() { "/" } else { path })
}

/// The rest of an absolute-form target: its path, which may be empty, and its query.
fn after_authority(target: &str) -> Result<&str, Refusal> {
    let rest = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|_| &target[7..])
        .ok_or(INVALID)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at(end);
    if is_authority(authority.as_bytes(), PortRule::Optional) {
        Ok(origin)
    } else {
        Err(INVALID)
    }
}

/// Whether an authority may leave its port out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortRule {
    Optional,
    Required,
}

/// `uri-host [ ":" port ]` with a host that is not empty and without user information.
pub(crate) fn is_authority(text: &[u8], rule: PortRule) -> bool {
    let (host, rest) = if text.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', text) else {
            return false;
        };
        let (host, rest) = text.split_at(end + 1);
        let inside = &host[1..end];
        let is_literal = std::str::from_utf8(inside).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
        if !is_literal {
            return false;
        }
        (host, rest)
    } else {
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        let (host, rest) = text.split_at(end);
        if !is_valid(host, |byte| is_unreserved(byte) || is_sub_delim(byte)) {
            return false;
        }
        (host, rest)
    };
    if host.is_empty() {
        return false;
    }
    match rest.split_first() {
        None => rule == PortRule::Optional,
        Some((b':', port)) => {
            port.iter().all(u8::is_ascii_digit)
                && (rule == PortRule::Optional && port.is_empty()
                    || std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok()))
        }
        Some(_) => false,
    }
}

/// Whether `text` holds only bytes that `allowed` accepts and well-formed percent-encodings.
fn is_valid(text: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        let fine = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(u8::is_ascii_hexdigit)),
            _ => allowed(byte),
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delim(byte) || matches!(byte, b':' | b'@')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delim(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_told_apart() {
        assert_eq!(path(Method::Get, b"/a/b?c=d"), Ok("/a/b"));
        assert_eq!(path(Method::Get, b"http://example.org:80/a?b"), Ok("/a"));
        assert_eq!(path(Method::Get, b"HTTP://[::1]"), Ok("/"));
        assert_eq!(path(Method::Options, b"*"), Ok("*"));
        assert_eq!(path(Method::Connect, b"example.org:443"), Ok("example.org:443"));
    }

    #[test]
    fn invalid_targets_are_refused() {
        for bad in [
            "",
            "a",
            "*",
            "//\u{7f}",
            "/a b",
            "/%",
            "/%4",
            "/%zz",
            "/a#b",
            "/\"",
            "/[",
            "/\u{e9}",
            "http://",
            "http:///a",
            "http://u@h/",
            "https://a/",
            "ftp://a/",
            "http://a:99999/",
            "http://[::1/",
        ] {
            assert_eq!(path(Method::Get, bad.as_bytes()), Err(INVALID), "{bad}");
        }
        for bad in ["example.org", "example.org:", "/", "http://a/"] {
            assert_eq!(path(Method::Connect, bad.as_bytes()), Err(INVALID), "{bad}");
        }
    }

    #[test]
    fn authorities_are_hosts_with_an_optional_port() {
        for good in ["a", "a:80", "a:", "127.0.0.1:8080", "[::1]:80", "a%20b"] {
            assert!(is_authority(good.as_bytes(), PortRule::Optional), "{good}");
        }
        for bad in [
            "", ":80", "a:b", "a:80:80", "a/b", "a b", "u@a", "[::1", "[::1]80", "[zz]", "a:65536", "a,b c",
        ] {
            assert!(!is_authority(bad.as_bytes(), PortRule::Optional), "{bad}");
        }
    }
}
