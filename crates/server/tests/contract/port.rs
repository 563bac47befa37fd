//! A pool of threads of which a limited number runs at once: one that blocks gives its place to another.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use c10k_event::Mechanism;
use c10k_record::ServeSummary;
use c10k_server::{Config, Confinement, Model, Server};
use c10k_testkit::held_file::HeldFile;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::Case;
use crate::cases::{eventually, stats};
use crate::client::{Client, get, pattern};
use crate::sharing::is_still_served;
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_request_that_blocks_stops_nobody_though_one_thread_runs",
        Needs::Port,
        declared,
    ),
    (
        "a_request_that_sleeps_stops_neither_others_nor_the_end",
        Needs::Port,
        asleep,
    ),
    (
        "a_thread_that_blocks_undeclared_is_noticed_and_stops_nobody",
        Needs::Port,
        |subject| undeclared(subject, &[]),
    ),
    (
        "a_confined_server_notices_a_thread_that_blocks_undeclared",
        Needs::Port,
        confined,
    ),
    (
        "more_requests_block_than_there_are_threads_and_all_are_answered",
        Needs::Port,
        more_than_threads,
    ),
    ("a_drain_awaits_requests_that_block", Needs::Port, drain),
    (
        "the_drain_deadline_ends_a_server_whose_threads_are_blocked",
        Needs::Port,
        deadline,
    ),
    (
        "more_places_than_threads_are_refused",
        Needs::Port,
        more_places_than_threads,
    ),
];

/// A server with a directory in which files block whoever reads them, until the test opens them.
struct Slow {
    server: Running,
    directory: TempDir,
}

impl Slow {
    fn start(subject: &Subject, options: &[(&str, &str)], files: u32) -> Slow {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_str().expect("a path in UTF-8");
        let server = subject.start(&[options, &[("disk", path)]].concat());
        // A FIFO cannot be opened for reading before it is opened for writing.
        for path in (0..files).map(|number| place(directory.path(), number)) {
            fs::remove_file(&path).expect("a file of the directory");
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a free name");
        }
        Slow { server, directory }
    }

    /// A client whose request blocks.
    fn block(&self, number: u32) -> Client {
        let mut client = Client::connect(self.server.address);
        client.send(get(&format!("/file/{number}")));
        client
    }

    /// Waits until the server reads a file, and lets it go on.
    fn release(&self, number: u32) {
        let writer = File::options().write(true).open(place(self.directory.path(), number));
        drop(writer.expect("a FIFO"));
    }
}

fn place(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("files/{number:02x}/{number}"))
}

/// Asserts that the counts of places agree with each other.
fn check(summary: &ServeSummary, concurrency: u64) {
    let returns = summary.places_given_up + summary.places_noticed;
    // Besides, each of those that waited for events may have got one when no place was free.
    assert!(summary.place_waits <= returns + summary.events, "{summary:?}");
    // One more for a thread that has just come back from where nobody had expected it to block.
    let most = concurrency + u64::from(summary.places_noticed > 0);
    assert!((1..=most).contains(&summary.running_max), "{summary:?}");
}

fn declared(subject: &Subject) {
    let slow = Slow::start(subject, &[("concurrency", "1"), ("workers", "3")], 2);
    let mut blocked = [slow.block(0), slow.block(1)];
    // Both have given up the only place.
    let mut client = Client::connect(slow.server.address);
    eventually(|| (stats(&mut client).places_given_up == 2).then_some(()));
    for length in 0..20 {
        let mut other = Client::connect(slow.server.address);
        assert_eq!(other.get(&format!("/bytes/{length}")).body.len(), length);
    }
    blocked.iter().for_each(is_still_served);
    // They are answered as they come back.
    for number in [1, 0] {
        slow.release(number);
        let reply = blocked[number as usize].reply();
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(blocked[number as usize].get("/bytes/3").body.len(), 3);
    }
    drop((blocked, client));
    let summary = slow.server.stop();
    assert_eq!((summary.places_given_up, summary.open_connections), (2, 0));
    check(&summary, 1);
}

/// It sleeps for longer than all that follows. The end of the server does not wait for it.
fn asleep(subject: &Subject) {
    let server = subject.start(&[("concurrency", "1"), ("workers", "2"), ("drain", "1s")]);
    let mut sleeping = Client::connect(server.address);
    sleeping.send(get("/sleep/60s"));
    let mut client = Client::connect(server.address);
    eventually(|| (stats(&mut client).places_given_up == 1).then_some(()));
    assert_eq!(client.get("/bytes/5").body, pattern(5));
    is_still_served(&sleeping);
    drop(client);
    let summary = server.stop();
    assert!(!matches!(sleeping.try_reply(), Ok(Some(_))));
    assert_eq!(summary.open_connections, 1);
    check(&summary, 1);
}

fn undeclared(subject: &Subject, options: &[(&str, &str)]) {
    let site = tempfile::tempdir().expect("a temporary directory");
    let file = site.path().join("text.txt");
    fs::write(&file, pattern(1000)).expect("a new file");
    let held = match HeldFile::hold(&file) {
        Ok(held) => held,
        Err(error) => {
            assert!(!c10k_testkit::required::is_required(&["fanotify"]), "{error}");
            return eprintln!("cannot run here: fanotify: {error}");
        }
    };
    let root = site.path().to_str().expect("a path in UTF-8");
    let server = subject.start(&[&[("root", root), ("concurrency", "1"), ("workers", "2")], options].concat());
    let mut blocked = Client::connect(server.address);
    blocked.send(get("/text.txt"));
    let opener = held.await_opener().expect("the server opens it");
    // The only place is that of a thread that is blocked. Nobody is served until that is noticed.
    for length in 0..5 {
        let mut other = Client::connect(server.address);
        assert_eq!(other.get(&format!("/bytes/{length}")).body.len(), length);
    }
    is_still_served(&blocked);
    let mut client = Client::connect(server.address);
    eventually(|| (stats(&mut client).places_noticed >= 1).then_some(()));
    drop(opener);
    assert_eq!(blocked.reply().body, pattern(1000));
    assert_eq!(client.get("/bytes/1").status, 200);
    drop((blocked, client));
    let summary = server.stop();
    assert_eq!((summary.places_given_up, summary.open_connections), (0, 0));
    check(&summary, 1);
}

/// A server that may read nothing but its root still sees what its threads do.
fn confined(subject: &Subject) {
    match Confinement::Landlock.probe() {
        Ok(()) => undeclared(subject, &[("landlock", "on")]),
        Err(reason) => {
            assert!(!c10k_testkit::required::is_required(&["landlock"]), "{reason}");
            eprintln!("cannot run here: {reason}");
        }
    }
}

fn more_than_threads(subject: &Subject) {
    const REQUESTS: u32 = 7;
    let slow = Slow::start(subject, &[("concurrency", "2"), ("workers", "4")], REQUESTS);
    let mut blocked: Vec<Client> = (0..3).map(|number| slow.block(number)).collect();
    let mut client = Client::connect(slow.server.address);
    eventually(|| (stats(&mut client).places_given_up == 3).then_some(()));
    // One thread is left, for four requests that block and one that does not.
    blocked.extend((3..REQUESTS).map(|number| slow.block(number)));
    client.send(get("/bytes/4"));
    blocked.iter().for_each(is_still_served);
    thread::scope(|scope| {
        for number in 0..REQUESTS {
            let slow = &slow;
            scope.spawn(move || slow.release(number));
        }
        for client in &mut blocked {
            assert_eq!(client.reply().status, 200);
        }
    });
    assert_eq!(client.reply().body, pattern(4));
    drop((blocked, client));
    let summary = slow.server.stop();
    assert_eq!(summary.places_given_up, u64::from(REQUESTS));
    assert_eq!((summary.requests, summary.open_connections), (summary.replies, 0));
    check(&summary, 2);
}

fn drain(subject: &Subject) {
    let slow = Slow::start(subject, &[("concurrency", "1"), ("workers", "3"), ("drain", "100s")], 2);
    let mut blocked = [slow.block(0), slow.block(1)];
    let mut idle = Client::connect(slow.server.address);
    eventually(|| (stats(&mut idle).places_given_up == 2).then_some(()));
    slow.server.terminate();
    assert_eq!(idle.rest(), b"");
    blocked.iter().for_each(is_still_served);
    for number in [0, 1] {
        slow.release(number);
        assert_eq!(blocked[number as usize].reply().status, 200);
        assert_eq!(blocked[number as usize].rest(), b"");
    }
    drop((blocked, idle));
    let summary = slow.server.wait();
    assert_eq!((summary.places_given_up, summary.open_connections), (2, 0));
    check(&summary, 1);
}

/// All threads but one are blocked, for longer than the test.
fn deadline(subject: &Subject) {
    let slow = Slow::start(subject, &[("concurrency", "1"), ("workers", "3"), ("drain", "2s")], 2);
    let mut blocked = [slow.block(0), slow.block(1)];
    let mut idle = Client::connect(slow.server.address);
    eventually(|| (stats(&mut idle).places_given_up == 2).then_some(()));
    slow.server.terminate();
    assert_eq!(idle.rest(), b"");
    drop(idle);
    let summary = slow.server.wait();
    assert_eq!(summary.open_connections, 2);
    check(&summary, 1);
    // Neither was answered: nobody has waited for them.
    assert!(
        blocked
            .iter_mut()
            .all(|client| !matches!(client.try_reply(), Ok(Some(_))))
    );
}

fn more_places_than_threads(subject: &Subject) {
    let model = Model::named(subject.model_name()).expect("the subject's own");
    let mut config = Config::new(Mechanism::named("epoll-edge").expect("a mechanism"));
    config.workers = Some(2.try_into().expect("not zero"));
    config.concurrency = Some(3.try_into().expect("not zero"));
    let refused = Server::bind(model, config).expect_err("it does not fit").to_string();
    assert!(
        refused.contains("--workers 3") && refused.contains("--concurrency"),
        "{refused}"
    );
}
