//! The URL: which server to connect to, what to send, and which reply to expect.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::LoadError;
use crate::endpoint::Endpoint;
use crate::fingerprint::Fingerprint;

/// A parsed and resolved URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URL as given.
    pub(crate) url: String,
    /// The server's address. A run replaces it by the first of `addresses` that accepts a connection.
    pub(crate) address: Endpoint,
    /// All addresses of the host, in the order of the resolver.
    pub(crate) addresses: Vec<Endpoint>,
    /// The bytes of one request.
    pub(crate) request: Vec<u8>,
    /// What every reply must contain.
    pub(crate) expected: Expected,
}

/// What every reply is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// The length of the body in bytes; any length if absent.
    pub(crate) body_bytes: Option<u64>,
    /// The fingerprint of the body; any body if absent.
    pub(crate) body: Option<Fingerprint>,
}

impl Target {
    /// Parses `http://HOST[:PORT][/PATH][?QUERY]` or `unix:SOCKET[:/PATH]`, and resolves the host. A
    /// run tries all of its addresses in turn.
    ///
    /// If the path is `/bytes/N`, with N such as `92` or `6k`, every reply must have a body of N bytes.
    ///
    /// # Errors
    /// [`LoadError::Url`] if the text is not such a URL, [`LoadError::Resolve`] if the host has no address.
    pub fn parse(url: &str) -> Result<Self, LoadError> {
        let refuse = |cause| LoadError::Url {
            url: url.to_owned(),
            cause,
        };
        if let Some(rest) = after_scheme(url, "unix:") {
            return Self::parse_unix(url, rest);
        }
        let rest = after_scheme(url, "http://").ok_or_else(|| match url.split_once("://") {
            Some(_) => refuse("only http:// is supported"),
            None => refuse("http:// or unix: is missing at its start"),
        })?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "it contains a space, a control character or a character outside ASCII: percent-encode it",
            ));
        }
        if authority.contains('@') {
            return Err(refuse("user names in URLs are not supported"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| refuse("the port is not a number from 1 to 65535"))?;
        if host.is_empty() {
            return Err(refuse("the host is missing"));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = (bare, port).to_socket_addrs().map_err(|source| LoadError::Resolve {
            host: host.to_owned(),
            source,
        })?;
        let mut addresses: Vec<Endpoint> = Vec::new();
        for address in found.map(Endpoint::Internet) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(refuse("the host has no address"));
        }
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self::new(url, addresses, &path, authority))
    }

    fn parse_unix(url: &str, rest: &str) -> Result<Self, LoadError> {
        let refuse = |cause| LoadError::Url {
            url: url.to_owned(),
            cause,
        };
        let (socket, path) = match rest.find(":/") {
            Some(colon) => (&rest[..colon], &rest[colon + 1..]),
            None => (rest, "/"),
        };
        // sun_path of sockaddr_un(7) has 108 bytes, including the terminating zero.
        if socket.is_empty() || socket.len() > 107 || socket.contains('\0') {
            return Err(refuse("the path of a Unix socket must have 1 to 107 bytes"));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "the path contains a space, a control character or a character outside ASCII: percent-encode it",
            ));
        }
        let addresses = vec![Endpoint::Unix(PathBuf::from(socket))];
        Ok(Self::new(url, addresses, path, "localhost"))
    }

    /// The target at `addresses`, of which there is at least one.
    fn new(url: &str, addresses: Vec<Endpoint>, path: &str, authority: &str) -> Self {
        Self {
            url: url.to_owned(),
            address: addresses[0].clone(),
            addresses,
            request: request(path, authority),
            expected: Expected {
                body_bytes: promised_length(path),
                body: None,
            },
        }
    }
}

impl Target {
    /// The addresses that can be reached from all of `sources`: those of the same family.
    pub(crate) fn reachable_from(&self, sources: &[IpAddr]) -> Vec<Endpoint> {
        let can_reach = |address: &&Endpoint| match address {
            Endpoint::Internet(address) => sources.iter().all(|source| source.is_ipv4() == address.is_ipv4()),
            Endpoint::Unix(_) => true,
        };
        self.addresses.iter().filter(can_reach).cloned().collect()
    }
}

/// What follows the scheme, which is read without regard to case (RFC 3986 3.1).
fn after_scheme<'u>(url: &'u str, scheme: &str) -> Option<&'u str> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The bytes of one request. There is no `Connection` field: HTTP/1.1 connections persist, and if a connection ends
/// after K requests, this side closes it.
fn request(path: &str, authority: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: c10k-load\r\n\r\n").into_bytes()
}

/// The length of the body, if the path is `/bytes/N`.
fn promised_length(path: &str) -> Option<u64> {
    let size = path.split('?').next()?.strip_prefix("/bytes/")?;
    c10k_units::size::parse(size).ok()
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let colon = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|colon| bracket + colon),
        None => authority.rfind(':'),
    };
    let Some(colon) = colon else {
        return Some((authority, 80));
    };
    let port = &authority[colon + 1..];
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| is_number && port > 0)?;
    Some((&authority[..colon], port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_address_the_request_and_the_expected_length() {
        let target = Target::parse("http://127.0.0.1:8080/bytes/92").unwrap();
        assert_eq!(target.address, Endpoint::Internet("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(
            target.request,
            b"GET /bytes/92 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: c10k-load\r\n\r\n"
        );
        assert_eq!(target.expected.body_bytes, Some(92));
        let large = Target::parse("http://127.0.0.1/bytes/6k?x=1").unwrap();
        assert_eq!(large.expected.body_bytes, Some(6144));
        let unknown = Target::parse("http://127.0.0.1/bytes/many").unwrap();
        assert_eq!(unknown.expected.body_bytes, None);
    }

    #[test]
    fn port_path_and_fragment_are_optional() {
        let plain = Target::parse("http://127.0.0.1").unwrap();
        assert_eq!(plain.address, Endpoint::Internet("127.0.0.1:80".parse().unwrap()));
        assert!(plain.request.starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
        assert_eq!(plain.expected.body_bytes, None);
        let query = Target::parse("http://[::1]:81?x=1#top").unwrap();
        assert_eq!(query.address, Endpoint::Internet("[::1]:81".parse().unwrap()));
        assert!(query.request.starts_with(b"GET /?x=1 HTTP/1.1\r\nHost: [::1]:81\r\n"));
    }

    #[test]
    fn the_case_of_a_scheme_does_not_matter() {
        let target = Target::parse("HTTP://127.0.0.1:81/").unwrap();
        assert_eq!(target.address, Endpoint::Internet("127.0.0.1:81".parse().unwrap()));
        let socket = Target::parse("Unix:/run/Server.sock").unwrap();
        assert_eq!(socket.address, Endpoint::Unix("/run/Server.sock".into()));
    }

    #[test]
    fn addresses_of_the_family_of_the_sources_are_used() {
        let both = Target {
            addresses: ["[::1]:80", "127.0.0.1:80"]
                .map(|text| Endpoint::Internet(text.parse().unwrap()))
                .into(),
            ..Target::parse("http://127.0.0.1/").unwrap()
        };
        assert_eq!(both.reachable_from(&[]), both.addresses);
        assert_eq!(
            both.reachable_from(&["127.0.0.2".parse().unwrap()]),
            both.addresses[1..]
        );
        assert_eq!(both.reachable_from(&["::2".parse().unwrap()]), both.addresses[..1]);
    }

    #[test]
    fn a_unix_socket_may_have_a_path() {
        let bare = Target::parse("unix:/run/server.sock").unwrap();
        assert_eq!(bare.address, Endpoint::Unix("/run/server.sock".into()));
        assert!(bare.request.starts_with(b"GET / HTTP/1.1\r\nHost: localhost\r\n"));
        let target = Target::parse("unix:server.sock:/bytes/92").unwrap();
        assert_eq!(
            (target.address, target.expected.body_bytes),
            (Endpoint::Unix("server.sock".into()), Some(92))
        );
        for url in ["unix:", "unix::/bytes/1", "unix:/s:/a b"] {
            assert!(matches!(Target::parse(url), Err(LoadError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn other_text_is_refused_with_one_line() {
        for url in [
            "127.0.0.1:80/",
            "https://127.0.0.1/",
            "http://",
            "http://:80/",
            "http://127.0.0.1:0/",
            "http://h:65536/",
            "http://h:/",
            "http://h:+1/",
            "http://u@127.0.0.1/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/ä",
            "",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, LoadError::Url { .. }), "{url}: {error:?}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
