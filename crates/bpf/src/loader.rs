//! Loading tracing programs with `bpf(2)`.
//!
//! An object is prepared once (parsed, its field offsets resolved against `/sys/kernel/btf/vmlinux`) and attached any
//! number of times; each attachment has its own maps. Dropping an attachment detaches its programs and frees its maps.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use aya_obj::btf::{Btf, BtfKind};
use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_type};
use aya_obj::{EbpfSectionKind, Object};
use rustix::mm::{MapFlags, ProtFlags};

/// Where the kernel describes its own types.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// `BPF_F_MMAPABLE` of linux/bpf.h.
const MMAPABLE: u32 = 1024;

/// `ENOTSUPP` of linux/errno.h: the kernel lacks the operation. The C library does not define it.
const ENOTSUPP: i32 = 524;

/// Size of the buffer for the verifier's log, in bytes. The kernel truncates a longer log.
const LOG_BYTES: usize = 64 * 1024;

/// How a program attaches to a function of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// `BPF_TRACE_FENTRY`: runs before the function.
    Entry,
    /// `BPF_MODIFY_RETURN`: runs before the function; a return value other than zero replaces the function's.
    ModifyReturn,
}

/// A program of an object and the kernel function that it attaches to.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Name of the kernel's function.
    pub function: &'static str,
    /// How the program attaches.
    pub attach: Attach,
}

/// Why a program cannot be loaded or attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BpfError {
    /// The kernel does not describe its types.
    #[error(
        "{KERNEL_BTF} cannot be read ({0}): this needs a kernel built with CONFIG_DEBUG_INFO_BTF, and /sys mounted"
    )]
    NoKernelTypes(io::Error),
    /// The kernel's description of its types is not understood.
    #[error("{KERNEL_BTF} is not understood: {0}")]
    KernelTypes(String),
    /// The kernel has no such function, or none that can be traced.
    #[error("the kernel has no function {0} to attach to (CONFIG_SECURITY is off?)")]
    NoFunction(&'static str),
    /// The compiled object is damaged, or does not fit the kernel's types.
    #[error("the compiled BPF object does not fit this kernel: {0}")]
    Object(String),
    /// `bpf(2)` refused.
    #[error("{command} of {name} is refused: {error}{}{}", remedy(.error), verifier_note(.verifier))]
    Refused {
        /// The call, with its command.
        command: &'static str,
        /// The program or the map.
        name: String,
        /// The error of the call.
        error: io::Error,
        /// The last line of the verifier's log, if the verifier refused the program.
        verifier: Option<String>,
    },
    /// `mmap(2)` of a map failed.
    #[error("mmap of the BPF map {name}: {error}")]
    Map {
        /// The map.
        name: String,
        /// The error of the call.
        error: io::Error,
    },
}

impl BpfError {
    /// The call that failed, or what was asked of the kernel.
    #[must_use]
    pub fn call(&self) -> &'static str {
        match self {
            Self::NoKernelTypes(_) => "reading the kernel's types",
            Self::Refused { command, .. } => command,
            Self::Map { .. } => "mmap",
            Self::KernelTypes(_) | Self::NoFunction(_) | Self::Object(_) => "bpf",
        }
    }

    /// The error of that call, if the kernel returned one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::NoKernelTypes(error) | Self::Refused { error, .. } | Self::Map { error, .. } => Some(error),
            Self::KernelTypes(_) | Self::NoFunction(_) | Self::Object(_) => None,
        }
    }

    /// The text of the error without the call and its error.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoKernelTypes(_) => format!(
                "{KERNEL_BTF} cannot be read: this needs a kernel built with CONFIG_DEBUG_INFO_BTF, and /sys mounted"
            ),
            Self::Refused {
                name, error, verifier, ..
            } => format!("{name} is not accepted{}{}", remedy(error), verifier_note(verifier)),
            Self::Map { name, .. } => format!("the BPF map {name} cannot be shared"),
            error => error.to_string(),
        }
    }
}

/// The usual remedy for an error of `bpf(2)`.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) if capable() => {
            " although this process holds CAP_BPF and CAP_PERFMON: this kernel refuses all tracing programs \
             (lockdown, or a setting of the distribution); `c10k vm` runs them in a guest"
        }
        Some(libc::EPERM) => " (CAP_BPF and CAP_PERFMON, or root, are needed)",
        Some(libc::ENOSYS) => " (a kernel built with CONFIG_BPF_SYSCALL is needed, and no seccomp filter on bpf)",
        Some(libc::EINVAL) => " (a kernel built with CONFIG_BPF_EVENTS is needed, 5.12 or later)",
        Some(ENOTSUPP) => " (a kernel built with CONFIG_BPF_JIT and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS is needed)",
        Some(libc::E2BIG) => " (the kernel attaches at most 38 programs to one function: close other interest sets)",
        _ => "",
    }
}

/// Whether this process has the capabilities that tracing programs need: `CAP_BPF` and `CAP_PERFMON`, or `CAP_SYS_ADMIN`,
/// which implies both (capabilities(7)).
fn capable() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const BPF_AND_PERFMON: u64 = 1 << 39 | 1 << 38;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or_default();
    held & SYS_ADMIN != 0 || held & BPF_AND_PERFMON == BPF_AND_PERFMON
}

fn verifier_note(verifier: &Option<String>) -> String {
    verifier
        .as_ref()
        .map_or_else(String::new, |line| format!("; the verifier: {line}"))
}

/// An object whose field offsets are those of the running kernel.
pub struct Prepared {
    object: Object,
    hooks: Vec<(Hook, u32)>,
}

impl Prepared {
    /// Parses `object` and resolves its field offsets, and the functions of `hooks`, in the kernel's BTF.
    ///
    /// # Errors
    /// [`BpfError`]: what can be refused before `bpf(2)` is called.
    pub fn new(object: &[u8], hooks: &[Hook]) -> Result<Self, BpfError> {
        let types = fs::read(KERNEL_BTF).map_err(BpfError::NoKernelTypes)?;
        let damaged = |error: &dyn std::fmt::Display| BpfError::Object(error.to_string());
        let mut object = Object::parse(object).map_err(|error| damaged(&error))?;
        let types = Btf::parse(&types, object.endianness).map_err(|error| BpfError::KernelTypes(error.to_string()))?;
        object.relocate_btf(&types).map_err(|error| damaged(&error))?;
        let hooks = hooks
            .iter()
            .map(|hook| {
                let id = types
                    .id_by_type_name_kind(hook.function, BtfKind::Func)
                    .map_err(|_| BpfError::NoFunction(hook.function))?;
                Ok((*hook, id))
            })
            .collect::<Result<_, BpfError>>()?;
        Ok(Self { object, hooks })
    }

    /// Creates the maps, with `entries` elements in each map of the `.maps` section, loads the programs and attaches
    /// them.
    ///
    /// # Errors
    /// [`BpfError::Refused`] with the call that the kernel refused.
    pub fn attach(&self, entries: u32) -> Result<Attached, BpfError> {
        let mut object = self.object.clone();
        let mut maps = BTreeMap::new();
        for (name, map) in &mut object.maps {
            if map.section_kind() == EbpfSectionKind::BtfMaps {
                map.set_max_entries(entries);
            }
            maps.insert(name.clone(), Map::create(name, map)?);
        }
        let sections = HashSet::new();
        let sources = object.maps.clone();
        object
            .relocate_maps(
                sources
                    .iter()
                    .map(|(name, map)| (name.as_str(), maps[name].fd.as_raw_fd(), map)),
                &sections,
            )
            .map_err(|error| BpfError::Object(error.to_string()))?;
        let links = self
            .hooks
            .iter()
            .map(|(hook, function)| attach(&object, *hook, *function))
            .collect::<Result<_, _>>()?;
        Ok(Attached { maps, _links: links })
    }
}

/// Attached programs and their maps. Dropping this detaches the programs.
pub struct Attached {
    maps: BTreeMap<String, Map>,
    // A link keeps its program loaded, and a program keeps its maps.
    _links: Vec<OwnedFd>,
}

impl Attached {
    /// The map with this name.
    ///
    /// # Errors
    /// [`BpfError::Object`] if the object has no such map.
    pub fn map(&self, name: &str) -> Result<&Map, BpfError> {
        self.maps
            .get(name)
            .ok_or_else(|| BpfError::Object(format!("it has no map {name}")))
    }
}

/// A map of a loaded object.
pub struct Map {
    name: String,
    fd: OwnedFd,
    bytes: usize,
}

impl Map {
    fn create(name: &str, map: &aya_obj::Map) -> Result<Self, BpfError> {
        // The globals of an object are an array with one element, shared with user space like the other arrays.
        let globals = map.section_kind() != EbpfSectionKind::BtfMaps;
        let attr = CreateMap {
            kind: if globals {
                bpf_map_type::BPF_MAP_TYPE_ARRAY as u32
            } else {
                map.map_type()
            },
            key_bytes: map.key_size(),
            value_bytes: map.value_size(),
            entries: map.max_entries(),
            flags: if globals { MMAPABLE } else { map.map_flags() },
            ..CreateMap::default()
        };
        // SAFETY: `CreateMap` is the layout of this command and holds no pointer.
        let fd = unsafe { bpf_fd(bpf_cmd::BPF_MAP_CREATE, &attr) }
            .map_err(|error| refused("bpf(BPF_MAP_CREATE)", name, error))?;
        Ok(Self {
            name: name.to_owned(),
            fd,
            // Array elements are laid out at multiples of 8 bytes.
            bytes: (attr.value_bytes as usize).next_multiple_of(8) * attr.entries as usize,
        })
    }

    /// Maps the elements of an array into memory, to read and write them without a system call.
    ///
    /// # Errors
    /// [`BpfError::Map`].
    pub fn share(&self) -> Result<SharedWords, BpfError> {
        // SAFETY: the kernel chooses the address of the new mapping, so no memory in use is touched.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                self.bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                self.fd.as_fd(),
                0,
            )
        };
        let address = address.map_err(|error| BpfError::Map {
            name: self.name.clone(),
            error: error.into(),
        })?;
        let words = NonNull::new(address.cast()).ok_or_else(|| BpfError::Map {
            name: self.name.clone(),
            error: io::ErrorKind::AddrNotAvailable.into(),
        })?;
        Ok(SharedWords {
            words,
            count: self.bytes / size_of::<AtomicU64>(),
        })
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The elements of an array map, shared with the kernel.
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: usize,
}

impl std::ops::Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `words` is a mapping of at least `count` words that `self` owns until it is dropped. The kernel changes
        // it in whole aligned words only, as atomics allow.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `share` with this length, and no slice of it outlives `self`.
        // If it fails, the mapping stays, which does no harm.
        let _ = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

// SAFETY: all access, from any thread, is through atomics.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

fn attach(object: &Object, hook: Hook, function: u32) -> Result<OwnedFd, BpfError> {
    let instructions = object
        .programs
        .get(hook.program)
        .and_then(|program| object.functions.get(&program.function_key()))
        .map(|function| function.instructions.as_slice())
        .ok_or_else(|| BpfError::Object(format!("it has no program {}", hook.program)))?;
    let program = load(object, hook, function, instructions)?;
    let attr = RawTracepoint {
        program: program.as_raw_fd() as u32,
        ..RawTracepoint::default()
    };
    // SAFETY: `RawTracepoint` is the layout of this command; without a name it attaches a tracing program to the function
    // that it was loaded for.
    unsafe { bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &attr) }
        .map_err(|error| refused("bpf(BPF_RAW_TRACEPOINT_OPEN)", hook.program, error))
}

fn load(object: &Object, hook: Hook, function: u32, instructions: &[bpf_insn]) -> Result<OwnedFd, BpfError> {
    let mut attr = LoadProgram {
        kind: bpf_prog_type::BPF_PROG_TYPE_TRACING as u32,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: object.license.as_ptr() as u64,
        attach: match hook.attach {
            Attach::Entry => bpf_attach_type::BPF_TRACE_FENTRY as u32,
            Attach::ModifyReturn => bpf_attach_type::BPF_MODIFY_RETURN as u32,
        },
        function,
        ..LoadProgram::default()
    };
    // SAFETY: `LoadProgram` is the layout of this command; instructions and licence outlive the call, and the count is
    // the number of instructions.
    let error = match unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &attr) } {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    // Load again for the reason: the log is costly and needed only after a failure.
    let mut log = vec![0u8; LOG_BYTES];
    attr.log_level = 1;
    attr.log_bytes = LOG_BYTES as u32;
    attr.log = log.as_mut_ptr() as u64;
    // SAFETY: as above; the log has the given length, and nothing else refers to it during the call.
    let second = unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &attr) };
    if let Ok(program) = second {
        return Ok(program);
    }
    Err(BpfError::Refused {
        command: "bpf(BPF_PROG_LOAD)",
        name: hook.program.to_owned(),
        error,
        verifier: last_line(&log),
    })
}

/// The last line of the verifier's log that is not its statistics.
fn last_line(log: &[u8]) -> Option<String> {
    let text = log.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(text);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("processed "))
        .map(str::to_owned)
}

fn refused(command: &'static str, name: &str, error: io::Error) -> BpfError {
    BpfError::Refused {
        command,
        name: name.to_owned(),
        error,
        verifier: None,
    }
}

/// `union bpf_attr` for `BPF_MAP_CREATE`, the fields in use; the kernel assumes zero for the rest.
#[repr(C)]
#[derive(Default)]
struct CreateMap {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
    inner: u32,
}

/// For `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct LoadProgram {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach: u32,
    types: u32,
    function_info_bytes: u32,
    function_info: u64,
    function_info_count: u32,
    line_info_bytes: u32,
    line_info: u64,
    line_info_count: u32,
    function: u32,
}

/// For `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Default)]
struct RawTracepoint {
    name: u64,
    program: u32,
    padding: u32,
}

/// `bpf(2)`.
///
/// # Safety
/// `attr` has the layout of `command`, and every pointer in it refers to as much live memory as the command uses.
unsafe fn bpf<A>(command: bpf_cmd, attr: &A) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of::<A>()` bytes of `attr`; the rest is the caller's promise.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_ref(attr),
            size_of::<A>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer as i32)
}

/// `bpf(2)` for commands that return a descriptor.
///
/// # Safety
/// As for [`bpf`], and `command` is one that returns a descriptor.
unsafe fn bpf_fd<A>(command: bpf_cmd, attr: &A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the kernel has just made this descriptor for the caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_verifier_is_quoted() {
        let log = b"0: R1=ctx\n1: exit\ncannot call GPL-restricted function\nprocessed 4 insns\n\0\0\0";
        assert_eq!(last_line(log).as_deref(), Some("cannot call GPL-restricted function"));
        assert_eq!(last_line(b"\0"), None);
    }

    #[test]
    fn each_refusal_names_its_remedy() {
        for (errno, words) in [
            (libc::EPERM, "CAP_PERFMON"),
            (libc::ENOSYS, "CONFIG_BPF_SYSCALL"),
            (libc::EINVAL, "CONFIG_BPF_EVENTS"),
            (libc::E2BIG, "38 programs"),
        ] {
            let text = refused(
                "bpf(BPF_PROG_LOAD)",
                "filter_signal",
                io::Error::from_raw_os_error(errno),
            )
            .to_string();
            assert!(text.contains(words) && !text.contains('\n'), "{text}");
        }
    }
}
