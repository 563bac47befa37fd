//! Runs the examples, on every mechanism if they accept one.
#![forbid(unsafe_code)]

use c10k_event::Mechanism;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

/// An example, which Cargo has built together with this test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test's path");
    let folder = test.ancestors().nth(2).expect("the profile's folder").to_owned();
    let path: PathBuf = folder.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is built by 'cargo test' with this test",
        path.display()
    );
    Command::new(path)
}

/// A running server. Dropping this value ends it.
struct Server {
    child: Child,
    address: String,
    input: Option<ChildStdin>,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut address = String::new();
        let output = child.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut address).expect("its address");
        let input = child.stdin.take();
        Self {
            child,
            address: address.trim().to_owned(),
            input,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("it accepts")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

fn available() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| mechanism.probe().is_ok())
}

#[test]
fn the_echo_server_answers_on_every_mechanism() {
    for mechanism in available() {
        let mut command = example("echo");
        command.arg(mechanism.name());
        let server = Server::start(command);
        for text in [&b"hello"[..], &[7; 3_000]] {
            let mut client = server.connect();
            client.write_all(text).expect("sent");
            let mut answer = vec![0; text.len()];
            client.read_exact(&mut answer).expect("answered");
            assert_eq!(answer, text, "{mechanism}");
        }
    }
}

#[test]
fn the_echo_server_stays_below_sixty_lines_of_code() {
    let source = include_str!("../examples/echo.rs");
    let code = source
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    assert!(code.count() < 60);
}

#[test]
fn the_chat_forwards_lines_from_clients_and_from_its_input() {
    let mut server = Server::start(example("chat"));
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    // A typed line reaches only the clients that are already accepted, so it is typed until the last client has read
    // it.
    let mut readers: Vec<_> = clients
        .iter()
        .map(|it| BufReader::new(it.try_clone().expect("cloned")))
        .collect();
    let mut input = server.input.take().expect("its input is a pipe");
    let typing = std::thread::spawn(move || {
        // Fails when the server ends, which closes the pipe.
        while input.write_all(b"welcome\n").is_ok() {
            std::thread::yield_now();
        }
    });
    for reader in &mut readers {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        assert_eq!(line, "server: welcome\n");
    }
    clients[0].write_all(b"hi there\n").expect("sent");
    for reader in &mut readers[1..] {
        let heard = reader.lines().map_while(Result::ok).any(|line| line == "hi there");
        assert!(heard, "the others read what a client wrote");
    }
    drop((clients, readers, server));
    typing.join().expect("the writing thread ends");
}

#[test]
fn one_program_runs_on_every_mechanism() {
    for mechanism in available() {
        let output = example("every_mechanism")
            .arg(mechanism.name())
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{mechanism}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            text.contains("events handled") && text.contains(mechanism.waits()[0]),
            "{mechanism}: {text}"
        );
    }
    let listed = example("every_mechanism").output().expect("it runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        Mechanism::all().all(|mechanism| listed.contains(mechanism.name())),
        "{listed}"
    );
    let unknown = example("every_mechanism").arg("kqueue").output().expect("it runs");
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("kqueue"));
}
