//! The real network: sockets, the addresses they come from, and the limits of this process and host.

pub(crate) mod limits;
pub(crate) mod probe;
pub(crate) mod socket;
pub(crate) mod socket_set;
pub(crate) mod sources;
