//! Bodies of requests: where they end, and their decoded bytes.

use crate::Limits;
use crate::class::{self, TOKEN};
use crate::head::Framing;
use crate::refusal::{CONTENT_TOO_LARGE, FIELDS_TOO_LARGE, Refusal};

/// The state of one body in progress.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    /// Bytes still to come of the body or of the chunk.
    remaining: u64,
    /// Decoded bytes so far.
    decoded: u64,
    /// Digits of the chunk size in progress.
    digits: u8,
    extensions: u32,
    trailers: u32,
}

/// The position of the next byte in the grammar of RFC 9112, section 7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a body of known length.
    Length,
    /// Before the first digit of a chunk size.
    SizeStart,
    Size,
    /// White space before the semicolon of an extension.
    SizeSpace,
    /// Behind the semicolon, before the name.
    ExtensionStart,
    ExtensionName,
    /// White space behind a name.
    ExtensionSpace,
    /// Behind the equals sign, before the value.
    ExtensionEquals,
    ExtensionToken,
    ExtensionQuoted,
    /// Behind a backslash in a quoted value.
    ExtensionEscape,
    /// Behind the closing quote.
    ExtensionEnd,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    EndLineFeed,
    Done,
}

/// The progress of [`Body::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

impl Body {
    /// `None` if there is no body to read.
    pub(crate) fn new(framing: Framing) -> Option<Body> {
        let (state, remaining) = match framing {
            Framing::None | Framing::Length(0) => return None,
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::SizeStart, 0),
        };
        Some(Body {
            state,
            remaining,
            decoded: 0,
            digits: 0,
            extensions: 0,
            trailers: 0,
        })
    }

    /// Takes body bytes from the front of `input` and returns how many it took. It appends the decoded bytes to `kept`, if
    /// given.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        mut kept: Option<&mut Vec<u8>>,
        limits: &Limits,
    ) -> Result<(usize, Progress), Refusal> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            if matches!(self.state, State::Length | State::Data) {
                let left = input.len() - used;
                let taken = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(left);
                self.remaining -= taken as u64;
                self.decoded += taken as u64;
                if let Some(kept) = kept.as_mut() {
                    kept.extend_from_slice(&input[used..used + taken]);
                }
                used += taken;
                if self.remaining == 0 {
                    self.state = if self.state == State::Length {
                        State::Done
                    } else {
                        State::DataReturn
                    };
                }
            } else {
                self.state = self.step(input[used], limits)?;
                used += 1;
            }
        }
        Ok((
            used,
            if self.state == State::Done {
                Progress::Done
            } else {
                Progress::More
            },
        ))
    }

    fn step(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        const SIZE: Refusal = Refusal::bad("malformed chunk size");
        const ENDING: Refusal = Refusal::bad("malformed chunk ending");
        const TRAILER: Refusal = Refusal::bad("malformed trailer");
        match (self.state, byte) {
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte, limits),
            (State::Size, b'\r') => Ok(State::SizeLineFeed),
            (State::SizeLineFeed, b'\n') if self.remaining == 0 => Ok(State::TrailerStart),
            (State::SizeLineFeed, b'\n') => Ok(State::Data),
            (State::SizeStart | State::SizeLineFeed, _) => Err(SIZE),
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::SizeStart),
            (State::DataReturn | State::DataLineFeed, _) => Err(ENDING),
            (State::TrailerStart, b'\r') => Ok(State::EndLineFeed),
            (State::EndLineFeed, b'\n') => Ok(State::Done),
            (State::TrailerStart | State::TrailerName, _) if class::is(byte, TOKEN) => {
                self.trailer(State::TrailerName, limits)
            }
            (State::TrailerName, b':') => self.trailer(State::TrailerValue, limits),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => self.trailer(State::TrailerValue, limits),
            (State::TrailerLineFeed, b'\n') => self.trailer(State::TrailerStart, limits),
            (
                State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLineFeed
                | State::EndLineFeed,
                _,
            ) => Err(TRAILER),
            (state, byte) => {
                let next = after_size(state, byte).ok_or(SIZE)?;
                if !matches!((next, byte), (State::SizeLineFeed, _) | (State::ExtensionStart, b';')) {
                    self.count_extension(limits)?;
                }
                Ok(next)
            }
        }
    }

    /// One more digit of a chunk size. The caps on digits and body are what keeps the sum from overflowing.
    fn digit(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        self.digits = if self.state == State::SizeStart {
            1
        } else {
            self.digits + 1
        };
        if self.digits > 16 {
            return Err(Refusal::bad("malformed chunk size"));
        }
        let digit = u64::from((byte as char).to_digit(16).unwrap_or(0));
        let size = self.remaining.saturating_mul(16).saturating_add(digit);
        if self.decoded.saturating_add(size) > limits.body {
            return Err(Refusal::with(CONTENT_TOO_LARGE, "the body is too large"));
        }
        self.remaining = size;
        Ok(State::Size)
    }

    fn count_extension(&mut self, limits: &Limits) -> Result<(), Refusal> {
        self.extensions += 1;
        if self.extensions > limits.chunk_extensions {
            return Err(Refusal::bad("too many bytes of chunk extensions"));
        }
        Ok(())
    }

    fn trailer(&mut self, next: State, limits: &Limits) -> Result<State, Refusal> {
        self.trailers += 1;
        if self.trailers > limits.trailers {
            return Err(Refusal::with(FIELDS_TOO_LARGE, "the trailers are too large"));
        }
        Ok(next)
    }
}

/// What follows a chunk size: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CR` (RFC 9112, section 7.1.1).
fn after_size(state: State, byte: u8) -> Option<State> {
    let token = class::is(byte, TOKEN);
    Some(match (state, byte) {
        (State::ExtensionQuoted, b'"') => State::ExtensionEnd,
        (State::ExtensionQuoted, b'\\') => State::ExtensionEscape,
        (State::ExtensionQuoted | State::ExtensionEscape, b'\t' | b' '..=b'~' | 0x80..) => State::ExtensionQuoted,
        (State::Size | State::ExtensionName | State::ExtensionToken | State::ExtensionEnd, b'\r') => {
            State::SizeLineFeed
        }
        (
            State::Size
            | State::SizeSpace
            | State::ExtensionName
            | State::ExtensionSpace
            | State::ExtensionToken
            | State::ExtensionEnd,
            b';',
        ) => State::ExtensionStart,
        (State::ExtensionName | State::ExtensionSpace, b'=') => State::ExtensionEquals,
        (State::ExtensionEquals, b'"') => State::ExtensionQuoted,
        (State::ExtensionStart | State::ExtensionName, _) if token => State::ExtensionName,
        (State::ExtensionEquals | State::ExtensionToken, _) if token => State::ExtensionToken,
        (State::Size | State::SizeSpace | State::ExtensionToken | State::ExtensionEnd, b' ' | b'\t') => {
            State::SizeSpace
        }
        (State::ExtensionName | State::ExtensionSpace, b' ' | b'\t') => State::ExtensionSpace,
        (State::ExtensionStart | State::ExtensionEquals, b' ' | b'\t') => state,
        _ => return None,
    })
}
