//! `async-tasks`: a task of the tokio runtime for every connection. Today's user threads.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_event::Interest as Wanted;
use c10k_http::Stage;
use c10k_record::ServeSummary;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::{Descriptor, Dispatch};
use crate::connection::{Connection, Progress, Shared, Told, Verdict};
use crate::ledger::Ledger;
use crate::listener::{self, Accepted};
use crate::tally::Tally;
use crate::{Config, ServeError, Server, Stop, limits, runtime_failure};

pub(super) const ROW: Descriptor = Descriptor {
    name: "async-tasks",
    summary: "a task of the tokio runtime for every connection, on one thread unless --workers says otherwise",
    dispatch: Dispatch::Own,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// How long nothing is accepted after a shortage.
const BACK_OFF: Duration = Duration::from_millis(100);

thread_local! {
    /// What the connections whose turn a thread of the runtime takes share: no task holds a buffer while it waits.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// What every task knows.
struct House {
    config: Config,
    ledger: Ledger,
}

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let runtime = runtime(server.config.workers).map_err(|cause| ServeError::System {
        call: "epoll_create1",
        cause,
    })?;
    let Server { config, listener, .. } = server;
    let ledger = Ledger::open(&config, 1)?;
    let house = Arc::new(House { config, ledger });
    // A turn has borrowed what connections share.
    let in_turn = || SHARED.try_with(|shared| shared.try_borrow_mut().is_err()) == Ok(true);
    // What has not ended by the drain deadline ends with the runtime.
    runtime_failure::block_on(runtime, in_turn, serve(listener, Arc::clone(&house), stop))?;
    Ok(house.ledger.summary())
}

fn runtime(workers: Option<NonZeroUsize>) -> std::io::Result<Runtime> {
    match workers.map_or(1, NonZeroUsize::get) {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

async fn serve(listener: OwnedFd, house: Arc<House>, stop: &Stop) -> Result<(), ServeError> {
    let failed = |cause| ServeError::System {
        call: "epoll_ctl",
        cause,
    };
    let listener = TcpListener::from_std(listener.into()).map_err(failed)?;
    let stopped = Arc::new(Notify::new());
    stop.notifies(Arc::clone(&stopped));
    let most = house
        .config
        .max_connections
        .unwrap_or_else(limits::room_for_connections);
    let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let (draining, drain) = watch::channel(());
    let (present, mut gone) = mpsc::channel::<()>(1);
    tokio::select! {
        () = accept_on(&listener, &room, &house, &drain, &present) => {}
        () = stopped.notified() => {}
    }
    // What is left in the backlog is served too.
    let listener = OwnedFd::from(listener.into_std().map_err(failed)?);
    while let Accepted::Connection(connection) = listener::accept(&listener) {
        let Ok(connection) = TcpStream::from_std(connection.into()) else {
            break;
        };
        start(connection, None, &house, &drain, &present);
    }
    drop((listener, present));
    house.ledger.stop();
    // Refused where nobody is left to be told.
    let _ = draining.send(());
    // An error is the deadline: connections are left, and end with the runtime.
    let _ = timeout(house.config.deadlines.drain, gone.recv()).await;
    Ok(())
}

async fn accept_on(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    house: &Arc<House>,
    drain: &watch::Receiver<()>,
    present: &mpsc::Sender<()>,
) {
    loop {
        if room.available_permits() == 0 {
            house.ledger.tell_shortage("the cap on connections is reached");
        }
        // Never closed.
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((connection, _)) => start(connection, Some(permit), house, drain, present),
            Err(error) if listener::is_shortage(&error) => {
                house.ledger.tell_shortage(&format!("accept4 failed ({error})"));
                sleep(BACK_OFF).await;
            }
            // The connection had gone.
            Err(_) => {}
        }
    }
}

/// Starts the task of a connection.
fn start(
    connection: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
    house: &Arc<House>,
    drain: &watch::Receiver<()>,
    present: &mpsc::Sender<()>,
) {
    let mut tally = Tally {
        accepted: 1,
        accept_turns: 1,
        ..Tally::default()
    };
    tally.calls.accept4 = 1;
    house.ledger.absorb(0, &mut tally);
    house.ledger.opened();
    let (house, drain, present) = (Arc::clone(house), drain.clone(), present.clone());
    tokio::spawn(async move {
        converse(connection, &house, drain).await;
        let mut tally = Tally::default();
        tally.calls.close = 1;
        house.ledger.absorb(0, &mut tally);
        house.ledger.closed();
        drop((permit, present));
    });
}

/// Serves one connection to its end.
async fn converse(socket: TcpStream, house: &House, mut drain: watch::Receiver<()>) {
    let socket = Arc::new(socket);
    let mut connection = Connection::new(Arc::clone(&socket));
    // A connection accepted after the drain began need not be told of it.
    let mut serving = !house.ledger.is_stopping();
    let (mut turn, mut interest, mut time_left) = (Turn::Begin, Interest::READABLE, Duration::ZERO);
    loop {
        let mut outcome = None;
        if let Turn::Ready(_) = turn {
            // The runtime forgets that the socket is ready when the turn finds that it is not any more.
            let _ = socket.try_io(interest, || {
                let (verdict, time_left) = take_turn(&mut connection, turn, house);
                outcome = Some((verdict, time_left));
                if verdict == Verdict::Wait(wanted(interest)) {
                    Err(ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
        } else {
            outcome = Some(take_turn(&mut connection, turn, house));
        }
        match outcome {
            Some((Verdict::Close, _)) => return,
            Some((Verdict::Again | Verdict::Stats, _)) => {
                turn = Turn::More;
                tokio::task::yield_now().await;
                continue;
            }
            Some((Verdict::Wait(wants), left)) => {
                interest = if wants == Wanted::WRITABLE {
                    Interest::WRITABLE
                } else {
                    Interest::READABLE
                };
                time_left = left;
            }
            // It was not ready after all.
            None => {}
        }
        turn = tokio::select! {
            ready = socket.ready(interest) => match ready {
                Ok(ready) if ready.is_read_closed() => Turn::Ready(Told::MaybeEnd),
                Ok(_) => Turn::Ready(Told::Data),
                Err(_) => return,
            },
            () = sleep(time_left) => Turn::Expire,
            _ = drain.changed(), if serving => {
                serving = false;
                Turn::Drain
            }
        };
    }
}

fn wanted(interest: Interest) -> Wanted {
    if interest.is_writable() {
        Wanted::WRITABLE
    } else {
        Wanted::READABLE
    }
}

/// What a task wakes up to.
#[derive(Clone, Copy)]
enum Turn {
    Begin,
    Ready(Told),
    /// The last turn stopped to be fair.
    More,
    Expire,
    Drain,
}

/// Does all that can be done without waiting; how long the wait that follows may take.
fn take_turn(connection: &mut Connection<Arc<TcpStream>>, turn: Turn, house: &House) -> (Verdict, Duration) {
    SHARED.with_borrow_mut(|shared| {
        let shared = shared.get_or_insert_with(|| Shared::new(&house.config));
        shared.refresh();
        if house.ledger.is_stopping() {
            shared.host.stage = Stage::Draining;
        }
        let mut verdict = match turn {
            Turn::Begin => Verdict::Wait(Wanted::READABLE),
            Turn::Ready(told) => connection.turn(told, shared),
            Turn::More => connection.turn(Told::Data, shared),
            Turn::Drain => connection.turn(Told::MaybeEnd, shared),
            Turn::Expire => connection.expire(shared),
        };
        while verdict == Verdict::Stats {
            report(shared, &house.ledger);
            let body = serde_json::to_vec(&house.ledger.summary()).unwrap_or_default();
            verdict = connection.answer_stats(&body, shared);
        }
        let received = shared.output.requests > 0;
        connection.settle(if received { Progress::Request } else { Progress::None }, shared);
        shared.output.bytes.clear();
        report(shared, &house.ledger);
        (verdict, connection.time_left(shared))
    })
}

fn report(shared: &mut Shared, ledger: &Ledger) {
    shared.tally.requests += std::mem::take(&mut shared.output.requests);
    shared.tally.refused += std::mem::take(&mut shared.output.refused);
    ledger.absorb(0, &mut shared.tally);
}
