//! The compiled programs on the running kernel: of the signals of a watched descriptor only one is queued.
//!
//! If the kernel refuses tracing programs, the reason is printed; `C10K_REQUIRE=all` makes that a failure, and
//! `all,-signal-per-fd` does not.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use c10k_bpf::signal_per_fd::{CONTROL_MAP, PROBES, WATCHED_MAP, control, first_slot, prepare, slot};
use c10k_bpf::{Attached, SharedWords};
use c10k_testkit::required::is_required;

/// The table has 64 slots, and `PROBES` more.
const BITS: u32 = 6;

struct SignalFilter {
    control: SharedWords,
    watched: SharedWords,
    signal: i32,
    _attached: Attached,
}

impl SignalFilter {
    /// `None` if this kernel refuses; the reason is printed.
    fn open(signal: i32) -> Option<Self> {
        let attached = prepare().and_then(|prepared| prepared.attach((1 << BITS) + PROBES as u32));
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                assert!(!is_required(&["signal-per-fd"]), "required: {error}");
                println!("unavailable here: {error}");
                return None;
            }
        };
        let shared = attached.map(CONTROL_MAP).expect("there").share().expect("maps");
        let watched = attached.map(WATCHED_MAP).expect("there").share().expect("maps");
        let namespace = std::fs::metadata("/proc/self/ns/pid").expect("/proc is mounted");
        shared[control::NAMESPACE_DEVICE].store(namespace.st_dev(), SeqCst);
        shared[control::NAMESPACE_INODE].store(namespace.st_ino(), SeqCst);
        shared[control::SIGNAL].store(signal as u64, SeqCst);
        shared[control::SHIFT].store(u64::from(u32::BITS - BITS), SeqCst);
        shared[control::THREAD].store(thread() as u64, SeqCst);
        block(signal);
        block(libc::SIGIO);
        Some(Self {
            control: shared,
            watched,
            signal,
            _attached: attached,
        })
    }

    /// Arms `fd` and watches it `behind` slots behind its first slot. The slots in between are marked as removed.
    fn watch(&self, fd: RawFd, behind: usize) -> &AtomicU64 {
        arm(fd, self.signal);
        let owner = self.control[control::OWNER].load(SeqCst);
        assert_ne!(owner, 0, "F_SETOWN_EX was observed");
        let first = first_slot(owner, u64::from(u32::BITS - BITS));
        for at in first..first + behind {
            self.watched[at * slot::WORDS + slot::OWNER].store(slot::REMOVED, SeqCst);
        }
        let at = (first + behind) * slot::WORDS;
        self.watched[at + slot::TASK].store(self.control[control::TASK].load(SeqCst), SeqCst);
        self.watched[at + slot::OWNER].store(owner, SeqCst);
        &self.watched[at + slot::COUNT]
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
    // SAFETY: `sigemptyset` initialises the set, a local variable.
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

/// Takes all queued signals of this number and counts them.
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
        let Some(filter) = SignalFilter::open(libc::SIGRTMIN() + 5) else {
            return;
        };
        let (far, near) = pair();
        let count = filter.watch(near.as_raw_fd(), behind);
        write_ten(&far);
        assert_eq!(filter.queued(), 1);
        assert_eq!(count.swap(0, SeqCst), 10);
        write_ten(&far);
        assert_eq!(filter.queued(), 1);
    }
}

#[test]
fn signals_of_an_unwatched_description_and_other_signals_pass() {
    let Some(filter) = SignalFilter::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    arm(near.as_raw_fd(), filter.signal);
    write_ten(&far);
    assert_eq!(filter.queued(), 10);

    // A watched open file description, armed with a signal number that is not filtered.
    let (other_far, other) = pair();
    filter.watch(other.as_raw_fd(), 0);
    let other_signal = libc::SIGRTMIN() + 6;
    block(other_signal);
    arm(other.as_raw_fd(), other_signal);
    write_ten(&other_far);
    assert_eq!(queued(other_signal), 10);
}

#[test]
fn signals_of_a_description_that_another_thread_took_over_pass() {
    let Some(filter) = SignalFilter::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    filter.watch(near.as_raw_fd(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // This thread inherited the blocked signals.
            arm(near.as_raw_fd(), filter.signal);
            write_ten(&far);
            assert_eq!(filter.queued(), 10);
        });
    });
}

#[test]
fn signals_of_another_process_pass() {
    let Some(filter) = SignalFilter::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    // The same open file, now owned by another process, with the same signal number.
    let (far, near) = pair();
    filter.watch(near.as_raw_fd(), 0);
    // SAFETY: the child makes only system calls on descriptors that it inherited, and ends without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        arm(near.as_raw_fd(), filter.signal);
        write_ten(&far);
        let all = filter.queued() == 10;
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!all)) };
    }
    let mut status = 0;
    // SAFETY: the status is a local variable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "ten signals reached the other process");
}

#[test]
fn dropping_the_filter_lets_everything_pass() {
    let Some(filter) = SignalFilter::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    filter.watch(near.as_raw_fd(), 0);
    let signal = filter.signal;
    drop(filter);
    write_ten(&far);
    assert_eq!(queued(signal), 10);
}
