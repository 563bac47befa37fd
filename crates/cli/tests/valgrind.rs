//! `c10k serve` runs under valgrind, so that callgrind and massif can be used on it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use c10k_record::ServeRecord;
use c10k_testkit::required::is_required;

#[test]
fn the_server_answers_and_drains_under_valgrind() {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        let reason = format!("valgrind does not start ({error}): install the package valgrind");
        assert!(!is_required(&["valgrind"]), "required (C10K_REQUIRE): {reason}");
        return eprintln!("unavailable here: {reason}");
    }
    let mut server = Command::new("valgrind")
        .args(["--tool=none", "--quiet", env!("CARGO_BIN_EXE_c10k")])
        .args(["serve", "--json", "--lab", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("valgrind starts");
    let mut records = BufReader::new(server.stdout.take().expect("piped"));
    let mut record = || {
        let mut line = String::new();
        records.read_line(&mut line).expect("text");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a record ({error}): {line:?}"))
    };
    let ServeRecord::Listening { address, .. } = record() else {
        panic!("not the listening record")
    };
    let mut client = TcpStream::connect(&address).expect("it listens");
    client
        .write_all(b"GET /bytes/92 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).expect("it answers");
    assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let pid = server.id().to_string();
    let killed = Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .expect("kill starts");
    assert!(killed.success());
    let ServeRecord::Summary(summary) = record() else {
        panic!("not the summary")
    };
    assert_eq!(summary.requests, 1);
    let status = server.wait().expect("it ends");
    assert!(status.success(), "{status}");
}
