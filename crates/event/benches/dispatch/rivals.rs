//! Other event libraries: `mio`, `polling`, and the system's libevent, which is loaded if it is there.
//!
//! The only file outside `c10k-sys` with `unsafe` code: it compares, nothing links it.
#![allow(
    unsafe_code,
    reason = "polling's and libevent's interfaces are unsafe; this file only measures them"
)]

use crate::{
    contestants::{BATCH, Contestant, timeout},
    workload::{Ring, Waiting},
};
use std::{
    ffi::{CStr, c_char, c_int, c_short, c_void},
    os::fd::{AsRawFd, BorrowedFd},
};

/// `mio`, which is edge-triggered.
pub(crate) struct Mio {
    poll: mio::Poll,
    events: mio::Events,
}

impl Mio {
    pub(crate) fn open(ring: &Ring) -> Self {
        let poll = mio::Poll::new().expect("a mio::Poll");
        for reader in ring.readers() {
            let number = reader.fd.as_raw_fd();
            poll.registry()
                .register(
                    &mut mio::unix::SourceFd(&number),
                    mio::Token(reader.index),
                    mio::Interest::READABLE,
                )
                .expect("registering");
        }
        Self {
            poll,
            events: mio::Events::with_capacity(BATCH),
        }
    }
}

impl Contestant for Mio {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        self.poll
            .poll(&mut self.events, timeout(waiting))
            .expect("the wait succeeds");
        for event in &self.events {
            let index = event.token().0;
            ring.handle(ring.reader(index), index);
        }
    }
}

/// `polling` in its edge mode.
pub(crate) struct Polling<'a> {
    ring: &'a Ring,
    poller: polling::Poller,
    events: polling::Events,
}

impl<'a> Polling<'a> {
    pub(crate) fn open(ring: &'a Ring) -> Self {
        let poller = polling::Poller::new().expect("a Poller");
        for reader in ring.readers() {
            let event = polling::Event::readable(reader.index);
            // SAFETY: the ring outlives the poller, and `drop` deletes the source before that ends.
            unsafe { poller.add_with_mode(&reader.fd, event, polling::PollMode::Edge) }.expect("adding");
        }
        let room = std::num::NonZeroUsize::new(BATCH).expect("not zero");
        Self {
            ring,
            poller,
            events: polling::Events::with_capacity(room),
        }
    }
}

impl Contestant for Polling<'_> {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        self.events.clear();
        self.poller
            .wait(&mut self.events, timeout(waiting))
            .expect("the wait succeeds");
        for event in self.events.iter() {
            ring.handle(ring.reader(event.key), event.key);
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        for reader in self.ring.readers() {
            self.poller.delete(reader.fd).expect("deleting");
        }
    }
}

type Callback = extern "C" fn(c_int, c_short, *mut c_void);

/// The functions of libevent 2 that the workload needs.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    base_new: unsafe extern "C" fn() -> *mut c_void,
    base_free: unsafe extern "C" fn(*mut c_void),
    base_loop: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    event_new: unsafe extern "C" fn(*mut c_void, c_int, c_short, Callback, *mut c_void) -> *mut c_void,
    event_add: unsafe extern "C" fn(*mut c_void, *const libc::timeval) -> c_int,
    event_free: unsafe extern "C" fn(*mut c_void),
    version: unsafe extern "C" fn() -> *const c_char,
}

impl Functions {
    /// Loads the system's libevent; says why not.
    pub(crate) fn load() -> Result<Self, String> {
        // SAFETY: loading a shared library of the system runs its initialisers, which libevent has none of.
        let library = unsafe { libc::dlopen(c"libevent_core-2.1.so.7".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return Err("libevent_core-2.1.so.7 is not installed (package libevent-core-2.1-7)".to_owned());
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
            })
        }
    }

    /// libevent's version.
    pub(crate) fn version(self) -> String {
        // SAFETY: the function returns a static string.
        unsafe { CStr::from_ptr((self.version)()) }
            .to_string_lossy()
            .into_owned()
    }
}

/// libevent with its best method here, epoll, level-triggered and persistent: as its own benchmark uses it.
pub(crate) struct Libevent<'a> {
    functions: Functions,
    base: *mut c_void,
    events: Vec<*mut c_void>,
    // The callbacks point into it: it is filled before the first event is made, and never grows.
    _contexts: Vec<Context<'a>>,
}

/// What a callback is given.
struct Context<'a> {
    ring: &'a Ring,
    index: usize,
}

extern "C" fn callback(fd: c_int, _what: c_short, context: *mut c_void) {
    // SAFETY: libevent hands back the pointer that event_new was given: a Context that lives as long as its event.
    let context = unsafe { &*context.cast::<Context<'_>>() };
    // SAFETY: the number is that of the ring's reader, which is open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    context.ring.handle(fd, context.index);
}

impl<'a> Libevent<'a> {
    pub(crate) fn open(functions: Functions, ring: &'a Ring) -> Self {
        const EV_READ: c_short = 0x02;
        const EV_PERSIST: c_short = 0x10;
        // SAFETY: takes nothing.
        let base = unsafe { (functions.base_new)() };
        assert!(!base.is_null(), "event_base_new");
        let contexts: Vec<_> = ring
            .readers()
            .map(|reader| Context {
                ring,
                index: reader.index,
            })
            .collect();
        let mut events = Vec::with_capacity(contexts.len());
        for (reader, context) in ring.readers().zip(&contexts) {
            let pointer = std::ptr::from_ref(context).cast_mut().cast();
            // SAFETY: the base is live; the context stays where it is until its event is freed, and is only read.
            let event =
                unsafe { (functions.event_new)(base, reader.fd.as_raw_fd(), EV_READ | EV_PERSIST, callback, pointer) };
            assert!(!event.is_null(), "event_new");
            // SAFETY: the event is live; no timeout.
            let added = unsafe { (functions.event_add)(event, std::ptr::null()) };
            assert_eq!(added, 0, "event_add");
            events.push(event);
        }
        Self {
            functions,
            base,
            events,
            _contexts: contexts,
        }
    }
}

impl Contestant for Libevent<'_> {
    fn turn(&mut self, _ring: &Ring, waiting: Waiting) {
        const EVLOOP_ONCE: c_int = 0x01;
        const EVLOOP_NONBLOCK: c_int = 0x02;
        let flags = match waiting {
            Waiting::Blocking => EVLOOP_ONCE,
            Waiting::Polling => EVLOOP_ONCE | EVLOOP_NONBLOCK,
        };
        // SAFETY: the base is live, its events' contexts too.
        let outcome = unsafe { (self.functions.base_loop)(self.base, flags) };
        assert!(outcome >= 0, "event_base_loop");
    }
}

impl Drop for Libevent<'_> {
    fn drop(&mut self) {
        for &event in &self.events {
            // SAFETY: each event is live and freed once; event_free removes it from the base first.
            unsafe { (self.functions.event_free)(event) };
        }
        // SAFETY: the base is live and has no event left.
        unsafe { (self.functions.base_free)(self.base) };
    }
}
