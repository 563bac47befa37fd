/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The interface of /dev/poll, for programs and for the module.
 *
 * open("/dev/poll")  an empty set. It belongs to the process that uses it first; in all others every call fails with EACCES.
 * write()            an array of struct pollfd: the events are added to those cached for the descriptor, or the descriptor is
 *                    removed if they are exactly POLLREMOVE. Negative numbers are ignored. Returns the bytes of the entries
 *                    that were taken.
 * mmap()             an area for results, at offset 0, once for each set.
 * close()            frees the set.
 */
#ifndef C10K_DEV_POLL_H
#define C10K_DEV_POLL_H

#include <linux/ioctl.h>
#include <linux/poll.h>
#include <linux/types.h>

/* Removes a descriptor if it is all that is written as its events. */
#ifndef POLLREMOVE
#define POLLREMOVE	0x1000
#endif

/* The argument of DP_POLL. */
struct dvpoll {
	struct pollfd *dp_fds;	/* results; null: they go to the mapped area */
	int dp_nfds;		/* room for so many results; 0 only sleeps */
	int dp_timeout;		/* milliseconds; negative: no limit */
};

/* The argument of DP_PPOLL. */
struct dvppoll {
	struct pollfd *dp_fds;
	__s32 dp_nfds;
	__s32 dp_reserved;	/* 0 */
	__s64 dp_timeout_ns;	/* nanoseconds; negative: no limit */
};

/* What a set has done since it was opened. */
struct dp_counts {
	__u64 polls;		/* calls of DP_POLL and DP_PPOLL */
	__u64 scans;		/* passes over the set; a call may take two */
	__u64 visited;		/* entries that these passes looked at */
	__u64 asked;		/* of these, files that were asked for their state */
	__u64 hints;		/* hints set by files */
};

/* Waits for events; returns how many results there are. With 0 the results are unchanged. */
#define DP_POLL		_IOWR(0xD0, 1, struct dvpoll)
/* Whether a descriptor is cached: 1, and the cached events in revents, or 0. */
#define DP_ISPOLLED	_IOWR(0xD0, 2, struct pollfd)

/* These three are ours; no other /dev/poll has them. */
/* DP_POLL with a timeout in nanoseconds. */
#define DP_PPOLL	_IOWR(0xD0, 3, struct dvppoll)
/* Reads the counts. */
#define DP_COUNTS	_IOR(0xD0, 4, struct dp_counts)
/* From now on every scan asks every file, as if there were no hints. */
#define DP_IGNOREHINTS	_IO(0xD0, 5)

#endif
