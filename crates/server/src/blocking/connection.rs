//! One connection, served by code that waits where it stands.
//!
//! How it waits is a parameter ([`Waits`]): a thread or a process blocks in its system calls, a coroutine lets others run.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use c10k_http::{Ending, Step};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::context::WorkerContext;
use crate::core::{ConnectionCore, Expired, Output};
use crate::send::send_next;
use crate::spin::spin;

/// Whatever serves connections with code that waits.
pub(crate) trait Waits {
    /// The most bytes of a file that are sent with one call.
    const FILE_BYTES: usize;

    /// The worker. During a wait others may use its read buffer.
    fn worker(&mut self) -> &mut WorkerContext;

    /// Brings the worker's time up to date, and whether the server drains.
    fn refresh(&mut self);

    /// Waits for input until the connection's deadline, and receives some into the worker's read buffer. Returns the number
    /// of bytes, 0 at the end of the input.
    ///
    /// # Errors
    /// `EAGAIN` if the deadline passed. `EINTR` if the wait ended for another reason, such as the beginning of a drain.
    fn receive(&mut self, socket: BorrowedFd<'_>, connection: &ConnectionCore) -> Result<usize, Errno>;

    /// Waits until the socket takes more output, or the connection's deadline passes. Returns at once if the call that
    /// failed with `EAGAIN` has waited itself.
    fn wait_to_send(&mut self, connection: &ConnectionCore);

    /// Notes that so many bytes were sent. Other connections may have a turn now.
    fn sent(&mut self, bytes: usize);

    /// Adds what the worker's mechanism has counted to the server's statistics, which are about to be answered.
    fn report_mechanism(&mut self);

    /// Does the work that the connection asks for, or has it done, and lets it answer. Returns the step that follows.
    fn do_work(&mut self, connection: &mut ConnectionCore) -> Step;
}

/// A connection that is being served.
pub(crate) struct BlockingConnection<'a, S, W> {
    socket: S,
    waits: &'a mut W,
    core: ConnectionCore,
    /// The file of which a part has not been sent.
    file: Option<OwnedFd>,
}

/// Why a connection is over.
enum End {
    /// Nothing more can be sent.
    Now,
    /// The client may still be sending.
    Linger,
}

impl<'a, S: AsFd, W: Waits> BlockingConnection<'a, S, W> {
    pub(crate) fn new(socket: S, waits: &'a mut W) -> BlockingConnection<'a, S, W> {
        BlockingConnection {
            socket,
            waits,
            core: ConnectionCore::new(),
            file: None,
        }
    }

    /// Serves the connection until it is over.
    pub(crate) fn serve(mut self) {
        if matches!(self.serve_requests(), End::Linger) {
            self.linger();
        }
    }

    fn serve_requests(&mut self) -> End {
        let mut step = Step::Read;
        loop {
            if matches!(step, Step::Read | Step::Write | Step::Block | Step::Close(_)) && self.flush().is_err() {
                return End::Now;
            }
            let taken = match step {
                Step::Read => match self.receive() {
                    Ok(taken) => taken,
                    Err(end) => return end,
                },
                Step::Write => 0,
                Step::Work(time) => {
                    spin(time);
                    0
                }
                Step::Stats => {
                    self.waits.report_mechanism();
                    step = self.waits.worker().answer_stats(&mut self.core);
                    continue;
                }
                Step::Block => {
                    step = self.waits.do_work(&mut self.core);
                    continue;
                }
                Step::Open => {
                    (step, self.file) = self.waits.worker().answer_file(&mut self.core);
                    continue;
                }
                Step::Close(Ending::Agreed) => return End::Now,
                Step::Close(Ending::Lingering) => return End::Linger,
            };
            self.waits.refresh();
            let WorkerContext { core, input, .. } = self.waits.worker();
            step = self.core.feed(&input[..taken], core);
        }
    }

    /// Waits for input, and receives at least one byte of it.
    fn receive(&mut self) -> Result<usize, End> {
        loop {
            let worker = &self.waits.worker().core;
            self.core.renew_deadline(Output::Sent, worker);
            // Bytes that trickle in keep a wait from ever reaching its own time limit.
            let outcome = if self.core.time_left(worker).is_zero() {
                Err(Errno::AGAIN)
            } else {
                self.waits.receive(self.socket.as_fd(), &self.core)
            };
            match outcome {
                Ok(0) => return Err(End::Now),
                Ok(taken) => return Ok(taken),
                Err(Errno::INTR) => self.waits.refresh(),
                Err(Errno::AGAIN) => match self.core.expire(&mut self.waits.worker().core) {
                    Expired::Renewed => {}
                    Expired::Refused(Step::Close(Ending::Lingering)) if self.flush().is_ok() => {
                        return Err(End::Linger);
                    }
                    Expired::Linger => return Err(End::Linger),
                    Expired::Refused(_) | Expired::Close => return Err(End::Now),
                },
                Err(_) => return Err(End::Now),
            }
        }
    }

    /// Sends the output, the tail and the piece of the file.
    fn flush(&mut self) -> Result<(), Errno> {
        self.core.take_replies(&mut self.waits.worker().core);
        let mut head_sent = 0;
        loop {
            let worker = &mut self.waits.worker().core;
            let head = &worker.output.bytes[head_sent..];
            let (machine, calls) = (&mut self.core.machine, &mut worker.stats.calls);
            match send_next(&self.socket, head, machine, self.file.as_ref(), W::FILE_BYTES, calls) {
                None => break,
                Some(Ok(sent)) => {
                    head_sent += sent.of_head;
                    self.core.sent(sent.bytes);
                    self.waits.sent(sent.bytes);
                    if !sent.whole {
                        self.keep_sending()?;
                    }
                }
                Some(Err(Errno::INTR)) => self.keep_sending()?,
                Some(Err(Errno::AGAIN)) => {
                    self.await_client();
                    self.waits.wait_to_send(&self.core);
                    self.keep_sending()?;
                }
                Some(Err(errno)) => return Err(errno),
            }
        }
        if !self.core.machine.needs_file() {
            self.file = None;
        }
        let worker = &mut self.waits.worker().core;
        worker.output.bytes.clear();
        self.core.all_sent(worker);
        Ok(())
    }

    /// Sets the deadline for the client, which has to read its reply.
    fn await_client(&mut self) {
        self.waits.refresh();
        self.core.renew_deadline(Output::Pending, &self.waits.worker().core);
    }

    /// Decides whether to call again after a call that did not send all: its time limit passed, a signal interrupted it, or
    /// the socket's buffer was full.
    fn keep_sending(&mut self) -> Result<(), Errno> {
        self.await_client();
        let worker = &mut self.waits.worker().core;
        if self.core.time_left(worker).is_zero() && self.core.expire(worker) != Expired::Renewed {
            return Err(Errno::TIMEDOUT);
        }
        Ok(())
    }

    /// Closes the sending half, and drops input until its end, for a while.
    fn linger(&mut self) {
        self.waits.refresh();
        self.core.start_linger(&mut self.waits.worker().core);
        // This fails only if the connection is already gone, which the next read reports too.
        let _ = shutdown(&self.socket, Shutdown::Write);
        while self.receive().is_ok() {
            self.waits.refresh();
        }
    }
}
