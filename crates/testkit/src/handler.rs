//! A signal handler that calls a function of the test.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The function, as an address; 0 before there is one.
static CALLED: AtomicUsize = AtomicUsize::new(0);

/// `sigaction(SIGUSR1, call, SA_RESTART)`: from here on each `SIGUSR1` calls the function in the thread that takes it.
///
/// The function must be async-signal-safe. That is what the tests show that use this: one that is not may block for ever,
/// which fails the test, or break the allocator of the test program.
///
/// # Panics
/// If the kernel refuses.
pub fn call_on_usr1(function: fn()) {
    extern "C" fn handler(_: libc::c_int) {
        let address = CALLED.load(Ordering::Relaxed);
        // SAFETY: the only value that is stored is the address of a `fn()`, before the handler is installed.
        let function: fn() = unsafe { std::mem::transmute::<usize, fn()>(address) };
        function();
    }
    CALLED.store(function as usize, Ordering::Relaxed);
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros are a valid sigaction: the default disposition, no flags, an empty mask.
    let action = unsafe {
        (*action.as_mut_ptr()).sa_sigaction = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
        (*action.as_mut_ptr()).sa_flags = libc::SA_RESTART;
        action.assume_init()
    };
    // SAFETY: the action is live and initialised; its handler calls a function that the caller has made for it.
    let done = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(done, 0, "sigaction: {}", std::io::Error::last_os_error());
}

/// `tgkill(SIGUSR1)` to one thread of this process, by its number (`gettid`).
///
/// # Panics
/// If the thread has ended.
pub fn send_usr1(thread: i32) {
    // SAFETY: the call takes numbers only.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
    assert_eq!(sent, 0, "tgkill: {}", std::io::Error::last_os_error());
}
