//! HTTP/1.1 without I/O: bytes in, bytes out.
#![forbid(unsafe_code)]
