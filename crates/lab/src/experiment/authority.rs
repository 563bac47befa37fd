//! Where a server that is not ours answers: host and port of its URL.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

/// Host and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// As it is written in a URL.
    pub(crate) text: String,
    host: String,
    port: u16,
}

impl Authority {
    /// Reads `http://HOST[:PORT][/]`; the scheme may be left out. `None` for anything else: the path comes from `[load]`.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        const SCHEME: &str = "http://";
        let text = match url.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => url,
        };
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.contains(['/', '@', '?', '#']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let after_host = text.rfind(']').unwrap_or(0);
        let (host, port) = match text[after_host..].rfind(':') {
            Some(colon) => {
                let (host, port) = text.split_at(after_host + colon);
                (host, port[1..].parse().ok().filter(|&port| port > 0)?)
            }
            None => (text, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// All addresses of the host, in the order of the resolver.
    ///
    /// # Errors
    /// That of the resolver.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_those_of_the_url() {
        for (url, text, host, port) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", 8080),
            ("HTTP://localhost:81/", "localhost:81", "localhost", 81),
            ("http://localhost", "localhost", "localhost", 80),
            ("[::1]:82", "[::1]:82", "::1", 82),
            ("http://[::1]", "[::1]", "::1", 80),
        ] {
            let authority = Authority::of_url(url).expect(url);
            assert_eq!(
                (authority.text.as_str(), authority.host.as_str(), authority.port),
                (text, host, port)
            );
        }
        for url in [
            "",
            "http://",
            "https://h/",
            "http://h/path",
            "http://h:0",
            "http://h:x",
            "http://u@h",
            "http://:80",
        ] {
            assert_eq!(Authority::of_url(url), None, "{url}");
        }
    }

    #[test]
    fn every_address_of_the_host_is_found() {
        let authority = Authority::of_url("http://127.0.0.1:8080").expect("an address");
        assert_eq!(
            authority.addresses().expect("no resolver is asked"),
            ["127.0.0.1:8080".parse().expect("one")]
        );
    }
}
