/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.h - files of others that we have mapped may become shorter: then we must not die of it.
 *
 * Knows:   SIGBUS, mmap.
 * Trusts:  its callers to name what they map, and to take it back before they unmap it.
 * Runs on: any thread; vhc_guard_mend() in a signal handler as well.
 *
 * Who touches a page behind the end of a file gets SIGBUS, and there is no way to look before. The
 * handler puts zero pages of ours there, notes that this was done, and tells who listens. The
 * access is repeated then, and finds them.
 */
#ifndef VHC_MEM_GUARD_H
#define VHC_MEM_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/compiler.h"

struct guard;

/* Watch over a mapping of a file with pages of `page_size`. NULL: there is no memory for that. */
struct guard *vhc_guard_add(void *mapping, uint64_t len, uint64_t page_size) VHC_MUST_USE;

/* No more, and no handler is at work on it any more. Before it is unmapped. NULL is fine. */
void vhc_guard_remove(struct guard *guard);

/* Some of it is zero pages of ours now. NULL is fine. */
bool vhc_guard_is_lost(const struct guard *guard);

/*
 * Signal this eventfd whenever something was lost. -ENOSPC: too many want that. After
 * vhc_guard_unlisten() it may be closed.
 */
int vhc_guard_listen(int fd) VHC_MUST_USE;
void vhc_guard_unlisten(int fd);

/*
 * The handler is set with the first mapping, and again with each where another was set since. What
 * is not about a mapping of ours goes to the one below it. Off: it is taken away, and not set any
 * more. On, as at first: it is set again now.
 */
int vhc_guard_set(bool on) VHC_MUST_USE;

/* What the handler does. False: it is nothing that we watch over. */
bool vhc_guard_mend(const void *at);

#endif
