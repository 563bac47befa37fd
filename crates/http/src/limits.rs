//! What a client may ask the machine to hold or to read.

/// Caps on the size of a request. Each states the status that refuses what exceeds it, and nginx's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line without its CRLF. Beyond: 414. Default 8192 (nginx: `large_client_header_buffers` 8k).
    pub request_line: usize,
    /// Bytes of the whole head, request line and final CRLF included. Beyond: 431. Default 32768 (nginx: 4 buffers of
    /// 8k).
    pub head: usize,
    /// Number of field lines, at most 100. Beyond: 431. Default 100 (nginx: `max_headers`, 1000).
    pub fields: usize,
    /// Bytes of a request body after decoding. Beyond: 413. Default 1 MiB (nginx: `client_max_body_size` 1m).
    pub body: u64,
    /// Bytes of all chunk extensions of one body. Beyond: 400. Default 4096 (nginx: none).
    pub chunk_extensions: u32,
    /// Bytes of the trailer section of one body. Beyond: 431. Default 8192 (nginx: none).
    pub trailers: u32,
    /// Ranges of one request. Beyond: the whole file. Default 16 (nginx: `max_ranges`, none).
    pub ranges: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_line: 8192,
            head: 32 * 1024,
            fields: 100,
            body: 1 << 20,
            chunk_extensions: 4096,
            trailers: 8192,
            ranges: 16,
        }
    }
}
