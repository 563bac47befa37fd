//! Files: which part of a file is sent, and with which fields (RFC 9110, sections 8.8, 13 and 14). The driver opens the file
//! and sends it.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Limits;
use crate::answer::{self, Content, Length, Manner, TEXT};
use crate::media_type;
use crate::range::{self, Wanted};
use crate::refusal::{
    FORBIDDEN, MOVED, NOT_FOUND, NOT_MODIFIED, OK, PARTIAL_CONTENT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE, Status,
    UNAVAILABLE,
};
use crate::{Date, target};

/// Facts about a regular file that the driver has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes.
    pub size: u64,
    /// When it was last modified, since the Unix epoch; earlier is 0.
    pub modified: Duration,
    /// The inode number. It distinguishes the file from earlier files of the same name.
    pub identity: u64,
}

/// Why there is no file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// Nothing of that name is below the root, or nothing that is a file: 404.
    Missing,
    /// A directory is there: 301 to the name with a slash.
    Directory,
    /// It may not be read: 403.
    Forbidden,
    /// Descriptors or memory are used up: 503.
    Shortage,
}

/// A part of a file that is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte.
    pub offset: u64,
    /// How many bytes, not 0.
    pub length: u64,
}

/// A reply with the bytes of a file in progress.
#[derive(Debug)]
pub(crate) struct FileReply {
    piece: Piece,
    /// The parts of a multipart reply that follow, the next one last.
    parts: Vec<Range<u64>>,
    /// The text before each part, without its range; empty if the reply has one part.
    delimiter: String,
    size: u64,
}

impl FileReply {
    pub(crate) fn piece(&self) -> Piece {
        self.piece
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.piece.length = self
            .piece
            .length
            .checked_sub(bytes)
            .expect("more was sent than the piece held");
        self.piece.offset += bytes;
    }

    /// Continues with the next part when one is complete; returns whether there was one.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match self.parts.pop() {
            Some(part) => {
                out.extend_from_slice(part_head(&self.delimiter, &part, self.size).as_bytes());
                self.piece = piece(&part);
                true
            }
            None => {
                out.extend_from_slice(last_delimiter(&self.delimiter).as_bytes());
                false
            }
        }
    }
}

/// The decoded path below the root that a request names. `None` if no file can have it: it has an encoded slash, a NUL, or a
/// segment that is empty, `.` or `..`. For a directory it is the path of its index.
pub(crate) fn path(head: &[u8]) -> Option<Vec<u8>> {
    let (path, _) = target::origin(head)?;
    let mut decoded = Vec::with_capacity(path.len() + INDEX.len());
    let mut rest = path.strip_prefix(b"/")?;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            rest = after;
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            if matches!(byte, b'/' | 0) {
                return None;
            }
            byte
        } else {
            byte
        };
        decoded.push(byte);
    }
    if decoded.is_empty() || decoded.ends_with(b"/") {
        decoded.extend_from_slice(INDEX);
    }
    let climbs = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    (!decoded.split(|byte| *byte == b'/').any(climbs)).then_some(decoded)
}

/// The file that is sent for a directory.
const INDEX: &[u8] = b"index.html";

/// Answers with a file: appends the head, and returns the rest of the reply if bytes of the file follow.
pub(crate) fn answer(
    head: &[u8],
    facts: FileFacts,
    manner: Manner,
    limits: &Limits,
    date: &Date,
    out: &mut Vec<u8>,
) -> Option<FileReply> {
    let media_type = path(head).map_or("application/octet-stream", |path| media_type::of(&path));
    let validators = Validators::of(&facts, date);
    let fields = validators.fields();
    let asked = Asked::of(head);
    match asked.verdict(&validators) {
        Some(PRECONDITION_FAILED) => {
            let why = b"the file is not the one that was meant\n";
            answer::whole(out, PRECONDITION_FAILED, &[&fields, TEXT].concat(), why, manner, date);
            return None;
        }
        Some(status) => {
            answer::head(out, status, &fields, Length::Unsaid, manner, date);
            return None;
        }
        None => {}
    }
    let wanted = match asked.range.value() {
        // Only GET has ranges (section 14.2).
        Some(value) if manner.content == Content::Sent && asked.range_holds(&validators) => {
            range::wanted(value, facts.size, limits.ranges)
        }
        _ => Wanted::Whole,
    };
    let kind = ["Content-Type: ", media_type, "\r\n"].concat();
    let fields = ["Accept-Ranges: bytes\r\n", &fields].concat();
    match wanted {
        Wanted::Unsatisfiable => {
            let fields = format!(
                "Accept-Ranges: bytes\r\nContent-Range: bytes */{}\r\n{TEXT}",
                facts.size
            );
            let why = b"the file has no such range\n";
            answer::whole(out, RANGE_NOT_SATISFIABLE, &fields, why, manner, date);
            None
        }
        Wanted::Whole => {
            let fields = [kind, fields].concat();
            answer::head(out, OK, &fields, Length::Of(facts.size), manner, date);
            let sends = manner.content == Content::Sent && facts.size > 0;
            sends.then(|| FileReply::of(&(0..facts.size), facts.size))
        }
        Wanted::Parts(parts) => match parts.as_slice() {
            [part] => {
                let fields = [&kind, &content_range(part, facts.size), "\r\n", &fields].concat();
                answer::head(
                    out,
                    PARTIAL_CONTENT,
                    &fields,
                    Length::Of(part.end - part.start),
                    manner,
                    date,
                );
                Some(FileReply::of(part, facts.size))
            }
            _ => Some(multipart(parts, &kind, &fields, &facts, manner, date, out)),
        },
    }
}

/// Answers a request whose file cannot be sent.
pub(crate) fn answer_without(head: &[u8], why: Unsent, manner: Manner, date: &Date, out: &mut Vec<u8>) {
    let (status, text): (Status, &[u8]) = match why {
        Unsent::Missing => (NOT_FOUND, b"nothing is here\n"),
        Unsent::Forbidden => (FORBIDDEN, b"this may not be read\n"),
        Unsent::Shortage => (UNAVAILABLE, b"too many files are open: try again\n"),
        Unsent::Directory => {
            // The path has no empty segment, so a client cannot read it as the name of another host.
            let (path, query) = target::origin(head).unwrap_or_default();
            let (path, query) = (String::from_utf8_lossy(path), String::from_utf8_lossy(query));
            let fields = ["Location: ", &path, "/", &query, "\r\n", TEXT].concat();
            return answer::whole(out, MOVED, &fields, b"a directory ends with a slash\n", manner, date);
        }
    };
    answer::whole(out, status, TEXT, text, manner, date);
}

impl FileReply {
    fn of(part: &Range<u64>, size: u64) -> FileReply {
        FileReply {
            piece: piece(part),
            parts: Vec::new(),
            delimiter: String::new(),
            size,
        }
    }
}

fn multipart(
    mut parts: Vec<Range<u64>>,
    kind: &str,
    fields: &str,
    facts: &FileFacts,
    manner: Manner,
    date: &Date,
    out: &mut Vec<u8>,
) -> FileReply {
    let boundary = format!("c10k-{:x}-{:x}", facts.modified.as_nanos(), facts.identity);
    let delimiter = format!("\r\n--{boundary}\r\n{kind}");
    let length: u64 = parts
        .iter()
        .map(|part| part_head(&delimiter, part, facts.size).len() as u64 + part.end - part.start)
        .sum::<u64>()
        + last_delimiter(&delimiter).len() as u64;
    let kind = format!("Content-Type: multipart/byteranges; boundary={boundary}\r\n");
    answer::head(
        out,
        PARTIAL_CONTENT,
        &[&kind, fields].concat(),
        Length::Of(length),
        manner,
        date,
    );
    parts.reverse();
    let mut reply = FileReply::of(&(0..0), facts.size);
    (reply.parts, reply.delimiter) = (parts, delimiter);
    reply.next(out);
    reply
}

fn piece(part: &Range<u64>) -> Piece {
    Piece {
        offset: part.start,
        length: part.end - part.start,
    }
}

fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("Content-Range: bytes {}-{}/{size}", part.start, part.end - 1)
}

fn part_head(delimiter: &str, part: &Range<u64>, size: u64) -> String {
    [delimiter, &content_range(part, size), "\r\n\r\n"].concat()
}

/// The end of a multipart reply; empty if there is one part.
fn last_delimiter(delimiter: &str) -> String {
    match delimiter.trim_start().split_once("\r\n") {
        Some((boundary, _)) => format!("\r\n{boundary}--\r\n"),
        None => String::new(),
    }
}

/// What identifies a version of a file.
struct Validators {
    tag: String,
    modified: SystemTime,
    /// In whole seconds, the resolution of the fields.
    modified_s: Duration,
}

impl Validators {
    fn of(facts: &FileFacts, date: &Date) -> Validators {
        let tag = format!(
            "\"{:x}-{:x}-{:x}\"",
            facts.identity,
            facts.size,
            facts.modified.as_nanos()
        );
        // Never later than the reply (section 8.8.2.1).
        let modified_s = Duration::from_secs(facts.modified.as_secs()).min(date.since_epoch());
        Validators {
            tag,
            modified: UNIX_EPOCH + modified_s,
            modified_s,
        }
    }

    fn fields(&self) -> String {
        let modified = httpdate::fmt_http_date(self.modified);
        ["ETag: ", &self.tag, "\r\nLast-Modified: ", &modified, "\r\n"].concat()
    }

    /// Whether a list of tags, or `*`, names this version. A weak tag matches only in a weak comparison. No tag of a file
    /// has a comma, so that one within another tag does no harm.
    fn is_named_by(&self, lines: &[&[u8]], comparison: Comparison) -> bool {
        let mut elements = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
        elements.any(|element| {
            let tag = element.trim_ascii();
            let strong = match comparison {
                Comparison::Weak => tag.strip_prefix(b"W/").unwrap_or(tag),
                Comparison::Strong => tag,
            };
            tag == b"*" || strong == self.tag.as_bytes()
        })
    }

    fn modified_after(&self, value: &[u8]) -> Option<bool> {
        let text = std::str::from_utf8(value).ok()?;
        let then = httpdate::parse_http_date(text).ok()?;
        Some(self.modified > then)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Weak,
    Strong,
}

/// The fields of a request that decide which part of a file is sent.
#[derive(Default)]
struct Asked<'a> {
    /// The lines of a list (section 5.3).
    if_match: Vec<&'a [u8]>,
    if_none_match: Vec<&'a [u8]>,
    if_modified_since: Single<'a>,
    if_unmodified_since: Single<'a>,
    if_range: Single<'a>,
    range: Single<'a>,
}

/// A field that has one value. Several lines of it have none that is valid.
#[derive(Default, Clone, Copy)]
enum Single<'a> {
    #[default]
    Absent,
    Value(&'a [u8]),
    Repeated,
}

impl<'a> Single<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Single::Absent => Single::Value(value),
            Single::Value(_) | Single::Repeated => Single::Repeated,
        };
    }

    /// The value, which is empty, and therefore invalid, if the field is repeated. `None` if it is absent.
    fn value(self) -> Option<&'a [u8]> {
        match self {
            Single::Absent => None,
            Single::Value(value) => Some(value),
            Single::Repeated => Some(b""),
        }
    }
}

impl<'a> Asked<'a> {
    /// Reads a well-formed head.
    fn of(head: &'a [u8]) -> Asked<'a> {
        let mut asked = Asked::default();
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            match name.len() {
                5 if name.eq_ignore_ascii_case(b"range") => asked.range.add(value),
                8 if name.eq_ignore_ascii_case(b"if-match") => asked.if_match.push(value),
                8 if name.eq_ignore_ascii_case(b"if-range") => asked.if_range.add(value),
                13 if name.eq_ignore_ascii_case(b"if-none-match") => asked.if_none_match.push(value),
                17 if name.eq_ignore_ascii_case(b"if-modified-since") => asked.if_modified_since.add(value),
                19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => asked.if_unmodified_since.add(value),
                _ => {}
            }
        }
        asked
    }

    /// Section 13.2.2: the status by which a precondition ends the request, if one does.
    fn verdict(&self, file: &Validators) -> Option<Status> {
        let met = match (self.if_match.as_slice(), self.if_unmodified_since.value()) {
            ([], None) => true,
            ([], Some(since)) => !file.modified_after(since).unwrap_or(false),
            (tags, _) => file.is_named_by(tags, Comparison::Strong),
        };
        if !met {
            return Some(PRECONDITION_FAILED);
        }
        let known = match (self.if_none_match.as_slice(), self.if_modified_since.value()) {
            ([], None) => false,
            ([], Some(since)) => !file.modified_after(since).unwrap_or(true),
            (tags, _) => file.is_named_by(tags, Comparison::Weak),
        };
        known.then_some(NOT_MODIFIED)
    }

    /// Section 13.1.5: whether the file is the version of which the client has a part.
    fn range_holds(&self, file: &Validators) -> bool {
        match self.if_range.value() {
            None => true,
            Some(tag) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => tag == file.tag.as_bytes(),
            // A date must match exactly.
            Some(date) => std::str::from_utf8(date)
                .ok()
                .and_then(|text| httpdate::parse_http_date(text).ok())
                .and_then(|then| then.duration_since(UNIX_EPOCH).ok())
                .is_some_and(|then| then == file.modified_s),
        }
    }
}
