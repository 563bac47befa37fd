//! What this machine is and what it is doing: facts, limits and meters read from the kernel.
//!
//! [`facts`] reads what a result depends on, once; [`doctor`] says what of it stands in the way of a study and which
//! command would change it. Nothing here changes the machine.
#![forbid(unsafe_code)]

pub mod calls;
pub mod child;
pub mod doctor;
pub mod facts;
pub mod meter;
