//! The compiled object, on the kernel that runs the test: of the signals of a watched descriptor one is queued.
//!
//! Where the kernel refuses tracing programs the reason is printed; `C10K_REQUIRE=all` makes that a failure.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::SeqCst;

use c10k_sys::bpf::{Attach, Attached, Hook, Prepared, Shared};

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
const OWNER: usize = 4;
const TASK: usize = 5;

struct Gate {
    attached: Attached,
    control: Shared,
    counts: Shared,
    signal: i32,
}

impl Gate {
    /// `None` where this kernel refuses, which is printed.
    fn open(signal: i32) -> Option<Self> {
        let attached = Prepared::new(&OBJECT.0, &HOOKS).and_then(|prepared| prepared.attach(1024));
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                let required = std::env::var("C10K_REQUIRE").unwrap_or_default();
                assert!(
                    !required.split(',').any(|name| name == "all" || name == "signal-per-fd"),
                    "required: {error}"
                );
                println!("unavailable here: {error}");
                return None;
            }
        };
        let control = attached.map(".bss").expect("there").share().expect("maps");
        let counts = attached.map("counts").expect("there").share().expect("maps");
        let namespace = std::fs::metadata("/proc/self/ns/pid").expect("/proc is mounted");
        control[NAMESPACE_DEVICE].store(namespace.st_dev(), SeqCst);
        control[NAMESPACE_INODE].store(namespace.st_ino(), SeqCst);
        control[SIGNAL].store(signal as u64, SeqCst);
        control[THREAD].store(thread() as u64, SeqCst);
        block(signal);
        block(libc::SIGIO);
        Some(Self {
            attached,
            control,
            counts,
            signal,
        })
    }

    /// Arms `fd`; a watched one goes through the gate.
    fn arm(&self, fd: RawFd, watched: Watched) {
        arm(fd, self.signal);
        let owner = [self.control[OWNER].load(SeqCst)];
        assert_ne!(owner, [0], "F_SETOWN_EX was observed");
        if watched == Watched::Yes {
            let value = [self.control[TASK].load(SeqCst), fd as u64];
            let map = self.attached.map("watched").expect("there");
            map.set(&owner, &value).expect("room");
        }
    }

    fn queued(&self) -> usize {
        queued(self.signal)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Yes,
    No,
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
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    let slot = near.as_raw_fd();
    gate.arm(slot, Watched::Yes);
    write_ten(&far);
    assert_eq!(gate.queued(), 1);
    assert_eq!(gate.counts[slot as usize].swap(0, SeqCst), 10);
    write_ten(&far);
    assert_eq!(gate.queued(), 1);
}

#[test]
fn a_descriptor_that_is_not_watched_and_another_signal_pass() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    gate.arm(near.as_raw_fd(), Watched::No);
    write_ten(&far);
    assert_eq!(gate.queued(), 10);

    // An open file description that is watched, armed with a number that is not.
    let (other_far, other) = pair();
    gate.arm(other.as_raw_fd(), Watched::Yes);
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
    gate.arm(near.as_raw_fd(), Watched::Yes);
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
fn dropping_the_gate_lets_everything_pass() {
    let Some(gate) = Gate::open(libc::SIGRTMIN() + 5) else {
        return;
    };
    let (far, near) = pair();
    gate.arm(near.as_raw_fd(), Watched::Yes);
    let signal = gate.signal;
    drop(gate);
    write_ten(&far);
    assert_eq!(queued(signal), 10);
}
