//! A kind of request as bytes: what is the same in all of its requests, and which number differs.

use std::io::Write as _;

use super::mix::{MixRow, Numbers};
use crate::fingerprint::Fingerprint;

/// The request that is due: a row of the mix, and the number in its path. Without a mix there is one row, without a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The index of the row.
    pub(crate) row: u16,
    /// The number in the path; ignored if the path has none.
    pub(crate) number: u32,
}

/// What every reply is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// The length of the body in bytes; any length if absent.
    pub(crate) body_bytes: Option<u64>,
    /// The fingerprint of the body; any body if absent.
    pub(crate) body: Option<Fingerprint>,
}

/// A kind of request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestRow {
    /// What reports call it.
    pub(crate) text: String,
    /// Its share is the weight divided by the sum of all weights.
    pub(crate) weight: f64,
    /// Which number the path has.
    pub(crate) numbers: Numbers,
    /// The bytes up to the number.
    before: Vec<u8>,
    /// The bytes after the number.
    after: Vec<u8>,
    /// What every reply must contain.
    pub(crate) expected: Expected,
}

impl RequestRow {
    /// `GET path`, the only row.
    ///
    /// There is no `Connection` field: HTTP/1.1 connections persist, and if a connection ends after K requests, this side
    /// closes it.
    pub(super) fn get(path: &str, authority: &str) -> Self {
        Self {
            text: path.to_owned(),
            weight: 1.0,
            numbers: Numbers::Absent,
            before: format!("GET {path}").into_bytes(),
            after: format!("{}\r\n", head_rest(authority)).into_bytes(),
            expected: Expected {
                body_bytes: promised_length(path),
                body: None,
            },
        }
    }

    /// A row of a mix.
    pub(super) fn of_mix(row: &MixRow, authority: &str) -> Self {
        let mut after = format!("{}{}", row.path_rest, head_rest(authority)).into_bytes();
        if let Some(length) = row.body_bytes {
            after.extend(format!("Content-Length: {length}\r\n").bytes());
        }
        after.extend(b"\r\n");
        after.resize(after.len() + row.body_bytes.unwrap_or(0), b'x');
        let is_fixed = row.numbers == Numbers::Absent;
        Self {
            text: row.text.clone(),
            weight: row.weight,
            numbers: row.numbers,
            before: format!("{} {}", row.method, row.path).into_bytes(),
            after,
            expected: Expected {
                body_bytes: promised_length(&row.path).filter(|_| is_fixed),
                body: None,
            },
        }
    }

    /// The length of the request with this number, in bytes.
    pub(super) fn length(&self, number: u32) -> usize {
        let digits = match self.numbers {
            Numbers::Absent => 0,
            Numbers::Uniform { .. } | Numbers::Zipf { .. } => number.checked_ilog10().unwrap_or(0) as usize + 1,
        };
        self.before.len() + digits + self.after.len()
    }

    /// Appends the bytes of the request with this number.
    pub(super) fn append(&self, number: u32, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.before);
        if self.numbers != Numbers::Absent {
            write!(bytes, "{number}").expect("a Vec accepts everything");
        }
        bytes.extend_from_slice(&self.after);
    }
}

/// What follows the path in the head, up to the fields of the body.
fn head_rest(authority: &str) -> String {
    format!(" HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: c10k-load\r\n")
}

/// The length of the body, if the path is `/bytes/N`.
fn promised_length(path: &str) -> Option<u64> {
    let size = path.split('?').next()?.strip_prefix("/bytes/")?;
    c10k_units::size::parse(size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(row: &RequestRow, number: u32) -> String {
        let mut bytes = Vec::new();
        row.append(number, &mut bytes);
        assert_eq!(bytes.len(), row.length(number), "{number}");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_request_has_its_number_and_its_body() {
        let row = |text| RequestRow::of_mix(&MixRow::parse(text).unwrap(), "h:81");
        let fields = "HTTP/1.1\r\nHost: h:81\r\nUser-Agent: c10k-load\r\n";
        let cold = row("1=/file/{zipf:10000}/cold");
        for number in [0, 9, 10, 99, 100, 9999, u32::MAX] {
            assert_eq!(bytes(&cold, number), format!("GET /file/{number}/cold {fields}\r\n"));
        }
        let mail = row("1=POST /mail/{uniform:4} 5");
        assert_eq!(
            bytes(&mail, 3),
            format!("POST /mail/3 {fields}Content-Length: 5\r\n\r\nxxxxx")
        );
        assert_eq!(bytes(&row("1=DELETE /a"), 7), format!("DELETE /a {fields}\r\n"));
        assert_eq!(bytes(&row("1=/a"), 7), bytes(&RequestRow::get("/a", "h:81"), 0));
    }

    #[test]
    fn only_a_whole_path_promises_a_length() {
        let promised = |text| {
            RequestRow::of_mix(&MixRow::parse(text).unwrap(), "h")
                .expected
                .body_bytes
        };
        assert_eq!(promised("1=/bytes/6k"), Some(6144));
        assert_eq!(promised("1=/bytes/9{uniform:5}"), None);
        assert_eq!(promised("1=/bytes/{uniform:5}"), None);
    }
}
