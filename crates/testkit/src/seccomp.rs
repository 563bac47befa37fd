//! Refusing system calls with a seccomp filter, as a sandbox does: in the calling thread, without a tracer, and for good. See
//! `seccomp(2)`.

use rustix::io::Errno;
use std::io;

/// One call of which the calling thread, and the threads and processes that it starts, get this error from now on.
///
/// # Errors
/// `EINVAL` if the kernel was built without seccomp filters.
pub fn refuse(number: i64, errno: Errno) -> io::Result<()> {
    let answer = libc::SECCOMP_RET_ERRNO | errno.raw_os_error().cast_unsigned();
    install(&mut [
        load_number(),
        skip_one_unless(number),
        give(answer),
        give(libc::SECCOMP_RET_ALLOW),
    ])
}

/// Kills the process at the first call of this thread that is not one of these.
///
/// # Errors
/// As for [`refuse`].
pub fn allow_only(numbers: impl IntoIterator<Item = i64>) -> io::Result<()> {
    let allow = |number| [skip_one_unless(number), give(libc::SECCOMP_RET_ALLOW)];
    let mut filter = vec![load_number()];
    filter.extend(numbers.into_iter().flat_map(allow));
    filter.push(give(libc::SECCOMP_RET_KILL_PROCESS));
    install(&mut filter)
}

/// Loads the number of the call, the first word of a `struct seccomp_data`.
fn load_number() -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)
}

/// Skips the next instruction unless the call has this number.
fn skip_one_unless(number: i64) -> libc::sock_filter {
    let number = u32::try_from(number).expect("system calls have small numbers");
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number)
}

fn give(answer: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, answer)
}

fn instruction(code: u32, jump_if_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).expect("codes have 16 bits"),
        jt: 0,
        jf: jump_if_false,
        k: operand,
    }
}

fn install(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("a filter is short"),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the call takes numbers only.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: the program and its instructions are live; the kernel copies them.
    done(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
