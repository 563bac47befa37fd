//! A regular file that blocks whoever opens it, as a file on a slow or absent disk does: fanotify(7) asks this process whether the
//! file may be opened, and it does not answer yet.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A file whose openers wait. When this is dropped, all of them go on.
#[derive(Debug)]
pub struct HeldFile {
    group: OwnedFd,
}

/// Someone who waits. When this is dropped, the file is opened.
#[derive(Debug)]
pub struct Opener<'a> {
    group: &'a HeldFile,
    /// The file, which the kernel opens for us; its number names the question.
    file: OwnedFd,
}

impl HeldFile {
    /// Makes everybody who opens the file wait, but for who only looks it up (`O_PATH`). This process must not open it.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`; `EINVAL` or `ENOSYS` if the kernel was built without permission events.
    pub fn hold(path: &Path) -> io::Result<HeldFile> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
        // SAFETY: the call takes two numbers.
        let group = unsafe { libc::fanotify_init(flags, libc::O_RDONLY.cast_unsigned()) };
        if group < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just returned this descriptor, so nobody else owns it.
        let group = unsafe { OwnedFd::from_raw_fd(group) };
        let (raw, mask) = (group.as_raw_fd(), libc::FAN_OPEN_PERM);
        // SAFETY: `path` ends with a zero and is valid for the length of the call.
        let marked = unsafe { libc::fanotify_mark(raw, libc::FAN_MARK_ADD, mask, libc::AT_FDCWD, path.as_ptr()) };
        if marked < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(HeldFile { group })
    }

    /// Waits until someone waits.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn await_opener(&self) -> io::Result<Opener<'_>> {
        const BYTES: usize = size_of::<libc::fanotify_event_metadata>();
        let mut bytes = [0_u8; BYTES];
        // Room for one event, so the kernel returns one.
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.group, &mut bytes))?;
        if read != BYTES {
            return Err(io::Error::other(format!("an event of {read} bytes")));
        }
        let place = mem::offset_of!(libc::fanotify_event_metadata, fd);
        let fd = i32::from_ne_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]]);
        if fd < 0 {
            return Err(io::Error::other("an event without a file"));
        }
        // SAFETY: fanotify(7): the kernel has opened this descriptor for the reader of the event, who has to close it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Opener { group: self, file })
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        let mut answer = [0; 8];
        answer[..4].copy_from_slice(&self.file.as_raw_fd().to_ne_bytes());
        answer[4..].copy_from_slice(&libc::FAN_ALLOW.to_ne_bytes());
        // This fails only if the opener is gone, which was killed.
        let _ = rustix::io::write(&self.group.group, &answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::{self, TryRecvError};

    #[test]
    fn an_opener_waits_until_it_is_let_go() {
        let path = std::env::temp_dir().join(format!("c10k-held-{}", std::process::id()));
        fs::write(&path, b"content").expect("a new file");
        let held = match HeldFile::hold(&path) {
            Ok(held) => held,
            Err(error) => {
                fs::remove_file(&path).expect("our file");
                assert!(!crate::required::is_required(&["fanotify"]), "{error}");
                return eprintln!("cannot run here: fanotify: {error}");
            }
        };
        let (sender, opened) = mpsc::channel();
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || sender.send(fs::read(path).expect("our file")))
        };
        let opener = held.await_opener().expect("the thread opens it");
        assert_eq!(opened.try_recv(), Err(TryRecvError::Empty));
        drop(opener);
        assert_eq!(opened.recv().expect("its content"), b"content");
        reader.join().expect("it ends").expect("the content was received");
        fs::remove_file(&path).expect("our file");
    }
}
