//! The deterministic guest: an experiment in a virtual machine whose clock *is* its instruction count.
//!
//! `qemu-system-x86_64 -accel tcg -icount shift=0,sleep=off` emulates a machine that executes one instruction in one
//! nanosecond of its own time. The cost of a mechanism is then the same number on every machine, loaded or not, as long as
//! kernel, program and emulator are the same.
//!
//! The guest consists of a kernel file and an initramfs, which this crate makes: a program of the host and the shared
//! libraries that it needs. That program is process 1 ([`guest::run`]). It runs the commands of a [`Plan`] and prints one
//! [`c10k_record::GuestRecord`] per line on the second serial port.
//!
//! ```no_run
//! use c10k_vm::{Guest, Machine, Plan, Step};
//!
//! let machine = Machine::find(None)?;
//! let plan = Plan::of([Step::new("/c10k").arguments(["doctor"])]);
//! let report = Guest::new(&machine, plan)?.run(&mut |record| println!("{record:?}"))?;
//! println!("{} statuses", report.statuses.len());
//! # Ok::<(), c10k_vm::VmError>(())
//! ```
//!
//! The guest has one virtual CPU. Its figures include the cost of code, system calls and context switches; they do not
//! include contention and cache misses.
#![forbid(unsafe_code)]

mod boots;
pub mod claims;
mod compare;
mod competitors;
pub mod curves;
mod error;
mod figure;
pub mod guest;
mod initramfs;
mod kernel;
pub mod kernels;
mod machine;
mod module;
mod plan;
mod program;
mod qemu;
pub mod report;
mod selection;
pub mod study;
pub mod workload;

pub use compare::{Change, changes};
pub use error::VmError;
pub use figure::Scaling;
pub use kernel::Kernel;
pub use machine::{Accelerator, Machine};
pub use plan::{Plan, Step};
pub use qemu::{Guest, Report};
pub use selection::Selection;
