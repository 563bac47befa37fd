//! An open-loop HTTP load generator with an idle-connection pool.
#![forbid(unsafe_code)]
