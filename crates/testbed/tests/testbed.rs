//! Testbeds of real namespaces: their hosts reach each other at the stated rate, and nothing of them stays.
//!
//! This executable starts itself again for what needs a process of its own.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use c10k_sys::namespace;
use c10k_testbed::{Discipline, Receive, Spec, Testbed, TestbedError, probe};
use libtest_mimic::{Arguments, Trial};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("clients_reach_the_server_and_each_other", reach),
    ("two_testbeds_have_the_same_addresses_and_do_not_meet", apart),
    ("a_slower_link_takes_longer_in_proportion", rate),
    ("a_delay_delays_or_its_lack_is_named", delay),
    ("packets_are_received_on_the_stated_cpu", steered),
    ("another_process_enters_by_the_path_of_a_host", path),
    ("a_testbed_that_is_dropped_or_killed_leaves_no_namespace", gone),
    ("out_of_range_is_refused_before_anything_is_made", refused),
];

/// Arguments that make this executable something else.
const HOLD: &str = "hold-a-testbed";
const COUNT: &str = "count-namespaces";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(HOLD) => return hold(),
        Some(COUNT) => return count(),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let reason = namespace::new_network().err();
    let trials = CASES.iter().map(|(name, case)| match &reason {
        Some(reason) if !c10k_testkit::required::is_required(&["namespaces"]) => {
            eprintln!("{name}: cannot run here: {reason}");
            Trial::test(*name, || Ok(())).with_ignored_flag(true)
        }
        _ => Trial::test(*name, || {
            case();
            Ok(())
        }),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn build(spec: Spec) -> Testbed {
    Testbed::build(&spec).unwrap_or_else(|error| panic!("{error}"))
}

fn small() -> Spec {
    Spec {
        hosts: 2,
        ..Spec::default()
    }
}

/// A listener on the server's host.
fn listen(testbed: &Testbed) -> (TcpListener, u16) {
    let address = IpAddr::from(testbed.server().address());
    let listener = testbed.server().run(|| TcpListener::bind((address, 0)));
    let listener = listener.expect("the server's host has its address");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

fn connect(testbed: &Testbed, client: usize, port: u16) -> TcpStream {
    let address = IpAddr::from(testbed.server().address());
    let stream = testbed.clients()[client].run(|| TcpStream::connect_timeout(&(address, port).into(), PATIENCE));
    stream.expect("the server is reached")
}

/// Only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

fn reach() {
    let testbed = build(Spec {
        hosts: 10,
        ..Spec::default()
    });
    let (listener, port) = listen(&testbed);
    for client in 0..10 {
        let mut stream = connect(&testbed, client, port);
        let (mut accepted, peer) = listener.accept().expect("a connection");
        assert_eq!(peer.ip(), IpAddr::from(testbed.clients()[client].address()));
        stream.write_all(b"here").expect("it is connected");
        let mut four = [0; 4];
        accepted.read_exact(&mut four).expect("four bytes");
        assert_eq!(&four, b"here");
    }
    let own = IpAddr::from(testbed.clients()[0].address());
    let neighbour = testbed.clients()[0]
        .run(|| TcpListener::bind((own, 0)))
        .expect("its address");
    let port = neighbour.local_addr().expect("it is bound").port();
    let stream = testbed.clients()[9].run(|| TcpStream::connect_timeout(&(own, port).into(), PATIENCE));
    stream.expect("clients reach each other");
}

fn apart() {
    let (one, other) = (build(small()), build(small()));
    assert_eq!(one.server().address(), other.server().address());
    let (_listener, port) = listen(&one);
    let address = IpAddr::from(other.server().address());
    let refused = other.clients()[0].run(|| TcpStream::connect_timeout(&(address, port).into(), PATIENCE));
    assert_eq!(
        refused.expect_err("nobody listens there").kind(),
        io::ErrorKind::ConnectionRefused
    );
    // The host's own network has not changed.
    assert!(TcpStream::connect_timeout(&(address, port).into(), Duration::from_millis(200)).is_err());
}

/// How long it takes to send so many bytes from a client to the server.
fn transfer(testbed: &Testbed, bytes: usize) -> Duration {
    let (listener, port) = listen(testbed);
    let mut stream = connect(testbed, 0, port);
    let (mut accepted, _) = listener.accept().expect("a connection");
    let sender = thread::spawn(move || stream.write_all(&vec![7; bytes]));
    let started = Instant::now();
    let received = io::copy(&mut accepted, &mut io::sink()).expect("all bytes");
    sender.join().expect("the sender ends").expect("all is sent");
    assert_eq!(received, bytes as u64);
    started.elapsed()
}

fn rate() {
    let at = |bits| {
        build(Spec {
            bits_per_second: Some(bits),
            ..small()
        })
    };
    // On a busy machine each of the two may take longer: the slow one less so in proportion, and never the fast one less.
    let slow = transfer(&at(8_000_000), 500_000);
    let fast = transfer(&at(200_000_000), 500_000);
    let ratio = slow.as_secs_f64() / fast.as_secs_f64();
    assert!((2.0..40.0).contains(&ratio), "8 Mbit/s {slow:?}, 200 Mbit/s {fast:?}");
}

fn delay() {
    let spec = Spec {
        delay: Duration::from_millis(20),
        ..small()
    };
    match Testbed::build(&spec) {
        Ok(testbed) => {
            let (listener, port) = listen(&testbed);
            let started = Instant::now();
            let _stream = connect(&testbed, 0, port);
            // A handshake is a round trip over two links: delay can only be added to.
            assert!(started.elapsed() >= Duration::from_millis(80));
            drop(listener);
            probe(Discipline::Netem).expect("it was used");
        }
        Err(error @ TestbedError::Missing(Discipline::Netem)) => {
            assert_eq!(
                error.to_string(),
                "shaping a link with netem: this kernel does not have it (CONFIG_NET_SCH_NETEM): leave out the delay"
            );
            let probed = probe(Discipline::Netem).expect_err("it is missing");
            assert_eq!(probed.to_string(), error.to_string());
        }
        Err(error) => panic!("{error}"),
    }
}

fn steered() {
    let testbed = build(Spec {
        receive: Receive::Cpu(0),
        ..small()
    });
    let (listener, port) = listen(&testbed);
    let _stream = connect(&testbed, 1, port);
    listener.accept().expect("packets arrive");
}

fn path() {
    let testbed = build(small());
    let path = testbed.clients()[1].path();
    let file = fs::File::open(path).expect("the path of a namespace");
    let address = IpAddr::from(testbed.clients()[1].address());
    namespace::inside_network(&file, || TcpListener::bind((address, 0))).expect("the host has its address");
}

fn refused() {
    let error = Testbed::build(&Spec {
        hosts: 0,
        ..Spec::default()
    });
    assert_eq!(
        error.expect_err("no hosts").to_string(),
        "building a testbed: 0 hosts: give 1 to 250"
    );
}

fn again(role: &str) -> Child {
    Command::new(std::env::current_exe().expect("this executable"))
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this executable starts again")
}

fn gone() {
    let child = again(COUNT);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with("all gone\n"), "{said}");
}

/// Builds a testbed and holds it until it is killed.
fn hold() -> ExitCode {
    let testbed = build_when_there_is_room();
    println!("{}", testbed.server().address());
    let _ = io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

/// In a user namespace that allows as many network namespaces as one testbed has, a testbed can be built again only after
/// the one before is gone.
fn count() -> ExitCode {
    // The server, two clients, the switch.
    const NAMESPACES: usize = 4;
    namespace::enter_user_namespace().expect("user namespaces are allowed");
    fs::write("/proc/sys/user/max_net_namespaces", NAMESPACES.to_string()).expect("the limit of this user namespace");
    drop(build_when_there_is_room());
    println!("built after none");
    let first = build_when_there_is_room();
    assert!(matches!(Testbed::build(&small()), Err(TestbedError::Namespace(_))));
    drop(first);
    println!("refused next to one");
    for _ in 0..2 {
        let mut holder = again(HOLD);
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says when it is built");
        assert_eq!(line, "10.77.0.1\n");
        holder.kill().expect("it runs");
        holder.wait().expect("it has ended");
        println!("killed");
    }
    drop(build_when_there_is_room());
    println!("all gone");
    ExitCode::SUCCESS
}

/// The kernel removes namespaces in the background: tries until there is room. Each try that fails has made some of the namespaces, which
/// are to be removed too, so tries that follow each other at once could go on without end.
fn build_when_there_is_room() -> Testbed {
    let started = Instant::now();
    loop {
        match Testbed::build(&small()) {
            Err(TestbedError::Namespace(_)) if started.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(200));
            }
            outcome => return outcome.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}
