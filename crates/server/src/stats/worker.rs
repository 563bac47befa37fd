//! What one worker counts between two reports to the [`SharedStats`](super::SharedStats).

macro_rules! worker_stats {
    ($($(#[$doc:meta])* $field:ident,)*; calls: $($call:ident,)*) => {
        /// Counters of one worker.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub(crate) struct WorkerStats {
            $($(#[$doc])* pub(crate) $field: u64,)*
            pub(crate) calls: Calls,
        }

        /// The worker's own system calls; those of its interest set are counted there.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub(crate) struct Calls {
            $(pub(crate) $call: u64,)*
        }

        impl WorkerStats {
            /// How many counters there are.
            pub(crate) const COUNT: usize = [$(stringify!($field),)* $(stringify!($call),)*].len();

            /// All counters, in a fixed order.
            pub(crate) fn values(&self) -> [u64; WorkerStats::COUNT] {
                [$(self.$field,)* $(self.calls.$call,)*]
            }

            /// The inverse of [`values`](WorkerStats::values).
            pub(crate) fn of(values: [u64; WorkerStats::COUNT]) -> WorkerStats {
                let [$($field,)* $($call,)*] = values;
                WorkerStats { $($field,)* calls: Calls { $($call,)* } }
            }
        }

        impl Calls {
            /// The calls that were made, by their kernel names.
            pub(crate) fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($call), self.$call),)*].into_iter().filter(|(_, count)| *count > 0)
            }
        }
    };
}

worker_stats! {
    accepted,
    /// Batches of accepted connections: times that the listener was ready and at least one connection was accepted.
    accept_turns,
    /// Well-formed requests.
    requests,
    /// Requests refused as malformed or unsupported.
    refused,
    replies,
    timeouts,
    /// Idle connections closed to make room.
    evicted,
    /// Times that a loop polled before it would sleep, and found events.
    spins_found,
    /// Times that it found none, and slept.
    spins_slept,
    /// Works that may block and were handed to helper threads.
    work_handed_over,
    /// Works that were refused because the queue for helpers was full.
    work_refused,
    /// Waits of models that are not driven by an event mechanism.
    waits,
    /// Completions that these waits returned.
    events,
    /// Overflows of a completion queue.
    overflows,
    /// Notifications that the network has finished with the memory of a reply.
    notifications,
    /// Those of replies that the kernel has copied after all.
    copied_sends,
    /// Times that a thread gave up its place before work that blocks.
    places_given_up,
    /// Times that a place was taken from a thread that slept.
    places_noticed,
    /// Times that a thread with something to do waited for a place.
    place_waits,
    ;
    calls: accept4, clone, close, fork, fstat, io_uring_enter, mmap, mprotect, munmap, openat2, poll, recvfrom,
    sendfile, sendto, sendmsg, setsockopt, shutdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_made_from_their_values_are_the_same() {
        let mut values = [0; WorkerStats::COUNT];
        for (index, value) in values.iter_mut().enumerate() {
            *value = index as u64 + 1;
        }
        assert_eq!(WorkerStats::of(values).values(), values);
    }

    #[test]
    fn only_calls_that_were_made_are_listed() {
        let calls = Calls {
            sendto: 3,
            ..Calls::default()
        };
        assert_eq!(calls.by_name().collect::<Vec<_>>(), [("sendto", 3)]);
    }
}
