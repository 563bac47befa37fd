//! The URL: which server to connect to, what to send, and which reply to expect.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::mix::{MixRow, ROWS_MAX};
use super::request_row::{Choice, Expected, RequestRow};
use crate::LoadError;
use crate::endpoint::Endpoint;

/// A parsed and resolved URL, and what is requested from its server.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The URL as given.
    pub(crate) url: String,
    /// The server's address. A run replaces it by the first of `addresses` that accepts a connection.
    pub(crate) address: Endpoint,
    /// All addresses of the host, in the order of the resolver.
    pub(crate) addresses: Vec<Endpoint>,
    /// The host and the port as given, for the field `Host`.
    pub(crate) authority: String,
    /// The path of the URL.
    pub(crate) path: String,
    /// What is requested: the URL, or the rows of a mix. There is at least one.
    pub(crate) rows: Vec<RequestRow>,
    /// Whether the rows are those of a mix.
    pub(crate) is_mix: bool,
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
            authority: authority.to_owned(),
            path: path.to_owned(),
            rows: vec![RequestRow::get(path, authority)],
            is_mix: false,
        }
    }

    /// Requests these rows instead of the URL, whose path has to be absent or `/`.
    ///
    /// # Errors
    /// [`LoadError::Plan`] if the URL has a path, if there is no row or are more than 64, if no row has a weight above 0, or
    /// if two rows have the same request.
    pub fn with_mix(self, rows: &[MixRow]) -> Result<Self, LoadError> {
        let refuse = |cause| Err(LoadError::Plan(cause));
        if self.path != "/" {
            return refuse("with --mix, its rows have the paths: omit the path of the URL");
        }
        if !(1..=ROWS_MAX).contains(&rows.len()) {
            return refuse("a mix has 1 to 64 rows: give fewer --mix");
        }
        let total: f64 = rows.iter().map(|row| row.weight).sum();
        if !(total.is_finite() && total > 0.0) {
            return refuse("the weights of a mix add up to nothing that can be sent: give one of them above 0");
        }
        let is_repeated = |(index, row): (usize, &MixRow)| rows[..index].iter().any(|other| other.text == row.text);
        if rows.iter().enumerate().any(is_repeated) {
            return refuse("two rows of the mix have the same request: give it once, with the sum of their weights");
        }
        Ok(Self {
            rows: rows
                .iter()
                .map(|row| RequestRow::of_mix(row, &self.authority))
                .collect(),
            is_mix: true,
            ..self
        })
    }
}

impl Target {
    /// The length of a request in bytes.
    pub(crate) fn length(&self, choice: Choice) -> usize {
        self.row(choice).length(choice.number)
    }

    /// Appends the bytes of a request.
    pub(crate) fn append(&self, choice: Choice, bytes: &mut Vec<u8>) {
        self.row(choice).append(choice.number, bytes);
    }

    /// What the reply to a request must contain.
    pub(crate) fn expected(&self, choice: Choice) -> &Expected {
        &self.row(choice).expected
    }

    /// The longest body of a good reply, bytes; no limit if it is unknown.
    pub(crate) fn longest_body(&self) -> u64 {
        let longest = self.rows.iter().map(|row| row.expected.body_bytes);
        longest.fold(0, |longest, bytes| longest.max(bytes.unwrap_or(u64::MAX)))
    }

    /// The bytes of the test request: the URL, or the first row of the mix with the number 0.
    pub(crate) fn test_request(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append(Choice::default(), &mut bytes);
        bytes
    }

    fn row(&self, choice: Choice) -> &RequestRow {
        &self.rows[usize::from(choice.row)]
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
            target.test_request(),
            b"GET /bytes/92 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: c10k-load\r\n\r\n"
        );
        assert_eq!(target.longest_body(), 92);
        let large = Target::parse("http://127.0.0.1/bytes/6k?x=1").unwrap();
        assert_eq!(large.longest_body(), 6144);
        let unknown = Target::parse("http://127.0.0.1/bytes/many").unwrap();
        assert_eq!(unknown.longest_body(), u64::MAX);
    }

    #[test]
    fn port_path_and_fragment_are_optional() {
        let plain = Target::parse("http://127.0.0.1").unwrap();
        assert_eq!(plain.address, Endpoint::Internet("127.0.0.1:80".parse().unwrap()));
        assert!(
            plain
                .test_request()
                .starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        );
        assert_eq!(plain.longest_body(), u64::MAX);
        let query = Target::parse("http://[::1]:81?x=1#top").unwrap();
        assert_eq!(query.address, Endpoint::Internet("[::1]:81".parse().unwrap()));
        assert!(
            query
                .test_request()
                .starts_with(b"GET /?x=1 HTTP/1.1\r\nHost: [::1]:81\r\n")
        );
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
        assert!(
            bare.test_request()
                .starts_with(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        );
        let target = Target::parse("unix:server.sock:/bytes/92").unwrap();
        assert_eq!(
            (&target.address, target.longest_body()),
            (&Endpoint::Unix("server.sock".into()), 92)
        );
        for url in ["unix:", "unix::/bytes/1", "unix:/s:/a b"] {
            assert!(matches!(Target::parse(url), Err(LoadError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_mix_takes_the_place_of_the_path() {
        let rows = |texts: &[&str]| -> Vec<MixRow> { texts.iter().map(|text| MixRow::parse(text).unwrap()).collect() };
        let mixed = |url: &str, texts: &[&str]| Target::parse(url).unwrap().with_mix(&rows(texts));
        let target = mixed("http://127.0.0.1:81", &["9=/bytes/{uniform:5}", "1=/bytes/3"]).unwrap();
        assert!(
            target
                .test_request()
                .starts_with(b"GET /bytes/0 HTTP/1.1\r\nHost: 127.0.0.1:81\r\n")
        );
        assert_eq!((target.is_mix, target.longest_body()), (true, u64::MAX));
        assert_eq!(
            mixed("unix:s", &["1=/bytes/2", "1=/bytes/7"]).unwrap().longest_body(),
            7
        );
        let many: Vec<String> = (0..=ROWS_MAX).map(|row| format!("1=/{row}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (url, texts, word) in [
            ("http://127.0.0.1/bytes/92", &["1=/"][..], "omit the path"),
            ("http://127.0.0.1/?x", &["1=/"], "omit the path"),
            ("http://127.0.0.1/", &[], "1 to 64 rows"),
            ("http://127.0.0.1/", &many, "1 to 64 rows"),
            ("http://127.0.0.1/", &["0=/a", "0=/b"], "above 0"),
            ("http://127.0.0.1/", &["1=/a", "2=/a"], "same request"),
        ] {
            let error = mixed(url, texts).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
        assert!(mixed("http://127.0.0.1/", &many[1..]).is_ok());
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
