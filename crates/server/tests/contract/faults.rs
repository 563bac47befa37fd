//! Every system call of a server's path fails in turn, in every way, over the script of dialogues: no hang, no leaked
//! descriptor, process or thread, no spin, no wrong byte.
//!
//! The server runs traced ([`c10k_testkit::faults`]). By default each subject gets a share of the sweep, another one for each
//! subject; `C10K_FAULTS=all` gives each the whole, in some minutes.

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

/// Calls beyond those of a session without a fault: what time alone makes a server do in the seconds that a fault may
/// cost it, a shortage's back-off included. A spin makes tens of thousands.
const SLACK: u64 = 1500;

/// How long a client waits where the fault is a lie about an edge: the server waits for an event that will not come.
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
    /// Nobody notices.
    None,
    /// As many connections may be cut as calls failed.
    Cut,
    /// A client may wait for good: the kernel tells no such lie about an edge (epoll(7)), and who believes it waits for
    /// the next one.
    Stall,
    /// The server may end, with a message: it cannot go on without the call.
    End,
}

/// A server that runs traced.
struct Rig {
    traced: Traced,
    records: BufReader<ChildStdout>,
    /// What it says on standard error.
    said: File,
    address: SocketAddr,
    idle: Held,
    /// Calls of a session without a fault.
    quiet: BTreeMap<&'static str, (Call, u64)>,
}

/// What a server and its children hold.
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
        // Another share for each subject: together they cover more than each could.
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
    assert!(injected > 0, "no fault came to pass");
    let (status, open) = rig.stop();
    assert!(status.success(), "{status}");
    assert_eq!(open, 0, "connections that the server believes open");
}

/// A loop's own wait fails with what no such call has a reason for while it runs: the server ends, or goes on whole.
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
        rig.session(&script, STALL);
        assert_eq!(rig.traced.set(None), 1, "{call:?} was not made");
        let goes_on = || rig.traced.is_over() || rig.serves(&script);
        assert!(until(PATIENCE, goes_on), "neither ended nor whole after {call:?}");
        if rig.traced.is_over() {
            rig.assert_explained();
            rig = Rig::start(subject, &script);
        }
    }
    assert!(rig.stop().0.success());
}

/// Every call of the path × every fault × the first one and one amid the session × once and many times.
fn plan(subject: &Subject, quiet: &BTreeMap<&'static str, (Call, u64)>) -> Vec<Injection> {
    // The runtime wakes itself by writing to an event counter, which the kernel does not refuse (eventfd(2)), and panics
    // in whatever task it is where that fails.
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

/// Calls that wait, whatever they are asked by; a mechanism may have another one.
const WAITS: &[&str] = &[
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "io_uring_enter",
    "poll",
    "ppoll",
    "pselect6",
    "rt_sigtimedwait",
    "select",
];

/// What the documented behaviour of a call allows.
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
    WAITS.contains(&call) || subject.waits_with() == Some(call)
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
        let said = tempfile::tempfile().expect("a directory for temporary files");
        let mut command = subject.command(&options);
        command.stderr(said.try_clone().expect("a descriptor is left"));
        let mut traced = Traced::spawn(command).expect("a machine that allows tracing");
        let mut records = BufReader::new(traced.stdout().expect("standard output is piped"));
        let ServeRecord::Listening { address, .. } = record(&mut records) else {
            panic!("a summary before the server listens");
        };
        let address = address.parse().expect("an address");
        let mut rig = Rig {
            traced,
            records,
            said,
            address,
            idle: Held::default(),
            quiet: BTreeMap::new(),
        };
        // The first session brings threads and buffers that stay.
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

    /// Holds the script while calls fail; of how many that became true.
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
        // One that ends may do so in the midst of a session.
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

    /// What is held when nobody is connected: the same again and again.
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
        let mut said = String::new();
        // The descriptor's position is the one at which the server wrote.
        self.said.rewind().expect("a file");
        self.said.read_to_string(&mut said).expect("text");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            status.code() == Some(2) && last.starts_with("c10k: ") && !said.contains("panicked"),
            "{status}: {said}"
        );
    }

    /// Its exit status, and how many connections it believes open.
    fn stop(mut self) -> (ExitStatus, u64) {
        kill_process(self.traced.pid(), Signal::TERM).expect("the server is running");
        let ServeRecord::Summary(summary) = record(&mut self.records) else {
            panic!("the server said twice that it listens");
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
