//! Faults put between a program and the kernel, for tests: `ptrace(2)`.
//!
//! The program is the one that is shipped, without a branch or a feature for this: a tracer of its own stops each of its
//! threads and processes at every system call and changes the call, or its result, that an [`Injection`] names. So no
//! call can be left out of a sweep, those of the standard library and of a runtime included, and a fault that is off
//! costs nothing. Available on x86-64, whose registers it knows.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ChildStdout, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::process::Pid;

/// The calls of a server's path, by name and number: what a sweep goes through.
pub static CALLS: &[Call] = &[
    call("accept4", libc::SYS_accept4, Count::None),
    call("close", libc::SYS_close, Count::None),
    call("clone", libc::SYS_clone, Count::None),
    call("clone3", libc::SYS_clone3, Count::None),
    operation("epoll_ctl", libc::SYS_epoll_ctl, is_not_removal),
    call("epoll_pwait", libc::SYS_epoll_pwait, Count::None),
    call("epoll_pwait2", libc::SYS_epoll_pwait2, Count::None),
    call("epoll_wait", libc::SYS_epoll_wait, Count::None),
    operation("fcntl", libc::SYS_fcntl, makes_a_source),
    call("fork", libc::SYS_fork, Count::None),
    call("fstat", libc::SYS_fstat, Count::None),
    call("io_uring_enter", libc::SYS_io_uring_enter, Count::None),
    call("ioctl", libc::SYS_ioctl, Count::None),
    call("openat2", libc::SYS_openat2, Count::None),
    call("poll", libc::SYS_poll, Count::None),
    call("ppoll", libc::SYS_ppoll, Count::None),
    call("pread64", libc::SYS_pread64, Count::Third),
    call("pselect6", libc::SYS_pselect6, Count::None),
    // A server reads and writes event counters, timers and signals so, which the kernel moves whole or not at all
    // (eventfd(2), signalfd(2)); connections have calls of their own.
    call("read", libc::SYS_read, Count::None),
    call("recvfrom", libc::SYS_recvfrom, Count::Third),
    call("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, Count::None),
    call("select", libc::SYS_select, Count::None),
    call("sendfile", libc::SYS_sendfile, Count::Fourth),
    call("sendmsg", libc::SYS_sendmsg, Count::Buffers),
    call("sendto", libc::SYS_sendto, Count::Third),
    call("setsockopt", libc::SYS_setsockopt, Count::None),
    call("shutdown", libc::SYS_shutdown, Count::None),
    call("statx", libc::SYS_statx, Count::None),
    call("wait4", libc::SYS_wait4, Count::None),
    call("write", libc::SYS_write, Count::None),
    call("writev", libc::SYS_writev, Count::Third),
];

/// What the runtime libraries call for memory, locks, threads, signals and time: not a server's path. The kernel refuses
/// some where it has no memory left, and that ends any program; the others it does not refuse.
static RUNTIME: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_kill,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_prctl,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Numbers of system calls that are counted.
const NUMBERS: usize = 512;

/// Offset of the number of buffers in a `struct msghdr` (recvmsg(2)).
const MSG_IOVLEN: u64 = 24;

/// A system call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its name in the kernel.
    pub name: &'static str,
    number: i64,
    count: Count,
    /// Whether it can fail with such a second and third argument.
    can_fail: fn(u64, u64) -> bool,
}

/// Which argument of a call says how much to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    None,
    /// Its third argument.
    Third,
    Fourth,
    /// The buffers of its message.
    Buffers,
}

const fn call(name: &'static str, number: i64, count: Count) -> Call {
    Call {
        name,
        number,
        count,
        can_fail: |_, _| true,
    }
}

/// A call of which the kernel refuses some operations only.
const fn operation(name: &'static str, number: i64, can_fail: fn(u64, u64) -> bool) -> Call {
    Call {
        can_fail,
        ..call(name, number, Count::None)
    }
}

/// epoll_ctl(2): taking a watched descriptor out asks the kernel for nothing that could be used up.
fn is_not_removal(operation: u64, _: u64) -> bool {
    operation != libc::EPOLL_CTL_DEL as u64
}

/// fcntl(2): becoming a source of signals takes memory; reading flags and ceasing to be one take none.
fn makes_a_source(command: u64, flags: u64) -> bool {
    const ASYNC: u64 = libc::O_ASYNC as u64;
    match command as i32 {
        libc::F_SETFL => flags & ASYNC != 0,
        libc::F_GETFL | libc::F_GETFD => false,
        _ => true,
    }
}

impl Call {
    /// Whether [`Fault::Short`] means anything to it.
    #[must_use]
    pub fn moves_bytes(&self) -> bool {
        self.count != Count::None
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not made, and fails. `close`, which frees the descriptor whatever it says (close(2)), is made nevertheless.
    Refused(Errno),
    /// It is made, and moves one byte at most; `sendmsg`, the first of its buffers.
    Short,
}

/// A fault, and the calls that it hits.
#[derive(Debug, Clone, Copy)]
pub struct Injection {
    /// Of these calls, by any thread or process of the program,
    pub call: Call,
    /// this becomes
    pub fault: Fault,
    /// of the one with this number, counted from 1 since the injection was set,
    pub first: u64,
    /// and of the ones after it, so many in all.
    pub times: u64,
}

/// A program that runs traced. Killed when dropped.
#[derive(Debug)]
pub struct Traced {
    pid: Pid,
    stdout: Option<ChildStdout>,
    desk: Arc<Desk>,
    tracer: Option<JoinHandle<io::Result<ExitStatus>>>,
}

/// What tracer and tester share.
#[derive(Debug)]
struct Desk {
    order: Mutex<Order>,
    calls: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct Order {
    injection: Option<Injection>,
    seen: u64,
    injected: u64,
}

impl Traced {
    /// Starts `command` traced. Its standard output can be taken with [`stdout`](Traced::stdout), if it is piped.
    ///
    /// # Errors
    /// `EPERM` where the machine allows no tracing (a seccomp filter, yama's `ptrace_scope` 3); otherwise those of
    /// [`Command::spawn`].
    pub fn spawn(mut command: Command) -> io::Result<Traced> {
        let desk = Arc::new(Desk {
            order: Mutex::default(),
            calls: (0..NUMBERS).map(|_| AtomicU64::new(0)).collect(),
        });
        // SAFETY: the closure runs between fork and exec and makes one system call that touches no memory.
        unsafe {
            command.pre_exec(|| trace(libc::PTRACE_TRACEME, 0, 0, 0).map(drop));
        }
        let (started, starting) = mpsc::channel();
        let tracer_desk = Arc::clone(&desk);
        // A tracee obeys the thread that started it.
        let tracer = std::thread::spawn(move || {
            let child = command
                .spawn()
                .map(|mut child| (Pid::from_child(&child), child.stdout.take()));
            let root = child.as_ref().map_or(None, |(pid, _)| Some(*pid));
            // Refused where nobody waits for it any more.
            let _ = started.send(child);
            Tracer {
                root: root.ok_or_else(|| io::Error::from(Errno::CHILD))?,
                desk: &tracer_desk,
                tasks: HashMap::new(),
            }
            .run()
        });
        let (pid, stdout) = starting.recv().map_err(|_| io::Error::from(Errno::CHILD))??;
        Ok(Traced {
            pid,
            stdout,
            desk,
            tracer: Some(tracer),
        })
    }

    /// The program's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its standard output, once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Counts calls from now on, and does to them what is said; says of how many calls the last injection became true.
    pub fn set(&self, injection: Option<Injection>) -> u64 {
        let mut order = self.desk.order();
        for count in &self.desk.calls {
            count.store(0, Ordering::Relaxed);
        }
        std::mem::replace(
            &mut *order,
            Order {
                injection,
                ..Order::default()
            },
        )
        .injected
    }

    /// Calls since the last [`set`](Traced::set), the runtime libraries' own left out; the numbers of those that are in no
    /// table beside.
    #[must_use]
    pub fn calls(&self) -> (Vec<(Call, u64)>, Vec<i64>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (number, count) in self.desk.calls.iter().enumerate() {
            let (number, count) = (number as i64, count.load(Ordering::Relaxed));
            if count == 0 || RUNTIME.contains(&number) {
                continue;
            }
            match CALLS.iter().find(|call| call.number == number) {
                Some(call) => known.push((*call, count)),
                None => unknown.push(number),
            }
        }
        (known, unknown)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tracer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of `waitpid(2)` and `ptrace(2)`, which have no reason to fail.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.join()
    }

    fn join(&mut self) -> io::Result<ExitStatus> {
        let tracer = self.tracer.take().ok_or_else(|| io::Error::from(Errno::CHILD))?;
        tracer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.tracer.is_some() {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = self.join();
        }
    }
}

impl Desk {
    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; the fault that is due.
    fn take(&self, registers: &libc::user_regs_struct) -> Option<(Call, Fault)> {
        let number = registers.orig_rax.cast_signed();
        let count = usize::try_from(number).ok().and_then(|index| self.calls.get(index))?;
        let mut order = self.order();
        count.fetch_add(1, Ordering::Relaxed);
        let injection = order.injection.filter(|injection| injection.call.number == number)?;
        if !(injection.call.can_fail)(registers.rsi, registers.rdx) {
            return None;
        }
        order.seen += 1;
        if order.seen < injection.first || order.injected >= injection.times {
            return None;
        }
        order.injected += 1;
        Some((injection.call, injection.fault))
    }
}

/// The thread that traces: one program, with all its threads and children.
struct Tracer<'a> {
    root: Pid,
    desk: &'a Desk,
    /// Those that have stopped once, by their number.
    tasks: HashMap<i32, Where>,
}

/// Where a task is, and what is to be done when its call returns.
#[derive(Debug, Clone, Copy)]
enum Where {
    Outside,
    Inside(Repair),
}

#[derive(Debug, Clone, Copy)]
enum Repair {
    None,
    /// The call's result.
    Result(i64),
    /// A word of its memory, as it was.
    Memory {
        address: u64,
        word: i64,
    },
}

impl Tracer<'_> {
    fn run(&mut self) -> io::Result<ExitStatus> {
        let mut end = None;
        loop {
            let mut status = 0;
            // SAFETY: the call writes one integer, which lives here. Only this thread's own children and tracees are
            // waited for.
            let task = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
            if task < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    Some(libc::ECHILD) => return end.ok_or(error),
                    _ => return Err(error),
                }
            }
            if libc::WIFSTOPPED(status) {
                let signal = self.stopped(task, status);
                // Refused where somebody has killed it meanwhile; then its end is reported next.
                let _ = trace(libc::PTRACE_SYSCALL, task, 0, signal);
            } else if task == self.root.as_raw_nonzero().get() {
                end = Some(ExitStatus::from_raw(status));
            } else {
                self.tasks.remove(&task);
            }
        }
    }

    /// Looks at a task that has stopped; the signal with which it resumes.
    fn stopped(&mut self, task: i32, status: i32) -> u64 {
        let signal = libc::WSTOPSIG(status);
        let Some(place) = self.tasks.get(&task).copied() else {
            self.tasks.insert(task, Where::Outside);
            if task == self.root.as_raw_nonzero().get() {
                let options = libc::PTRACE_O_TRACESYSGOOD
                    | libc::PTRACE_O_TRACECLONE
                    | libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_TRACEVFORK
                    | libc::PTRACE_O_EXITKILL;
                // Refused only where it has been killed.
                let _ = trace(libc::PTRACE_SETOPTIONS, task, 0, options as u64);
            }
            // The stop that tracing begins with (SIGTRAP after exec, SIGSTOP of a new task) is nobody's signal.
            return 0;
        };
        if signal == libc::SIGTRAP | 0x80 {
            let next = match place {
                Where::Outside => Where::Inside(self.enter(task).unwrap_or(Repair::None)),
                Where::Inside(repair) => {
                    // Refused only where it has been killed.
                    let _ = leave(task, repair);
                    Where::Outside
                }
            };
            self.tasks.insert(task, next);
            return 0;
        }
        let event = status >> 16 != 0;
        if event { 0 } else { u64::from(signal.unsigned_abs()) }
    }

    /// A call is about to be made.
    fn enter(&self, task: i32) -> io::Result<Repair> {
        let mut registers = registers(task)?;
        let Some((call, fault)) = self.desk.take(&registers) else {
            return Ok(Repair::None);
        };
        match fault {
            Fault::Refused(errno) => {
                if call.number != libc::SYS_close {
                    // No call has that number, so the kernel makes none.
                    registers.orig_rax = u64::MAX;
                    set_registers(task, &registers)?;
                }
                Ok(Repair::Result(-i64::from(errno.raw_os_error())))
            }
            Fault::Short => {
                match call.count {
                    Count::Third => registers.rdx = registers.rdx.min(1),
                    Count::Fourth => registers.r10 = registers.r10.min(1),
                    Count::Buffers => {
                        let address = registers.rsi + MSG_IOVLEN;
                        let word = peek(task, address)?;
                        trace(libc::PTRACE_POKEDATA, task, address, 1)?;
                        return Ok(Repair::Memory { address, word });
                    }
                    Count::None => {}
                }
                set_registers(task, &registers)?;
                Ok(Repair::None)
            }
        }
    }
}

/// A call has returned.
fn leave(task: i32, repair: Repair) -> io::Result<()> {
    match repair {
        Repair::None => Ok(()),
        Repair::Result(result) => {
            let mut registers = registers(task)?;
            registers.rax = result.cast_unsigned();
            set_registers(task, &registers)
        }
        Repair::Memory { address, word } => trace(libc::PTRACE_POKEDATA, task, address, word.cast_unsigned()).map(drop),
    }
}

/// `ptrace(2)` for the requests whose arguments are numbers.
fn trace(request: libc::c_uint, task: i32, address: u64, data: u64) -> io::Result<i64> {
    // SAFETY: the requests of this file that come here take numbers, or addresses in the tracee; none touches memory of
    // this process.
    match unsafe { libc::ptrace(request, task, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn registers(task: i32) -> io::Result<libc::user_regs_struct> {
    let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
    // SAFETY: PTRACE_GETREGS writes one `user_regs_struct`, for which there is room.
    if unsafe { libc::ptrace(libc::PTRACE_GETREGS, task, 0_u64, registers.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written all of it.
    Ok(unsafe { registers.assume_init() })
}

fn set_registers(task: i32, registers: &libc::user_regs_struct) -> io::Result<()> {
    // SAFETY: PTRACE_SETREGS reads one `user_regs_struct`, which is there.
    match unsafe { libc::ptrace(libc::PTRACE_SETREGS, task, 0_u64, std::ptr::from_ref(registers)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A word of the tracee's memory.
fn peek(task: i32, address: u64) -> io::Result<i64> {
    let mut word = 0_i64;
    let (local, remote) = (
        libc::iovec {
            iov_base: (&raw mut word).cast(),
            iov_len: size_of::<i64>(),
        },
        libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: size_of::<i64>(),
        },
    );
    // SAFETY: the local side is one word, which is there; the remote side is checked by the kernel.
    match unsafe { libc::process_vm_readv(task, &raw const local, 1, &raw const remote, 1, 0) } {
        8 => Ok(word),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(Errno::FAULT.into()),
    }
}
