//! Every system call that the server makes during the script of dialogues fails in turn, in every way. The server must not
//! hang or spin, must not leak a descriptor, process or thread, and must not send a wrong byte.
//!
//! The server runs under a tracer ([`c10k_testkit::faults`]). By default each subject gets a part of the faults, and different
//! subjects get different parts. With `C10K_FAULTS=all` each subject gets all faults, which takes some minutes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _, Seek as _};
use std::net::SocketAddr;
use std::process::{ChildStdout, ExitStatus};
use std::time::Duration;

use c10k_event::Trigger;
use c10k_record::ServeRecord;
use c10k_server::Concurrency;
use c10k_testkit::faults::{Call, Fault, Injection, Traced};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process};

use crate::Case;
use crate::client::PATIENCE;
use crate::dialogue::{Dialogue, Outcome, hold_all, script, until};
use crate::subject::{Needs, Subject, record};

pub(crate) const CASES: &[Case] = &[
    ("every_system_call_may_fail", Needs::Nothing, sweep),
    (
        "a_wait_that_fails_ends_the_server_with_one_line",
        Needs::Nothing,
        failed_wait,
    ),
];

/// Faults that each subject gets by default.
const SHARE: usize = 4;

/// Calls that a session may make in addition to those of a session without a fault. A fault may cost seconds, in which
/// timers and back-off make some calls. A spin makes tens of thousands.
const SLACK: u64 = 1500;

/// How long a client waits if the fault is a false `EAGAIN` on an edge-triggered socket: the server then waits for an event
/// that will not come.
const STALL: Duration = Duration::from_millis(250);

const ERRORS: [Errno; 6] = [
    Errno::INTR,
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::MFILE,
    Errno::CONNRESET,
];

/// What a fault may do to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Clients notice nothing.
    None,
    /// At most as many connections may be cut as calls failed.
    Cut,
    /// A client may wait forever. The kernel never reports this falsely on an edge-triggered socket (epoll(7)); a server
    /// that relies on it waits for the next edge.
    Stall,
    /// The server may end with a message, because it cannot continue without the call.
    End,
}

/// A server that runs under the tracer.
struct Rig {
    traced: Traced,
    records: BufReader<ChildStdout>,
    /// What the server prints on standard error.
    messages: File,
    address: SocketAddr,
    idle: Held,
    /// Calls of a session without a fault.
    quiet: BTreeMap<&'static str, (Call, u64)>,
}

/// The resources that a server and its children hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    tasks: usize,
}

fn sweep(subject: &Subject) {
    let script = script();
    let mut rig = Rig::start(subject, &script);
    let mut faults = plan(subject, &rig.quiet);
    if std::env::var("C10K_FAULTS").as_deref() != Ok("all") {
        // Each subject gets a different part, so that together they cover more faults.
        let step = (faults.len() / SHARE).max(1);
        let offset = subject.name().bytes().map(usize::from).sum::<usize>() % step;
        faults = faults.into_iter().skip(offset).step_by(step).collect();
    }
    let mut injected = 0;
    for injection in faults {
        injected += rig.suffer(subject, &script, injection);
        if rig.traced.is_over() {
            rig.assert_explained();
            rig = Rig::start(subject, &script);
        }
    }
    assert!(injected > 0, "no fault was injected");
    let (status, open) = rig.stop();
    assert!(status.success(), "{status}");
    assert_eq!(open, 0, "connections that the server counts as open");
}

/// A loop's own wait fails with an error that it cannot have in normal operation: the server ends, or continues without loss.
fn failed_wait(subject: &Subject) {
    fail_waits(subject);
    if subject.has_runtime() {
        // With several workers, threads wait that are not the one that learns of the shutdown.
        fail_waits(&subject.with("workers", "3"));
    }
}

fn fail_waits(subject: &Subject) {
    let script = script();
    let mut rig = Rig::start(subject, &script);
    let waits = rig.quiet.values().map(|(call, _)| *call);
    let waits: Vec<Call> = waits.filter(|call| is_wait(subject, call.name)).collect();
    for call in waits {
        rig.traced.set(Some(Injection {
            call,
            fault: Fault::Refused(Errno::INVAL),
            first: 1,
            times: 1,
        }));
        // A session may end before the server waits with this call.
        let made = || {
            rig.session(&script, STALL);
            rig.traced.injected() == 1
        };
        assert!(until(PATIENCE, made), "{call:?} was not made");
        rig.traced.set(None);
        let over_or_serving = || rig.traced.is_over() || rig.serves(&script);
        assert!(
            until(PATIENCE, over_or_serving),
            "the server neither ended nor serves after {call:?}"
        );
        if rig.traced.is_over() {
            rig.assert_explained();
            rig = Rig::start(subject, &script);
        }
    }
    assert!(rig.stop().0.success());
}

/// Every system call that the server makes × every fault × the first such call and one in the middle × once and many times.
fn plan(subject: &Subject, quiet: &BTreeMap<&'static str, (Call, u64)>) -> Vec<Injection> {
    // The runtime wakes itself by writing to an eventfd, which the kernel does not refuse (eventfd(2)). If that fails, it
    // panics in whatever task it runs.
    let impossible = |call: &Call| subject.has_runtime() && call.name == "write";
    let mut plan = Vec::new();
    for (call, count) in quiet.values().filter(|(call, _)| !impossible(call)) {
        let short = call.moves_bytes().then_some(Fault::Short);
        for fault in ERRORS.map(Fault::Refused).into_iter().chain(short) {
            for first in [1, count / 2 + 1] {
                for times in [1, 5] {
                    plan.push(Injection {
                        call: *call,
                        fault,
                        first,
                        times,
                    });
                }
            }
        }
    }
    plan
}

/// Calls that wait, in any model, or that a wait makes before it sleeps; a mechanism may have another one.
const WAITS: &[&str] = &[
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "io_submit",
    "io_uring_enter",
    "poll",
    "ppoll",
    "pselect6",
    "rt_sigtimedwait",
    "select",
];

/// What a fault may do to clients by the documented behaviour of the call.
fn harm(subject: &Subject, call: &Call, fault: Fault) -> Harm {
    let on_edges = subject.trigger() == Some(Trigger::Edge) || subject.has_runtime();
    let blocking = subject.trigger().is_none() && !subject.has_runtime();
    match (call.name, fault) {
        ("close" | "shutdown", _) => Harm::None,
        ("recvfrom", Fault::Short) | ("recvfrom" | "sendto" | "sendmsg" | "accept4", Fault::Refused(Errno::AGAIN)) => {
            match call.name {
                _ if on_edges => Harm::Stall,
                "recvfrom" | "sendto" | "sendmsg" if blocking && fault != Fault::Short => Harm::Cut,
                _ => Harm::None,
            }
        }
        ("accept4", _) | (_, Fault::Short) => Harm::None,
        ("recvfrom" | "sendto" | "sendmsg", Fault::Refused(Errno::INTR)) => Harm::None,
        (call, Fault::Refused(errno)) if is_wait(subject, call) => match errno {
            Errno::INTR => Harm::None,
            _ => Harm::End,
        },
        _ => Harm::Cut,
    }
}

fn is_wait(subject: &Subject, call: &str) -> bool {
    // Every server has a thread that waits for SIGTERM with this call. A few mechanisms wait for events with it.
    let is_for_events = call != "rt_sigtimedwait" || subject.queues_signals();
    // A wait that a waker has ended reads the waker's descriptor, which the kernel does not refuse (eventfd(2)).
    let empties_waker = call == "read" && subject.trigger().is_some();
    (WAITS.contains(&call) && is_for_events) || subject.waits_with() == Some(call) || empties_waker
}

impl Rig {
    fn start(subject: &Subject, script: &[Dialogue]) -> Rig {
        let mut options = vec![
            ("linger", "300ms"),
            ("drain", "5s"),
            ("head", "3s"),
            ("body", "3s"),
            ("send", "3s"),
            ("idle", "3s"),
        ];
        if subject.concurrency() == Concurrency::OnePerWorker {
            options.push(("workers", "8"));
        }
        let messages = tempfile::tempfile().expect("a directory for temporary files");
        let mut command = subject.command(&options);
        command.stderr(messages.try_clone().expect("a descriptor is left"));
        let mut traced = Traced::spawn(command).expect("a machine that allows tracing");
        let mut records = BufReader::new(traced.stdout().expect("standard output is piped"));
        let ServeRecord::Listening { address, .. } = record(&mut records) else {
            panic!("a summary before the server listens");
        };
        let address = address.parse().expect("an address");
        let mut rig = Rig {
            traced,
            records,
            messages,
            address,
            idle: Held::default(),
            quiet: BTreeMap::new(),
        };
        // The first session creates threads and buffers that remain.
        rig.session(script, PATIENCE);
        rig.idle = rig.at_rest();
        rig.traced.set(None);
        let outcomes = rig.session(script, PATIENCE);
        assert!(
            outcomes.iter().all(|outcome| *outcome == Outcome::Whole),
            "{outcomes:?}"
        );
        let (calls, unknown) = rig.traced.calls();
        assert!(
            unknown.is_empty(),
            "calls {unknown:?} (numbers) are in no table of c10k_testkit::faults"
        );
        rig.quiet = calls
            .into_iter()
            .map(|(call, count)| (call.name, (call, count)))
            .collect();
        rig
    }

    fn session(&self, script: &[Dialogue], patience: Duration) -> Vec<Outcome> {
        hold_all(script, self.address, patience)
    }

    /// Runs the script while calls fail, and returns how many did.
    fn suffer(&self, subject: &Subject, script: &[Dialogue], injection: Injection) -> u64 {
        let harm = harm(subject, &injection.call, injection.fault);
        let what = format!("{injection:?}, {harm:?}");
        self.traced.set(Some(injection));
        let patience = if harm == Harm::Stall { STALL } else { PATIENCE };
        let outcomes = self.session(script, patience);
        let (calls, _) = self.traced.calls();
        let injected = self.traced.set(None);
        let cut = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Cut(_)))
            .count() as u64;
        for outcome in &outcomes {
            assert!(!matches!(outcome, Outcome::Wrong(_)), "{outcome:?} after {what}");
        }
        let allowed = match harm {
            Harm::None => 0,
            Harm::Cut => injected,
            Harm::Stall | Harm::End => u64::MAX,
        };
        assert!(
            cut <= allowed,
            "{cut} connections cut, {injected} calls failed: {outcomes:?} after {what}"
        );
        let made: u64 = calls.iter().map(|(_, count)| count).sum();
        let quiet: u64 = self.quiet.values().map(|(_, count)| count).sum();
        assert!(
            made <= 2 * quiet + SLACK,
            "{made} calls, {quiet} without the fault, after {what}: {calls:?}"
        );
        // A server that ends may do so during a session.
        let goes_on = || self.serves(script) || (harm == Harm::End && self.traced.is_over());
        let tries = if harm == Harm::End { PATIENCE } else { Duration::ZERO };
        assert!(until(tries, goes_on), "the server serves no more after {what}");
        if harm == Harm::End && self.traced.is_over() {
            return injected;
        }
        assert!(
            until(PATIENCE, || self.held().is_within(self.idle)),
            "{:?} held, {:?} before, after {what}",
            self.held(),
            self.idle
        );
        injected
    }

    fn serves(&self, script: &[Dialogue]) -> bool {
        self.session(script, PATIENCE)
            .iter()
            .all(|outcome| *outcome == Outcome::Whole)
    }

    /// The resources held without a connection, once they no longer change.
    fn at_rest(&self) -> Held {
        let (mut last, mut same) = (self.held(), 0);
        let rested = until(PATIENCE, || {
            let now = self.held();
            same = if now == last { same + 1 } else { 0 };
            last = now;
            same == 200
        });
        assert!(rested, "what the server holds changes for ever");
        last
    }

    /// Descriptors, threads and processes of the server and its children.
    fn held(&self) -> Held {
        let mut held = Held::default();
        let mut processes = vec![self.traced.pid().as_raw_nonzero().get()];
        while let Some(process) = processes.pop() {
            let entries = |what: &str| {
                fs::read_dir(format!("/proc/{process}/{what}"))
                    .into_iter()
                    .flatten()
                    .flatten()
            };
            held.descriptors += entries("fd").count();
            for task in entries("task") {
                held.tasks += 1;
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                processes.extend(
                    children
                        .split_whitespace()
                        .filter_map(|child| child.parse::<i32>().ok()),
                );
            }
        }
        held
    }

    /// Asserts that the server, which has ended by itself, printed why as its last line, and did not panic.
    fn assert_explained(mut self) {
        let status = self.traced.wait().expect("the tracer saw its end");
        let mut printed = String::new();
        // The server has moved the shared position of the descriptor to the end.
        self.messages.rewind().expect("a file");
        self.messages.read_to_string(&mut printed).expect("text");
        let last = printed.lines().last().unwrap_or_default();
        assert!(
            status.code() == Some(2) && last.starts_with("c10k: ") && !printed.contains("panicked"),
            "{status}: {printed}"
        );
    }

    /// Terminates the server; its exit status, and how many connections it counts as open.
    fn stop(mut self) -> (ExitStatus, u64) {
        kill_process(self.traced.pid(), Signal::TERM).expect("the server is running");
        let ServeRecord::Summary(summary) = record(&mut self.records) else {
            panic!("the server printed twice that it listens");
        };
        (
            self.traced.wait().expect("the tracer saw its end"),
            summary.open_connections,
        )
    }
}

impl Held {
    fn is_within(self, idle: Held) -> bool {
        self.descriptors <= idle.descriptors && self.tasks <= idle.tasks
    }
}
