// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * /dev/poll: an interest set in the kernel. Programs write descriptors to it; a wait scans the whole set.
 *
 * Each cached file has a hint: its wait queues set it when something happens. A scan visits every entry, but asks a file for
 * its state only if the hint is set or if the file was ready when it was last asked. So an idle descriptor costs one visit in
 * each scan, and not one call of its file's poll operation.
 *
 * Written for c10k from the descriptions of the interface (Provos and Lever, "Scalable Network I/O in Linux", USENIX 2000;
 * poll(4D) of illumos). For experiments in a guest; it is not for production.
 */

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "dev_poll.h"

/* Conditions that are reported whether they were asked for or not. */
#define DP_ALWAYS	(POLLERR | POLLHUP)

/* A set: what one open file of the device is. */
struct dp_set {
	struct mutex lock;		/* the members up to the empty line; user memory is touched while it is held */
	struct xarray by_number;	/* the entry of each descriptor */
	struct list_head order;		/* all entries; a scan begins after this head */
	struct dp_counts counts;	/* without polls and hints */
	u64 writes;
	bool ignores_hints;

	struct pid *owner;		/* the process that used the set first */
	wait_queue_head_t sleepers;
	atomic64_t polls;
	atomic64_t changes;		/* hints and writes: a wait sleeps only while this stays as it was before its scan */

	struct mutex mapping;		/* taken while the memory map of the process is locked, so never around `lock` */
	struct pollfd *area;		/* the mapped results; set once, after the next member */
	size_t area_entries;
};

/* A cached descriptor. */
struct dp_entry {
	struct list_head order;
	struct dp_set *set;
	struct file *file;		/* null: the descriptor was not open when it was written */
	struct dp_hook *hooks;
	int fd;
	u16 events;
	u16 last;			/* the last answer of the file */
	bool has_hint;
	bool needs_asking;		/* a wait queue of the file cannot set the hint */
};

/* A place in a wait queue of a file. Most files have one queue, some have two. */
struct dp_hook {
	wait_queue_entry_t wait;
	wait_queue_head_t *queue;	/* null: the queue is gone */
	struct dp_entry *entry;
	struct dp_hook *next;
};

static const struct file_operations dp_operations;
static struct kmem_cache *dp_entries;
static struct kmem_cache *dp_hooks;

/* Wakes the waits that have not seen a hint or an entry that was just set. */
static void dp_changed(struct dp_set *set)
{
	/* Both calls are full barriers: the hint is set before the count, and the count before the look for sleepers. */
	atomic64_fetch_inc(&set->changes);
	if (wq_has_sleeper(&set->sleepers))
		wake_up(&set->sleepers);
}

/* --- Hints --- */

/* Called by a file's wait queue, which is locked: something happened to the file. */
static int dp_hint(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct dp_hook *hook = container_of(wait, struct dp_hook, wait);
	struct dp_entry *entry = hook->entry;
	struct dp_set *set = entry->set;
	__poll_t what = key_to_poll(key);

	if (what & POLLFREE) {
		/* The queue is freed before its file is (signalfd). Nothing of the hook may be used after the last store. */
		WRITE_ONCE(entry->needs_asking, true);
		list_del_init(&wait->entry);
		smp_store_release(&hook->queue, NULL);
		return 1;
	}
	/* A key of 0 does not say what happened. */
	if (what && !((__force u32)what & (READ_ONCE(entry->events) | DP_ALWAYS)))
		return 0;
	if (READ_ONCE(entry->has_hint))
		return 1;
	WRITE_ONCE(entry->has_hint, true);
	dp_changed(set);
	return 1;
}

struct dp_table {
	poll_table table;
	struct dp_entry *entry;
};

/* Called by a file's poll operation for each of its wait queues. */
static void dp_hook_queue(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	struct dp_entry *entry = container_of(table, struct dp_table, table)->entry;
	struct dp_hook *hook = kmem_cache_alloc(dp_hooks, GFP_KERNEL_ACCOUNT);

	if (!hook) {
		entry->needs_asking = true;
		return;
	}
	init_waitqueue_func_entry(&hook->wait, dp_hint);
	hook->queue = queue;
	hook->entry = entry;
	hook->next = entry->hooks;
	entry->hooks = hook;
	add_wait_queue(queue, &hook->wait);
}

static void dp_unhook(struct dp_entry *entry)
{
	while (entry->hooks) {
		struct dp_hook *hook = entry->hooks;
		wait_queue_head_t *queue;

		entry->hooks = hook->next;
		/* A queue that is freed before its file stays until the grace period has ended. */
		rcu_read_lock();
		queue = smp_load_acquire(&hook->queue);
		if (queue)
			remove_wait_queue(queue, &hook->wait);
		rcu_read_unlock();
		kmem_cache_free(dp_hooks, hook);
	}
}

/* --- The set --- */

static void dp_remove(struct dp_set *set, struct dp_entry *entry)
{
	xa_erase(&set->by_number, entry->fd);
	list_del(&entry->order);
	dp_unhook(entry);
	if (entry->file)
		fput(entry->file);
	kmem_cache_free(dp_entries, entry);
}

static int dp_add(struct dp_set *set, int fd, u16 events)
{
	struct dp_entry *entry = kmem_cache_zalloc(dp_entries, GFP_KERNEL_ACCOUNT);
	struct dp_table hooking = { .entry = entry };
	int error;

	if (!entry)
		return -ENOMEM;
	entry->set = set;
	entry->fd = fd;
	entry->events = events;
	entry->has_hint = true;
	entry->file = fget(fd);
	error = -EINVAL; /* a set in a set */
	if (entry->file && entry->file->f_op == &dp_operations)
		goto failed;
	error = xa_err(xa_store(&set->by_number, fd, entry, GFP_KERNEL_ACCOUNT));
	if (error)
		goto failed;
	list_add_tail(&entry->order, &set->order);
	if (entry->file) {
		/* The hooks stay while the interest changes, so they ask for everything. */
		init_poll_funcptr(&hooking.table, dp_hook_queue);
		hooking.table._key = ~(__poll_t)0;
		vfs_poll(entry->file, &hooking.table);
	}
	return 0;

failed:
	if (entry->file)
		fput(entry->file);
	kmem_cache_free(dp_entries, entry);
	return error;
}

static int dp_take(struct dp_set *set, const struct pollfd *written)
{
	u16 events = written->events & ~POLLREMOVE;
	struct dp_entry *entry;

	if (written->fd < 0)
		return 0;
	entry = xa_load(&set->by_number, written->fd);
	if (written->events == POLLREMOVE) {
		if (entry)
			dp_remove(set, entry);
		return 0;
	}
	if (!entry)
		return dp_add(set, written->fd, events);
	WRITE_ONCE(entry->events, entry->events | events);
	WRITE_ONCE(entry->has_hint, true);
	return 0;
}

/* Makes the process the owner of a set that has none. */
static int dp_claim(struct dp_set *set)
{
	struct pid *own = task_tgid(current);
	struct pid *owner = READ_ONCE(set->owner);

	if (!owner) {
		owner = cmpxchg(&set->owner, NULL, get_pid(own));
		if (!owner)
			return 0;
		put_pid(own);
	}
	return owner == own ? 0 : -EACCES;
}

static ssize_t dp_write(struct file *file, const char __user *from, size_t bytes, loff_t *offset)
{
	struct dp_set *set = file->private_data;
	ssize_t error = dp_claim(set);
	size_t done = 0;

	if (error)
		return error;
	if (bytes % sizeof(struct pollfd))
		return -EINVAL;
	mutex_lock(&set->lock);
	while (done < bytes) {
		struct pollfd written;

		error = copy_from_user(&written, from + done, sizeof(written)) ? -EFAULT : dp_take(set, &written);
		if (error)
			break;
		done += sizeof(written);
	}
	set->writes++;
	mutex_unlock(&set->lock);
	/* Another thread may wait for what was just added. */
	dp_changed(set);
	return done ? done : error;
}

/* --- Waiting --- */

/* Where results go. */
struct dp_results {
	struct pollfd __user *fds;	/* null: to the mapped area */
	int room;
};

static bool dp_must_ask(const struct dp_set *set, const struct dp_entry *entry)
{
	return READ_ONCE(entry->has_hint) || entry->last || READ_ONCE(entry->needs_asking) || set->ignores_hints;
}

/* The conditions of a file that the interest has; POLLNVAL if the descriptor is not the file that was cached. */
static u16 dp_ask(struct dp_set *set, struct dp_entry *entry)
{
	struct file *now = fget(entry->fd);
	bool is_same = now && now == entry->file;
	u16 found = POLLNVAL;

	if (is_same) {
		set->counts.asked++;
		found = (__force u32)vfs_poll(now, NULL) & (entry->events | DP_ALWAYS);
	}
	if (now)
		fput(now);
	return found;
}

static int dp_report(const struct dp_set *set, const struct dp_entry *entry, const struct dp_results *to, int place)
{
	struct pollfd result = { .fd = entry->fd, .events = entry->events, .revents = entry->last };

	if (!to->fds) {
		set->area[place] = result;
		return 0;
	}
	return copy_to_user(&to->fds[place], &result, sizeof(result)) ? -EFAULT : 0;
}

/* Visits every entry until there is no room for another result. The next scan begins after the last one reported. */
static int dp_scan(struct dp_set *set, const struct dp_results *to)
{
	struct dp_entry *entry;
	int found = 0;

	set->counts.scans++;
	list_for_each_entry(entry, &set->order, order) {
		int error;

		set->counts.visited++;
		if (!dp_must_ask(set, entry))
			continue;
		/* What happens after the file was asked sets the hint again. */
		WRITE_ONCE(entry->has_hint, false);
		smp_mb();
		entry->last = dp_ask(set, entry);
		if (!entry->last)
			continue;
		error = dp_report(set, entry, to, found);
		if (error)
			return error;
		if (++found == to->room) {
			list_move(&set->order, &entry->order);
			break;
		}
	}
	return found;
}

/* Scans, and reads which changes the scan has seen. */
static int dp_scan_once(struct dp_set *set, const struct dp_results *to, s64 *seen)
{
	int found;

	mutex_lock(&set->lock);
	*seen = atomic64_read(&set->changes);
	smp_mb();
	found = dp_scan(set, to);
	mutex_unlock(&set->lock);
	return found;
}

/* Sleeps until there is a change or the time comes; whether it did. */
static bool dp_sleep(struct dp_set *set, s64 seen, ktime_t *until)
{
	DEFINE_WAIT(wait);
	bool is_late = false;

	prepare_to_wait(&set->sleepers, &wait, TASK_INTERRUPTIBLE);
	if (atomic64_read(&set->changes) == seen && !signal_pending(current))
		is_late = !schedule_hrtimeout(until, HRTIMER_MODE_ABS);
	finish_wait(&set->sleepers, &wait);
	return is_late;
}

static bool dp_has_room(struct dp_set *set, const struct dp_results *to)
{
	if (to->room < 0)
		return false;
	return to->fds || !to->room || (smp_load_acquire(&set->area) && to->room <= set->area_entries);
}

/* A negative timeout is no limit. */
static long dp_poll(struct dp_set *set, const struct dp_results *to, s64 timeout_ns)
{
	ktime_t until = timeout_ns > 0 ? ktime_add_safe(ktime_get(), ns_to_ktime(timeout_ns)) : 0;
	bool is_late = timeout_ns == 0;
	s64 seen = 0;

	if (!dp_has_room(set, to))
		return -EINVAL;
	atomic64_inc(&set->polls);
	for (;;) {
		/* Without room for a result the call only sleeps. */
		int found = to->room ? dp_scan_once(set, to, &seen) : 0;

		if (found || is_late)
			return found;
		if (signal_pending(current))
			return -EINTR;
		if (!to->room)
			seen = atomic64_read(&set->changes);
		is_late = dp_sleep(set, seen, timeout_ns < 0 ? NULL : &until);
	}
}

static long dp_poll_ms(struct dp_set *set, const void __user *from)
{
	struct dvpoll call;
	struct dp_results to;

	if (copy_from_user(&call, from, sizeof(call)))
		return -EFAULT;
	to = (struct dp_results){ (struct pollfd __user *)call.dp_fds, call.dp_nfds };
	return dp_poll(set, &to, call.dp_timeout < 0 ? -1 : (s64)call.dp_timeout * NSEC_PER_MSEC);
}

static long dp_poll_ns(struct dp_set *set, const void __user *from)
{
	struct dvppoll call;
	struct dp_results to;

	if (copy_from_user(&call, from, sizeof(call)))
		return -EFAULT;
	if (call.dp_reserved)
		return -EINVAL;
	to = (struct dp_results){ (struct pollfd __user *)call.dp_fds, call.dp_nfds };
	return dp_poll(set, &to, call.dp_timeout_ns);
}

/* --- The other calls --- */

static long dp_is_polled(struct dp_set *set, struct pollfd __user *argument)
{
	struct dp_entry *entry;
	struct pollfd asked;

	if (copy_from_user(&asked, argument, sizeof(asked)))
		return -EFAULT;
	if (asked.fd < 0)
		return 0;
	mutex_lock(&set->lock);
	entry = xa_load(&set->by_number, asked.fd);
	if (entry)
		asked.revents = entry->events;
	mutex_unlock(&set->lock);
	if (!entry)
		return 0;
	return copy_to_user(argument, &asked, sizeof(asked)) ? -EFAULT : 1;
}

static long dp_read_counts(struct dp_set *set, struct dp_counts __user *to)
{
	struct dp_counts counts;

	mutex_lock(&set->lock);
	counts = set->counts;
	counts.hints = atomic64_read(&set->changes) - set->writes;
	mutex_unlock(&set->lock);
	counts.polls = atomic64_read(&set->polls);
	return copy_to_user(to, &counts, sizeof(counts)) ? -EFAULT : 0;
}

static long dp_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct dp_set *set = file->private_data;
	void __user *user = (void __user *)argument;
	int error = dp_claim(set);

	if (error)
		return error;
	switch (command) {
	case DP_POLL:
		return dp_poll_ms(set, user);
	case DP_PPOLL:
		return dp_poll_ns(set, user);
	case DP_ISPOLLED:
		return dp_is_polled(set, user);
	case DP_COUNTS:
		return dp_read_counts(set, user);
	case DP_IGNOREHINTS:
		mutex_lock(&set->lock);
		set->ignores_hints = true;
		mutex_unlock(&set->lock);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int dp_mmap(struct file *file, struct vm_area_struct *mapping)
{
	struct dp_set *set = file->private_data;
	unsigned long bytes = mapping->vm_end - mapping->vm_start;
	int error = dp_claim(set);
	void *area;

	if (error)
		return error;
	if (mapping->vm_pgoff || bytes > PAGE_ALIGN(rlimit(RLIMIT_NOFILE) * sizeof(struct pollfd)))
		return -EINVAL;
	area = vmalloc_user(bytes);
	if (!area)
		return -ENOMEM;
	mutex_lock(&set->mapping);
	error = set->area ? -EBUSY : remap_vmalloc_range(mapping, area, 0);
	if (!error) {
		set->area_entries = bytes / sizeof(struct pollfd);
		smp_store_release(&set->area, area);
	}
	mutex_unlock(&set->mapping);
	if (error)
		vfree(area);
	return error;
}

/* --- The device --- */

static int dp_open(struct inode *inode, struct file *file)
{
	struct dp_set *set = kzalloc(sizeof(*set), GFP_KERNEL_ACCOUNT);

	if (!set)
		return -ENOMEM;
	mutex_init(&set->lock);
	mutex_init(&set->mapping);
	xa_init(&set->by_number);
	INIT_LIST_HEAD(&set->order);
	init_waitqueue_head(&set->sleepers);
	file->private_data = set;
	return 0;
}

static int dp_release(struct inode *inode, struct file *file)
{
	struct dp_set *set = file->private_data;
	struct dp_entry *entry, *next;

	list_for_each_entry_safe(entry, next, &set->order, order)
		dp_remove(set, entry);
	xa_destroy(&set->by_number);
	vfree(set->area);
	put_pid(set->owner);
	kfree(set);
	return 0;
}

static const struct file_operations dp_operations = {
	.owner = THIS_MODULE,
	.open = dp_open,
	.release = dp_release,
	.write = dp_write,
	.unlocked_ioctl = dp_ioctl,
	.mmap = dp_mmap,
	.llseek = noop_llseek,
};

static struct miscdevice dp_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "poll",
	.fops = &dp_operations,
	.mode = 0666,
};

static int __init dp_init(void)
{
	int error = -ENOMEM;

	dp_entries = KMEM_CACHE(dp_entry, SLAB_ACCOUNT);
	dp_hooks = KMEM_CACHE(dp_hook, SLAB_ACCOUNT);
	if (dp_entries && dp_hooks)
		error = misc_register(&dp_device);
	if (error) {
		kmem_cache_destroy(dp_hooks);
		kmem_cache_destroy(dp_entries);
	}
	return error;
}

static void __exit dp_exit(void)
{
	misc_deregister(&dp_device);
	kmem_cache_destroy(dp_hooks);
	kmem_cache_destroy(dp_entries);
}

module_init(dp_init);
module_exit(dp_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("/dev/poll: an interest set in the kernel, with hints");
