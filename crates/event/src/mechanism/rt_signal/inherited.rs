//! What new threads and child processes inherit because of a thread's sets.

use super::{claim, queue_limit};
use c10k_sys::{
    signal::{self, SignalSet},
    spawn,
};
use rustix::process::Rlimit;
use std::{io, process::Command};

/// The changes that the open sets of a thread made and that its new threads and child processes inherit: the signals that are
/// blocked, and the limit of queued signals ([`Options::signal_queue`](crate::Options::signal_queue)).
///
/// When the last set of a thread is dropped, its mask and the limit are as before. Threads and processes that were started
/// earlier keep what they inherited, unless they are given this:
///
/// ```
/// use c10k_event::{InheritedSignals, InterestSet, Mechanism};
/// use std::{net::TcpStream, process::Command, thread};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let set = InterestSet::<TcpStream>::open(Mechanism::named("rt-signal")?)?;
/// let inherited = InheritedSignals::of_this_thread();
/// let mut command = Command::new("true");
/// inherited.restore_in(&mut command).status()?;
/// thread::spawn(move || inherited.unblock()).join().expect("no panic")?;
/// # drop(set);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InheritedSignals {
    blocked: SignalSet,
    queue: Option<Rlimit>,
}

impl InheritedSignals {
    /// The changes of the calling thread's sets. Empty for mechanisms without a signal queue.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self {
            blocked: claim::blocked_by_sets(),
            queue: queue_limit::former(),
        }
    }

    /// Unblocks the signals in the calling thread, for the beginning of a new thread. In the thread of the sets themselves
    /// this would end the process.
    ///
    /// # Errors
    /// Those of a seccomp profile. In the thread of the sets nothing is done.
    pub fn unblock(&self) -> io::Result<()> {
        let own = claim::blocked_by_sets();
        let foreign: Vec<_> = self.blocked.iter().filter(|&signal| !own.contains(signal)).collect();
        Ok(signal::unblock(&SignalSet::of(&foreign))?)
    }

    /// Gives a child process the mask and the limit that this thread had before its sets.
    pub fn restore_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        spawn::restore_signals(command, self.blocked, self.queue);
        command
    }
}
