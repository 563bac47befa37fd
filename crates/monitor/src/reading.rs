//! A sample as the bytes that all subscribers share.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use c10k_record::MonitorSample;

/// The last chunk of a chunked stream.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How a stream marks where a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By chunks of HTTP/1.1; a line is a chunk.
    Chunked,
    /// Not at all, for HTTP/1.0: the end of the connection ends the stream.
    Plain,
}

/// Bytes that are to be sent, shared with all others to whom they are to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    bytes: Arc<[u8]>,
    from: usize,
    to: usize,
}

impl Shared {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// The rest after `sent` bytes.
    pub(crate) fn after(&self, sent: usize) -> Shared {
        Shared {
            bytes: Arc::clone(&self.bytes),
            from: self.to.min(self.from + sent),
            to: self.to,
        }
    }
}

/// One sample, serialised once.
#[derive(Debug)]
pub(crate) struct Reading {
    sample: MonitorSample,
    /// The line as a chunk.
    chunk: Arc<[u8]>,
    /// Where the line is in it, with its line feed.
    line: Range<usize>,
}

impl Reading {
    pub(crate) fn new(sample: MonitorSample) -> Reading {
        // A record of numbers and one text always has a JSON form.
        let json = serde_json::to_string(&sample).unwrap_or_default();
        let mut chunk = String::with_capacity(json.len() + 16);
        let _ = write!(chunk, "{:x}\r\n", json.len() + 1);
        let start = chunk.len();
        chunk.push_str(&json);
        chunk.push('\n');
        let line = start..chunk.len();
        chunk.push_str("\r\n");
        Reading {
            sample,
            chunk: chunk.into_bytes().into(),
            line,
        }
    }

    pub(crate) fn sample(&self) -> &MonitorSample {
        &self.sample
    }

    /// The JSON object with its line feed.
    pub(crate) fn line(&self) -> &[u8] {
        &self.chunk[self.line.clone()]
    }

    /// What a subscriber is sent.
    pub(crate) fn bytes(&self, framing: Framing) -> &[u8] {
        &self.chunk[self.range(framing)]
    }

    /// The same, to be kept without a copy.
    pub(crate) fn shared(&self, framing: Framing) -> Shared {
        let range = self.range(framing);
        Shared {
            bytes: Arc::clone(&self.chunk),
            from: range.start,
            to: range.end,
        }
    }

    fn range(&self, framing: Framing) -> Range<usize> {
        match framing {
            Framing::Chunked => 0..self.chunk.len(),
            Framing::Plain => self.line.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_share_the_same_bytes() {
        let reading = Reading::new(MonitorSample {
            host: "a \"host\"\n".to_owned(),
            sequence: 7,
            ..MonitorSample::default()
        });
        let (chunk, plain) = (reading.shared(Framing::Chunked), reading.shared(Framing::Plain));
        assert!(Arc::ptr_eq(&chunk.bytes, &plain.bytes));
        let text = std::str::from_utf8(chunk.bytes()).expect("JSON is UTF-8");
        let (size, rest) = text.split_once("\r\n").expect("a chunk begins with its size");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        assert_eq!(&rest[size..], "\r\n");
        assert_eq!(&rest.as_bytes()[..size], plain.bytes());
        assert_eq!(plain.bytes(), reading.line());
        assert_eq!(
            plain.bytes().iter().filter(|&&byte| byte == b'\n').count(),
            1,
            "one line"
        );
        let read: MonitorSample = c10k_record::read::object(plain.bytes()).expect("a record");
        assert_eq!(&read, reading.sample());
        assert_eq!(plain.after(plain.bytes().len() - 2).bytes(), b"}\n");
        assert!(plain.after(usize::MAX >> 1).bytes().is_empty());
    }
}
