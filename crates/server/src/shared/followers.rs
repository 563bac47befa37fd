//! The driver of `leader-follower`: threads of which one at a time leads.
//!
//! The leader waits for events. When one comes, it gives up the lead, so that another thread waits, and serves the connection.
//! The rest of a batch stays with the set: the next leader takes the next event without waiting, so no event waits for a
//! thread that is busy while another one is free.
//!
//! A thread that has served its connection gives it back to the set, which only the leader uses. If nobody leads, the thread
//! becomes the leader and does so itself. Otherwise it leaves the connection for the leader, and wakes it unless that can
//! wait: with an edge trigger nothing has to be armed, so the leader takes the connection back when it wakes for another
//! reason, and before it looks at the events that it woke for. Then the thread waits for its turn to lead.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use c10k_event::{Trigger, Waker};

use super::job::Served;
use super::leader::{Exchange, Leader};
use crate::context::{ServerContext, WorkerContext};
use crate::readiness::{INPUT_BYTES, NextAction};
use crate::stop::wake;
use crate::{ServeError, Stop};

/// A server whose threads take turns to wait.
pub(crate) struct LeaderFollower {
    server: Arc<ServerContext>,
    leader: Mutex<Leader>,
    exchange: Exchange,
    waker: Waker,
    trigger: Trigger,
}

impl LeaderFollower {
    pub(crate) fn open(
        server: &Arc<ServerContext>,
        listener: OwnedFd,
        stop: &Stop,
    ) -> Result<LeaderFollower, ServeError> {
        let (leader, waker) = Leader::open(server, listener)?;
        stop.wakes(waker.clone());
        Ok(LeaderFollower {
            server: Arc::clone(server),
            leader: Mutex::new(leader),
            exchange: Exchange::default(),
            waker,
            trigger: server.config.mechanism.default_trigger(),
        })
    }

    /// Leads and follows, as the worker of that number, until the server is over.
    pub(crate) fn work(&self, worker: usize, stop: &Stop) -> Result<(), ServeError> {
        let most = self.server.max_connections();
        let mut worker = WorkerContext::new(Arc::clone(&self.server), worker, most, INPUT_BYTES);
        let mut leader = self.follow();
        while let Some(job) = leader.next(&self.exchange, &mut worker, stop)? {
            // From here on another thread leads.
            drop(leader);
            let served = job.run(&mut worker);
            leader = self.give_back(served);
        }
        worker.report();
        Ok(())
    }

    /// Waits until nobody leads.
    fn follow(&self) -> MutexGuard<'_, Leader> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection back to the set, and returns when this thread leads.
    fn give_back(&self, served: Served) -> MutexGuard<'_, Leader> {
        let mut leader = match self.leader.try_lock() {
            Ok(leader) => leader,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let is_silent =
                    self.trigger == Trigger::Edge && served.action == NextAction::Wait(served.connection.interest);
                let deadline = served.connection.awaited().until;
                // In this order: the leader says what it waits for before it looks for what was left.
                self.exchange.leave(served);
                if !is_silent || self.exchange.leader_misses(deadline) {
                    wake(&self.waker);
                }
                return self.follow();
            }
        };
        leader.finish(served);
        leader
    }
}
