//! Permanent change to another user: `getpwnam_r`, `initgroups`, `setgid`, `setuid`.

use std::ffi::CString;
use std::io;

/// A user in the databases of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The id of its primary group.
    pub gid: u32,
}

/// `getpwnam_r(3)`: the user of that name; `None` if there is none.
///
/// # Errors
/// The error of the databases. `EINVAL` for a name with a NUL.
pub fn named(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    let mut strings = vec![0; 16 * 1024];
    // SAFETY: a passwd is numbers and pointers, of which all zeroes is a value.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: the name ends with a NUL; the entry, its strings and the result are valid for writes and outlive the
    // call, and no pointer of the entry is read afterwards.
    let error = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            &raw mut entry,
            strings.as_mut_ptr(),
            strings.len(),
            &raw mut found,
        )
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok((!found.is_null()).then_some(User {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    }))
}

/// `initgroups`, `setgid`, `setuid`, for all threads of the process. This cannot be undone. See initgroups(3).
///
/// # Errors
/// `EPERM` if the process is not privileged. `EINVAL` in a user namespace without this user. After an error the process
/// may have some groups of the user, and should end.
pub fn become_user(name: &str, user: User) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with a NUL and outlives the call.
    done(unsafe { libc::initgroups(name.as_ptr(), user.gid) })?;
    // SAFETY: the call takes a number and touches no memory of this process.
    done(unsafe { libc::setgid(user.gid) })?;
    // SAFETY: likewise.
    done(unsafe { libc::setuid(user.uid) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
