//! Facts, limits and meters of this machine, read from the kernel.
//!
//! [`facts`] reads what a result depends on. [`doctor`] lists the facts that would disturb a study, each with the command that
//! changes it. [`meter`] reads what processes, CPUs and the network stack have used. [`calls`] counts system calls,
//! [`child`] starts pinned processes, [`guard`] ends whatever they leave, and [`scratch`] has directories that are removed at the
//! end. Nothing here changes the machine.
#![forbid(unsafe_code)]

pub mod calls;
pub mod child;
pub mod doctor;
pub mod facts;
pub mod guard;
pub mod meter;
pub mod network;
pub mod scratch;
