//! `perf stat` on one CPU, controlled through a pair of named pipes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::tool::{CallCounts, run_once};
use crate::child::{OnParentDeath, PinnedChild};

/// Far more than an answer takes on a loaded machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The tracepoint of all system calls, which has the number of the call. Each call has its own tracepoint as well, but
/// removing hundreds of them takes seconds of grace periods.
const CALL: &str = "raw_syscalls:sys_enter";

/// The tracepoint of context switches. The kernel knows the task that leaves the CPU.
const SWITCH: &str = "sched:sched_switch";

/// The calls that servers make. All others are counted together as `other`, so that the sum is complete.
const NAMES: &[(&str, libc::c_long)] = &[
    #[cfg(target_arch = "x86_64")]
    ("accept", libc::SYS_accept),
    ("accept4", libc::SYS_accept4),
    ("chdir", libc::SYS_chdir),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("close", libc::SYS_close),
    ("epoll_ctl", libc::SYS_epoll_ctl),
    ("epoll_pwait", libc::SYS_epoll_pwait),
    ("epoll_pwait2", libc::SYS_epoll_pwait2),
    #[cfg(target_arch = "x86_64")]
    ("epoll_wait", libc::SYS_epoll_wait),
    ("exit", libc::SYS_exit),
    ("exit_group", libc::SYS_exit_group),
    ("fcntl", libc::SYS_fcntl),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    ("fstat", libc::SYS_fstat),
    ("futex", libc::SYS_futex),
    ("getsockopt", libc::SYS_getsockopt),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("ioctl", libc::SYS_ioctl),
    ("madvise", libc::SYS_madvise),
    ("mmap", libc::SYS_mmap),
    ("mprotect", libc::SYS_mprotect),
    ("munmap", libc::SYS_munmap),
    ("openat", libc::SYS_openat),
    #[cfg(target_arch = "x86_64")]
    ("poll", libc::SYS_poll),
    ("ppoll", libc::SYS_ppoll),
    ("prctl", libc::SYS_prctl),
    ("pselect6", libc::SYS_pselect6),
    ("read", libc::SYS_read),
    ("recvfrom", libc::SYS_recvfrom),
    ("recvmsg", libc::SYS_recvmsg),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("rt_sigreturn", libc::SYS_rt_sigreturn),
    ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait),
    ("sched_yield", libc::SYS_sched_yield),
    #[cfg(target_arch = "x86_64")]
    ("select", libc::SYS_select),
    ("sendfile", libc::SYS_sendfile),
    ("sendmsg", libc::SYS_sendmsg),
    ("sendto", libc::SYS_sendto),
    ("set_robust_list", libc::SYS_set_robust_list),
    ("setsockopt", libc::SYS_setsockopt),
    ("shutdown", libc::SYS_shutdown),
    ("sigaltstack", libc::SYS_sigaltstack),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
    ("wait4", libc::SYS_wait4),
    ("write", libc::SYS_write),
    ("writev", libc::SYS_writev),
];

pub(super) fn probe(cpu: usize) -> Result<(), String> {
    let cpu = cpu.to_string();
    run_once(
        Command::new("perf").args(["stat", "-C", &cpu, "-x,", "-e", CALL, "-e", SWITCH, "--", "true"]),
        "perf",
    )
}

#[derive(Debug)]
pub(super) struct Session {
    perf: PinnedChild,
    control: File,
    answers: File,
    files: [PathBuf; 3],
}

impl Session {
    /// Starts perf with its counters off and waits until it answers.
    pub(super) fn begin(cpu: usize, program: &Path, folder: &Path, cpus: &[usize]) -> io::Result<Self> {
        let name = name_pattern(program)?;
        let of_server = format!("comm ~ {name}");
        let files = [".calls-control", ".calls-answers", ".calls-counts"].map(|name| folder.join(name));
        let [control, answers, counts] = &files;
        for pipe in [control, answers] {
            // A killed run leaves its pipes behind.
            let _ = fs::remove_file(pipe);
            mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        // For reading and writing, so that neither side waits for the other to open it.
        let open = |path: &Path| {
            let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(nonblocking)
                .open(path)
        };
        let (control_file, answers_file) = (open(control)?, open(answers)?);
        let mut command = Command::new("perf");
        command
            .args(["stat", "-C", &cpu.to_string(), "-x,", "-D", "-1"])
            .args(["-e", SWITCH, "--filter", &format!("prev_comm ~ {name}")])
            .args(["-e", CALL, "--filter", &of_server])
            .args(NAMES.iter().flat_map(|(_, number)| {
                [
                    "-e".to_owned(),
                    CALL.to_owned(),
                    "--filter".to_owned(),
                    format!("{of_server} && id == {number}"),
                ]
            }))
            .arg("--control")
            .arg(format!("fifo:{},{}", control.display(), answers.display()))
            .arg("-o")
            .arg(counts)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut session = Self {
            perf: PinnedChild::spawn(&mut command, cpus, OnParentDeath::Kill)?,
            control: control_file,
            answers: answers_file,
            files,
        };
        session.switch("disable")?;
        Ok(session)
    }

    /// Sends one command and waits for its answer.
    pub(super) fn switch(&mut self, command: &str) -> io::Result<()> {
        self.control.write_all(format!("{command}\n").as_bytes())?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut answer = [0; 64];
        loop {
            match self.answers.read(&mut answer) {
                Ok(read) if answer[..read].contains(&b'k') => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            // This also pauses between two reads.
            if let Some(status) = self.perf.wait_for(Duration::from_micros(200))? {
                return Err(io::Error::other(format!("perf stat ended with {status}")));
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!(
                    "perf stat did not answer '{command}' in time"
                )));
            }
        }
    }

    pub(super) fn finish(mut self) -> io::Result<CallCounts> {
        self.perf.interrupt()?;
        if self.perf.wait_for(ANSWER_LIMIT)?.is_none() {
            return Err(io::Error::other("perf stat did not end in time"));
        }
        let [.., counts] = &self.files;
        parse(&fs::read_to_string(counts)?).ok_or_else(|| io::Error::other("perf stat printed no counts"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for file in &self.files {
            // A file that is left behind is hidden and small, and the next run replaces it.
            let _ = fs::remove_file(file);
        }
    }
}

/// Tasks are known by their name, which is the beginning of their executable's: threads and children inherit it.
fn name_pattern(program: &Path) -> io::Result<String> {
    /// `TASK_COMM_LEN` less its end.
    const LONGEST: usize = 15;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(io::Error::other(format!(
            "no filter can be written for tasks called '{name}'"
        )));
    }
    let name: String = name.chars().take(LONGEST).collect();
    Ok(format!("\"{name}*\""))
}

/// Lines of `-x,`: the count, a unit, the event, the time for which it counted, …; context switches first, then all calls,
/// then calls by name in the order in which they were asked for.
fn parse(text: &str) -> Option<CallCounts> {
    let mut lines = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        match fields.as_slice() {
            [count, _, SWITCH | CALL, time_ns, ..] => Some((count.parse::<u64>().ok()?, time_ns.parse::<u64>().ok()?)),
            _ => None,
        }
    });
    let (switches, _) = lines.next()?;
    let (all, window_ns) = lines.next().filter(|(_, window_ns)| *window_ns > 0)?;
    let mut by_name = BTreeMap::new();
    for (name, _) in NAMES {
        let (count, _) = lines.next()?;
        if count > 0 {
            by_name.insert((*name).to_owned(), count);
        }
    }
    let other = all.saturating_sub(by_name.values().sum());
    if other > 0 {
        by_name.insert("other".to_owned(), other);
    }
    Some(CallCounts {
        by_name,
        switches: Some(switches),
        window: Duration::from_nanos(window_ns),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_filtered_by_as_much_of_the_name_as_the_kernel_keeps() {
        let pattern = |path: &str| name_pattern(Path::new(path));
        assert_eq!(pattern("/usr/sbin/nginx").expect("a plain name"), "\"nginx*\"");
        assert_eq!(
            pattern("a-very-long-name-indeed").expect("plain"),
            "\"a-very-long-nam*\""
        );
        assert!(pattern("/tmp/a \"name").is_err());
    }

    #[test]
    fn counts_are_read_by_name_and_the_rest_is_not_lost() {
        let line = |count: u64| format!("{count},,{CALL},500000000,100.00,,\n");
        let switches = format!("25,,{SWITCH},500000000,100.00,,\n");
        let by_name = NAMES.iter().map(|(name, _)| line(if *name == "read" { 30 } else { 0 }));
        let text = format!("# started\n\n{switches}{}{}", line(40), by_name.collect::<String>());
        let counts = parse(&text).expect("it is whole");
        let names: Vec<(&str, u64)> = counts
            .by_name
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        assert_eq!(names, [("other", 10), ("read", 30)]);
        assert_eq!((counts.switches, counts.window), (Some(25), Duration::from_millis(500)));
        assert_eq!(parse(&(switches + &line(40))), None, "half of it is nothing");
    }
}
