//! What this machine is and what it is doing: facts, limits and meters read from the kernel.
#![forbid(unsafe_code)]
