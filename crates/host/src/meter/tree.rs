//! What a process and all its descendants have used, including those that have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use c10k_sys::cpu_clock;

/// `cutime` and `cstime` of `/proc/PID/stat` are in units of `USER_HZ`, 100 a second (proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// A process and everything that it forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTree {
    root: u32,
}

/// The sums over the tree up to one instant.
///
/// A child that ended and was reaped still counts: its parent's sums have its CPU time (all children together, rounded to
/// 10 ms) and its faults, but not its context switches. Where children or threads come and go, context switches are a lower bound;
/// [`crate::calls`] counts all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// CPU time.
    pub run_time: Duration,
    /// Time in which its living threads were runnable and waited for a CPU.
    pub wait_time: Duration,
    /// Context switches because it blocked.
    pub switches_voluntary: u64,
    /// Context switches because it was preempted.
    pub switches_involuntary: u64,
    /// Page faults served without and with I/O.
    pub page_faults: u64,
    /// Processes alive.
    pub processes: u64,
    /// Threads alive.
    pub threads: u64,
}

impl TreeUsage {
    /// What was used between `earlier` and this reading; the numbers of processes and threads are those of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            run_time: self.run_time.saturating_sub(earlier.run_time),
            wait_time: self.wait_time.saturating_sub(earlier.wait_time),
            switches_voluntary: self.switches_voluntary.saturating_sub(earlier.switches_voluntary),
            switches_involuntary: self.switches_involuntary.saturating_sub(earlier.switches_involuntary),
            page_faults: self.page_faults.saturating_sub(earlier.page_faults),
            processes: self.processes,
            threads: self.threads,
        }
    }
}

impl ProcessTree {
    /// The tree below process `root`.
    #[must_use]
    pub fn new(root: u32) -> Self {
        Self { root }
    }

    /// Reads the meters of every process of the tree: the CPU clocks of the `known` ones first, a microsecond each, and then
    /// all the rest, for which `/proc` is searched. With thousands of processes that takes a tenth of a second, by which
    /// switches, waits and faults are read late; run time is not where [`Self::pids`] was asked before.
    ///
    /// # Errors
    /// When `/proc` cannot be listed or the root has ended, reaped or not. A descendant that ends meanwhile is no error: from then on
    /// its parent's sums hold it.
    pub fn read(&self, known: &[u32]) -> io::Result<TreeUsage> {
        let mut usage = TreeUsage::default();
        if !is_running(self.root) {
            return Err(gone(self.root));
        }
        let clocks: BTreeMap<u32, Duration> = known
            .iter()
            .filter_map(|&pid| Some((pid, cpu_clock::process_cpu_time(pid).ok()?)))
            .collect();
        for pid in self.pids()? {
            let clock = clocks.get(&pid).copied();
            let run_time = clock.or_else(|| cpu_clock::process_cpu_time(pid).ok());
            let Some((run_time, one)) = run_time.zip(read_process(pid)) else {
                if pid == self.root {
                    return Err(gone(pid));
                }
                continue;
            };
            usage.run_time += run_time + one.run_time;
            usage.wait_time += one.wait_time;
            usage.switches_voluntary += one.switches_voluntary;
            usage.switches_involuntary += one.switches_involuntary;
            usage.page_faults += one.page_faults;
            usage.processes += 1;
            usage.threads += one.threads;
        }
        Ok(usage)
    }

    /// Every process of the tree, the root first.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        self.pids_without(&BTreeSet::new())
    }

    /// The same without the `spared` processes and what is below them.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn pids_without(&self, spared: &BTreeSet<u32>) -> io::Result<Vec<u32>> {
        let children = children_of_all()?;
        let mut seen: BTreeSet<u32> = spared.iter().copied().chain([self.root]).collect();
        let mut order = vec![self.root];
        let mut next = 0;
        while let Some(&pid) = order.get(next) {
            next += 1;
            for &child in children.get(&pid).into_iter().flatten() {
                if seen.insert(child) {
                    order.push(child);
                }
            }
        }
        Ok(order)
    }

    /// The children of the root, those that have ended and were not reaped among them.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn children(&self) -> io::Result<Vec<u32>> {
        Ok(children_of_all()?.remove(&self.root).unwrap_or_default())
    }

    /// Whether a process is of this tree now.
    #[must_use]
    pub fn has(&self, pid: u32) -> bool {
        /// No line of ancestors is as long.
        const GENERATIONS: usize = 10_000;
        let line = std::iter::successors(Some(pid), |&pid| read_stat(pid).map(|stat| stat.parent));
        line.take(GENERATIONS).any(|ancestor| ancestor == self.root)
    }

    /// The processes of the tree that are running, to be asked later whether they still are.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn members(&self) -> io::Result<Vec<Member>> {
        let pids = self.pids()?.into_iter();
        let members = pids.filter_map(|pid| {
            let started = read_stat(pid).filter(Stat::is_running)?.started;
            Some(Member { pid, started })
        });
        Ok(members.collect())
    }
}

/// A process, distinguished from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub pid: u32,
    /// When it was started, ticks since boot.
    started: u64,
}

impl Member {
    /// Whether it is still running: it has neither ended nor been replaced by another process of the same number.
    #[must_use]
    pub fn is_running(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| stat.is_running() && stat.started == self.started)
    }
}

/// Whether a process is running: it has not ended, reaped or not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    read_stat(pid).is_some_and(|stat| stat.is_running())
}

/// The name of a process; `None` when it is gone.
#[must_use]
pub fn command_name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// The children of every process of this machine.
fn children_of_all() -> io::Result<BTreeMap<u32, Vec<u32>>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = read_stat(pid).map(|stat| stat.parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    Ok(children)
}

fn gone(pid: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("process {pid} has ended; its usage can no longer be read"),
    )
}

/// Time for which the living threads of a process were runnable and waited for a CPU; `None` when it is gone.
#[must_use]
pub fn run_queue_wait(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    Some(
        tasks
            .filter_map(Result::ok)
            .map(|task| wait_of_task(&task.path()))
            .sum(),
    )
}

/// The second field of `schedstat`; zero for a task that has ended meanwhile.
fn wait_of_task(task: &Path) -> Duration {
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let waited_ns = schedstat.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(waited_ns.unwrap_or_default())
}

struct Stat {
    /// The letter of the state, `Z` for a process that has ended and was not reaped.
    state: u8,
    parent: u32,
    faults: u64,
    children_cpu: Duration,
    /// When it was started, ticks since boot.
    started: u64,
}

impl Stat {
    /// The clocks of a process that has ended can be read until it is reaped, so they do not tell.
    fn is_running(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may itself hold spaces and parentheses: the fields start after the last one.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // `rest` starts with field 3 of proc_pid_stat(5), the state.
    let number = |field: usize| fields.get(field - 3)?.trim().parse::<u64>().ok();
    let ticks = u32::try_from(number(16)? + number(17)?).unwrap_or(u32::MAX);
    Some(Stat {
        state: rest.bytes().next()?,
        started: number(22)?,
        parent: u32::try_from(number(4)?).ok()?,
        faults: number(10)? + number(11)? + number(12)? + number(13)?,
        children_cpu: TICK * ticks,
    })
}

/// What a process has used; of its run time only what its reaped children had.
fn read_process(pid: u32) -> Option<TreeUsage> {
    let stat = read_stat(pid)?;
    let mut usage = TreeUsage {
        run_time: stat.children_cpu,
        page_faults: stat.faults,
        ..TreeUsage::default()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for task in tasks.filter_map(Result::ok) {
        usage.threads += 1;
        let path = task.path();
        usage.wait_time += wait_of_task(&path);
        if let Ok(status) = fs::read_to_string(path.join("status")) {
            usage.switches_voluntary += status_field(&status, "voluntary_ctxt_switches:");
            usage.switches_involuntary += status_field(&status, "nonvoluntary_ctxt_switches:");
        }
    }
    Some(usage)
}

fn status_field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 10 20 30 40 5 6 700 800 20 0 1 0 99 0 0";
        let stat = parse_stat(line).expect("it is a stat line");
        assert_eq!((stat.is_running(), stat.started), (true, 99));
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.faults, 100);
        assert_eq!(stat.children_cpu, TICK * 1500);
    }

    #[test]
    fn children_count_while_they_live_and_after_they_are_reaped() {
        // The outer shell waits for an inner one that burns CPU, then reports and waits for the order to end.
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; echo done; read line";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let tree = ProcessTree::new(child.id());
        let mut most_processes = 0;
        let mut last = TreeUsage::default();
        let mut peak = Duration::ZERO;
        let stdout = child.stdout.take().expect("it was piped");
        let ended = std::thread::spawn(move || {
            let mut line = String::new();
            io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).map(|_| line)
        });
        while !ended.is_finished() {
            last = tree.read(&[]).expect("the outer shell lives");
            most_processes = most_processes.max(last.processes);
            peak = peak.max(last.run_time);
        }
        let after = tree.read(&[]).expect("the outer shell still lives");
        let known = tree.read(&tree.pids().expect("/proc is there")).expect("it lives on");
        assert!(
            known.run_time >= after.run_time && known.processes == after.processes,
            "{known:?}"
        );
        drop(child.stdin.take());
        child.wait().expect("it ends at the end of its input");
        assert!(most_processes >= 2, "the inner shell was never seen ({last:?})");
        assert_eq!(after.processes, 1);
        assert!(
            after.run_time + TICK * 2 >= peak,
            "{after:?} lost the time of the reaped child ({peak:?})"
        );
        assert!(after.run_time >= TICK * 2, "{after:?}");
    }

    #[test]
    fn a_tree_whose_root_is_gone_is_an_error() {
        assert!(ProcessTree::new(u32::MAX >> 1).read(&[]).is_err());
    }

    #[test]
    fn a_root_that_was_killed_has_ended_although_its_clock_can_be_read() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep is there");
        let tree = ProcessTree::new(child.id());
        let members = tree.members().expect("/proc is there");
        assert!(tree.read(&[]).is_ok() && members.len() == 1 && members[0].is_running());
        child.kill().expect("it is ours");
        // Not reaped: it stays a zombie, whose clock can be read.
        while members[0].is_running() {
            std::thread::yield_now();
        }
        assert!(cpu_clock::process_cpu_time(child.id()).is_ok(), "it was reaped");
        assert!(tree.read(&[]).is_err() && tree.members().is_ok_and(|members| members.is_empty()));
        child.wait().expect("it is ours");
    }
}
