//! A task for each connection, and one that accepts.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_event::Interest as Wanted;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::runtime_failure;
use crate::accept::{Accept, Accepted, BatchEnd, Shortage, accept_batch, accept_nonblocking};
use crate::context::{ServerContext, WorkerContext};
use crate::readiness::{Connection, EofHint, INPUT_BYTES, NextAction};
use crate::stats::WorkerStats;
use crate::{ServeError, Stop};

thread_local! {
    /// What connections share while a thread of the runtime runs their turns. No task holds a buffer while it waits.
    static WORKER: RefCell<Option<WorkerContext>> = const { RefCell::new(None) };
}

/// Serves until `stop` is requested and every request is answered, or the drain deadline has passed.
pub(crate) fn run(
    server: &Arc<ServerContext>,
    listener: OwnedFd,
    threads: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    let runtime = runtime(threads).map_err(failed("epoll_create1"))?;
    // A turn has borrowed what connections share.
    let in_turn = || WORKER.try_with(|worker| worker.try_borrow_mut().is_err()) == Ok(true);
    // What has not ended by the drain deadline ends with the runtime.
    runtime_failure::block_on(runtime, in_turn, serve(listener, Arc::clone(server), stop))
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |cause| ServeError::System { call, cause }
}

/// Makes the runtime watch a socket of any kind. Of the methods of the type that it has for that, none is called that needs
/// TCP.
fn watch_socket(socket: OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(socket.into())
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

async fn serve(listener: OwnedFd, server: Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let listener = watch_socket(listener).map_err(failed("epoll_ctl"))?;
    let stopped = Arc::new(Notify::new());
    stop.notifies(Arc::clone(&stopped));
    let most = server.max_connections().min(Semaphore::MAX_PERMITS);
    let (draining, drain) = watch::channel(());
    let (present, mut all_gone) = mpsc::channel::<()>(1);
    let mut acceptor = TaskAcceptor {
        room: Some(Arc::new(Semaphore::new(most))),
        permit: None,
        server: Arc::clone(&server),
        drain,
        present,
        stats: WorkerStats::default(),
    };
    tokio::select! {
        () = acceptor.run(&listener) => {}
        () = stopped.notified() => {}
    }
    server.stats.start_drain();
    acceptor.finish(&listener);
    drop(listener);
    // This fails only if no connection is left.
    let _ = draining.send(());
    // This fails at the deadline. Connections that are left end with the runtime.
    let _ = timeout(server.config.deadlines.drain, all_gone.recv()).await;
    Ok(())
}

/// Starts the tasks of connections.
struct TaskAcceptor {
    /// A permit for each connection that may be open; `None` if there is no limit.
    room: Option<Arc<Semaphore>>,
    /// The permit of the next connection.
    permit: Option<OwnedSemaphorePermit>,
    server: Arc<ServerContext>,
    drain: watch::Receiver<()>,
    /// Each task has a copy until it ends.
    present: mpsc::Sender<()>,
    stats: WorkerStats,
}

impl TaskAcceptor {
    /// Accepts until it is dropped.
    async fn run(&mut self, listener: &TcpStream) {
        loop {
            // This fails only when the runtime ends.
            if listener.readable().await.is_err() {
                return;
            }
            let mut outcome = Ok(BatchEnd::Emptied);
            // WouldBlock makes the runtime wait until the listener is ready again.
            let _ = listener.try_io(Interest::READABLE, || {
                outcome = self.accept_batch(listener);
                outcome.is_err().then_some(()).ok_or(ErrorKind::WouldBlock.into())
            });
            let Err(shortage) = outcome else { continue };
            self.server.stats.report_shortage(&shortage);
            match (shortage, &self.room) {
                // The semaphore is never closed.
                (Shortage::Connections, Some(room)) => self.permit = Arc::clone(room).acquire_owned().await.ok(),
                _ => sleep(self.server.config.deadlines.back_off).await,
            }
        }
    }

    /// Accepts what is left in the backlog, whatever the limit on connections is.
    fn finish(mut self, listener: &TcpStream) {
        self.room = None;
        // Connections that cannot be served now are reset when the listener is closed.
        let _ = self.accept_batch(listener);
    }

    /// Accepts until nobody waits, or a shortage.
    fn accept_batch(&mut self, listener: &TcpStream) -> Result<BatchEnd, Shortage> {
        let mut batch = Batch {
            acceptor: self,
            listener,
        };
        let outcome = accept_batch(&mut batch, u32::MAX);
        self.server.stats.add(0, &mut self.stats);
        outcome
    }
}

/// A batch of accepted connections.
struct Batch<'a> {
    acceptor: &'a mut TaskAcceptor,
    listener: &'a TcpStream,
}

impl Accept for Batch<'_> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        let TaskAcceptor { permit, room, .. } = &mut *self.acceptor;
        if let (None, Some(room)) = (&permit, room) {
            let next = Arc::clone(room).try_acquire_owned();
            *permit = Some(next.map_err(|_| Shortage::Connections)?);
        }
        Ok(())
    }

    fn accept(&mut self) -> Accepted {
        self.stats().calls.accept4 += 1;
        accept_nonblocking(self.listener)
    }

    fn take(&mut self, socket: OwnedFd) -> Result<(), Shortage> {
        let errno = |error: io::Error| Shortage::Call("epoll_ctl", error);
        let socket = watch_socket(socket).map_err(errno)?;
        let TaskAcceptor {
            permit,
            server,
            drain,
            present,
            stats,
            ..
        } = &mut *self.acceptor;
        stats.accepted += 1;
        server.stats.opened();
        let (permit, server, drain, present) = (permit.take(), Arc::clone(server), drain.clone(), present.clone());
        tokio::spawn(async move {
            serve_connection(socket, &server, drain).await;
            let mut stats = WorkerStats::default();
            stats.calls.close = 1;
            server.stats.add(0, &mut stats);
            server.stats.closed();
            drop((permit, present));
        });
        Ok(())
    }

    fn stats(&mut self) -> &mut WorkerStats {
        &mut self.acceptor.stats
    }
}

/// What a task wakes up for.
#[derive(Clone, Copy)]
enum Wakeup {
    /// The connection is new.
    Start,
    /// The socket is ready.
    Ready(EofHint),
    /// The last turn ended so that others have theirs.
    Again,
    /// The deadline has passed.
    Deadline,
    /// The server drains.
    Drain,
}

/// Serves one connection until it is over.
async fn serve_connection(socket: TcpStream, server: &Arc<ServerContext>, mut drain: watch::Receiver<()>) {
    let socket = Arc::new(socket);
    let mut connection = Connection::new(Arc::clone(&socket));
    // A connection that was accepted after the drain began sees that in its first turn.
    let mut serving = !server.stats.is_draining();
    let (mut wakeup, mut interest, mut time_left) = (Wakeup::Start, Interest::READABLE, Duration::ZERO);
    loop {
        let mut outcome = None;
        if let Wakeup::Ready(_) = wakeup {
            // WouldBlock makes the runtime wait until the socket is ready again.
            let _ = socket.try_io(interest, || {
                let (action, time_left) = take_turn(&mut connection, wakeup, server);
                outcome = Some((action, time_left));
                if action == NextAction::Wait(of_tokio(interest)) {
                    Err(ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
        } else {
            outcome = Some(take_turn(&mut connection, wakeup, server));
        }
        match outcome {
            Some((NextAction::Close, _)) => return,
            Some((NextAction::Again | NextAction::Stats, _)) => {
                wakeup = Wakeup::Again;
                tokio::task::yield_now().await;
                continue;
            }
            Some((NextAction::Wait(wants), left)) => {
                interest = if wants == Wanted::WRITABLE {
                    Interest::WRITABLE
                } else {
                    Interest::READABLE
                };
                time_left = left;
            }
            // The socket was not ready after all.
            None => {}
        }
        wakeup = tokio::select! {
            ready = socket.ready(interest) => match ready {
                Ok(ready) if ready.is_read_closed() => Wakeup::Ready(EofHint::Possible),
                Ok(_) => Wakeup::Ready(EofHint::None),
                Err(_) => return,
            },
            () = sleep(time_left) => Wakeup::Deadline,
            _ = drain.changed(), if serving => {
                serving = false;
                Wakeup::Drain
            }
        };
    }
}

fn of_tokio(interest: Interest) -> Wanted {
    if interest.is_writable() {
        Wanted::WRITABLE
    } else {
        Wanted::READABLE
    }
}

/// Does all that can be done without waiting. Returns what follows, and how long a wait may last.
fn take_turn(
    connection: &mut Connection<Arc<TcpStream>>,
    wakeup: Wakeup,
    server: &Arc<ServerContext>,
) -> (NextAction, Duration) {
    WORKER.with_borrow_mut(|worker| {
        // The semaphore sees to the limit on connections.
        let worker = worker.get_or_insert_with(|| WorkerContext::new(Arc::clone(server), 0, usize::MAX, INPUT_BYTES));
        worker.refresh();
        if server.stats.is_draining() {
            worker.core.start_drain();
        }
        let mut action = match wakeup {
            Wakeup::Start => NextAction::Wait(Wanted::READABLE),
            Wakeup::Ready(hint) => connection.turn(hint, worker),
            Wakeup::Again => connection.turn(EofHint::None, worker),
            Wakeup::Drain => connection.turn(EofHint::Possible, worker),
            Wakeup::Deadline => connection.expire(worker),
        };
        while action == NextAction::Stats {
            action = connection.answer_stats(worker);
        }
        connection.renew_deadline(worker);
        worker.core.output.bytes.clear();
        worker.report();
        (action, connection.time_left(worker))
    })
}
