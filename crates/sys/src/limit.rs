//! The limits of a process: `prlimit`. `rustix` takes for granted that reading one succeeds, which a seccomp profile can
//! prevent.

use crate::poll::errno;
use rustix::{
    io::Result,
    process::{Resource, Rlimit},
};

/// `prlimit64(0, resource)`: the soft and the hard limit of the calling process. See `getrlimit(2)`.
///
/// # Errors
/// Those of a seccomp profile.
pub fn limit(resource: Resource) -> Result<Rlimit> {
    let mut found = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let no_new_limit = std::ptr::null::<libc::rlimit64>();
    // SAFETY: the kernel writes one rlimit64, which is live; the process 0 is the calling one.
    let result = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource as u32, no_new_limit, &raw mut found) };
    if result < 0 {
        return Err(errno());
    }
    let finite = |limit| (limit != libc::RLIM64_INFINITY).then_some(limit);
    Ok(Rlimit {
        current: finite(found.rlim_cur),
        maximum: finite(found.rlim_max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_one_that_rustix_reads() {
        for resource in [Resource::Nofile, Resource::Sigpending, Resource::Cpu] {
            let found = limit(resource).expect("no profile forbids it");
            let wanted = rustix::process::getrlimit(resource);
            assert_eq!((found.current, found.maximum), (wanted.current, wanted.maximum));
        }
    }
}
