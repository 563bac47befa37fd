//! Studies under faults: impossible demands, damaged folders, processes that are killed, and processes that try to stay,
//! and how a study ends. Whether a cell is valid may depend on what else the machine does; whether these tests pass does not.

mod absurd;
mod damaged;
mod disk;
mod ends;
mod interleaved;
mod killed;
mod outlive;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/processes.rs"]
mod processes;
mod support;
