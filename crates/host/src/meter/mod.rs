//! Meters: what a process tree, a CPU and the network stack have used so far.
//!
//! A meter is read twice and the readings are subtracted. Only one meter runs in between: the
//! [`IdleCounter`], a thread. The CPU time of a server is measured in three independent ways, because each can
//! mislead:
//!
//! 1. [`ProcessTree`]: the scheduler's run time of every thread of the server and of its children. Exact to the
//!    nanosecond, but without interrupt time accounting (`CONFIG_IRQ_TIME_ACCOUNTING`) it holds interrupts that hit the
//!    server, and misses those that hit the idle CPU on the server's behalf.
//! 2. [`IdleCounter`]: the `idle_counter` of Chandra and Mosberger (section 3.1): loops that a thread of the idle class got
//!    done, against the loops that it gets done without the server. Counts everything that kept the CPU from idling.
//! 3. [`CpuTicks`]: wall time − idle − steal of the server's CPU from `/proc/stat`, which the kernel may sample at timer
//!    ticks.

mod cpu;
mod idle_counter;
mod memory;
mod signals;
mod sockets;
mod tree;

pub use cpu::{CpuTicks, PressureNs, Resource, cpu_ticks, forks_total, interrupts_on, pressure, softirqs_on};
pub use idle_counter::{IdleCounter, IdleCounterReading};
pub use memory::{KernelMemory, available_memory, kernel_memory, page_table_bytes, proportional_set_bytes};
pub use signals::queued_signals;
pub use sockets::tcp_sockets;
pub use tree::{Member, ProcessTree, TreeUsage, command_name, is_running, run_queue_wait};
