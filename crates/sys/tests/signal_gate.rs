//! The compiled object, on the kernel that runs the test: of the signals of a watched descriptor one is queued.
//!
//! Where the kernel refuses tracing programs the reason is printed; `C10K_REQUIRE=all` makes that a failure, and
//! `all,-signal-per-fd` does not.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use c10k_sys::bpf::{Attach, Attached, Hook, Prepared, Shared};
use c10k_sys::required::is_required;

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../bpf/signal_per_fd.bpf.o"));

const HOOKS: [Hook; 2] = [
    Hook {
        program: "learn_owner",
        function: "security_file_set_fowner",
        attach: Attach::Entry,
    },
    Hook {
        program: "gate_signal",
        function: "security_file_send_sigiotask",
        attach: Attach::ModifyReturn,
    },
];

// Words of `control` in the object.
const NAMESPACE_DEVICE: usize = 0;
const NAMESPACE_INODE: usize = 1;
const THREAD: usize = 2;
const SIGNAL: usize = 3;
const SHIFT: usize = 4;
const OWNER: usize = 5;
const TASK: usize = 6;

/// A table of 64 places, and as many more as a search may need.
const BITS: u32 = 6;
const PROBES: usize = 32;
const WORDS: usize = 3;

struct Gate {
    control: Shared,
    watched: Shared,
    signal: i32,
    _attached: Attached,
}

impl Gate {
    /// `None` where this kernel refuses, which is printed.
    fn open(signal: i32) -> Option<Self> {
        let attached =
            Prepared::new(&OBJECT.0, &HOOKS).and_then(|prepared| prepared.attach((1 << BITS) + PROBES as u32));
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                assert!(!is_required(&["signal-per-fd"]), "required: {error}");
                println!("unavailable here: {error}");
                return None;
            }
        };
        let control = attached.map(".bss").expect("there").share().expect("maps");
        let watched = attached.map("watched").expect("there").share().expect("maps");
        let namespace = std::fs::metadata("/proc/self/ns/pid").expect("/proc is mounted");
        control[NAMESPACE_DEVICE].store(namespace.st_dev(), SeqCst);
        control[NAMESPACE_INODE].store(namespace.st_ino(), SeqCst);
        control[SIGNAL].store(signal as u64, SeqCst);
        control[SHIFT].store(u64::from(u32::BITS - BITS), SeqCst);
        control[THREAD].store(thread() as u64, SeqCst);
        block(signal);
        block(libc::SIGIO);
        Some(Self {
            control,
            watched,
            signal,
            _attached: attached,
        })
    }

    /// Arms `fd`, and lets it be watched `behind` places behind its own, with the places between taken by others.
    fn watch(&self, fd: RawFd, behind: usize) -> &AtomicU64 {
        arm(fd, self.signal);
        let owner = self.control[OWNER].load(SeqCst);
        assert_ne!(owner, 0, "F_SETOWN_EX was observed");
        let home = ((owner as u32).wrapping_mul(0x9e37_79b1) >> (u32::BITS - BITS)) as usize;
        for at in home..home + behind {
            self.watched[at * WORDS].store(1, SeqCst);
        }
        let at = (home + behind) * WORDS;
        self.watched[at + 1].store(self.control[TASK].load(SeqCst), SeqCst);
        self.watched[at].store(owner, SeqCst);
        &self.watched[at + 2]
    }

    fn queued(&self) -> usize {
        queued(self.signal)
    }
}

fn thread() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

fn set_of(signal: i32) -> libc::sigset_t {
    // SAFETY: `sigemptyset` initialises the set, which is this function's own.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        set
    }
}

fn block(signal: i32) {
    let set = set_of(signal);
    // SAFETY: the set lives through the call.
    let answer = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    assert_eq!(answer, 0);
}

/// `F_SETSIG`, `F_SETOWN_EX` to this thread, `O_ASYNC`.
fn arm(fd: RawFd, signal: i32) {
    let owner = [0 /* F_OWNER_TID */, thread()];
    // SAFETY: `F_SETOWN_EX` reads two ints, which live through the call; the others take ints.
    unsafe {
        assert_eq!(libc::fcntl(fd, 10 /* F_SETSIG */, signal), 0);
        assert_eq!(libc::fcntl(fd, 15 /* F_SETOWN_EX */, owner.as_ptr()), 0);
        assert_eq!(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK), 0);
    }
}

/// Takes all queued signals of that number and counts them.
fn queued(signal: i32) -> usize {
    let (set, now) = (set_of(signal), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: set and time live through the call; no information is asked for.
    let dequeue = || unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now) };
    std::iter::repeat_with(dequeue)
        .take_while(|taken| *taken == signal)
        .count()
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("descriptors are left")
}

fn write_ten(mut far: &UnixStream) {
    for _ in 0..10 {
        far.write_all(b"x").expect("room");
    }
}

#[test]
fn of_ten_writes_one_signal_is_queued_until_the_count_is_cleared() {
    for behind in [0, 1, PROBES - 1] {
        let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
            return;
        };
        let (far, near) = pair();
        let count = gate.watch(near.as_raw_fd(), behind);
        write_ten(&far);
        assert_eq!(gate.queued(), 1);
        assert_eq!(count.swap(0, SeqCst), 10);
        write_ten(&far);
        assert_eq!(gate.queued(), 1);
    }
}

#[test]
fn a_description_that_is_not_watched_and_another_signal_pass() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    arm(near.as_raw_fd(), gate.signal);
    write_ten(&far);
    assert_eq!(gate.queued(), 10);

    // An open file description that is watched, armed with a number that is not.
    let (other_far, other) = pair();
    gate.watch(other.as_raw_fd(), 0);
    let foreign = libc::SIGRTMIN() + 6;
    block(foreign);
    arm(other.as_raw_fd(), foreign);
    write_ten(&other_far);
    assert_eq!(queued(foreign), 10);
}

#[test]
fn a_description_that_another_thread_took_over_passes() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    gate.watch(near.as_raw_fd(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // This thread inherited the blocked signals.
            arm(near.as_raw_fd(), gate.signal);
            write_ten(&far);
            assert_eq!(gate.queued(), 10);
        });
    });
}

#[test]
fn signals_of_another_process_pass() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    // The same open file, owned by another process by now, with the same signal number.
    let (far, near) = pair();
    gate.watch(near.as_raw_fd(), 0);
    // SAFETY: the child makes only system calls on what it inherited, and ends without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        arm(near.as_raw_fd(), gate.signal);
        write_ten(&far);
        let all = gate.queued() == 10;
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!all)) };
    }
    let mut status = 0;
    // SAFETY: the status is this function's own.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "ten signals reached the other process");
}

#[test]
fn dropping_the_gate_lets_everything_pass() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    gate.watch(near.as_raw_fd(), 0);
    let signal = gate.signal;
    drop(gate);
    write_ten(&far);
    assert_eq!(queued(signal), 10);
}
