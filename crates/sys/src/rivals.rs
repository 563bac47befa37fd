//! Other event libraries whose interfaces are unsafe, behind safe ones: `polling`, and the system's libevent.
//!
//! They are measured beside c10k-event, by its dispatch benchmark and by `c10k probe library-cost`; nothing else uses them.
//! Each watches descriptors that it borrows, for reading, and names them by their place in the order given.

use std::{
    ffi::{CStr, c_char, c_int, c_short, c_void},
    io,
    marker::PhantomData,
    num::NonZeroUsize,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    time::Duration,
};

/// `polling` in its edge mode.
pub struct Polling<'fd> {
    poller: polling::Poller,
    events: polling::Events,
    watched: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Polling<'fd> {
    /// A poller with these sources; a wait brings `batch` events at most.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `epoll_ctl(2)`.
    pub fn open(watched: impl IntoIterator<Item = BorrowedFd<'fd>>, batch: NonZeroUsize) -> io::Result<Self> {
        let mut opened = Self {
            poller: polling::Poller::new()?,
            events: polling::Events::with_capacity(batch),
            watched: Vec::new(),
        };
        for (index, fd) in watched.into_iter().enumerate() {
            let event = polling::Event::readable(index);
            // SAFETY: the source is open for 'fd, which outlives this value, and `drop` deletes it from the poller; one that
            // is leaked is never asked again.
            unsafe { opened.poller.add_with_mode(&fd, event, polling::PollMode::Edge) }?;
            opened.watched.push(fd);
        }
        Ok(opened)
    }

    /// Waits once, without end where there is no timeout, and hands on the place of each source that is ready.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`.
    pub fn turn(&mut self, timeout: Option<Duration>, mut handle: impl FnMut(usize)) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        self.events.iter().for_each(|event| handle(event.key));
        Ok(())
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        for fd in &self.watched {
            // It fails only where the source is not in the poller, which is what is wanted.
            let _ = self.poller.delete(fd);
        }
    }
}

type Callback = extern "C" fn(c_int, c_short, *mut c_void);

/// The system's libevent 2.1: those of its functions that a loop needs.
#[derive(Clone, Copy)]
pub struct Libevent {
    base_new: unsafe extern "C" fn() -> *mut c_void,
    base_free: unsafe extern "C" fn(*mut c_void),
    base_loop: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    event_new: unsafe extern "C" fn(*mut c_void, c_int, c_short, Callback, *mut c_void) -> *mut c_void,
    event_add: unsafe extern "C" fn(*mut c_void, *const libc::timeval) -> c_int,
    event_free: unsafe extern "C" fn(*mut c_void),
    version: unsafe extern "C" fn() -> *const c_char,
    method: unsafe extern "C" fn(*const c_void) -> *const c_char,
}

impl Libevent {
    /// Loads the library, for as long as the process lives.
    ///
    /// # Errors
    /// A line that names the library and its package, or the function that it lacks.
    pub fn load() -> Result<Self, String> {
        // SAFETY: loading a shared library of the system runs its initialisers, which libevent has none of.
        let library = unsafe { libc::dlopen(c"libevent_core-2.1.so.7".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return Err("libevent_core-2.1.so.7 is not installed: install the package libevent-core-2.1-7".to_owned());
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is loaded and is never closed.
            let address = unsafe { libc::dlsym(library, name.as_ptr()) };
            if address.is_null() {
                Err(format!("libevent has no {}", name.to_string_lossy()))
            } else {
                Ok(address)
            }
        };
        // SAFETY: the types are those of these functions in <event2/event.h> and <event2/util.h> of libevent 2.1.
        unsafe {
            Ok(Self {
                base_new: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut c_void>(symbol(
                    c"event_base_new",
                )?),
                base_free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(symbol(
                    c"event_base_free",
                )?),
                base_loop: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, c_int) -> c_int>(
                    symbol(c"event_base_loop")?,
                ),
                event_new: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, c_int, c_short, Callback, *mut c_void) -> *mut c_void,
                >(symbol(c"event_new")?),
                event_add: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, *const libc::timeval) -> c_int,
                >(symbol(c"event_add")?),
                event_free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(symbol(
                    c"event_free",
                )?),
                version: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(symbol(
                    c"event_get_version",
                )?),
                method: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_void) -> *const c_char>(
                    symbol(c"event_base_get_method")?,
                ),
            })
        }
    }

    /// Its version.
    #[must_use]
    pub fn version(self) -> String {
        // SAFETY: the function returns a static string.
        unsafe { CStr::from_ptr((self.version)()) }
            .to_string_lossy()
            .into_owned()
    }
}

/// A libevent base on epoll, level-triggered and persistent: as its own benchmark uses it.
pub struct LibeventBase<'fd, F: FnMut(usize)> {
    library: Libevent,
    base: *mut c_void,
    events: Vec<*mut c_void>,
    /// What the callbacks are given a pointer into: filled before the first event is made, and never changed.
    contexts: Vec<Context<F>>,
    /// Made by `Box::into_raw`, freed by `drop`.
    handle: NonNull<F>,
    watched: PhantomData<BorrowedFd<'fd>>,
}

/// What a callback is given.
struct Context<F> {
    handle: NonNull<F>,
    index: usize,
}

extern "C" fn callback<F: FnMut(usize)>(_fd: c_int, _what: c_short, context: *mut c_void) {
    // SAFETY: libevent hands back the pointer that event_new was given: a context that lives as long as its event.
    let context = unsafe { &*context.cast::<Context<F>>() };
    // SAFETY: callbacks run one after the other, within `turn` alone, which has the base to itself; `handle` is freed after
    // the events.
    let handle = unsafe { &mut *context.handle.as_ptr() };
    handle(context.index);
}

impl<'fd, F: FnMut(usize)> LibeventBase<'fd, F> {
    /// A base with these sources, which hands `handle` the place of each that is ready. A panic in `handle` ends the process.
    ///
    /// # Errors
    /// The function of libevent that failed; or the method that it uses instead of epoll, as its environment tells it to.
    pub fn open(library: Libevent, watched: impl IntoIterator<Item = BorrowedFd<'fd>>, handle: F) -> io::Result<Self> {
        const EV_READ: c_short = 0x02;
        const EV_PERSIST: c_short = 0x10;
        // SAFETY: takes nothing.
        let base = unsafe { (library.base_new)() };
        if base.is_null() {
            return Err(io::Error::other("event_base_new failed"));
        }
        let handle = NonNull::from(Box::leak(Box::new(handle)));
        let watched: Vec<_> = watched.into_iter().collect();
        let mut opened = Self {
            library,
            base,
            events: Vec::with_capacity(watched.len()),
            contexts: (0..watched.len()).map(|index| Context { handle, index }).collect(),
            handle,
            watched: PhantomData,
        };
        // SAFETY: the base is live, and the method's name is a static string.
        let method = unsafe { CStr::from_ptr((library.method)(base)) };
        if method != c"epoll" {
            let method = method.to_string_lossy();
            return Err(io::Error::other(format!("libevent uses {method}: unset EVENT_NOEPOLL")));
        }
        for (fd, context) in watched.iter().zip(&opened.contexts) {
            let pointer = std::ptr::from_ref(context).cast_mut().cast();
            // SAFETY: the base is live; the context stays where it is until its event is freed, and is only read.
            let event =
                unsafe { (library.event_new)(base, fd.as_raw_fd(), EV_READ | EV_PERSIST, callback::<F>, pointer) };
            if event.is_null() {
                return Err(io::Error::other("event_new failed"));
            }
            opened.events.push(event);
            // SAFETY: the event is live; no timeout.
            if unsafe { (library.event_add)(event, std::ptr::null()) } != 0 {
                return Err(io::Error::other("event_add failed"));
            }
        }
        Ok(opened)
    }

    /// Waits once and handles what is ready; where it does not `block` it only looks.
    ///
    /// # Errors
    /// That `event_base_loop` failed.
    pub fn turn(&mut self, block: bool) -> io::Result<()> {
        const EVLOOP_ONCE: c_int = 0x01;
        const EVLOOP_NONBLOCK: c_int = 0x02;
        let flags = if block {
            EVLOOP_ONCE
        } else {
            EVLOOP_ONCE | EVLOOP_NONBLOCK
        };
        // SAFETY: the base is live, its events' contexts and their handler too, and nobody else uses them.
        let outcome = unsafe { (self.library.base_loop)(self.base, flags) };
        if outcome < 0 {
            return Err(io::Error::other("event_base_loop failed"));
        }
        Ok(())
    }
}

impl<F: FnMut(usize)> Drop for LibeventBase<'_, F> {
    fn drop(&mut self) {
        for &event in &self.events {
            // SAFETY: each event is live and freed once; event_free removes it from the base first.
            unsafe { (self.library.event_free)(event) };
        }
        // SAFETY: the base is live and has no event left.
        unsafe { (self.library.base_free)(self.base) };
        // SAFETY: `open` leaked it, and no callback can run any more.
        drop(unsafe { Box::from_raw(self.handle.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::required;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::{
        cell::RefCell,
        os::fd::{AsFd, OwnedFd},
    };

    fn pairs() -> Vec<(OwnedFd, OwnedFd)> {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None);
        (0..3).map(|_| pair().expect("a socket pair")).collect()
    }

    #[test]
    fn polling_names_the_sources_that_are_ready_and_forgets_them_when_dropped() {
        let pairs = pairs();
        let readers = || pairs.iter().map(|(reader, _)| reader.as_fd());
        for _ in 0..2 {
            let mut polling = Polling::open(readers(), NonZeroUsize::MIN.saturating_add(7)).expect("a poller");
            rustix::io::write(&pairs[1].1, b"e").expect("a byte fits");
            let mut found = Vec::new();
            polling
                .turn(None, |index| found.push(index))
                .expect("the wait succeeds");
            assert_eq!(found, [1]);
            rustix::io::read(&pairs[1].0, &mut [0; 8]).expect("a byte is there");
            polling
                .turn(Some(Duration::ZERO), |index| found.push(index))
                .expect("the wait succeeds");
            assert_eq!(found, [1], "nothing is ready any more");
        }
    }

    #[test]
    fn libevent_names_the_sources_that_are_ready_and_frees_its_handler() {
        let library = match Libevent::load() {
            Ok(library) => library,
            Err(reason) => {
                assert!(!required::is_required(&["libevent"]), "{reason}");
                return eprintln!("skipped: {reason}");
            }
        };
        assert!(library.version().starts_with("2."));
        let pairs = pairs();
        let found = std::rc::Rc::new(RefCell::new(Vec::new()));
        let kept = found.clone();
        let readers = pairs.iter().map(|(reader, _)| reader.as_fd());
        let mut base =
            LibeventBase::open(library, readers, move |index| kept.borrow_mut().push(index)).expect("a base");
        rustix::io::write(&pairs[2].1, b"e").expect("a byte fits");
        base.turn(true).expect("the loop runs");
        assert_eq!(*found.borrow(), [2]);
        base.turn(false).expect("the loop runs");
        assert_eq!(*found.borrow(), [2, 2], "level-triggered");
        drop(base);
        assert_eq!(std::rc::Rc::strong_count(&found), 1);
    }
}
