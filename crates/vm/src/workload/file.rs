//! What a request costs whose work may block, and so what each model pays to have it done elsewhere.
//!
//! The same bytes are requested as `/bytes` and as a file. The file is in the page cache of a file system in memory, so nobody ever waits for
//! a disk: what the file costs more in one model than in another is the price of its way to do the work. As with
//! [`request`](super::request), the client's share is subtracted.

use c10k_sys::scheduling::{Class, enter};

use super::client::{Client, Connection};
use super::error::WorkloadError;
use super::request::{exchange_of, measure};
use super::server_process::{ServerProcess, Start};
use super::task::Task;

/// The bytes of a file.
const SIZE: &str = "4k";

/// The requests, with their names in a load.
const REQUESTS: [(&str, &[u8]); 2] = [
    ("bytes", b"GET /bytes/4k HTTP/1.1\r\nHost: c10k\r\n\r\n"),
    ("file", b"GET /file/1 HTTP/1.1\r\nHost: c10k\r\n\r\n"),
];

fn load(name: &str) -> String {
    format!("request={name}")
}

pub(super) fn loads() -> Vec<String> {
    REQUESTS.iter().map(|(name, _)| load(name)).collect()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    // Client and server take turns, each until it waits.
    enter(Class::Batch).map_err(|error| WorkloadError::Io("enter SCHED_BATCH", error))?;
    let directory = tempfile::tempdir().map_err(|error| WorkloadError::Io("make a directory", error))?;
    let path = directory.path().to_string_lossy();
    let options = ["--disk", &path, "--disk-files", "2", "--disk-file-size", SIZE];
    let server = match ServerProcess::start(task.subject, 0, &options)? {
        Start::Serving(server) => server,
        Start::Unavailable(reason) => return task.unavailable(reason),
    };
    let mut replies = 0;
    for (name, request) in REQUESTS {
        let load = load(name);
        if !task.is_selected(&load) {
            continue;
        }
        let reply = Client::first_reply(server.address, request)?;
        let share = exchange_of(request, &reply, &load, Connection::Kept)?.instructions / 2;
        let mut client = Client::new(server.address, request, &reply);
        let mut cell = measure(&mut client, &load, Connection::Kept)?;
        cell.subject = task.subject.name.clone();
        cell.instructions = cell.instructions.saturating_sub(share);
        replies += client.replies + 1;
        task.print(cell)?;
    }
    server.stop(replies)
}
