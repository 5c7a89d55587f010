/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pages.h - memory whose pages come one by one, from a process that is told which are wanted.
 *
 * Knows:   userfaultfd(2).
 * Trusts:  nothing of who brings the pages: he may be late, or never come.
 * Runs on: control thread; what says so on any.
 *
 * A thread that touches a page that is not there sleeps in the kernel until whoever holds the other
 * copy of our descriptor has put it into the file, or until we give the memory up.
 */
#ifndef VHC_MEM_PAGES_H
#define VHC_MEM_PAGES_H

#include <stdbool.h>

#include "region.h"

struct page_source;

/*
 * Open one, without any memory. `by_program_only`: nobody has the kernel read or write that memory
 * for him, which needs fewer rights. On failure -errno, and a sentence in `reason`
 * (REGION_REASON_LEN bytes) that says what to change.
 */
int vhc_pages_create(bool by_program_only, struct page_source **source, char *reason) VHC_MUST_USE;

/* Every page that is still missing is a zero from now on, and who waits for one goes on. */
void vhc_pages_destroy(struct page_source *source);

/* Another descriptor of it, for who brings the pages; or -errno. */
int vhc_pages_share(const struct page_source *source) VHC_MUST_USE;

/* For region.c: nobody has touched the region yet. 0 or -errno; and before it is unmapped. */
int vhc_pages_watch(struct page_source *source, struct region *region) VHC_MUST_USE;
void vhc_pages_forget(struct region *region);

/* Is a thread of ours asleep on a missing page now? True if that cannot be told. Any thread. */
bool vhc_pages_are_awaited(const struct page_source *source);

/*
 * Put zeros of our own in the place of all of the memory and wake who waits: he must neither sleep
 * on nor write zeros to the guest, who may live. Any thread, while the source exists.
 */
void vhc_pages_give_up(struct page_source *source);

#endif
