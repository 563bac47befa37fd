//! A scripted server over real sockets.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A time limit that only a hang reaches.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A server with a thread per connection. It stops when it is dropped.
pub(crate) struct Peer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Peer {
    /// A server that calls `handle` for each connection.
    pub(crate) fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, handle) = (Arc::clone(&stop), Arc::new(handle));
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), handle) = (stream, Arc::clone(&handle)) else {
                    continue;
                };
                // The thread ends when its client closes the connection, which every run does before it returns.
                thread::spawn(move || handle(stream));
            }
        });
        Self {
            address,
            stop,
            acceptor: Some(acceptor),
        }
    }

    /// A server that calls `answer` for each request of a connection until that returns an error.
    pub(crate) fn answering(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.set_nodelay(true);
            while read_request(&mut stream) && answer(&mut stream).is_ok() {}
        })
    }

    /// A server that answers each request with these bytes.
    pub(crate) fn replying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::answering(move |stream| stream.write_all(&bytes))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Makes the acceptor return from `accept`.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Reads a request; returns false if the client has closed the connection.
pub(crate) fn read_request(stream: &mut impl Read) -> bool {
    let mut seen = [0u8; 4];
    let mut byte = [0];
    while seen != *b"\r\n\r\n" {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        seen.rotate_left(1);
        seen[3] = byte[0];
    }
    true
}

/// Waits until the client closes the connection.
pub(crate) fn wait_for_close(stream: &mut TcpStream) {
    let _ = std::io::copy(stream, &mut std::io::sink());
}
