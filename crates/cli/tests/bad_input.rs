//! Every mistake on the command line is one line that names operation, cause and remedy, and exit code 2.

#[path = "support/ports.rs"]
mod ports;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use ports::free_port;

fn c10k(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_c10k"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

/// Runs the command and checks that it is refused with one line that contains all of `words`.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = c10k(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?} printed {stderr:?}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
    assert_eq!(
        stderr.lines().count(),
        1,
        "{arguments:?} printed more than one line: {stderr:?}"
    );
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: {stderr:?} lacks {word:?}");
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary file can be written");
    path.to_str().expect("the path is UTF-8").to_owned()
}

#[test]
fn an_unknown_command_or_flag_points_to_the_help() {
    refused(&["frobnicate"], &["frobnicate", "--help"]);
    refused(&["list", "--jason"], &["--jason", "--json"]);
    refused(&[], &["no command", "c10k study"]);
}

#[test]
fn an_unknown_mechanism_or_model_is_refused_with_the_names_of_all() {
    refused(&["serve", "--mechanism", "kqueue"], &["kqueue", "epoll-edge", "select"]);
    refused(&["serve", "--model", "actors"], &["actors", "event-loop"]);
}

#[test]
fn a_ring_option_is_refused_where_it_has_no_ring_or_no_sockets() {
    refused(
        &["serve", "--mechanism", "io-uring-poll", "--ring", "coop-taskrun,direct"],
        &["--ring direct", "io-uring-poll only polls", "model io-uring"],
    );
    refused(
        &["serve", "--mechanism", "epoll-edge", "--ring", "coop-taskrun"],
        &["epoll-edge", "the setup of a ring"],
    );
    refused(
        &["serve", "--model", "async-tasks", "--ring", "coop-taskrun"],
        &["--ring", "async-tasks", "io-uring"],
    );
}

#[test]
fn an_unknown_probe_option_or_value_is_refused_with_those_of_the_row() {
    refused(&["probe", "nap"], &["nap", "switch-cost", "fan-out"]);
    refused(&["probe", "fan-out", "--by", "pigeon"], &["pigeon", "shared", "forked"]);
    refused(&["probe", "fan-out"], &["--by", "shared or forked"]);
    refused(&["probe", "fan-out", "--by", "shared", "--tasks", "2"], &["--tasks"]);
    refused(
        &["probe", "switch-cost", "--by", "pipe", "--tasks", "1"],
        &["--tasks", "2 to 1000"],
    );
}

#[test]
fn a_value_out_of_range_is_refused_before_anything_starts() {
    refused(&["serve", "--accept", "0"], &["--accept"]);
    refused(&["serve", "--work", "soon"], &["--work", "soon"]);
    refused(&["load", "http://127.0.0.1:1/", "--rate", "-3"], &["--rate"]);
    refused(
        &["load", "http://127.0.0.1:1/", "--arrival", "uniform"],
        &["--arrival", "poisson"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("bound").to_string();
    refused(&["serve", "--listen", &address], &[&address, "in use"]);
}

#[test]
fn a_url_that_is_not_one_is_refused() {
    refused(&["load", "not a url"], &["not a url"]);
    refused(&["load", "ftp://127.0.0.1/"], &["http://"]);
}

#[test]
fn a_server_that_does_not_listen_is_named() {
    let address = format!("127.0.0.1:{}", free_port());
    refused(
        &["load", &format!("http://{address}/"), "--duration", "1s"],
        &[&address, "refused"],
    );
}

#[test]
fn a_server_that_does_not_speak_http_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let server = thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            let mut request = [0; 4096];
            match peer.read(&mut request) {
                Ok(taken) if request[..taken].starts_with(b"stop") => return,
                // The client may close the connection before everything is written.
                _ => drop(peer.write_all(b"220 mail.example ESMTP\r\n")),
            }
        }
    });
    refused(&["load", &format!("http://{address}/"), "--duration", "1s"], &["HTTP"]);
    TcpStream::connect(address)
        .and_then(|mut last| last.write_all(b"stop"))
        .expect("the server still listens");
    server.join().expect("the server ends");
}

#[test]
fn an_unknown_study_is_refused_with_the_names_of_all() {
    refused(&["study", "paper/figure-99"], &["paper/figure-99", "quick"]);
}

#[test]
fn a_malformed_experiment_is_refused_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = written(folder.path(), "broken.toml", "name = \"x\"\nquestion = [\n");
    refused(&["study", &broken], &["broken.toml"]);
    let unknown = written(folder.path(), "unknown.toml", "name = \"x\"\nquestoin = \"typo\"\n");
    refused(&["study", &unknown], &["unknown.toml", "questoin", "2"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    refused(
        &["study", "quick", "--out", "/dev/null/results"],
        &["/dev/null/results"],
    );
}
