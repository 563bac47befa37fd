//! The meters against work whose cost is known: a child does what it is asked, says what the kernel charged it for
//! (`getrusage`), and waits; the meters, read while it waits, have to say the same.
//!
//! What is counted for a whole CPU or machine holds whatever else runs there: one try of some has to be near.
#![forbid(unsafe_code)]

use std::io::{self, BufRead as _, BufReader, Lines, PipeWriter, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use c10k_host::child::{OnParentDeath, PinnedChild};
use c10k_host::meter::{
    IdleCounter, ProcessTree, TreeUsage, cpu_ticks, forks_total, interrupts_on, proportional_set_bytes, queued_signals,
    run_queue_wait, softirqs_on, tcp_sockets,
};
use c10k_sys::process::fork;
use c10k_sys::rusage::{self, Usage};
use c10k_sys::signal::{self, Signal, SignalSet};
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Makes this program the child.
const METERED: &str = "C10K_METERED";

/// Enough for a machine that compiles at the same time; one is enough for a quiet one.
const TRIES: usize = 50;
const MS: Duration = Duration::from_millis(1);
const PAGES_OF_MIB: u64 = (1 << 20) / 4096;
/// What each child of a brood burns.
const BROOD: Duration = Duration::from_millis(40);

fn main() {
    if std::env::var_os(METERED).is_some() {
        return be_metered();
    }
    let trials: [(&str, Test); 14] = [
        ("run_time_is_the_cpu_time_that_was_burnt", run_time),
        ("a_reaped_child_counts_through_its_parent", reaped),
        ("living_children_count_with_their_parent", brood),
        ("each_block_is_a_voluntary_switch", voluntary),
        ("two_on_one_cpu_preempt_each_other_and_wait_for_each_other", involuntary),
        ("threads_are_counted", threads),
        ("each_page_touched_is_a_fault", faults),
        ("memory_that_is_held_is_memory", memory),
        ("each_fork_of_the_machine_counts_once", forks),
        ("each_datagram_is_a_softirq_of_the_cpu_that_sends_it", softirqs),
        ("both_ends_of_a_connection_are_sockets", sockets),
        ("signals_that_wait_are_counted_for_the_user", signals),
        ("a_busy_cpu_does_not_idle", busy),
        ("the_idle_counter_gives_way", gives_way),
    ];
    let trials = trials.map(|(name, test)| Trial::test(name, move || Ok(test()?)));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

type Outcome = Result<(), String>;

type Test = fn() -> Outcome;

/// Fails with the value and with what it should have been.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an assertion reads best with the value itself"
)]
fn within<T: PartialOrd + std::fmt::Debug>(what: &str, value: T, bounds: Range<T>) -> Outcome {
    if bounds.contains(&value) {
        Ok(())
    } else {
        Err(format!("{what}: {value:?} is not within {bounds:?}"))
    }
}

/// A counter of the whole machine, to which other processes add: measured until they added little.
fn in_one_of_some_tries(mut attempt: impl FnMut() -> Outcome) -> Outcome {
    let mut last = attempt();
    for _ in 1..TRIES {
        if last.is_ok() {
            break;
        }
        last = attempt();
    }
    last
}

/// A child that waits for orders.
struct Metered {
    child: PinnedChild,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Metered {
    /// On `cpus`, or anywhere.
    fn start(cpus: &[usize]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.env(METERED, "").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = PinnedChild::spawn(&mut command, cpus, OnParentDeath::Kill).expect("this program starts");
        let orders = child.inner().stdin.take().expect("piped");
        let answers = BufReader::new(child.inner().stdout.take().expect("piped")).lines();
        let mut metered = Self { child, orders, answers };
        // It has started when it has answered.
        metered.does("burn", 0);
        metered
    }

    fn order(&mut self, what: &str, count: u64) {
        writeln!(self.orders, "{what} {count}").expect("it reads");
    }

    /// What the kernel charged it for the last order.
    fn answer(&mut self) -> Usage {
        let line = self.answers.next().expect("it answers").expect("text");
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [user_ns, system_ns, voluntary_switches, involuntary_switches] = numbers[..] else {
            panic!("it said {line}")
        };
        Usage {
            user_ns,
            system_ns,
            voluntary_switches,
            involuntary_switches,
        }
    }

    fn does(&mut self, what: &str, count: u64) -> Usage {
        self.order(what, count);
        self.answer()
    }

    fn read(&self) -> TreeUsage {
        let pid = self.child.id();
        ProcessTree::new(pid).read(&[pid]).expect("it lives")
    }

    /// What it is charged for an order, and what the meters say.
    fn metered(&mut self, what: &str, count: u64) -> (Usage, TreeUsage) {
        let before = self.read();
        let known = self.does(what, count);
        (known, self.read().since(&before))
    }
}

fn cpu_time(usage: &Usage) -> Duration {
    Duration::from_nanos(usage.user_ns + usage.system_ns)
}

fn last_cpu() -> usize {
    *c10k_host::facts::read().cpus.last().expect("there is a CPU")
}

fn run_time() -> Outcome {
    let (known, used) = Metered::start(&[]).metered("burn", 150);
    let known = cpu_time(&known);
    within("what it burnt", known, 149 * MS..400 * MS)?;
    within("run time", used.run_time, known - 10 * MS..known + 10 * MS)
}

/// Its parent's sums are in hundredths of a second.
fn reaped() -> Outcome {
    let (known, used) = Metered::start(&[]).metered("family", 150);
    let known = cpu_time(&known);
    within("what its child burnt", known, 149 * MS..400 * MS)?;
    within("run time", used.run_time, known - 30 * MS..known + 30 * MS)?;
    within("processes", used.processes, 1..2)
}

fn brood() -> Outcome {
    let mut parent = Metered::start(&[]);
    let (_, used) = parent.metered("brood", 3);
    within("processes", used.processes, 4..5)?;
    within("run time", used.run_time, 3 * BROOD..6 * BROOD)
}

fn voluntary() -> Outcome {
    let (known, used) = Metered::start(&[]).metered("block", 400);
    let known = known.voluntary_switches;
    within("blocks", known, 400..500)?;
    // It also waited for the order, for room to answer, and waits for the next.
    within("voluntary switches", used.switches_voluntary, known - 3..known + 20)
}

fn involuntary() -> Outcome {
    let cpu = [last_cpu()];
    let mut pair = [Metered::start(&cpu), Metered::start(&cpu)];
    in_one_of_some_tries(|| {
        let before = pair.each_ref().map(Metered::read);
        pair.iter_mut().for_each(|one| one.order("burn", 120));
        let known = pair.each_mut().map(Metered::answer);
        let after = pair.each_ref().map(Metered::read);
        let used = [after[0].since(&before[0]), after[1].since(&before[1])];
        for (known, used) in known.iter().zip(&used) {
            let known = known.involuntary_switches;
            within(
                "preemptions",
                used.switches_involuntary,
                known.saturating_sub(3)..known + 4,
            )?;
        }
        let preempted = known.iter().map(|known| known.involuntary_switches).sum();
        within("preemptions of both", preempted, 2..u64::MAX)?;
        // While one runs the other waits.
        let waited = used.iter().map(|used| used.wait_time).sum();
        within("wait of both", waited, 100 * MS..Duration::MAX)?;
        for (one, usage) in pair.iter().zip(&after) {
            let reported = run_queue_wait(one.child.id()).expect("it lives");
            let near = usage.wait_time.saturating_sub(5 * MS)..usage.wait_time + 5 * MS;
            within("wait of its threads", reported, near)?;
        }
        Ok(())
    })
}

fn threads() -> Outcome {
    let mut child = Metered::start(&[]);
    let (_, used) = child.metered("threads", 7);
    within("threads", used.threads, 8..9)?;
    within("processes", used.processes, 1..2)
}

fn faults() -> Outcome {
    let (_, used) = Metered::start(&[]).metered("touch", 8);
    let pages = 8 * PAGES_OF_MIB;
    within("faults", used.page_faults, pages..pages * 5 / 4 + 100)
}

fn memory() -> Outcome {
    let mut child = Metered::start(&[]);
    let held_mib = |child: &Metered| proportional_set_bytes(child.child.id()).expect("it lives") >> 20;
    let before = held_mib(&child);
    child.does("touch", 48);
    within("MiB", held_mib(&child) - before, 46..54)
}

fn forks() -> Outcome {
    let mut child = Metered::start(&[]);
    in_one_of_some_tries(|| {
        let before = forks_total().expect("/proc/stat");
        child.does("fork", 300);
        within("forks", forks_total().expect("/proc/stat") - before, 300..450)
    })
}

fn softirqs() -> Outcome {
    let cpu = last_cpu();
    let mut child = Metered::start(&[cpu]);
    in_one_of_some_tries(|| {
        let before = softirqs_on(cpu).expect("/proc/softirqs");
        child.does("send", 2_000);
        within(
            "softirqs",
            softirqs_on(cpu).expect("/proc/softirqs") - before,
            1_800..4_000,
        )
    })
}

fn sockets() -> Outcome {
    in_one_of_some_tries(|| {
        let before = tcp_sockets().expect("/proc/net/sockstat");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let open = (0..300).map(|_| {
            let near = TcpStream::connect(address).expect("it listens");
            (near, listener.accept().expect("it was connected").0)
        });
        let open: Vec<_> = open.collect();
        let counted = tcp_sockets().expect("/proc/net/sockstat").saturating_sub(before);
        drop(open);
        within("sockets", counted, 590..700)
    })
}

fn signals() -> Outcome {
    in_one_of_some_tries(|| {
        // Its signals stay queued until the child ends.
        let mut child = Metered::start(&[]);
        let before = queued_signals().expect("every Linux reports it");
        child.does("queue", 200);
        let queued = queued_signals().expect("every Linux reports it").saturating_sub(before);
        within("signals", queued, 195..260)
    })
}

fn busy() -> Outcome {
    let cpu = last_cpu();
    let mut child = Metered::start(&[cpu]);
    let ticks = || cpu_ticks(cpu).expect("/proc/stat");
    let interrupts = || interrupts_on(cpu).expect("/proc/interrupts");
    in_one_of_some_tries(|| {
        let (before, served, started) = (ticks(), interrupts(), Instant::now());
        let burnt = cpu_time(&child.does("burn", 300));
        let (after, served, wall) = (ticks(), interrupts() - served, started.elapsed());
        within("idle time", after.idle - before.idle, Duration::ZERO..wall / 4)?;
        let taken = (after.tasks + after.steal) - (before.tasks + before.steal);
        within("time of tasks", taken, burnt / 2..wall * 5 / 4)?;
        // The timer alone interrupts a busy CPU a hundred times a second or more.
        within("interrupts", served, 15..u64::MAX)
    })
}

fn gives_way() -> Outcome {
    let cpu = last_cpu();
    let mut child = Metered::start(&[cpu]);
    let counter = IdleCounter::start(cpu).map_err(|error| error.to_string())?;
    let counted = || counter.read().expect("its clock can be read").run_time;
    in_one_of_some_tries(|| {
        let (before, started) = (counted(), Instant::now());
        child.does("burn", 200);
        within(
            "run time of the idle counter",
            counted() - before,
            Duration::ZERO..started.elapsed() / 4,
        )
    })
}

/// The child: an order a line, and for each what the kernel charged.
fn be_metered() {
    let mut held = Vec::new();
    let mut broods = Vec::new();
    for line in io::stdin().lines() {
        let line = line.expect("text");
        let (what, count) = line.split_once(' ').expect("an order and a number");
        let count: u64 = count.parse().expect("a number");
        let before = charged();
        match what {
            "burn" => burn(Duration::from_millis(count)),
            "family" => reap(fork(|| {
                burn(Duration::from_millis(count));
                0
            })),
            "brood" => broods.push(raise(count)),
            "block" => (0..count).for_each(|_| std::thread::sleep(Duration::from_micros(20))),
            "threads" => (0..count).for_each(|_| drop(std::thread::spawn(park))),
            "touch" => held.extend((0..count).map(|_| touched())),
            "fork" => (0..count).for_each(|_| reap(fork(|| 0))),
            "send" => send(count),
            "queue" => queue(count),
            other => panic!("no such order: {other}"),
        }
        let usage = charged().since(before);
        println!(
            "{} {} {} {}",
            usage.user_ns, usage.system_ns, usage.voluntary_switches, usage.involuntary_switches
        );
    }
}

/// To this process and to its children that were reaped.
fn charged() -> Usage {
    let own = rusage::of_process().expect("getrusage");
    own.plus(rusage::of_children().expect("getrusage"))
}

fn burn(time: Duration) {
    let spent = || cpu_time(&rusage::of_process().expect("getrusage"));
    let until = spent() + time;
    while spent() < until {
        std::hint::spin_loop();
    }
}

fn reap(child: io::Result<Pid>) {
    let child = child.expect("fork");
    waitpid(Some(child), WaitOptions::empty()).expect("it is a child");
}

fn park() {
    loop {
        std::thread::park();
    }
}

/// Children that burn their share, say so, and live until the pipe that is returned is closed.
fn raise(count: u64) -> PipeWriter {
    let (mut live, keep) = io::pipe().expect("a pipe");
    let (mut ready, mut say) = io::pipe().expect("a pipe");
    let mut keep = Some(keep);
    for _ in 0..count {
        fork(|| {
            // Its own copy.
            keep.take();
            burn(BROOD);
            say.write_all(b"x").expect("the parent reads");
            let _ = live.read(&mut [0]);
            0
        })
        .expect("fork");
    }
    let mut said = vec![0; usize::try_from(count).expect("a few")];
    ready.read_exact(&mut said).expect("each says so");
    keep.expect("only children took theirs")
}

/// A mebibyte, each page of it written to.
fn touched() -> Vec<u8> {
    let mut memory = vec![0; 1 << 20];
    memory.chunks_mut(4096).for_each(|page| page[0] = 1);
    std::hint::black_box(memory)
}

/// Signals to itself, which it never takes.
fn queue(count: u64) {
    let one = Signal::real_time().next().expect("Linux has real-time signals");
    signal::block(&SignalSet::of(&[one])).expect("the mask");
    (0..count).for_each(|_| signal::queue_to_this_thread(one).expect("there is room"));
}

/// Datagrams to itself.
fn send(count: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket
        .connect(socket.local_addr().expect("it is bound"))
        .expect("it can talk to itself");
    let mut datagram = [0; 8];
    for _ in 0..count {
        socket.send(b"datagram").expect("there is room");
        socket.recv(&mut datagram).expect("it was sent");
    }
}
