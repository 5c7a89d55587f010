/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_log.h - which pages of the guest we wrote, for a front-end that moves it elsewhere.
 *
 * Knows:   a bitmap in a file of the front-end's: one bit a page of 4 KiB, from guest address 0.
 * Trusts:  nothing of size and offset; what lies outside the bitmap is ignored.
 * Runs on: mapping and choosing on the control thread; holding and marking on any.
 *
 * Who writes guest memory marks it afterwards, before the front-end can learn of it:
 *
 *	log = dirty_log_hold(&dev->dirty);
 *	if (log) {
 *		vhc_dirty_log_mark(log, guest, len);
 *		dirty_log_release(log);
 *	}
 *
 * Nobody waits here but control, and that only for marks being made as it changes the bitmap.
 * While nothing is logged all that costs one load.
 */
#ifndef VHC_MEM_DIRTY_LOG_H
#define VHC_MEM_DIRTY_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../base/order.h"
#include "../spec/le.h"
#include "addr.h"

#define DIRTY_LOG_PAGE_BITS 12
#define DIRTY_LOG_WORD_PAGES 64
#define DIRTY_LOG_WORD_LEN ((uint64_t)DIRTY_LOG_WORD_PAGES << DIRTY_LOG_PAGE_BITS)
#define DIRTY_LOG_REASON_LEN 256

/* A bitmap. */
struct dirty_map {
	uint8_t *bits;		/* NULL: there is none */
	uint64_t size;		/* bytes */
	void *mapping;		/* whole pages around it */
	uint64_t mapping_len;
	struct guard *guard;	/* tells if the file has become shorter since */
	uint32_t nr_holders;
};

/* A device's: the bitmap in use, and room for the next one. Starts zeroed. */
struct dirty_log {
	struct dirty_map *active;	/* NULL: nothing is logged. Read by anyone */
	struct dirty_map maps[2];
	unsigned int newest;		/* which of them holds what SET_LOG_BASE said last */
};

/*
 * Map `size` bytes at `offset` of a file as the new bitmap; what is logged goes there from now on
 * if anything is. The descriptor stays the caller's. On failure -errno, a sentence in `reason`, and
 * all stays as it is. Otherwise the old one is to be dropped when nobody refers to it.
 */
int vhc_dirty_log_map(struct dirty_log *log, int fd, uint64_t size, uint64_t offset, char *reason)
	VHC_MUST_USE;

/* Unmap the one before the newest, if it is there; waits for marks that are being made in it. */
void vhc_dirty_log_drop_old(struct dirty_log *log);

/* Nothing is logged any more, and nothing is mapped. */
void vhc_dirty_log_unmap(struct dirty_log *log);

/*
 * Log from now on, if there is a bitmap; or do not. When this returns, every thread has passed a
 * fence: what was written to guest memory without a mark is visible to the front-end.
 */
void vhc_dirty_log_set(struct dirty_log *log, bool on);

/* The bitmap SET_LOG_BASE named, or NULL. */
const struct dirty_map *vhc_dirty_log_map_of(const struct dirty_log *log);

/* Mark the pages of [guest, guest + len). Every byte of the bitmap is changed in one access. */
void vhc_dirty_log_mark(struct dirty_map *map, gpa guest, uint64_t len);

static VHC_HOT bool
dirty_log_has(const struct dirty_map *map, uint64_t page)
{
	return page / 8 < map->size && ld_relaxed(&map->bits[page / 8]) >> page % 8 & 1;
}

/*
 * The same for at least one byte, but what is marked already is only looked at. There must be a
 * full fence between the stores and this [B]: where the bit is still there after it, the front-end
 * takes it away later, and reads the page after that.
 */
static VHC_HOT void
dirty_log_touch(struct dirty_map *map, gpa at, uint64_t len)
{
	uint64_t first = at.v >> DIRTY_LOG_PAGE_BITS;
	uint64_t last = (at.v + len - 1) >> DIRTY_LOG_PAGE_BITS;

	if (vhc_unlikely(!dirty_log_has(map, first)) ||
	    (last != first && (last != first + 1 || !dirty_log_has(map, last))))
		vhc_dirty_log_mark(map, at, len);
}

/* A stretch of pages: bit n is page number * DIRTY_LOG_WORD_PAGES + n. */
struct dirty_word {
	uint64_t number;
	uint64_t pages;
};

/* Mark the pages of a word that are not marked. */
void vhc_dirty_log_mark_word(struct dirty_map *map, struct dirty_word word);

/* As dirty_log_touch(), for the pages of a word; the same fence before it. */
static VHC_HOT void
dirty_log_touch_word(struct dirty_map *map, struct dirty_word word)
{
	le64 marked = { 0 };	/* the bitmap may end in the middle of the word */

	/* In several accesses if need be: each bit is one that was there after the fence. */
	if (vhc_likely(word.number < map->size / sizeof(marked)))
		memcpy(&marked, map->bits + word.number * sizeof(marked), sizeof(marked));
	if (vhc_unlikely(word.pages & ~le64_get(marked)))
		vhc_dirty_log_mark_word(map, word);
}

/* Is anything logged just now? What is written with the gate open needs dirty_log_hold(). */
static inline bool
dirty_log_is_on(const struct dirty_log *log)
{
	return ld_acquire(&log->active) != NULL;
}

static inline void
dirty_log_release(struct dirty_map *map)
{
	sub_release(&map->nr_holders, 1);	/* [D] */
}

/*
 * The bitmap, which stays mapped until it is released, only for moments; NULL: nothing is logged.
 * After the stores to be marked: who finds nothing to do has made them before control told the
 * front-end that all is logged [E].
 */
static inline struct dirty_map *
dirty_log_hold(struct dirty_log *log)
{
	struct dirty_map *map;

	fence_compiler();	/* [E] */
	while ((map = ld_acquire(&log->active))) {
		add_then_fence(&map->nr_holders, 1);
		/* [D] Control chose another one before it saw us, or it will see us. */
		if (ld_acquire(&log->active) == map)
			return map;
		dirty_log_release(map);
	}
	return NULL;
}

#endif
