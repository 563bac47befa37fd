//! Request targets (RFC 9112, section 3.2) and the `Host` field (RFC 9110, section 7.2).

use crate::class::{self, NAME, PATH, QUERY};
use crate::refusal::Refusal;
use crate::route::Method;

const INVALID: Refusal = Refusal::bad("invalid request target");

/// The path of a request target, without its query. `*` and an authority are returned as they are.
pub(crate) fn path(method: Method, target: &[u8]) -> Result<&[u8], Refusal> {
    split(method, target).map(|(path, _)| path)
}

/// The path of a request target, and its query with the question mark; empty if it has none.
fn split(method: Method, target: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if method == Method::Connect {
        return if is_authority(target, PortRule::Required) {
            Ok((target, b""))
        } else {
            Err(INVALID)
        };
    }
    if target == b"*" {
        return if method == Method::Options {
            Ok((target, b""))
        } else {
            Err(INVALID)
        };
    }
    let origin = if target.first() == Some(&b'/') {
        target
    } else {
        after_authority(target)?
    };
    let end = span(origin, PATH);
    let (path, query) = origin.split_at(end);
    match query.split_first() {
        None => {}
        Some((b'?', query)) if span(query, QUERY) == query.len() => {}
        Some(_) => return Err(INVALID),
    }
    Ok((if path.is_empty() { b"/" } else { path }, query))
}

/// The path in the request line of a head that was found well-formed, and its query with the question mark; `None` where
/// its target has no path.
pub(crate) fn origin(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = head.split(|byte| *byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    split(Method::named(method)?, target)
        .ok()
        .filter(|(path, _)| path.starts_with(b"/"))
}

/// The rest of an absolute-form target: its path, which may be empty, and its query.
fn after_authority(target: &[u8]) -> Result<&[u8], Refusal> {
    let rest = target
        .split_at_checked(7)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"http://"))
        .map(|(_, rest)| rest)
        .ok_or(INVALID)?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at(end);
    if is_authority(authority, PortRule::Optional) {
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
        text.split_at(span(text, NAME))
    };
    if host.is_empty() {
        return false;
    }
    match rest.split_first() {
        None => rule == PortRule::Optional,
        Some((b':', [])) => rule == PortRule::Optional,
        Some((b':', port)) => port
            .iter()
            .try_fold(0_u32, |number, byte| {
                let digit = u32::from(byte.wrapping_sub(b'0'));
                let number = number * 10 + digit;
                (digit < 10 && number <= u32::from(u16::MAX)).then_some(number)
            })
            .is_some(),
        Some(_) => false,
    }
}

/// How many bytes from the front of `text` are of a class, well-formed percent-encodings included.
fn span(text: &[u8], class: u8) -> usize {
    let mut end = class::run(text, class);
    while matches!(text.get(end..end + 3), Some([b'%', hex @ ..]) if hex.iter().all(u8::is_ascii_hexdigit)) {
        end += 3;
        end += class::run(&text[end..], class);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_distinguished() {
        assert_eq!(path(Method::Get, b"/a/b?c=d"), Ok(b"/a/b".as_slice()));
        assert_eq!(path(Method::Get, b"http://example.org:80/a?b"), Ok(b"/a".as_slice()));
        assert_eq!(path(Method::Get, b"HTTP://[::1]"), Ok(b"/".as_slice()));
        assert_eq!(path(Method::Options, b"*"), Ok(b"*".as_slice()));
        assert_eq!(
            path(Method::Connect, b"example.org:443"),
            Ok(b"example.org:443".as_slice())
        );
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
