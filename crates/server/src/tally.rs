//! What one worker counts between two reports.

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident,)*; calls: $($call:ident,)*) => {
        /// Counters of one worker. All numbers only grow.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub(crate) struct Tally {
            $($(#[$doc])* pub(crate) $field: u64,)*
            pub(crate) calls: Calls,
        }

        /// The worker's own system calls.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub(crate) struct Calls {
            $(pub(crate) $call: u64,)*
        }

        impl Tally {
            /// How many counters there are.
            pub(crate) const COUNT: usize = [$(stringify!($field),)* $(stringify!($call),)*].len();

            /// All counters, in a fixed order.
            pub(crate) fn values(&self) -> [u64; Tally::COUNT] {
                [$(self.$field,)* $(self.calls.$call,)*]
            }

            /// The inverse of [`values`](Tally::values).
            pub(crate) fn of(values: [u64; Tally::COUNT]) -> Tally {
                let [$($field,)* $($call,)*] = values;
                Tally { $($field,)* calls: Calls { $($call,)* } }
            }
        }

        impl Calls {
            /// The calls that were made, by their names in the kernel.
            pub(crate) fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($call), self.$call),)*].into_iter().filter(|(_, count)| *count > 0)
            }
        }
    };
}

tally! {
    accepted,
    /// Readinesses of the listener that brought a connection.
    accept_turns,
    /// Well-formed requests.
    requests,
    /// Requests refused as malformed or unsupported.
    refused,
    replies,
    timeouts,
    /// Idle connections closed to make room.
    evicted,
    /// Waits of models that are not driven by an event mechanism, and what they brought.
    waits,
    events,
    /// Overflows of a completion queue.
    overflows,
    ;
    calls: accept4, clone, close, fork, fstat, io_uring_enter, openat2, poll, recvfrom, sendfile, sendto,
    sendmsg, setsockopt, shutdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_survives_the_way_through_values() {
        let mut values = [0; Tally::COUNT];
        for (index, value) in values.iter_mut().enumerate() {
            *value = index as u64 + 1;
        }
        assert_eq!(Tally::of(values).values(), values);
    }

    #[test]
    fn calls_are_listed_by_name_when_made() {
        let calls = Calls {
            sendto: 3,
            ..Calls::default()
        };
        assert_eq!(calls.by_name().collect::<Vec<_>>(), [("sendto", 3)]);
    }
}
