//! The reply of a daemon, without I/O: bytes in, lines out. What a daemon may make the viewer hold is bounded.

use httparse::{EMPTY_HEADER, Status};

/// Bytes of the head of a reply.
const MAX_HEAD: usize = 8 * 1024;

/// Fields of the head of a reply.
const MAX_FIELDS: usize = 64;

/// Bytes of a line.
const MAX_LINE: usize = 64 * 1024;

/// Bytes of the line that has the size of a chunk.
const MAX_SIZE_LINE: usize = 256;

/// Why a reply is not read on. Each message is short, for a column of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the head of the reply is larger than {MAX_HEAD} bytes")]
    HeadTooLarge,
    #[error("the reply is not HTTP/1.1")]
    NotHttp,
    #[error("the reply has status {0}")]
    Status(u16),
    #[error("a line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    #[error("a chunk of the reply is malformed")]
    Chunk,
    #[error("a line is no sample: {0}")]
    Sample(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    /// The size of a chunk.
    Size,
    /// So many bytes of a chunk are left.
    Data(u64),
    /// The CRLF after a chunk.
    DataEnd,
    /// No chunks: everything that follows.
    Plain,
    /// The last chunk has come.
    Ended,
}

/// The state of one reply.
#[derive(Debug)]
pub(crate) struct Decoder {
    phase: Phase,
    /// The head, or the line with the size of a chunk, as far as it has come.
    head: Vec<u8>,
    line: Vec<u8>,
}

/// Whether more will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    /// The daemon has ended the stream.
    Ended,
}

impl Decoder {
    pub(crate) fn new() -> Decoder {
        Decoder {
            phase: Phase::Head,
            head: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Whether the head has come.
    pub(crate) fn has_head(&self) -> bool {
        self.phase != Phase::Head
    }

    /// Takes bytes of the reply. Calls `on_line` for each whole line, without its line feed.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        on_line: &mut dyn FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<Progress, Refused> {
        while !bytes.is_empty() {
            match self.phase {
                Phase::Head => bytes = self.head(bytes)?,
                Phase::Size => bytes = self.size(bytes)?,
                Phase::Data(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.lines(&bytes[..length], on_line)?;
                    bytes = &bytes[length..];
                    self.phase = match left - length as u64 {
                        0 => Phase::DataEnd,
                        left => Phase::Data(left),
                    };
                }
                Phase::DataEnd => {
                    let (line, rest) = self.upto_line_feed(bytes, b"\r\n".len(), Refused::Chunk)?;
                    bytes = rest;
                    if let Some(line) = line {
                        if line != b"\r\n" {
                            return Err(Refused::Chunk);
                        }
                        self.phase = Phase::Size;
                    }
                }
                Phase::Plain => {
                    self.lines(bytes, on_line)?;
                    bytes = &[];
                }
                Phase::Ended => break,
            }
        }
        Ok(if self.phase == Phase::Ended {
            Progress::Ended
        } else {
            Progress::More
        })
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refused> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut reply = httparse::Response::new(&mut fields);
        let length = match reply.parse(&self.head) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if self.head.len() < MAX_HEAD => return Ok(&[]),
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Refused::HeadTooLarge),
            Err(_) => return Err(Refused::NotHttp),
        };
        match reply.code {
            Some(200) => {}
            code => return Err(Refused::Status(code.unwrap_or_default())),
        }
        let is_chunked = reply.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("transfer-encoding") && field.value.eq_ignore_ascii_case(b"chunked")
        });
        self.phase = if is_chunked { Phase::Size } else { Phase::Plain };
        self.head = Vec::new();
        Ok(&bytes[length - before..])
    }

    fn size<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refused> {
        let (line, rest) = self.upto_line_feed(bytes, MAX_SIZE_LINE, Refused::Chunk)?;
        let Some(line) = line else {
            return Ok(rest);
        };
        self.phase = match httparse::parse_chunk_size(&line) {
            // What follows are fields that nobody needs.
            Ok(Status::Complete((_, 0))) => Phase::Ended,
            Ok(Status::Complete((_, size))) => Phase::Data(size),
            Ok(Status::Partial) | Err(_) => return Err(Refused::Chunk),
        };
        Ok(rest)
    }

    /// A whole line with its line feed, if it has come, and the bytes after it.
    fn upto_line_feed<'a>(
        &mut self,
        bytes: &'a [u8],
        most: usize,
        otherwise: Refused,
    ) -> Result<(Option<Vec<u8>>, &'a [u8]), Refused> {
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let (taken, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.head.len() + taken.len() > most {
            return Err(otherwise);
        }
        self.head.extend_from_slice(taken);
        Ok((end.map(|_| std::mem::take(&mut self.head)), rest))
    }

    fn lines(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&[u8]) -> Result<(), Refused>) -> Result<(), Refused> {
        let mut parts = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.line.len() + part.len() > MAX_LINE {
                return Err(Refused::LineTooLong);
            }
            self.line.extend_from_slice(part);
            // The last part has no line feed yet.
            if parts.peek().is_some() {
                if !self.line.is_empty() {
                    on_line(&self.line)?;
                }
                self.line.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// What a reply gives, fed in pieces of `size` bytes.
    fn decoded(reply: &[u8], size: usize) -> Result<(Vec<String>, Progress), Refused> {
        let (mut decoder, mut lines) = (Decoder::new(), Vec::new());
        let mut progress = Progress::More;
        for piece in reply.chunks(size) {
            progress = decoder.feed(piece, &mut |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            })?;
        }
        Ok((lines, progress))
    }

    #[test]
    fn lines_do_not_depend_on_how_the_reply_is_cut() {
        let reply = format!("{HEAD}4\r\na\nbb\r\n5;x=1\r\nb\n\ncc\r\n1\r\n\n\r\n0\r\n\r\n");
        for size in 1..=reply.len() {
            let (lines, progress) = decoded(reply.as_bytes(), size).expect("well-formed");
            assert_eq!(
                (lines, progress),
                (vec!["a".into(), "bbb".into(), "cc".into()], Progress::Ended),
                "{size}"
            );
        }
    }

    #[test]
    fn a_reply_without_chunks_is_read_to_its_end() {
        let reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\nb\nc";
        for size in [1, 7, reply.len()] {
            assert_eq!(decoded(reply, size), Ok((vec!["a".into(), "b".into()], Progress::More)));
        }
    }

    #[test]
    fn a_reply_that_is_no_stream_is_refused() {
        for (reply, wanted) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n".to_owned(),
                Refused::Status(503),
            ),
            ("220 mail.example ESMTP\r\n".to_owned(), Refused::NotHttp),
            (
                format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(MAX_HEAD)),
                Refused::HeadTooLarge,
            ),
            (format!("{HEAD}zz\r\n"), Refused::Chunk),
            (format!("{HEAD}1\r\na?\r\n"), Refused::Chunk),
            (format!("{HEAD}1;{}", "x".repeat(MAX_SIZE_LINE)), Refused::Chunk),
            (
                format!("{HEAD}{:x}\r\n{}", MAX_LINE + 1, "x".repeat(MAX_LINE + 1)),
                Refused::LineTooLong,
            ),
        ] {
            for size in [1, 1000, reply.len()] {
                assert_eq!(decoded(reply.as_bytes(), size).expect_err("refused"), wanted, "{size}");
            }
        }
    }

    #[test]
    fn a_line_of_the_largest_size_is_taken() {
        let reply = format!("{HEAD}{:x}\r\n{}\n\r\n", MAX_LINE + 1, "x".repeat(MAX_LINE));
        let (lines, _) = decoded(reply.as_bytes(), 4096).expect("well-formed");
        assert_eq!(lines[0].len(), MAX_LINE);
    }

    #[test]
    fn what_a_line_is_refused_for_ends_the_reply() {
        let mut decoder = Decoder::new();
        let outcome = decoder.feed(format!("{HEAD}2\r\na\n\r\n").as_bytes(), &mut |_| {
            Err(Refused::Sample("no".to_owned()))
        });
        assert_eq!(outcome, Err(Refused::Sample("no".to_owned())));
        assert!(decoder.has_head());
    }
}
