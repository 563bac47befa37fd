//! The floor: an edge-triggered epoll loop that reads, does not look, and writes a constant.
//!
//! It does the system calls that a server cannot do without and nothing else. Its reply has the length of that of
//! `c10k serve` to `GET /bytes/92`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname, listen, recv, send,
    socket_with, sockopt,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
                    Content-Length: 92\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listen(&listener, 4096)?;
    println!("{}", SocketAddr::try_from(getsockname(&listener)?)?);
    let reply = [HEAD.as_bytes(), &[b'x'; 92]].concat();
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&set, &listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = [MaybeUninit::uninit(); 512];
    let mut input = vec![0; 64 * 1024];
    loop {
        let (events, _) = epoll::wait(&set, &mut events, None)?;
        for event in events {
            let number = event.data.u64();
            if number == u64::MAX {
                let connection = accept_with(&listener, flags)?;
                let slot = connection.as_raw_fd() as usize;
                let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                epoll::add(&set, &connection, EventData::new_u64(slot as u64), interest)?;
                connections.resize_with(connections.len().max(slot + 1), || None);
                connections[slot] = Some(connection);
                continue;
            }
            let Some(connection) = &connections[number as usize] else {
                continue;
            };
            match recv(connection, &mut *input, RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => connections[number as usize] = None,
                Ok(_) => {
                    send(connection, &reply, SendFlags::NOSIGNAL)?;
                }
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
