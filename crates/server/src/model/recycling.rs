//! Loops in threads that are replaced one after the other while the server goes on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::accept::{self, HandoffQueue};
use crate::context::ServerContext;
use crate::readiness::AcceptSource;
use crate::{Recycle, ServeError, Stop, log, readiness};

/// The queue of each place, which belongs to the worker that has it now.
#[derive(Debug)]
pub(super) struct Queues {
    places: Vec<Mutex<Arc<HandoffQueue>>>,
    /// Whether no more connections will come, for queues that are made later too.
    closed: AtomicBool,
}

impl Queues {
    pub(super) fn new(places: usize) -> Queues {
        Queues {
            places: (0..places).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The queue of a place.
    pub(super) fn of(&self, place: usize) -> Arc<HandoffQueue> {
        Arc::clone(&self.lock(place))
    }

    /// Hands a connection to the worker of a place.
    pub(super) fn put(&self, place: usize, connection: OwnedFd) {
        // Under the lock: nothing is put into a queue that was replaced.
        self.lock(place).put(connection);
    }

    /// Gives a place the queue of its next worker, and closes the old one.
    fn replace(&self, place: usize, next: Arc<HandoffQueue>) {
        let mut queue = self.lock(place);
        std::mem::replace(&mut *queue, next).close();
        if self.closed.load(Ordering::SeqCst) {
            queue.close();
        }
    }

    /// Closes all queues.
    pub(super) fn close(&self) {
        // Before the locks are taken: a queue that is made after that sees it.
        self.closed.store(true, Ordering::SeqCst);
        (0..self.len()).for_each(|place| self.lock(place).close());
    }

    fn lock(&self, place: usize) -> MutexGuard<'_, Arc<HandoffQueue>> {
        self.places[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the next worker of a place gets its connections.
pub(super) enum Supply<'a> {
    /// From a new listener on this port, which others share.
    OwnListener(SocketAddr),
    /// From a copy of this listener.
    Copies(OwnedFd, fn(OwnedFd) -> AcceptSource),
    /// From a queue.
    Queues(&'a Queues),
}

impl Supply<'_> {
    /// Starts the next worker of a place. If that fails, the worker before it gets connections as before.
    fn start_next<T>(
        &self,
        place: usize,
        start: impl FnOnce(AcceptSource) -> Result<T, ServeError>,
    ) -> Result<T, ServeError> {
        match self {
            Supply::OwnListener(address) => accept::join(*address).map(AcceptSource::Listener).and_then(start),
            Supply::Copies(listener, source) => {
                let copy = listener.try_clone();
                let copy = copy.map_err(|cause| ServeError::System { call: "fcntl", cause })?;
                start(source(copy))
            }
            Supply::Queues(queues) => {
                let queue: Arc<HandoffQueue> = Arc::default();
                let started = start(AcceptSource::Handoff(Arc::clone(&queue)))?;
                queues.replace(place, queue);
                Ok(started)
            }
        }
    }
}

/// One worker of a place, and the one before it.
struct Place<'scope> {
    stop: Stop,
    thread: Worker<'scope>,
    leaving: Option<Worker<'scope>>,
    leaves_at: Instant,
}

/// The workers of all places. They leave with this: if the thread that replaces them panics, as it does with one of them, nobody
/// else would ask the others to.
struct Workers<'a, 'scope> {
    places: Vec<Place<'scope>>,
    /// The server's.
    stop: &'a Stop,
}

impl Workers<'_, '_> {
    fn ask_to_leave(&self) {
        self.places.iter().for_each(|place| place.stop.request());
    }
}

impl Drop for Workers<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.request();
        }
        self.ask_to_leave();
    }
}

type Worker<'scope> = ScopedJoinHandle<'scope, Result<(), ServeError>>;

/// Runs a loop for each of the first sources in a thread of its own, and replaces them as `recycle` says until the stop is
/// requested. A worker that fails requests it, and so does the panic of one, which is noticed when the
/// worker after it is to be replaced.
pub(super) fn run(
    first: Vec<AcceptSource>,
    supply: Supply<'_>,
    server: &Arc<ServerContext>,
    recycle: Recycle,
    stop: &Stop,
) -> Result<(), ServeError> {
    let places = first.len();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let spawn = |place, source| spawn(scope, server, places, place, source, stop);
        let mut workers = Workers {
            places: Vec::with_capacity(places),
            stop,
        };
        let mut outcome = Ok(());
        for (number, source) in (0_u32..).zip(first) {
            let place = number as usize;
            match spawn(place, source) {
                Ok((own_stop, thread)) => workers.places.push(Place {
                    stop: own_stop,
                    thread,
                    leaving: None,
                    leaves_at: start + recycle.after * (number + 1) / u32::try_from(places).unwrap_or(u32::MAX),
                }),
                Err(error) => {
                    outcome = Err(error);
                    stop.request();
                    break;
                }
            }
        }
        while outcome.is_ok() && !stop.is_requested() {
            let next = workers.places.iter().map(|worker| worker.leaves_at).min();
            outcome = wait(stop, next).inspect_err(|_| stop.request());
            for (place, worker) in workers.places.iter_mut().enumerate() {
                if stop.is_requested() || Instant::now() < worker.leaves_at {
                    continue;
                }
                worker.leaves_at = Instant::now() + recycle.after;
                if worker.leaving.as_ref().is_some_and(|former| !former.is_finished()) {
                    continue;
                }
                outcome = outcome.and(worker.leaving.take().map_or(Ok(()), join));
                match supply.start_next(place, |source| spawn(place, source)) {
                    Ok((own_stop, thread)) => {
                        std::mem::replace(&mut worker.stop, own_stop).request();
                        worker.leaving = Some(std::mem::replace(&mut worker.thread, thread));
                        server.stats.recycled();
                    }
                    // The worker stays, and the next try is after the same time again.
                    Err(error) => log::not_replaced(place, &error),
                }
            }
        }
        // Otherwise the listener would outlive the workers' copies, and connections would wait in it for nobody.
        drop(supply);
        server.stats.start_drain();
        workers.ask_to_leave();
        std::mem::take(&mut workers.places)
            .into_iter()
            .flat_map(|worker| [Some(worker.thread), worker.leaving])
            .flatten()
            .map(join)
            .fold(outcome, Result::and)
    })
}

/// Starts a worker. Returns what asks it to leave.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &'scope Arc<ServerContext>,
    places: usize,
    place: usize,
    source: AcceptSource,
    stop: &'scope Stop,
) -> Result<(Stop, Worker<'scope>), ServeError> {
    // The one that leaves has connections too.
    let max_connections = server.max_connections_of_each(2 * places);
    let own_stop = Stop::new();
    let leave = own_stop.clone();
    let work = move || readiness::run(server, source, place, max_connections, &leave).inspect_err(|_| stop.request());
    let thread = Builder::new().spawn_scoped(scope, work);
    let thread = thread.map_err(|cause| ServeError::System { call: "clone", cause })?;
    Ok((own_stop, thread))
}

fn join(worker: Worker<'_>) -> Result<(), ServeError> {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits for the stop, or until then.
fn wait(stop: &Stop, until: Option<Instant>) -> Result<(), ServeError> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    // A moment too early would be a wait of zero next.
    let left = left.map(|left| left + Duration::from_micros(50));
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let mut stopped = [PollFd::from_borrowed_fd(stop.event()?, PollFlags::IN)];
    match poll(&mut stopped, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(ServeError::System {
            call: "poll",
            cause: errno.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rustix::pipe::pipe;

    use super::*;

    fn connection() -> OwnedFd {
        pipe().expect("a descriptor that stands for a connection").0
    }

    fn refused() -> ServeError {
        ServeError::System {
            call: "clone",
            cause: Errno::AGAIN.into(),
        }
    }

    #[test]
    fn a_worker_that_cannot_be_started_leaves_the_queue_to_the_one_before_it() {
        let queues = Queues::new(1);
        let (supply, before) = (Supply::Queues(&queues), queues.of(0));
        assert!(supply.start_next(0, |_| Err::<(), _>(refused())).is_err());
        queues.put(0, connection());
        let (connections, closed) = before.drain();
        assert_eq!((connections.len(), closed), (1, false));

        let started = supply.start_next(0, Ok);
        let Ok(AcceptSource::Handoff(next)) = started else {
            panic!("it is a queue")
        };
        queues.put(0, connection());
        let (connections, closed) = before.drain();
        assert_eq!((connections.len(), closed), (0, true));
        let (connections, closed) = next.drain();
        assert_eq!((connections.len(), closed), (1, false));
    }

    #[test]
    fn the_panic_of_a_worker_ends_the_others_and_the_server() {
        let (stop, own_stop) = (Stop::new(), Stop::new());
        let leave = own_stop.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    while !leave.is_requested() {
                        std::thread::yield_now();
                    }
                    Ok(())
                });
                let _workers = Workers {
                    places: vec![Place {
                        stop: own_stop,
                        thread,
                        leaving: None,
                        leaves_at: Instant::now(),
                    }],
                    stop: &stop,
                };
                join(scope.spawn(|| panic!("a worker's")))
            })
        }));
        assert!(outcome.is_err());
        assert!(stop.is_requested());
    }

    #[test]
    fn a_queue_that_comes_after_the_end_is_closed() {
        let queues = Queues::new(1);
        queues.close();
        assert!(Supply::Queues(&queues).start_next(0, |_| Ok(())).is_ok());
        assert!(queues.of(0).drain().1);
    }
}
