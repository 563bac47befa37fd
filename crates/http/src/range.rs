//! `Range` (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole file: the field is absent or is ignored.
    Whole,
    /// These parts, none of them empty, in the order of the request.
    Parts(Vec<Range<u64>>),
    /// Only bytes beyond the end of the file.
    Unsatisfiable,
}

/// Reads a field value for a file of `size` bytes. A field that is malformed, has another unit or more than `most`
/// ranges, or asks for more bytes than there are, is ignored, as section 14.2 allows.
pub(crate) fn wanted(value: &[u8], size: u64, most: usize) -> Wanted {
    let Some((unit, set)) = value.split_at_checked(6) else {
        return Wanted::Whole;
    };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    let specs = set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut seen = 0;
    for spec in specs.filter(|spec| !spec.is_empty()) {
        seen += 1;
        match part(spec, size) {
            _ if seen > most => return Wanted::Whole,
            None => return Wanted::Whole,
            Some(part) if part.is_empty() => {}
            Some(part) => parts.push(part),
        }
    }
    let asked = parts
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(part.end - part.start));
    match asked {
        _ if seen == 0 => Wanted::Whole,
        Some(0) => Wanted::Unsatisfiable,
        // Overlapping ranges have no use except to cause work.
        Some(bytes) if parts.len() == 1 || bytes <= size => Wanted::Parts(parts),
        _ => Wanted::Whole,
    }
}

/// One range; empty if it lies beyond the end, `None` if it is malformed.
fn part(spec: &[u8], size: u64) -> Option<Range<u64>> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(size.saturating_sub(number(last)?)..size),
        (false, true) => Some(number(first)?.min(size)..size),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

/// Digits. A value of more than 64 bits counts as the largest number.
fn number(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_section_14_1_2_shows_them() {
        let parts = |value: &str, parts: &[(u64, u64)]| {
            assert_eq!(
                wanted(value.as_bytes(), 10_000, 16),
                Wanted::Parts(parts.iter().map(|&(first, end)| first..end).collect()),
                "{value}"
            );
        };
        parts("bytes=0-499", &[(0, 500)]);
        parts("BYTES=500-999", &[(500, 1000)]);
        parts("bytes=-500", &[(9500, 10_000)]);
        parts("bytes=9500-", &[(9500, 10_000)]);
        parts("bytes=-99999", &[(0, 10_000)]);
        parts("bytes=0-0,-1", &[(0, 1), (9999, 10_000)]);
        parts(
            "bytes= 0-999, 4500-5499 , ,-1000",
            &[(0, 1000), (4500, 5500), (9000, 10_000)],
        );
        parts("bytes=0-0,10000-", &[(0, 1)]);
        parts("bytes=9999-99999999999999999999999", &[(9999, 10_000)]);
    }

    #[test]
    fn what_is_malformed_or_too_much_is_ignored_and_what_is_beyond_is_unsatisfiable() {
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=1-0",
            "bytes=a-",
            "bytes=0-0,x",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=0-9999,0-9999",
            &many,
        ] {
            assert_eq!(wanted(whole.as_bytes(), 10_000, 16), Wanted::Whole, "{whole}");
        }
        for beyond in ["bytes=10000-", "bytes=-0", "bytes=10000-10001,20000-"] {
            assert_eq!(wanted(beyond.as_bytes(), 10_000, 16), Wanted::Unsatisfiable, "{beyond}");
        }
        assert_eq!(wanted(b"bytes=0-", 0, 16), Wanted::Unsatisfiable);
    }
}
