//! An HTTP server in which mechanism and concurrency model are flags and nothing else differs.
#![forbid(unsafe_code)]
