//! A task for each connection, and one that accepts.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_event::Interest as Wanted;
use c10k_http::WorkFailure;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::runtime_failure;
use super::work::{self, Work};
use crate::accept::{Accept, Accepted, BatchEnd, Shortage, accept_batch, accept_nonblocking};
use crate::context::{ServerContext, WorkerContext};
use crate::disk::{self, WorkOutcome};
use crate::helpers::WorkLimit;
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
    let helpers = server.config.helpers.get();
    let runtime = runtime(threads, helpers).map_err(failed("epoll_create1"))?;
    // A turn has borrowed what connections share.
    let in_turn = || WORKER.try_with(|worker| worker.try_borrow_mut().is_err()) == Ok(true) || work::is_worker();
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

fn runtime(threads: usize, helpers: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).max_blocking_threads(helpers);
    builder.enable_all().build()
}

async fn serve(listener: OwnedFd, server: Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let listener = watch_socket(listener).map_err(failed("epoll_ctl"))?;
    let stopped = Arc::new(Notify::new());
    stop.notifies(Arc::clone(&stopped));
    let most = server.max_connections().min(Semaphore::MAX_PERMITS);
    let config = &server.config;
    let helpers = WorkLimit::new(config.helpers.get(), config.helper_queue);
    let (draining, drain) = watch::channel(());
    let (present, mut all_gone) = mpsc::channel::<()>(1);
    let mut acceptor = TaskAcceptor {
        room: Some(Arc::new(Semaphore::new(most))),
        permit: None,
        server: Arc::clone(&server),
        helpers: Arc::new(helpers),
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
    /// The bound on work that may block.
    helpers: Arc<WorkLimit>,
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
            helpers,
            drain,
            present,
            stats,
            ..
        } = &mut *self.acceptor;
        stats.accepted += 1;
        server.stats.opened();
        let (permit, server, drain, present) = (permit.take(), Arc::clone(server), drain.clone(), present.clone());
        let helpers = Arc::clone(helpers);
        tokio::spawn(async move {
            serve_connection(socket, &server, &helpers, drain).await;
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
enum Wakeup {
    /// The connection is new.
    Start,
    /// The socket is ready.
    Ready(EofHint),
    /// The last turn ended so that others have theirs.
    Again,
    /// The deadline has passed.
    Deadline,
    /// The work that it had given out is done.
    Done(WorkOutcome),
    /// The server drains.
    Drain,
}

/// How a turn ends.
enum TurnEnd {
    /// With what follows. A wait may last that long.
    Action(NextAction, Duration),
    /// With work that has to be done before the connection goes on.
    Work(Work),
}

/// Serves one connection until it is over.
async fn serve_connection(
    socket: TcpStream,
    server: &Arc<ServerContext>,
    helpers: &Arc<WorkLimit>,
    mut drain: watch::Receiver<()>,
) {
    let socket = Arc::new(socket);
    let mut connection = Connection::new(Arc::clone(&socket));
    // A connection that was accepted after the drain began sees that in its first turn.
    let mut serving = !server.stats.is_draining();
    let (mut wakeup, mut interest, mut time_left) = (Wakeup::Start, Interest::READABLE, Duration::ZERO);
    loop {
        let is_ready = matches!(wakeup, Wakeup::Ready(_));
        let turn = || take_turn(&mut connection, wakeup, server, helpers);
        let mut end = None;
        if is_ready {
            // WouldBlock makes the runtime wait until the socket is ready again.
            let _ = socket.try_io(interest, || match end.insert(turn()) {
                TurnEnd::Action(NextAction::Wait(wants), _) if *wants == of_tokio(interest) => {
                    Err(ErrorKind::WouldBlock.into())
                }
                _ => Ok(()),
            });
        } else {
            end = Some(turn());
        }
        match end {
            Some(TurnEnd::Action(NextAction::Wait(wants), left)) => {
                interest = if wants == Wanted::WRITABLE {
                    Interest::WRITABLE
                } else {
                    Interest::READABLE
                };
                time_left = left;
            }
            Some(TurnEnd::Action(NextAction::Close, _)) => return,
            Some(TurnEnd::Action(NextAction::Again | NextAction::Stats | NextAction::Block, _)) => {
                wakeup = Wakeup::Again;
                tokio::task::yield_now().await;
                continue;
            }
            Some(TurnEnd::Work(work)) => {
                wakeup = Wakeup::Done(work.outcome().await);
                continue;
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

/// Does all that can be done without waiting.
fn take_turn(
    connection: &mut Connection<Arc<TcpStream>>,
    wakeup: Wakeup,
    server: &Arc<ServerContext>,
    helpers: &Arc<WorkLimit>,
) -> TurnEnd {
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
            Wakeup::Done(outcome) => connection.answer_work(&outcome, worker),
        };
        let work = loop {
            action = match action {
                NextAction::Stats => connection.answer_stats(worker),
                NextAction::Block => match start_work(connection, worker, helpers) {
                    Ok(work) => break Some(work),
                    Err(failure) => connection.answer_work(&Err(failure), worker),
                },
                NextAction::Wait(_) | NextAction::Again | NextAction::Close => break None,
            };
        };
        connection.renew_deadline(worker);
        worker.core.output.bytes.clear();
        worker.report();
        work.map_or_else(|| TurnEnd::Action(action, connection.time_left(worker)), TurnEnd::Work)
    })
}

/// Hands over what a connection wants done.
fn start_work(
    connection: &mut Connection<Arc<TcpStream>>,
    worker: &mut WorkerContext,
    helpers: &Arc<WorkLimit>,
) -> Result<Work, WorkFailure> {
    // It has no turn before its work is done, so the work was not given out before.
    let work = connection.start_work().ok_or(WorkFailure::Failed)?;
    let admitted = worker.admit_work(helpers)?;
    let store = worker.server.config.disk.clone();
    Ok(Work::start(admitted, move || disk::run(store.as_ref(), work)))
}
