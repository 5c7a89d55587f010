/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * view.c - see view.h.
 *
 * Knows:   mmap, mremap.
 * Trusts:  the pieces.
 * Runs on: control thread.
 */
#define _GNU_SOURCE 1	/* mremap() */

#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/range.h"
#include "guard.h"

static uint64_t
page_len(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
offset_in_page(const uint8_t *at)
{
	return (uintptr_t)at & (page_len() - 1);
}

/* All but the first begin with a page, all but the last end with one. */
static bool
do_meet(const struct span *pieces, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if ((i > 0 && offset_in_page(pieces[i].ptr)) ||
		    (i + 1 < nr && offset_in_page(pieces[i].ptr + pieces[i].len)))
			return false;
	return true;
}

/* Its pages, at `to` as well. Returns their length, 0: it cannot be. */
static uint64_t
show(const struct span *piece, uint8_t *to)
{
	uint64_t before = offset_in_page(piece->ptr);
	uint64_t len = range_align_up(before + piece->len, page_len());

	if (mremap(piece->ptr - before, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return 0;
	return len;
}

static int
show_all(struct view *view, const struct span *pieces, unsigned int nr)
{
	uint8_t *to = view->mapping;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t len = show(&pieces[i], to);

		if (!len)
			return -EINVAL;
		to += len;
	}
	return 0;
}

static int
reserve(struct view *view, const struct span *pieces, unsigned int nr)
{
	uint64_t len = offset_in_page(pieces[0].ptr);

	for (unsigned int i = 0; i < nr; i++)
		len += pieces[i].len;
	len = range_align_up(len, page_len());
	view->pieces = malloc(nr * sizeof(*pieces));
	if (!view->pieces)
		return -ENOMEM;
	view->mapping = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (view->mapping == MAP_FAILED) {
		view->mapping = NULL;
		return -ENOMEM;
	}
	view->mapping_len = len;
	memcpy(view->pieces, pieces, nr * sizeof(*pieces));
	view->nr = nr;
	view->host = (uint8_t *)view->mapping + offset_in_page(pieces[0].ptr);
	return 0;
}

int
vhc_view_map(struct view *view, const struct span *pieces, unsigned int nr)
{
	int rc;

	if (view->nr == nr && memcmp(view->pieces, pieces, nr * sizeof(*pieces)) == 0)
		return 0;
	vhc_view_unmap(view);
	if (!do_meet(pieces, nr))
		return -EINVAL;
	rc = reserve(view, pieces, nr);
	if (rc == 0)
		rc = show_all(view, pieces, nr);
	if (rc == 0) {
		/* The file behind it may be truncated, like a region's. */
		view->guard = vhc_guard_add(view->mapping, view->mapping_len, page_len());
		rc = view->guard ? 0 : -ENOMEM;
	}
	if (rc)
		vhc_view_unmap(view);
	return rc;
}

void
vhc_view_unmap(struct view *view)
{
	vhc_guard_remove(view->guard);
	if (view->mapping)
		munmap(view->mapping, view->mapping_len);
	free(view->pieces);
	*view = (struct view){ 0 };
}
