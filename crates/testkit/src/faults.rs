//! Fault injection into system calls with `ptrace(2)`, for tests.
//!
//! The tested program is the shipped program, without special code or features. A tracer stops each of its threads and
//! processes at every system call and changes the calls, or their results, that an [`Injection`] selects. So a test can
//! cover every call, also those of the standard library and of a runtime. Only x86-64 is supported, since the tracer
//! changes registers.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ChildStdout, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::process::Pid;

/// The system calls that a server makes, by name and number. Tests inject faults into each of them.
pub static CALLS: &[Call] = &[
    call("accept4", libc::SYS_accept4, Count::None),
    call("close", libc::SYS_close, Count::None),
    call("clone", libc::SYS_clone, Count::None),
    call("clone3", libc::SYS_clone3, Count::None),
    operation("epoll_ctl", libc::SYS_epoll_ctl, is_not_removal),
    call("epoll_pwait", libc::SYS_epoll_pwait, Count::None),
    call("epoll_pwait2", libc::SYS_epoll_pwait2, Count::None),
    call("epoll_wait", libc::SYS_epoll_wait, Count::None),
    operation("fcntl", libc::SYS_fcntl, arms_signals),
    call("fork", libc::SYS_fork, Count::None),
    call("fstat", libc::SYS_fstat, Count::None),
    call("getpeername", libc::SYS_getpeername, Count::None),
    call("getsockopt", libc::SYS_getsockopt, Count::None),
    call("io_cancel", libc::SYS_io_cancel, Count::None),
    call("io_destroy", libc::SYS_io_destroy, Count::None),
    call("io_getevents", libc::SYS_io_getevents, Count::None),
    call("io_setup", libc::SYS_io_setup, Count::None),
    call("io_submit", libc::SYS_io_submit, Count::None),
    call("io_uring_enter", libc::SYS_io_uring_enter, Count::None),
    call("ioctl", libc::SYS_ioctl, Count::None),
    call("openat2", libc::SYS_openat2, Count::None),
    call("poll", libc::SYS_poll, Count::None),
    call("ppoll", libc::SYS_ppoll, Count::None),
    call("pread64", libc::SYS_pread64, Count::Third),
    call("pselect6", libc::SYS_pselect6, Count::None),
    // A server uses `read` for eventfds, timers and signals, which the kernel transfers completely or not at all
    // (eventfd(2), signalfd(2)). Connections use other calls.
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

/// The calls of the runtime libraries for memory, locks, threads, signals and time, which are not tested. Some of them
/// fail only if the kernel is out of memory, which ends any program; the others do not fail.
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

/// System calls with numbers below this are counted.
const NUMBERS: usize = 512;

/// Offset of the number of buffers in a `struct msghdr` (recvmsg(2)).
const MSG_IOVLEN: u64 = 24;

/// A system call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The name of the call in the kernel.
    pub name: &'static str,
    number: i64,
    count: Count,
    /// Whether the call can fail with this second and third argument.
    can_fail: fn(u64, u64) -> bool,
}

/// The argument of a call that limits the number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    None,
    /// The third argument.
    Third,
    Fourth,
    /// The number of buffers of the message.
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

/// A call of which only some operations can fail.
const fn operation(name: &'static str, number: i64, can_fail: fn(u64, u64) -> bool) -> Call {
    Call {
        can_fail,
        ..call(name, number, Count::None)
    }
}

/// epoll_ctl(2): removing a descriptor needs no resource that can be exhausted.
fn is_not_removal(operation: u64, _: u64) -> bool {
    operation != libc::EPOLL_CTL_DEL as u64
}

/// fcntl(2): arming a file to send signals needs memory; reading flags and disarming do not.
fn arms_signals(command: u64, flags: u64) -> bool {
    const ASYNC: u64 = libc::O_ASYNC as u64;
    match command as i32 {
        libc::F_SETFL => flags & ASYNC != 0,
        libc::F_GETFL | libc::F_GETFD => false,
        _ => true,
    }
}

impl Call {
    /// Whether [`Fault::Short`] has an effect on this call.
    #[must_use]
    pub fn moves_bytes(&self) -> bool {
        self.count != Count::None
    }
}

/// The fault that is injected into a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made and returns this error. Only `close` is made, since it frees the descriptor even if it
    /// fails.
    Refused(Errno),
    /// The call is made and transfers at most one byte; `sendmsg` sends only its first buffer.
    Short,
}

/// A fault, and the calls that it is injected into.
#[derive(Debug, Clone, Copy)]
pub struct Injection {
    /// The system call, made by any thread or process of the program.
    pub call: Call,
    /// The fault.
    pub fault: Fault,
    /// The first of these calls that gets the fault, counted from 1 since the injection was set.
    pub first: u64,
    /// The number of consecutive calls that get the fault.
    pub times: u64,
}

/// A traced program. Dropping this value kills the program.
#[derive(Debug)]
pub struct Traced {
    pid: Pid,
    stdout: Option<ChildStdout>,
    shared: Arc<Shared>,
    tracer: Option<JoinHandle<io::Result<ExitStatus>>>,
}

/// The state that the tracer and the test share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    calls: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    injection: Option<Injection>,
    seen: u64,
    injected: u64,
}

impl Traced {
    /// Starts `command` traced. Its standard output can be taken with [`stdout`](Traced::stdout), if it is piped.
    ///
    /// # Errors
    /// `EPERM` if the machine forbids tracing (a seccomp filter, yama's `ptrace_scope` 3); otherwise the errors
    /// of [`Command::spawn`].
    pub fn spawn(mut command: Command) -> io::Result<Traced> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            calls: (0..NUMBERS).map(|_| AtomicU64::new(0)).collect(),
        });
        // SAFETY: the closure runs between fork and exec and makes one system call that touches no memory.
        unsafe {
            command.pre_exec(|| trace(libc::PTRACE_TRACEME, 0, 0, 0).map(drop));
        }
        let (started, starting) = mpsc::channel();
        let tracer_shared = Arc::clone(&shared);
        // Only the thread that starts a tracee can trace it.
        let tracer = std::thread::spawn(move || {
            let child = command
                .spawn()
                .map(|mut child| (Pid::from_child(&child), child.stdout.take()));
            let root = child.as_ref().map_or(None, |(pid, _)| Some(*pid));
            // Fails only if the receiver is gone.
            let _ = started.send(child);
            Tracer {
                root: root.ok_or_else(|| io::Error::from(Errno::CHILD))?,
                shared: &tracer_shared,
                tasks: HashMap::new(),
            }
            .run()
        });
        let (pid, stdout) = starting.recv().map_err(|_| io::Error::from(Errno::CHILD))??;
        Ok(Traced {
            pid,
            stdout,
            shared,
            tracer: Some(tracer),
        })
    }

    /// The process of the program.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The standard output of the program. The first call takes it.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Resets the counts and replaces the injection. Returns the number of calls that got the fault of the last
    /// injection.
    pub fn set(&self, injection: Option<Injection>) -> u64 {
        let mut state = self.shared.state();
        for count in &self.shared.calls {
            count.store(0, Ordering::Relaxed);
        }
        std::mem::replace(
            &mut *state,
            State {
                injection,
                ..State::default()
            },
        )
        .injected
    }

    /// The number of calls that got the fault of the injection so far.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.shared.state().injected
    }

    /// The calls since the last [`set`](Traced::set), without those of the runtime libraries; and the numbers of the
    /// calls that are not in [`CALLS`].
    #[must_use]
    pub fn calls(&self) -> (Vec<(Call, u64)>, Vec<i64>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (number, count) in self.shared.calls.iter().enumerate() {
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

    /// Whether the program has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tracer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the program ends.
    ///
    /// # Errors
    /// The errors of `waitpid(2)` and `ptrace(2)`, which are not expected.
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
            // Fails if the program has already ended.
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = self.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call. Returns the fault to inject into it.
    fn take(&self, registers: &libc::user_regs_struct) -> Option<(Call, Fault)> {
        let number = registers.orig_rax.cast_signed();
        let count = usize::try_from(number).ok().and_then(|index| self.calls.get(index))?;
        let mut state = self.state();
        count.fetch_add(1, Ordering::Relaxed);
        let injection = state.injection.filter(|injection| injection.call.number == number)?;
        if !(injection.call.can_fail)(registers.rsi, registers.rdx) {
            return None;
        }
        state.seen += 1;
        if state.seen < injection.first || state.injected >= injection.times {
            return None;
        }
        state.injected += 1;
        Some((injection.call, injection.fault))
    }
}

/// The tracing thread. It traces one program with all its threads and children.
struct Tracer<'a> {
    root: Pid,
    shared: &'a Shared,
    /// The tasks that have stopped at least once, by their number.
    tasks: HashMap<i32, TaskState>,
}

/// Whether a task is inside a system call, and what to change when the call returns.
#[derive(Debug, Clone, Copy)]
enum TaskState {
    Outside,
    Inside(OnReturn),
}

#[derive(Debug, Clone, Copy)]
enum OnReturn {
    None,
    /// Set the result of the call.
    Result(i64),
    /// Restore a word of memory to its former value.
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
            // SAFETY: the call writes one integer, a local variable. It waits only for children and tracees of this
            // thread.
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
                // Fails if the task was killed meanwhile. Then `waitpid` reports its end next.
                let _ = trace(libc::PTRACE_SYSCALL, task, 0, signal);
            } else if task == self.root.as_raw_nonzero().get() {
                end = Some(ExitStatus::from_raw(status));
            } else {
                self.tasks.remove(&task);
            }
        }
    }

    /// Handles a stopped task. Returns the signal with which it resumes.
    fn stopped(&mut self, task: i32, status: i32) -> u64 {
        let signal = libc::WSTOPSIG(status);
        let Some(state) = self.tasks.get(&task).copied() else {
            self.tasks.insert(task, TaskState::Outside);
            if task == self.root.as_raw_nonzero().get() {
                let options = libc::PTRACE_O_TRACESYSGOOD
                    | libc::PTRACE_O_TRACECLONE
                    | libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_TRACEVFORK
                    | libc::PTRACE_O_EXITKILL;
                // Fails only if the task was killed.
                let _ = trace(libc::PTRACE_SETOPTIONS, task, 0, options as u64);
            }
            // The first stop (SIGTRAP after exec, SIGSTOP of a new task) belongs to tracing and is not delivered.
            return 0;
        };
        if signal == libc::SIGTRAP | 0x80 {
            let next = match state {
                TaskState::Outside => TaskState::Inside(self.enter(task).unwrap_or(OnReturn::None)),
                TaskState::Inside(on_return) => {
                    // Fails only if the task was killed.
                    let _ = leave(task, on_return);
                    TaskState::Outside
                }
            };
            self.tasks.insert(task, next);
            return 0;
        }
        let event = status >> 16 != 0;
        if event { 0 } else { u64::from(signal.unsigned_abs()) }
    }

    /// Handles a call that is about to be made.
    fn enter(&self, task: i32) -> io::Result<OnReturn> {
        let mut registers = registers(task)?;
        let Some((call, fault)) = self.shared.take(&registers) else {
            return Ok(OnReturn::None);
        };
        match fault {
            Fault::Refused(errno) => {
                if call.number != libc::SYS_close {
                    // No call has this number, so the kernel does nothing.
                    registers.orig_rax = u64::MAX;
                    set_registers(task, &registers)?;
                }
                Ok(OnReturn::Result(-i64::from(errno.raw_os_error())))
            }
            Fault::Short => {
                match call.count {
                    Count::Third => registers.rdx = registers.rdx.min(1),
                    Count::Fourth => registers.r10 = registers.r10.min(1),
                    Count::Buffers => {
                        let address = registers.rsi + MSG_IOVLEN;
                        let word = read_word(task, address)?;
                        trace(libc::PTRACE_POKEDATA, task, address, 1)?;
                        return Ok(OnReturn::Memory { address, word });
                    }
                    Count::None => {}
                }
                set_registers(task, &registers)?;
                Ok(OnReturn::None)
            }
        }
    }
}

/// Handles a call that has returned.
fn leave(task: i32, on_return: OnReturn) -> io::Result<()> {
    match on_return {
        OnReturn::None => Ok(()),
        OnReturn::Result(result) => {
            let mut registers = registers(task)?;
            registers.rax = result.cast_unsigned();
            set_registers(task, &registers)
        }
        OnReturn::Memory { address, word } => {
            trace(libc::PTRACE_POKEDATA, task, address, word.cast_unsigned()).map(drop)
        }
    }
}

/// `ptrace(2)` for the requests whose arguments are numbers.
fn trace(request: libc::c_uint, task: i32, address: u64, data: u64) -> io::Result<i64> {
    // SAFETY: the requests that this file passes take numbers, or addresses in the tracee; none touches memory of
    // this process.
    match unsafe { libc::ptrace(request, task, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn registers(task: i32) -> io::Result<libc::user_regs_struct> {
    let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
    // SAFETY: PTRACE_GETREGS writes one `user_regs_struct`, and the buffer has this size.
    if unsafe { libc::ptrace(libc::PTRACE_GETREGS, task, 0_u64, registers.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written all of it.
    Ok(unsafe { registers.assume_init() })
}

fn set_registers(task: i32, registers: &libc::user_regs_struct) -> io::Result<()> {
    // SAFETY: PTRACE_SETREGS reads one `user_regs_struct`, which is borrowed.
    match unsafe { libc::ptrace(libc::PTRACE_SETREGS, task, 0_u64, std::ptr::from_ref(registers)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Reads a word of memory of the tracee.
fn read_word(task: i32, address: u64) -> io::Result<i64> {
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
    // SAFETY: the local side is one live word; the kernel checks the remote side.
    match unsafe { libc::process_vm_readv(task, &raw const local, 1, &raw const remote, 1, 0) } {
        8 => Ok(word),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(Errno::FAULT.into()),
    }
}
