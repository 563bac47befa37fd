//! The studies that the program carries with it, so that it needs no file to run.

/// One built-in study.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its file in the repository.
    pub file: &'static str,
    /// The file's text.
    pub text: &'static str,
}

macro_rules! built_in {
    ($name:literal) => {
        BuiltIn {
            name: $name,
            file: concat!("experiments/", $name, ".toml"),
            text: include_str!(concat!("../../experiments/", $name, ".toml")),
        }
    };
}

/// Every built-in study, in the order in which `c10k list` shows them.
pub const BUILT_IN: &[BuiltIn] = &[
    built_in!("quick"),
    built_in!("paper/idle-connections"),
    built_in!("paper/throughput-252-idle-1b"),
    built_in!("paper/throughput-6000-idle-1b"),
    built_in!("paper/throughput-6000-idle-6k"),
    built_in!("paper/queue-overflow"),
    built_in!("paper/hung-server"),
    built_in!("threads-events/process-cost"),
    built_in!("threads-events/switch-cost"),
    built_in!("threads-events/blocked-processes"),
    built_in!("threads-events/switches-per-request"),
    built_in!("threads-events/granularity"),
    built_in!("threads-events/persistence"),
    built_in!("threads-events/library-cost"),
    built_in!("threads-events/fan-out"),
    built_in!("threads-events/disk"),
    built_in!("threads-events/disk-delay"),
    built_in!("threads-events/daemon"),
    built_in!("today/trigger"),
    built_in!("today/io-uring"),
    built_in!("today/io-uring-ladder"),
    built_in!("today/spin-or-sleep"),
    built_in!("today/batch-size"),
    built_in!("today/accept-sharing"),
    built_in!("today/restart-under-load"),
    built_in!("today/shared-or-sharded"),
    built_in!("today/slow-request"),
    built_in!("today/saturation"),
    built_in!("today/recovery"),
    built_in!("today/idle-cost"),
];
