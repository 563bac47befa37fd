//! The deterministic guest: an experiment in a virtual machine whose clock *is* its instruction count.
//!
//! `qemu-system-x86_64 -accel tcg -icount shift=0,sleep=off` emulates a machine that executes one instruction in one
//! nanosecond of its own time. What a mechanism costs is then a number that is the same on every machine, loaded or not,
//! as long as kernel, program and emulator are the same.
//!
//! The guest is a kernel file and an initramfs that is made here: a program of the host, the shared libraries that it
//! needs, and nothing else. That program is process 1 ([`guest::run`]); it runs the commands of a [`Plan`] and reports
//! on the second serial port as [`c10k_record::GuestRecord`]s, one a line.
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
//! The guest has one virtual CPU: contention and cache misses do not show. Cost per event and per request, system calls
//! and context switches do.
#![forbid(unsafe_code)]

mod compare;
mod contestants;
mod error;
pub mod guest;
mod initramfs;
mod kernel;
mod machine;
mod plan;
mod program;
mod qemu;
pub mod report;
pub mod study;
pub mod workload;

pub use compare::{Change, changes};
pub use error::VmError;
pub use kernel::Kernel;
pub use machine::{Accelerator, Machine};
pub use plan::{Plan, Step};
pub use qemu::{Guest, Report};
