//! Work that may block: numbered files, mailboxes and sleeps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use tempfile::TempDir;

use crate::Case;
use crate::client::{Client, Reply, get, pattern};
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    ("numbered_files_are_read_in_each_way", Needs::Nothing, files),
    (
        "files_that_are_truncated_or_removed_end_no_connection",
        Needs::Nothing,
        truncated,
    ),
    ("each_message_is_appended_once_and_read_back", Needs::Nothing, messages),
    ("a_full_disk_is_a_reply_and_nothing_else", Needs::Nothing, full),
    ("work_on_a_slow_disk_is_answered_in_order", Needs::Nothing, slow),
    ("a_drain_waits_for_work", Needs::Nothing, drain),
];

/// The options that a subject makes the directory with.
pub(crate) const FILES: u32 = 20;
pub(crate) const FILE_SIZE: u32 = 5000;

fn start(subject: &Subject, directory: &TempDir) -> Running {
    subject.start(&[("disk", directory.path().to_str().expect("a path in UTF-8"))])
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn post(client: &mut Client, mailbox: u32, message: &[u8]) -> Reply {
    let length = message.len();
    client.send(format!(
        "POST /mail/{mailbox} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    client.send(message);
    client.reply()
}

/// Where file number N is.
fn place(directory: &Path, number: u32) -> std::path::PathBuf {
    directory.join(format!("files/{number:02x}/{number}"))
}

fn files(subject: &Subject) {
    let directory = scratch();
    let server = start(subject, &directory);
    let mut client = Client::connect(server.address);
    let whole = pattern(FILE_SIZE as usize);
    for number in [0, 7, FILES - 1] {
        let reply = client.get(&format!("/file/{number}"));
        assert_eq!((reply.status, &reply.body), (200, &whole), "{number}");
    }
    // A file system in memory has no disk to read from, and says so.
    for way in ["cold", "direct"] {
        let reply = client.get(&format!("/file/3/{way}"));
        assert!(matches!(reply.status, 200 | 501), "{way}: {}", reply.status);
        assert!(reply.status == 501 || reply.body == whole, "{way}");
    }
    assert_eq!(client.get(&format!("/file/{FILES}")).status, 404);
    assert_eq!(client.get("/file/x").status, 404);
    client.send("HEAD /file/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.reply_without_body();
    assert!(
        head.head.contains(&format!("\r\nContent-Length: {FILE_SIZE}\r\n")),
        "{}",
        head.head
    );
    drop(client);
    server.stop();
}

fn truncated(subject: &Subject) {
    let directory = scratch();
    let server = start(subject, &directory);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/file/1").body.len(), FILE_SIZE as usize);
    fs::write(place(directory.path(), 1), pattern(3)).expect("a file of the directory");
    fs::write(place(directory.path(), 2), b"").expect("a file of the directory");
    fs::remove_file(place(directory.path(), 3)).expect("a file of the directory");
    assert_eq!(client.get("/file/1").body, pattern(3));
    let empty = client.get("/file/2");
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    assert_eq!(client.get("/file/3").status, 404);
    assert_eq!(client.get("/file/4").body.len(), FILE_SIZE as usize);
    drop(client);
    server.stop();
}

fn messages(subject: &Subject) {
    const CLIENTS: usize = 4;
    const MESSAGES: usize = 5;
    let directory = scratch();
    let server = start(subject, &directory);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = server.address;
            scope.spawn(move || {
                let mut connection = Client::connect(address);
                for message in 0..MESSAGES {
                    let message = format!("<{client}.{message}{}>", "x".repeat(700 * client));
                    let reply = post(&mut connection, 1, message.as_bytes());
                    assert_eq!((reply.status, reply.body), (200, message.into_bytes()));
                }
            });
        }
    });
    let mailbox = fs::read_to_string(directory.path().join("mail/1")).expect("a mailbox");
    assert_eq!(mailbox.matches('<').count(), CLIENTS * MESSAGES);
    for client in 0..CLIENTS {
        for message in 0..MESSAGES {
            assert_eq!(mailbox.matches(&format!("<{client}.{message}")).count(), 1);
        }
    }
    let mut client = Client::connect(server.address);
    assert_eq!(post(&mut client, 256, b"beyond the last").status, 404);
    assert_eq!(post(&mut client, 2, b"").body, b"");
    drop(client);
    server.stop();
}

fn full(subject: &Subject) {
    let directory = scratch();
    let server = start(subject, &directory);
    // This device is always full.
    symlink("/dev/full", directory.path().join("mail/5")).expect("a symbolic link");
    let mut client = Client::connect(server.address);
    for _ in 0..2 {
        assert_eq!(post(&mut client, 5, b"too much").status, 507);
    }
    assert_eq!(post(&mut client, 6, b"fits").body, b"fits");
    drop(client);
    server.stop();
}

fn slow(subject: &Subject) {
    let directory = scratch();
    let path = directory.path().to_str().expect("a path in UTF-8");
    let server = subject.start(&[("slow-disk", path)]);
    let mut client = Client::connect(server.address);
    let mut requests = String::new();
    for path in ["/file/1", "/bytes/3", "/sleep/20ms", "/file/2", "/bytes/4"] {
        requests.push_str(&get(path));
    }
    client.send(requests);
    let lengths = [FILE_SIZE as usize, 3, 1, FILE_SIZE as usize, 4];
    assert_eq!(lengths.map(|_| client.reply().body.len()), lengths);
    drop(client);
    server.stop();
}

fn drain(subject: &Subject) {
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/bytes/1").status, 200);
    client.send(get("/sleep/300ms"));
    let stopping = thread::spawn(move || server.stop());
    assert_eq!(client.reply().status, 200);
    drop(client);
    stopping.join().expect("the server ends");
}
