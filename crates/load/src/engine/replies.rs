//! What comes back: bytes into replies, replies into outcomes.

use c10k_event::Readiness;
use c10k_http::reply::{Persistence, Progress, Reply};

use super::Engine;
use crate::account::Outcome;
use crate::failure::Failure;
use crate::fingerprint::Fingerprint;
use crate::lane::Lane;
use crate::world::{Got, Link, World};

/// Reads from one connection before the others get their turn.
const READS_AT_ONCE: usize = 16;

/// Whether a connection goes on after what was read from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Close,
}

impl<W: World> Engine<'_, W> {
    /// Reads replies until the connection is empty, within bounds.
    pub(super) fn read(&mut self, index: u32, readiness: Readiness) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut after = After::Open;
        for turn in 0.. {
            if self.lanes[index as usize].link != Some(Link::Up) {
                break;
            }
            if turn == READS_AT_ONCE {
                self.unread.push(index);
                break;
            }
            match self.world.read(index, &mut buffer) {
                Ok(Got::Nothing) => break,
                Ok(Got::End) => after = self.end_of_stream(index),
                Ok(Got::Bytes(length)) => {
                    self.note_bytes(index, length);
                    after = self.take_bytes(index, &buffer[..length]);
                    // A short read has emptied the socket; only an end that was already known is still to be read.
                    if length < buffer.len() && !readiness.is_read_closed() && !readiness.is_error() {
                        break;
                    }
                }
                Err(failure) => {
                    self.end_all_sent(index, Outcome::Failed(failure));
                    after = After::Close;
                }
            }
            if after == After::Close {
                break;
            }
        }
        self.buffer = buffer;
        if after == After::Close {
            // What was sent behind the reply that ended the connection gets no answer.
            self.end_all_sent(index, Outcome::Failed(Failure::Truncated));
            self.disconnect(index);
        }
        self.settle(index);
    }

    /// Notes what was read, and when a reply begins with it.
    fn note_bytes(&mut self, index: u32, length: usize) {
        self.traffic.bytes_in += length as u64;
        let lane = &self.lanes[index as usize];
        if !lane.parser.in_reply()
            && let Some(sent) = lane.first_sent()
        {
            // The send of a request that made its connection began with the connect, which is no part of the response.
            self.traffic
                .response
                .record(self.world.now().since_ns(sent.max(lane.up)));
        }
    }

    fn take_bytes(&mut self, index: u32, bytes: &[u8]) -> After {
        let mut rest = bytes;
        while !rest.is_empty() {
            let lane = &mut self.lanes[index as usize];
            if lane.on_wire() == 0 {
                // Bytes that nothing asked for: there is no request to blame, and the stream is out of step.
                return After::Close;
            }
            let verified = self.plan.target.expected.body.is_some();
            let Lane { parser, body, .. } = lane;
            let progress = parser.feed(rest, |bytes| {
                if verified {
                    body.take(bytes);
                }
            });
            match progress {
                Ok(Progress::Partial) => return After::Open,
                Ok(Progress::Complete { reply, consumed }) => {
                    rest = &rest[consumed..];
                    let surplus = !rest.is_empty() && lane.on_wire() == 1;
                    let outcome = if surplus {
                        Outcome::Failed(Failure::BadLength)
                    } else {
                        self.judge(index, reply)
                    };
                    if self.replied(index, reply, outcome) == After::Close {
                        return After::Close;
                    }
                }
                Err(error) => {
                    self.end_first(index, Outcome::Failed(error.into()));
                    return After::Close;
                }
            }
        }
        After::Open
    }

    fn end_of_stream(&mut self, index: u32) -> After {
        let lane = &mut self.lanes[index as usize];
        if lane.on_wire() > 0 {
            let outcome = match lane.parser.end() {
                Ok(reply) => {
                    lane.served += 1;
                    self.traffic.replied(reply.status, reply.body_bytes);
                    self.judge(index, reply)
                }
                Err(error) => Outcome::Failed(error.into()),
            };
            self.end_first(index, outcome);
        }
        After::Close
    }

    fn replied(&mut self, index: u32, reply: Reply, outcome: Outcome) -> After {
        self.end_first(index, outcome);
        self.traffic.replied(reply.status, reply.body_bytes);
        let lane = &mut self.lanes[index as usize];
        lane.served += 1;
        let spent = self
            .plan
            .pattern
            .per_connection()
            .is_some_and(|limit| lane.served >= limit.get());
        let broken = !matches!(outcome, Outcome::Completed | Outcome::Failed(Failure::BadStatus));
        if spent || broken || reply.persistence == Persistence::Close {
            After::Close
        } else {
            After::Open
        }
    }

    fn judge(&mut self, index: u32, reply: Reply) -> Outcome {
        let body = std::mem::replace(&mut self.lanes[index as usize].body, Fingerprint::EMPTY);
        let expected = &self.plan.target.expected;
        if !(200..300).contains(&reply.status) {
            Outcome::Failed(Failure::BadStatus)
        } else if expected.body_bytes.is_some_and(|expected| expected != reply.body_bytes) {
            Outcome::Failed(Failure::BadLength)
        } else if expected.body.is_some_and(|expected| expected != body) {
            Outcome::Failed(Failure::BadBody)
        } else {
            Outcome::Completed
        }
    }
}
