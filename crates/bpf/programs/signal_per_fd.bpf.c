// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Signal-per-fd: at most one queued signal for each descriptor, enforced where the kernel is about to queue it.
//
// Two programs share one set of maps. User space loads a copy for each interest set:
//
//   learn_owner    (fentry of security_file_set_fowner) reports the kernel's address of the `fown_struct` and of the
//                  task when the thread named in `control` calls fcntl(F_SETOWN_EX). An open file description has
//                  exactly one `fown_struct`, so this address identifies it for the second program. Inode numbers would
//                  not: the two ends of a pipe share one, and each file system assigns them in its own way.
//   filter_signal  (fmod_ret of security_file_send_sigiotask) counts the signals of a watched description. The first
//                  signal since user space set the count to zero is queued. All others are dropped by a non-zero
//                  return value, and with them the SIGIO that would report a full queue.
//
// The watched descriptions are entries of one array that user space maps. User space adds and removes them, and reads
// their counts, without a system call.
//
// The kernel's types are declared here with only the fields that are used; `preserve_access_index` makes the loader
// look up their offsets in the running kernel's BTF. `cargo xtask bpf` compiles this file.

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))

// linux/bpf.h: numbers that are part of the kernel's stable interface.
enum { MAP_TYPE_ARRAY = 2, F_MMAPABLE = 1024 };
enum { EPERM = 1 };

static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*const get_current_task)(void) = (void *)35;

struct pidns_info {
	u32 pid;
	u32 tgid;
};
static long (*const get_ns_current_pid_tgid)(u64 dev, u64 ino, struct pidns_info *info, u32 size) = (void *)120;

// Linux 6.12 moved `fown_struct` out of `struct file`, which has pointed at it since, and let it point back.
struct file;
struct fown_struct {
	int signum;
} CORE;
struct fown_struct___pointed_at {
	struct file *file;
} CORE;
struct file___embedding {
	struct fown_struct f_owner;
} CORE;
struct file___pointing {
	struct fown_struct *f_owner;
} CORE;
enum { FIELD_BYTE_OFFSET = 0, FIELD_EXISTS = 2 };

// Input from user space and the answers of `learn_owner`. User space maps this memory.
struct {
	u64 pidns_dev; // input: the pid namespace of `tid`
	u64 pidns_ino;
	u64 tid;    // input: the thread whose F_SETOWN_EX is observed, 0 for none
	u64 signal; // input: the signal number that is filtered; all others pass
	u64 shift;  // input: 32 minus the number of bits of a slot number in `watched`
	u64 fown;   // answer: address of the `fown_struct`
	u64 task;   // answer: address of the thread's `task_struct`
} control;

// A hash table with linear probing. Only the counts are written here, everything else by user space. A description is
// at most PROBES - 1 slots behind its first slot, and the array has PROBES extra slots at its end, so no search wraps.
enum { PROBES = 32, HASH = 0x9e3779b1 };

struct watched {
	u64 fown;  // 0: free, a search ends here; 1: removed; otherwise the watched description
	u64 task;  // the thread that receives its signals; signals for any other thread pass
	u64 count; // signals since user space set this to zero
};

#define MAP_UINT(name, value) int(*name)[value]
struct {
	MAP_UINT(type, MAP_TYPE_ARRAY);
	MAP_UINT(map_flags, F_MMAPABLE);
	MAP_UINT(max_entries, 1); // the loader sizes it
	u32 *key;
	struct watched *value;
} watched SEC(".maps");

SEC("fentry/security_file_set_fowner")
int learn_owner(u64 *ctx)
{
	struct pidns_info info = {};
	void *file = (void *)ctx[0];

	if (control.tid == 0 ||
	    get_ns_current_pid_tgid(control.pidns_dev, control.pidns_ino, &info, sizeof(info)) != 0 ||
	    info.pid != control.tid)
		return 0;

	if (__builtin_preserve_field_info(((struct fown_struct___pointed_at *)0)->file, FIELD_EXISTS))
		control.fown = (u64)((struct file___pointing *)file)->f_owner;
	else
		control.fown = (u64)&((struct file___embedding *)file)->f_owner;
	control.task = get_current_task();
	return 0;
}

// The section name is one that the loader's parser knows; the loader attaches the program as fmod_ret.
SEC("fentry/security_file_send_sigiotask")
int filter_signal(u64 *ctx)
{
	u64 task = ctx[0];
	u64 fown = ctx[1];
	u32 slot;

	if ((u32)ctx[2] != control.signal)
		return 0;
	// The low half of an address is enough to distinguish the objects of a kernel.
	slot = ((u32)fown * (u32)HASH) >> control.shift;
	for (u32 probe = 0; probe < PROBES; probe++) {
		u32 at = slot + probe;
		struct watched *entry = map_lookup_elem(&watched, &at);

		if (!entry || entry->fown == 0)
			return 0;
		if (entry->fown != fown)
			continue;
		if (entry->task != task)
			return 0;
		return __sync_fetch_and_add(&entry->count, 1) ? -EPERM : 0;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
