/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * marks.h - what a burst wrote to the guest, kept until it is published, then marked in the log.
 *
 * Knows:   the dirty log, network queues.
 * Trusts:  host memory from find.h; where it is in the guest follows from that.
 * Runs on: polling lcore inside the queue's gate.
 *
 * Marks come last: they count when the front-end has stopped the ring, which waits for the gate. So
 * a burst pays no fence for them: to publish is one already [B], and most pages are marked before.
 */
#ifndef VHC_NET_MARKS_H
#define VHC_NET_MARKS_H

#include "net.h"

#define NET_MARKED_WORDS (2 * NET_RUN)
#define NET_MARKED_ENTRIES 8

/* Used entries side by side; `first` counts from the first one staged. */
struct net_entries {
	uint16_t first;
	uint16_t nr;
};

/*
 * Pages by words of the log, for buffers that are neighbours share one. A NULL pointer to this:
 * nothing is logged.
 */
struct net_marks {
	uint16_t nr;
	uint16_t nr_entries;
	struct net_entries entries[NET_MARKED_ENTRIES];
	const uint8_t *near;	/* where the pages of the last word are */
	uint64_t near_len;	/* all of them are there, in one piece; or 0 */
	struct dirty_word words[NET_MARKED_WORDS];
};

/* `len` bytes, at least one, were written at `host`. */
void vhc_net_marks_add(struct net_queue *nq, struct net_marks *marks, const uint8_t *host,
		       uint64_t len);

/* There must be a full fence between the stores and this [B]. */
static VHC_HOT void
net_marks_flush(const struct net_queue *nq, struct net_marks *marks)
{
	for (uint32_t i = 0; i < marks->nr; i++)
		dirty_log_touch_word(nq->log, marks->words[i]);
	marks->nr = 0;
	marks->near_len = 0;
}

static VHC_HOT void
net_marks_begin(struct net_marks *marks)
{
	marks->nr = marks->nr_entries = 0;
	marks->near = NULL;
	marks->near_len = 0;
}

/* For bursts of one kind whether they log or not. */
static inline struct net_marks *
net_marks_of(const struct net_queue *nq, struct net_marks *space)
{
	if (!nq->log)
		return NULL;
	net_marks_begin(space);
	return space;
}

/*
 * Before `nr` used entries are staged, each in a place of its own. Of batches and chains only one
 * place is written; where there are too many of them, all between counts as written.
 */
static VHC_HOT void
net_marks_entries(struct net_marks *marks, const struct ring *r, uint32_t nr)
{
	uint16_t end = (uint16_t)(r->nr_staged + nr);
	struct net_entries *last;

	if (!marks)
		return;
	last = marks->nr_entries ? &marks->entries[marks->nr_entries - 1] : NULL;
	if (last && (last->first + last->nr == r->nr_staged ||
		     marks->nr_entries == NET_MARKED_ENTRIES))
		last->nr = end - last->first;
	else
		marks->entries[marks->nr_entries++] =
			(struct net_entries){ r->nr_staged, (uint16_t)nr };
}

/* `from`: of the first of the entries, which are published. */
static VHC_HOT void
net_marks_end(struct net_queue *nq, struct net_marks *marks, uint16_t from)
{
	net_marks_flush(nq, marks);
	for (uint32_t i = 0; i < marks->nr_entries; i++)
		vhc_queue_touch_entries(&nq->core, nq->log, from + marks->entries[i].first,
					marks->entries[i].nr);
}

/* The end of every burst: what was staged is the driver's, and it hears of it if it wants to. */
static VHC_HOT void
net_publish(struct net_queue *nq, enum ring_kind kind, struct net_marks *marks)
{
	uint16_t from = nq->core.ring.used.idx;

	if (!nq->core.ring.nr_staged) {
		if (marks && marks->nr) {	/* of a packet that was given up half-way */
			fence_full();	/* [B] */
			net_marks_flush(nq, marks);
		}
		return;
	}
	if (ring_publish(&nq->core.ring, kind))
		vhc_net_notify(nq);
	else
		stats_add(&nq->stats.notifications_suppressed, 1);
	if (marks)
		net_marks_end(nq, marks, from);
}

#endif
