//! The system's libevent, loaded at run time.

use std::{
    ffi::{CStr, c_char, c_int, c_short, c_void},
    io,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
};

type Callback = extern "C" fn(c_int, c_short, *mut c_void);

/// The system's libevent 2.1: the functions that an event loop needs.
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
    /// Loads the library. It stays loaded until the process ends.
    ///
    /// # Errors
    /// One line with the library and the package to install, or the function that the library lacks.
    pub fn load() -> Result<Self, String> {
        // SAFETY: loading a shared library runs its initialisers, and libevent has none.
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

    /// The version of the library, for example `2.1.12-stable`.
    #[must_use]
    pub fn version(self) -> String {
        // SAFETY: the function returns a static string.
        unsafe { CStr::from_ptr((self.version)()) }
            .to_string_lossy()
            .into_owned()
    }
}

/// A libevent base on epoll, with level-triggered persistent events, as libevent's own benchmark uses them.
pub struct LibeventBase<'fd, F: FnMut(usize)> {
    library: Libevent,
    base: *mut c_void,
    events: Vec<*mut c_void>,
    /// Callbacks get a pointer to one of these. Filled before the first event is created and never changed.
    contexts: Vec<Context<F>>,
    /// Leaked from a box in `open`, freed in `drop`.
    handle: NonNull<F>,
    watched: PhantomData<BorrowedFd<'fd>>,
}

/// The argument of a callback.
struct Context<F> {
    handle: NonNull<F>,
    index: usize,
}

extern "C" fn callback<F: FnMut(usize)>(_fd: c_int, _what: c_short, context: *mut c_void) {
    // SAFETY: libevent passes the pointer that event_new received: a context that lives as long as its event.
    let context = unsafe { &*context.cast::<Context<F>>() };
    // SAFETY: callbacks run one at a time and only inside `turn`, which borrows the base exclusively; `handle` is freed
    // after the events.
    let handle = unsafe { &mut *context.handle.as_ptr() };
    handle(context.index);
}

impl<'fd, F: FnMut(usize)> LibeventBase<'fd, F> {
    /// Opens a base with these sources. [`turn`](Self::turn) calls `handle` with the position of each ready source; a panic
    /// in `handle` aborts the process.
    ///
    /// # Errors
    /// The libevent function that failed, or the method that libevent was configured to use instead of epoll.
    pub fn open(library: Libevent, watched: impl IntoIterator<Item = BorrowedFd<'fd>>, handle: F) -> io::Result<Self> {
        const EV_READ: c_short = 0x02;
        const EV_PERSIST: c_short = 0x10;
        // SAFETY: the function has no arguments.
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
            // SAFETY: the base is live; the context does not move until its event is freed, and is only read.
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

    /// Runs the loop once and handles every ready source. With `block` false it does not wait.
    ///
    /// # Errors
    /// `event_base_loop` failed.
    pub fn turn(&mut self, block: bool) -> io::Result<()> {
        const EVLOOP_ONCE: c_int = 0x01;
        const EVLOOP_NONBLOCK: c_int = 0x02;
        let flags = if block {
            EVLOOP_ONCE
        } else {
            EVLOOP_ONCE | EVLOOP_NONBLOCK
        };
        // SAFETY: the base, the contexts of its events and their handler are live, and `&mut self` excludes other users.
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
            // SAFETY: each event is live and freed once; event_free removes it from the base.
            unsafe { (self.library.event_free)(event) };
        }
        // SAFETY: the base is live and has no event left.
        unsafe { (self.library.base_free)(self.base) };
        // SAFETY: `open` leaked it, and no callback can run now that the base is freed.
        drop(unsafe { Box::from_raw(self.handle.as_ptr()) });
    }
}
