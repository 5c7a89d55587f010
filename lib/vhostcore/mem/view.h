/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * view.h - pieces of guest memory, mapped once more, one behind the other.
 *
 * Knows:   mremap: a shared mapping can be there twice.
 * Trusts:  the pieces: each lies in one region.
 * Runs on: control thread.
 *
 * A ring is reached by pointer. Behind an IOMMU its pages are neighbours for the driver, and need
 * not be so in the guest's memory.
 */
#ifndef VHC_MEM_VIEW_H
#define VHC_MEM_VIEW_H

#include <stdbool.h>

#include "../base/compiler.h"
#include "addr.h"

struct guard;

/* As many pages as the largest part of a ring has, if it does not begin with one. */
#define VIEW_PIECES_MAX 129

/* All zero: there is none. */
struct view {
	uint8_t *host;		/* the first byte */
	void *mapping;
	struct guard *guard;
	uint64_t mapping_len;
	struct span *pieces;	/* what it shows */
	unsigned int nr;
};

/*
 * Show these pieces, in place of what was shown before. Does nothing if that is the same. 0;
 * -EINVAL they do not meet at pages of the kind the memory has; or another -errno. Then there is
 * no view.
 */
int vhc_view_map(struct view *view, const struct span *pieces, unsigned int nr) VHC_MUST_USE;

/* Does nothing if there is none. */
void vhc_view_unmap(struct view *view);

#endif
