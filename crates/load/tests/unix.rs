//! Load over a Unix socket.

mod support;

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use c10k_load::{LoadError, LoadPlan, Rate, Target, run};

#[test]
fn a_server_on_a_unix_socket_can_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // The thread runs until the test process ends.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut stream = stream;
                let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                while support::read_request(&mut stream) && stream.write_all(reply).is_ok() {}
            });
        }
    });
    let plan = LoadPlan {
        rate: Rate::PerSecond(200.0),
        duration: Duration::from_millis(300),
        idle: 7,
        timeout: support::HANG,
        lag_bound: support::HANG,
        ..LoadPlan::new(Target::parse(&format!("unix:{}:/bytes/5", path.display())).unwrap())
    };
    let summary = run(&plan, |_| {}).unwrap().summary;
    assert_eq!(
        (summary.completed, summary.idle.open_min, summary.valid),
        (60, 7, true),
        "{summary:?}"
    );
}

#[test]
fn a_socket_without_a_listener_is_an_error() {
    let plan = LoadPlan::new(Target::parse("unix:/nonexistent/server.sock").unwrap());
    let error = run(&plan, |_| {}).unwrap_err();
    assert!(matches!(error, LoadError::Connect { .. }));
    assert!(error.to_string().contains("unix:/nonexistent/server.sock"), "{error}");
}
