/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * marks.c - to which words of the dirty log belongs what a burst wrote.
 *
 * Knows:   guest memory, the dirty log.
 * Trusts:  host memory from find.h.
 * Runs on: polling lcore inside the queue's gate.
 */
#include "marks.h"

static struct dirty_word *
word_of(struct net_queue *nq, struct net_marks *marks, uint64_t number)
{
	if (marks->nr && marks->words[marks->nr - 1].number == number)
		return &marks->words[marks->nr - 1];
	if (marks->nr == NET_MARKED_WORDS) {
		fence_full();	/* [B] */
		net_marks_flush(nq, marks);
	}
	marks->words[marks->nr] = (struct dirty_word){ number, 0 };
	return &marks->words[marks->nr++];
}

/* What is written next is likely to belong to the last word, too. */
static void
look_near(struct net_marks *marks, const struct map_hint *region)
{
	uint64_t guest = marks->words[marks->nr - 1].number * DIRTY_LOG_WORD_LEN;
	uint64_t offset = guest - region->guest;
	bool is_whole = offset < region->size && region->size - offset >= DIRTY_LOG_WORD_LEN;

	marks->near = (const uint8_t *)(uintptr_t)(guest + region->to_host);
	marks->near_len = is_whole ? DIRTY_LOG_WORD_LEN : 0;
}

void
vhc_net_marks_add(struct net_queue *nq, struct net_marks *marks, const uint8_t *host, uint64_t len)
{
	struct ring *r = &nq->core.ring;
	uint64_t page, last;
	gpa at;

	if (!map_guest(r->memory, &r->back_hint, host, &at))
		return;
	page = at.v >> DIRTY_LOG_PAGE_BITS;
	last = (at.v + len - 1) >> DIRTY_LOG_PAGE_BITS;
	for (; page <= last; page++)
		word_of(nq, marks, page / DIRTY_LOG_WORD_PAGES)->pages |=
			(uint64_t)1 << page % DIRTY_LOG_WORD_PAGES;
	look_near(marks, &r->back_hint);
}
