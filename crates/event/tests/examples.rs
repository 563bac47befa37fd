//! Runs the examples, on every mechanism if they accept one.
#![forbid(unsafe_code)]

use c10k_event::Mechanism;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

/// When a read is given up, so that a test fails instead of waiting without end.
const LONG: Duration = Duration::from_secs(60);

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
fn the_echo_server_serves_all_clients_although_it_has_no_descriptor_for_each() {
    const CLIENTS: usize = 40;
    for mechanism in available() {
        let mut command = Command::new("sh");
        let echo = example("echo").get_program().to_owned();
        command.args(["-c", "ulimit -n 24 && exec \"$0\" \"$1\""]);
        command.arg(echo).arg(mechanism.name());
        let server = Server::start(command);
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        clients
            .iter_mut()
            .for_each(|client| client.write_all(b"x").expect("sent"));
        // Each client that was answered leaves, and another one can be accepted.
        for mut client in clients {
            let mut answer = [0];
            client.read_exact(&mut answer).expect("answered");
            assert_eq!(&answer, b"x", "{mechanism}");
        }
    }
}

/// A server that answers everything it was sent, in one write, after its client has closed its writing half.
fn answer_at_the_end(listener: &TcpListener) {
    let (mut connection, _) = listener.accept().expect("the proxy connects");
    let mut text = Vec::new();
    connection.read_to_end(&mut text).expect("read");
    connection.write_all(&text).expect("sent");
}

#[test]
fn the_proxy_forwards_both_directions_with_back_pressure_on_every_mechanism() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address").to_string();
    for mechanism in available() {
        let mut command = example("proxy");
        command.args([&address, mechanism.name()]);
        let proxy = Server::start(command);
        // More than the buffers of all four sockets hold, so that each side fills up.
        let text: Vec<u8> = (0..24_000_000_u32).map(|index| index as u8).collect();
        let mut client = proxy.connect();
        std::thread::scope(|scope| {
            scope.spawn(|| answer_at_the_end(&listener));
            client.write_all(&text).expect("sent");
            client.shutdown(std::net::Shutdown::Write).expect("half-closed");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).expect("answered");
            assert!(answer == text, "{mechanism}: {} of {} bytes", answer.len(), text.len());
        });
    }
}

#[test]
fn the_proxy_closes_a_pair_that_is_idle_and_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address").to_string();
    for mechanism in available() {
        let mut command = example("proxy");
        command.args([&address, mechanism.name(), "127.0.0.1:0", "0.3"]);
        let proxy = Server::start(command);
        let (mut idle, mut busy) = (proxy.connect(), proxy.connect());
        let mut servers: Vec<_> = (0..2)
            .map(|_| listener.accept().expect("the proxy connects").0)
            .collect();
        // The busy pair never pauses, so it is open when the idle one is closed.
        busy.write_all(b"x").expect("sent");
        idle.set_nonblocking(true).expect("O_NONBLOCK");
        loop {
            match idle.read(&mut [0]) {
                Ok(0) => break,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                other => panic!("{mechanism}: {other:?}"),
            }
            busy.write_all(b"x").expect("the busy pair is open");
            for server in &mut servers {
                server.set_nonblocking(true).expect("O_NONBLOCK");
                let _ = server.read(&mut [0; 4096]);
            }
            std::thread::yield_now();
        }
        busy.write_all(b"x").expect("the busy pair is open");
    }
}

#[test]
fn the_echo_server_stays_below_seventy_lines_of_code() {
    let source = include_str!("../examples/echo.rs");
    let code = source
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    assert!(code.count() < 70);
}

#[test]
fn the_chat_forwards_lines_from_clients_and_from_its_input() {
    let mut server = Server::start(example("chat"));
    let mut input = server.input.take().expect("its input is a pipe");
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let mut readers: Vec<_> = clients
        .iter()
        .map(|it| BufReader::new(it.try_clone().expect("cloned")))
        .collect();
    // A typed line reaches only the clients that are already accepted, so it is typed until each of them has it to read.
    // One line at a time: the chat disconnects a client whose buffer is full.
    for client in &clients {
        client.set_nonblocking(true).expect("O_NONBLOCK");
        while client.peek(&mut [0]).is_err() {
            input.write_all(b"welcome\n").expect("the chat reads its input");
            std::thread::sleep(Duration::from_millis(1));
        }
        client.set_nonblocking(false).expect("blocking");
        client.set_read_timeout(Some(LONG)).expect("SO_RCVTIMEO");
    }
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
}

#[test]
fn the_chat_serves_its_clients_although_its_input_does_not_pause() {
    let mut server = Server::start(example("chat"));
    let mut input = server.input.take().expect("its input is a pipe");
    let typing = std::thread::spawn(move || {
        // Fails when the server ends, which closes the pipe.
        while input.write_all(&b"welcome\n".repeat(1_000)).is_ok() {}
    });
    // Each client is accepted while lines are typed, and reads one of them.
    for _ in 0..20 {
        let client = server.connect();
        client.set_read_timeout(Some(LONG)).expect("SO_RCVTIMEO");
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).expect("a line");
        assert_eq!(line, "server: welcome\n");
    }
    drop(server);
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
        let costs = mechanism.costs();
        let mut calls = costs.wait.iter().chain(costs.wait_in_vain);
        assert!(
            text.contains("events handled") && calls.any(|(name, _)| text.contains(name)),
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
