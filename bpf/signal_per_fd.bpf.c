// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Signal-per-fd: at most one queued signal for each descriptor, enforced where the kernel is about to queue it.
//
// Two programs share one set of maps; user space loads a copy for each interest set:
//
//   learn_owner  (fentry of security_file_set_fowner) tells user space the kernel's address of the `fown_struct` and
//                of the task when the thread named in `control` calls fcntl(F_SETOWN_EX). An open file description has
//                exactly one `fown_struct`, so that address is the identity that the second program needs: no inode
//                numbers, which the two ends of a pipe share and which file systems assign each in their own way.
//   gate_signal  (fmod_ret of security_file_send_sigiotask) counts the signals of a watched description. The first since
//                user space set the count to zero is queued; a non-zero answer drops all others, and the SIGIO that
//                would report a full queue with them.
//
// What is watched stands in one array that user space maps: it enters and removes descriptions without a system call,
// and finds their counts in it.
//
// The kernel's types are declared here, with just the fields that are used: `preserve_access_index` makes the loader
// find the offsets in the running kernel's BTF. `cargo xtask bpf` compiles this file.

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

// What user space sets, and what `learn_owner` answers. Shared memory: user space maps it.
struct {
	u64 pidns_dev; // set: the pid namespace that `tid` belongs to
	u64 pidns_ino;
	u64 tid;    // set: the thread whose F_SETOWN_EX is observed, 0 for none
	u64 signal; // set: the registered signal number; all others pass
	u64 shift;  // set: 32 less the number of bits that a place in `watched` has
	u64 fown;   // answer: address of the `fown_struct`
	u64 task;   // answer: address of the thread's `task_struct`
} control;

// A hash table with linear probing, written by user space alone but for the counts. A description stands at most
// PROBES - 1 places behind its own, and the array has as many places more, so that no search wraps.
enum { PROBES = 32, HASH = 0x9e3779b1 };

struct watched {
	u64 fown;  // 0: free, and the end of a search; 1: removed; else the description that is watched
	u64 task;  // the thread that its signals are for; those for another one are not ours
	u64 count; // its signals since user space took one
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

// The section is named as the parser in the loader knows it; the loader attaches the program as fmod_ret.
SEC("fentry/security_file_send_sigiotask")
int gate_signal(u64 *ctx)
{
	u64 task = ctx[0];
	u64 fown = ctx[1];
	u32 place;

	if ((u32)ctx[2] != control.signal)
		return 0;
	// The low half of an address tells the objects of a kernel apart well enough.
	place = ((u32)fown * (u32)HASH) >> control.shift;
	for (u32 probe = 0; probe < PROBES; probe++) {
		u32 at = place + probe;
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
