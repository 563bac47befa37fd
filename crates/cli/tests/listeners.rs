//! Where `c10k serve` listens: addresses, names, Unix sockets, inherited sockets; and what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use c10k_record::ServeRecord;
use c10k_server::{Model, ModelOption};

const GET: &[u8] = b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Models that can run here, some with several workers.
fn models() -> impl Iterator<Item = Vec<&'static str>> {
    let available = Model::all().filter(|model| model.availability().is_ok());
    available.flat_map(|model| {
        let one = vec!["--model", model.name()];
        let two = [one.as_slice(), &["--workers", "2"]].concat();
        let sharing = [two.as_slice(), &["--accept-sharing", "shared"]].concat();
        let options = model.descriptor().options;
        if options.contains(&ModelOption::AcceptSharing) {
            vec![two, sharing]
        } else if options.contains(&ModelOption::Submission) {
            vec![one, two]
        } else {
            vec![one]
        }
    })
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.args(["serve", "--json"]).args(arguments);
    command
}

/// The same with sockets as descriptors 3 and 4, as a service manager hands them over.
fn serve_inheriting(sockets: &[OwnedFd], arguments: &[&str]) -> Command {
    let (script, mut command) = match sockets {
        [_] => (
            r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null"#,
            Command::new("sh"),
        ),
        _ => (
            r#"LISTEN_PID=$$ LISTEN_FDS=2 exec "$@" 3<&0 4<&2 2>&1 </dev/null"#,
            Command::new("sh"),
        ),
    };
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_c10k"), "serve", "--json"]);
    command.args(arguments);
    let hand = |socket: &OwnedFd| Stdio::from(socket.try_clone().expect("a descriptor"));
    command.stdin(hand(&sockets[0]));
    if let Some(second) = sockets.get(1) {
        command.stderr(hand(second));
    }
    command
}

/// Asserts that the server ends with one line and exit code 2, and returns the line.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    assert_eq!(
        (output.status.code(), text.lines().count()),
        (Some(2), 1),
        "{command:?}: {text}"
    );
    text
}

/// A running server and its address.
struct Running(Child, String);

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut records = BufReader::new(child.stdout.take().expect("piped"));
        records.read_line(&mut line).expect("standard output can be read");
        child.stdout = Some(records.into_inner());
        match serde_json::from_str(&line) {
            Ok(ServeRecord::Listening { address, .. }) => Running(child, address),
            other => panic!("{command:?}: {line:?}: {other:?}"),
        }
    }

    fn stop(mut self) {
        let kill = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(kill.expect("kill is there").success());
        assert_eq!(self.0.wait().expect("our child").code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test fails.
        let _ = self.0.kill();
    }
}

fn is_served(mut stream: impl Read + Write) {
    stream.write_all(GET).expect("it reads");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("it answers");
    assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n") && reply.ends_with(b"\r\n\r\n\x00\x01\x02"));
}

/// A listener that lets others share its port.
fn sharing_listener() -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
    sockopt::set_socket_reuseaddr(&socket, true).expect("an option");
    sockopt::set_socket_reuseport(&socket, true).expect("an option");
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    listen(&socket, 16).expect("a bound socket");
    TcpListener::from(socket)
}

#[test]
fn a_port_that_is_in_use_is_never_shared() {
    let taken = sharing_listener();
    let address = taken.local_addr().expect("bound").to_string();
    for arguments in models() {
        let line = refused(serve(&[arguments.as_slice(), &["--listen", &address]].concat()));
        assert!(line.contains("another process listens there"), "{line}");
    }
}

#[test]
fn two_servers_never_share_a_port() {
    for arguments in models() {
        let first = Running::start(serve(&arguments));
        let again = [arguments.as_slice(), &["--listen", &first.1]].concat();
        let line = refused(serve(&again));
        assert!(line.contains("another process listens there"), "{line}");
        is_served(TcpStream::connect(&first.1).expect("it listens"));
        first.stop();
    }
}

#[test]
fn a_name_stands_for_an_address_of_this_machine() {
    let server = Running::start(serve(&["--listen", "localhost:0"]));
    is_served(TcpStream::connect(&server.1).expect("it listens"));
    server.stop();
    for (bad, wanted) in [
        ("nowhere", "NAME:PORT"),
        ("unix:", "1 to 107 bytes"),
        ("unix:/nowhere/at/all", "in which this user may create files"),
    ] {
        let line = refused(serve(&["--listen", bad]));
        assert!(line.contains(wanted), "{line}");
    }
}

#[test]
fn a_unix_socket_is_served_and_its_file_removed() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("socket");
    let address = format!("unix:{}", path.display());
    for arguments in models() {
        let command = serve(&[arguments.as_slice(), &["--listen", &address]].concat());
        let one_listener = !arguments.contains(&"--workers") || arguments.contains(&"--accept-sharing");
        if !one_listener {
            let line = refused(command);
            assert!(line.contains("a Unix socket") && line.contains("one worker"), "{line}");
            continue;
        }
        let server = Running::start(command);
        assert_eq!(server.1, address);
        for _ in 0..3 {
            is_served(UnixStream::connect(&path).expect("it listens"));
        }
        let line = refused(serve(&["--listen", &address]));
        assert!(line.contains("remove it"), "{line}");
        server.stop();
        assert!(!path.exists(), "{arguments:?}");
    }
}

#[test]
fn an_inherited_socket_that_cannot_be_used_is_named() {
    let bound = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let line = refused(serve_inheriting(&[bound.into()], &[]));
    assert!(line.contains("tcp socket"), "{line}");
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let silent = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
    bind(&silent, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let line = refused(serve_inheriting(&[silent], &[]));
    assert!(line.contains("does not listen"), "{line}");
    let two = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port").into());
    let line = refused(serve_inheriting(&two, &[]));
    assert!(line.contains("there are 2 descriptors"), "{line}");
}

#[test]
fn an_inherited_listener_serves_several_workers_if_its_port_can_be_shared() {
    for model in ["loop-per-core", "io-uring"] {
        if Model::named(model).expect("a model").availability().is_err() {
            continue;
        }
        let arguments = ["--model", model, "--workers", "2"];
        let alone = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let line = refused(serve_inheriting(&[alone.into()], &arguments));
        assert!(line.contains("SO_REUSEPORT") && line.contains("one worker"), "{line}");
        let sharing = sharing_listener();
        let address = sharing.local_addr().expect("bound");
        let server = Running::start(serve_inheriting(&[sharing.into()], &arguments));
        assert_eq!(server.1, address.to_string());
        for _ in 0..20 {
            is_served(TcpStream::connect(address).expect("it listens"));
        }
        server.stop();
    }
}

#[test]
fn an_inherited_unix_socket_is_served_and_its_file_stays() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a new file");
    let server = Running::start(serve_inheriting(&[listener.into()], &[]));
    is_served(UnixStream::connect(&path).expect("it listens"));
    server.stop();
    assert!(path.exists());
}

#[test]
fn a_limit_on_descriptors_that_leaves_nothing_is_refused() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"ulimit -n 24; exec "$@""#,
        "sh",
        env!("CARGO_BIN_EXE_c10k"),
        "serve",
    ]);
    let line = refused(command);
    assert!(line.contains("is 24: raise it to 32 or more (ulimit -n)"), "{line}");
}
