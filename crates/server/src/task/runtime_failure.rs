//! Turns a failure of the tokio runtime itself into an error.
//!
//! The runtime panics if its own wait fails with anything but `EINTR`: on the calling thread, or on a worker, which would end
//! unnoticed. Here such a panic becomes an error of one line, like the other failures of a server. A panic within the turn of
//! a connection is a bug of this crate, and is left alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;

use crate::ServeError;

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// How long the workers may take to finish their turns when everything else is over.
const LAST_TURN: Duration = Duration::from_secs(1);

/// What the panic hook has seen.
#[derive(Default)]
struct Seen {
    message: OnceLock<String>,
    reported: Notify,
}

/// Runs `future` to its end, or until the runtime fails. `in_turn` says whether the calling thread is within the turn of a
/// connection.
///
/// # Errors
/// [`ServeError::Runtime`], and those of `future`.
pub(crate) fn block_on<T>(
    runtime: Runtime,
    in_turn: fn() -> bool,
    future: impl Future<Output = Result<T, ServeError>>,
) -> Result<T, ServeError> {
    let seen = Arc::new(Seen::default());
    let previous = watch(&runtime, &seen, in_turn);
    // What the panic leaves half done belongs to the runtime, which is dropped.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = future => outcome,
                () = seen.reported.notified() => Err(seen.error()),
            }
        });
        runtime.shutdown_timeout(LAST_TURN);
        outcome
    }));
    if seen.message.get().is_some() {
        // The hook stays: a worker that has failed never returns from it, and a hook that is in use cannot be replaced.
        return Err(seen.error());
    }
    set_hook(Box::new(move |panic| previous(panic)));
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => resume_unwind(panic),
    }
}

impl Seen {
    fn error(&self) -> ServeError {
        let message = self.message.get().map_or("no message", String::as_str);
        ServeError::Runtime {
            cause: message.lines().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Installs a panic hook that keeps panics of the runtime from the previous hook, which is returned.
fn watch(runtime: &Runtime, seen: &Arc<Seen>, in_turn: fn() -> bool) -> Arc<Hook> {
    let (id, caller) = (runtime.handle().id(), thread::current().id());
    let previous: Arc<Hook> = Arc::new(take_hook());
    let (seen, others) = (Arc::clone(seen), Arc::clone(&previous));
    set_hook(Box::new(move |panic| {
        let of_runtime = Handle::try_current().is_ok_and(|handle| handle.id() == id);
        if !of_runtime || in_turn() {
            return others(panic);
        }
        // The first one is the cause.
        let _ = seen
            .message
            .set(message(panic.payload()).unwrap_or("no message").to_owned());
        seen.reported.notify_one();
        while thread::current().id() != caller {
            // The runtime's debug build aborts the process if a worker unwinds. Nobody waits for this worker.
            thread::park();
        }
    }));
    previous
}

/// The text of a panic: `panic!("text")` and `panic!("{value}")`.
fn message(payload: &dyn Any) -> Option<&str> {
    let formatted = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(formatted)
}
