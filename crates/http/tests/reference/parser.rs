//! A second reading of RFC 9112 and RFC 9110, written for comparison: whole input, no state, no speed.
//!
//! It shares nothing with the machine but the caps and the notation of sizes and durations in paths.

use std::time::Duration;

use c10k_http::{Limits, MAX_BYTES};
use c10k_units::{duration, size};

/// What the bytes of a connection must be answered with, `100 Continue` left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// Whether the connection ends with this reply.
    pub(crate) closes: bool,
    pub(crate) body: Body,
    /// The head of the request that is answered, where one was read to its end.
    pub(crate) head: Option<Vec<u8>>,
}

/// The body of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// These bytes.
    Exactly(Vec<u8>),
    /// So many bytes of the pattern.
    Pattern(u64),
    /// None: the reply to HEAD.
    Omitted,
    /// An explanation, whatever it says.
    Words,
}

/// Why no reply can be given yet, or which one it is.
enum Stop {
    /// The input ends before the request does.
    More,
    /// The request is refused.
    Refused(u16),
}

use Stop::{More, Refused};

/// A request as the fields tell it.
struct Request<'a> {
    method: &'a str,
    path: String,
    keep: bool,
    framing: Framing,
}

enum Framing {
    None,
    Length(u64),
    Chunked,
}

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
];

/// All replies to `input`, as far as they are known.
pub(crate) fn replies(mut input: &[u8], limits: &Limits) -> Vec<Expected> {
    let mut replies = Vec::new();
    loop {
        if let Some(rest) = input.strip_prefix(b"\r\n") {
            input = rest;
        }
        let head = match head_of(input, limits) {
            Ok(head) => head,
            Err(stop) => break replies.extend(stop.reply(None, input)),
        };
        let request = match request(head, limits) {
            Ok(request) => request,
            Err(stop) => break replies.extend(stop.reply(Some(head), input)),
        };
        let (body, rest) = match body(&input[head.len()..], &request.framing, limits) {
            Ok(whole) => whole,
            Err(stop) => break replies.extend(stop.reply(Some(head), input)),
        };
        replies.push(answer(&request, head, body));
        if !request.keep {
            break;
        }
        input = rest;
    }
    replies
}

impl Stop {
    fn reply(self, head: Option<&[u8]>, request: &[u8]) -> Option<Expected> {
        let method = request.split(|byte| !is_tchar(*byte)).next();
        match self {
            More => None,
            Refused(status) => Some(Expected {
                status,
                closes: true,
                body: if method == Some(b"HEAD") {
                    Body::Omitted
                } else {
                    Body::Words
                },
                head: head.map(<[u8]>::to_vec),
            }),
        }
    }
}

/// The lines up to the empty one. Sizes and line ends are judged line by line, before anything else.
fn head_of<'a>(input: &'a [u8], limits: &Limits) -> Result<&'a [u8], Stop> {
    let mut start = 0;
    loop {
        let line = input[start..]
            .split_inclusive(|byte| *byte == b'\n')
            .next()
            .unwrap_or(&[]);
        let whole = line.ends_with(b"\n");
        // Of a line that is not whole, the last byte may be half of its end.
        let longest = limits.request_line + if whole { 2 } else { 1 };
        if start == 0 && line.len() > longest {
            return Err(Refused(414));
        }
        if start + line.len() > limits.head || (!whole && start + line.len() == limits.head) {
            return Err(Refused(431));
        }
        if !whole {
            return Err(More);
        }
        if !line.ends_with(b"\r\n") {
            return Err(Refused(400));
        }
        start += line.len();
        if line == b"\r\n" {
            return Ok(&input[..start]);
        }
    }
}

fn request<'a>(head: &'a [u8], limits: &Limits) -> Result<Request<'a>, Stop> {
    let mut lines: Vec<&[u8]> = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    // The empty line, and what split(2) finds behind the last line feed.
    lines.truncate(lines.len() - 2);
    let line = lines.first().ok_or(Refused(400))?;
    let [method, target, version] = line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] else {
        return Err(Refused(400));
    };
    if method.is_empty() || !method.iter().copied().all(is_tchar) {
        return Err(Refused(400));
    }
    if target.is_empty() || !target.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err(Refused(400));
    }
    let modern = version_of(version)?;
    let fields = fields(&lines[1..], limits)?;
    let all = |name: &str| {
        fields
            .iter()
            .filter(|field| field.0 == name)
            .map(|field| field.1.as_slice())
            .collect::<Vec<_>>()
    };
    let hosts = all("host");
    if hosts.len() > 1 || (hosts.is_empty() && modern) || !hosts.iter().all(|host| is_authority(host, true)) {
        return Err(Refused(400));
    }
    let framing = framing(&all("content-length"), &all("transfer-encoding"), modern)?;
    let method = std::str::from_utf8(method)
        .ok()
        .filter(|name| METHODS.contains(name))
        .ok_or(Refused(501))?;
    let path = path(method, target).ok_or(Refused(400))?;
    if method == "CONNECT" {
        return Err(Refused(501));
    }
    if all("expect")
        .iter()
        .flat_map(|wishes| elements(wishes))
        .any(|wish| !wish.is_empty() && !wish.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Refused(417));
    }
    if matches!(framing, Framing::Length(length) if length > limits.body) {
        return Err(Refused(413));
    }
    let said = |option: &[u8]| {
        all("connection")
            .iter()
            .any(|list| elements(list).iter().any(|found| found.eq_ignore_ascii_case(option)))
    };
    let keep = !said(b"close") && (modern || said(b"keep-alive"));
    Ok(Request {
        method,
        path,
        keep,
        framing,
    })
}

/// Whether the version is 1.1 or later.
fn version_of(version: &[u8]) -> Result<bool, Stop> {
    let digits = version.strip_prefix(b"HTTP/").ok_or(Refused(400))?;
    match digits {
        b"1.0" => Ok(false),
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            if *major == b'1' {
                Ok(true)
            } else {
                Err(Refused(505))
            }
        }
        _ => Err(Refused(400)),
    }
}

/// Names in lower case, with values without the white space around them.
fn fields(lines: &[&[u8]], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let mut fields = Vec::new();
    for line in lines {
        if fields.len() == 100 {
            return Err(Refused(431));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Refused(400))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let fair = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if name.is_empty() || !name.iter().copied().all(is_tchar) || !value.iter().all(fair) {
            return Err(Refused(400));
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, trim(value).to_vec()));
    }
    if fields.len() > limits.fields {
        return Err(Refused(431));
    }
    Ok(fields)
}

/// RFC 9112, section 6.3, for requests.
fn framing(lengths: &[&[u8]], codings: &[&[u8]], modern: bool) -> Result<Framing, Stop> {
    let length = match lengths {
        [] => None,
        [digits] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let text = String::from_utf8_lossy(digits);
            let number = text.parse::<i64>().map_err(|_| Refused(400))?;
            Some(number.unsigned_abs())
        }
        _ => return Err(Refused(400)),
    };
    match (length, codings.is_empty()) {
        (None, true) => return Ok(Framing::None),
        (Some(length), true) => return Ok(Framing::Length(length)),
        (Some(_), false) => return Err(Refused(400)),
        (None, false) => {}
    }
    let names: Vec<Vec<u8>> = codings
        .iter()
        .flat_map(|value| elements(value))
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    let malformed = |name: &Vec<u8>| name.is_empty() || !name.iter().copied().all(is_tchar);
    let early = names.iter().rev().skip(1).any(|name| name == b"chunked");
    if !modern || early || names.iter().any(malformed) {
        return Err(Refused(400));
    }
    if names.iter().all(|name| name == b"chunked") {
        Ok(Framing::Chunked)
    } else {
        Err(Refused(501))
    }
}

/// The body, decoded, and what follows it.
fn body<'a>(input: &'a [u8], framing: &Framing, limits: &Limits) -> Result<(Vec<u8>, &'a [u8]), Stop> {
    match framing {
        Framing::None => Ok((Vec::new(), input)),
        Framing::Length(length) => {
            let length = usize::try_from(*length).map_err(|_| More)?;
            let (body, rest) = input.split_at_checked(length).ok_or(More)?;
            Ok((body.to_vec(), rest))
        }
        Framing::Chunked => chunks(input, limits),
    }
}

fn chunks<'a>(mut input: &'a [u8], limits: &Limits) -> Result<(Vec<u8>, &'a [u8]), Stop> {
    let mut body = Vec::new();
    let mut extensions = 0;
    loop {
        let size = chunk_size(&mut input, body.len() as u64, &mut extensions, limits)?;
        if size == 0 {
            return trailers(input, limits).map(|rest| (body, rest));
        }
        let there = input.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        body.extend_from_slice(&input[..there]);
        input = &input[there..];
        if (there as u64) < size {
            return Err(More);
        }
        expect(&mut input, b'\r')?;
        expect(&mut input, b'\n')?;
    }
}

/// `chunk-size [ chunk-ext ] CRLF`.
fn chunk_size(input: &mut &[u8], before: u64, extensions: &mut u32, limits: &Limits) -> Result<u64, Stop> {
    let mut digits = String::new();
    while first(input)?.is_ascii_hexdigit() {
        digits.push(char::from(next(input)?));
        if digits.len() > 16 {
            return Err(Refused(400));
        }
        let size = u128::from_str_radix(&digits, 16).map_err(|_| Refused(400))?;
        if u128::from(before) + size > u128::from(limits.body) {
            return Err(Refused(413));
        }
    }
    if !digits.is_empty() {
        chunk_extensions(input, extensions, limits)?;
    }
    if digits.is_empty() {
        first(input)?;
        return Err(Refused(400));
    }
    expect(input, b'\r')?;
    expect(input, b'\n')?;
    u64::from_str_radix(&digits, 16).map_err(|_| Refused(400))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`. Every byte but a semicolon counts.
fn chunk_extensions(input: &mut &[u8], extensions: &mut u32, limits: &Limits) -> Result<(), Stop> {
    let mut take = |input: &mut &[u8]| {
        *extensions += 1;
        next(input)?;
        if *extensions > limits.chunk_extensions {
            return Err(Refused(400));
        }
        Ok(())
    };
    let mut spaces = 0;
    loop {
        while matches!(first(input)?, b' ' | b'\t') {
            take(input)?;
            spaces += 1;
        }
        if first(input)? != b';' {
            // White space leads to another extension, or is an error.
            return if spaces == 0 { Ok(()) } else { Err(Refused(400)) };
        }
        next(input)?;
        spaces = 0;
        while matches!(first(input)?, b' ' | b'\t') {
            take(input)?;
        }
        if !is_tchar(first(input)?) {
            return Err(Refused(400));
        }
        while is_tchar(first(input)?) {
            take(input)?;
        }
        while matches!(first(input)?, b' ' | b'\t') {
            take(input)?;
            spaces += 1;
        }
        if first(input)? != b'=' {
            continue;
        }
        take(input)?;
        spaces = 0;
        while matches!(first(input)?, b' ' | b'\t') {
            take(input)?;
        }
        if first(input)? == b'"' {
            take(input)?;
            while first(input)? != b'"' {
                if first(input)? == b'\\' {
                    take(input)?;
                }
                if !matches!(first(input)?, b'\t' | b' '..=b'~' | 0x80..) {
                    return Err(Refused(400));
                }
                take(input)?;
            }
            take(input)?;
        } else if is_tchar(first(input)?) {
            while is_tchar(first(input)?) {
                take(input)?;
            }
        } else {
            return Err(Refused(400));
        }
    }
}

/// `*( field-line CRLF ) CRLF`, dropped; what follows.
fn trailers<'a>(mut input: &'a [u8], limits: &Limits) -> Result<&'a [u8], Stop> {
    let mut bytes = 0;
    let mut count = || {
        bytes += 1;
        if bytes > limits.trailers {
            Err(Refused(431))
        } else {
            Ok(())
        }
    };
    while first(&mut input)? != b'\r' {
        let mut name = 0;
        while is_tchar(first(&mut input)?) {
            next(&mut input)?;
            count()?;
            name += 1;
        }
        if name == 0 || next(&mut input)? != b':' {
            return Err(Refused(400));
        }
        count()?;
        while matches!(first(&mut input)?, b'\t' | b' '..=b'~' | 0x80..) {
            next(&mut input)?;
            count()?;
        }
        expect(&mut input, b'\r')?;
        expect(&mut input, b'\n')?;
        count()?;
    }
    next(&mut input)?;
    expect(&mut input, b'\n')?;
    Ok(input)
}

fn first(input: &mut &[u8]) -> Result<u8, Stop> {
    input.first().copied().ok_or(More)
}

fn next(input: &mut &[u8]) -> Result<u8, Stop> {
    let (byte, rest) = input.split_first().ok_or(More)?;
    *input = rest;
    Ok(*byte)
}

fn expect(input: &mut &[u8], wanted: u8) -> Result<(), Stop> {
    if next(input)? == wanted {
        Ok(())
    } else {
        Err(Refused(400))
    }
}

fn answer(request: &Request<'_>, head: &[u8], received: Vec<u8>) -> Expected {
    let reads = matches!(request.method, "GET" | "HEAD");
    let bytes = request
        .path
        .strip_prefix("/bytes/")
        .and_then(|text| size::parse(text).ok())
        .filter(|bytes| *bytes <= MAX_BYTES);
    let spin = request
        .path
        .strip_prefix("/spin/")
        .or_else(|| request.path.strip_prefix("/sleep/"))
        .and_then(|text| duration::parse(text).ok())
        .filter(|time| *time <= Duration::from_secs(60));
    let (status, body) = match request.path.as_str() {
        "/echo" if request.method == "TRACE" => (405, Body::Words),
        "/echo" => (200, Body::Exactly(received)),
        "/headers" | "/stats" if !reads => (405, Body::Words),
        "/headers" => (200, Body::Exactly(head.to_vec())),
        "/stats" => (200, Body::Exactly(b"{}".to_vec())),
        _ if (bytes.is_some() || spin.is_some()) && !reads => (405, Body::Words),
        _ => match (bytes, spin) {
            (Some(length), _) => (200, Body::Pattern(length)),
            (None, Some(_)) => (200, Body::Pattern(1)),
            (None, None) => (404, Body::Words),
        },
    };
    Expected {
        status,
        closes: !request.keep,
        body: if request.method == "HEAD" { Body::Omitted } else { body },
        head: Some(head.to_vec()),
    }
}

/// The path of a target in the form that its method allows.
fn path(method: &str, target: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(target).ok()?;
    if method == "CONNECT" {
        return is_authority(target, false).then(|| text.to_owned());
    }
    if text == "*" {
        return (method == "OPTIONS").then(|| text.to_owned());
    }
    let origin = if text.starts_with('/') {
        text
    } else {
        let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"))?;
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_authority(&rest.as_bytes()[..end], true) {
            return None;
        }
        &rest[end..]
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    if !is_made_of(path, "/:@") || !is_made_of(query, "/:@?") {
        return None;
    }
    Some(if path.is_empty() {
        "/".to_owned()
    } else {
        path.to_owned()
    })
}

/// `unreserved / sub-delims / pct-encoded` (RFC 3986, appendix A), or one of `more`.
fn is_made_of(text: &str, more: &str) -> bool {
    let mut pieces = text.split('%');
    let plain = |piece: &str| {
        piece
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(letter) || more.contains(letter))
    };
    let encoded = |piece: &str| {
        piece
            .as_bytes()
            .get(..2)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            && plain(&piece[2..])
    };
    pieces.next().is_none_or(plain) && pieces.all(encoded)
}

/// `uri-host [ ":" port ]`, without user information; `lax` where the port may be missing or empty.
fn is_authority(text: &[u8], lax: bool) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("6", Some(port)),
                None if rest.is_empty() => ("6", None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port_is_fair = match port {
        None | Some("") => lax,
        Some(port) => {
            port.bytes().all(|digit| digit.is_ascii_digit()) && port.trim_start_matches('0').len() <= 5 && {
                let number = port.trim_start_matches('0').parse::<u32>().unwrap_or(0);
                number <= 65_535
            }
        }
    };
    !host.is_empty() && is_made_of(host, "") && port_is_fair
}

/// The elements of a comma-separated list.
fn elements(value: &[u8]) -> Vec<&[u8]> {
    value.split(|byte| *byte == b',').map(trim).collect()
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
