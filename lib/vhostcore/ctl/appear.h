/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * appear.h - be told when a file appears, however many others wait for others.
 *
 * Knows:   inotify; one instance a loop, for as long as anybody waits, and one watch a directory.
 * Trusts:  nothing: a call may come for nothing, and who waits must look for himself now and then.
 * Runs on: with the loop's lock held; calls back on the control thread.
 */
#ifndef VHC_CTL_APPEAR_H
#define VHC_CTL_APPEAR_H

#include "loop.h"

struct appear_dir;

/* One who waits. `fn` must neither begin nor end a wait. */
struct appear_wait {
	const char *path;
	void (*fn)(void *arg);
	void *arg;
	struct appear_dir *dir;		/* NULL: the directory does not exist (yet) */
	struct appear_wait *next_of_name;
	struct appear_wait *next_of_dir;
	struct appear_wait **link_of_dir;
};

/*
 * Wait, if this one does not yet and the directory of `path` exists; `path` and the wait stay where
 * they are. Failing is no error: it does not wait then.
 */
void vhc_appear_begin(struct loop *loop, struct appear_wait *wait);

/* Wait no longer. Idempotent. */
void vhc_appear_end(struct loop *loop, struct appear_wait *wait);

#endif
