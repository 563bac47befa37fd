//! Tracing programs for `c10k-event`: a loader, and the compiled programs of its `signal-per-fd` mechanism.
//!
//! [`Prepared`] parses a compiled BPF object, resolves its field offsets against the types of the running kernel
//! (`/sys/kernel/btf/vmlinux`), creates its maps, and attaches its programs to functions of the kernel.
//! [`signal_per_fd`] holds one such object and describes the memory that its programs share with user space. Its source,
//! `programs/signal_per_fd.bpf.c`, is part of this package; building the package needs no C compiler.
//!
//! Loading tracing programs takes `CAP_BPF` and `CAP_PERFMON`, or root, and a kernel that allows it. [`BpfError`] names
//! what is missing.

mod loader;
pub mod signal_per_fd;

pub use loader::{Attach, Attached, BpfError, Hook, Map, Prepared, SharedWords};
