/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * track.h - a chain taken and given, noted where the front-end asked for that.
 *
 * Knows:   the ring's verbs, in-flight notes.
 * Trusts:  nothing in the ring or the notes; both are judged where they are read.
 * Runs on: polling lcore inside the queue's gate.
 *
 * For packets that are handled one by one. A chain is noted when its packet has been moved, before
 * a byte of its used entry is in the ring: ended before that, we have not touched it.
 */
#ifndef VHC_NET_TRACK_H
#define VHC_NET_TRACK_H

#include "../ring/inflight.h"
#include "marks.h"

/* Where the chains of a packet begin. */
struct net_mark {
	struct ring_mark ring;
	uint16_t nr_again;	/* of those an earlier back-end took */
};

/* Look for new chains: must come first in a burst. False: there is nothing to take. */
bool vhc_net_track_begin(struct net_queue *nq);

/* All that was given becomes the driver's. */
void vhc_net_track_end(struct net_queue *nq, struct net_marks *marks);

/* The chain at `mark`, which moves on, is about to be given. */
void vhc_net_note(struct net_queue *nq, struct net_mark *mark, uint16_t id, uint16_t nr_slots);

static inline struct net_mark
net_mark(const struct net_queue *nq)
{
	return (struct net_mark){
		ring_mark(&nq->core.ring), nq->tracks ? nq->core.inflight->nr_resubmitted : 0,
	};
}

static inline void
net_untake(struct net_queue *nq, struct net_mark mark)
{
	ring_untake(&nq->core.ring, mark.ring);
	if (nq->tracks)
		nq->core.inflight->nr_resubmitted = mark.nr_again;
}

/* What an earlier back-end took, then what is in the ring. */
static inline enum take
net_take(struct net_queue *nq, struct chain *c)
{
	struct ring *r = &nq->core.ring;
	enum take taken;
	uint16_t entry;

	if (vhc_unlikely(nq->tracks) &&
	    vhc_inflight_resubmit(nq->core.inflight, r, c, &taken, &entry))
		return taken;
	return ring_take(r, r->kind, c);
}

static inline bool
net_has_more(struct net_queue *nq)
{
	return !inflight_is_resubmitted(nq->core.inflight) ||
	       ring_more(&nq->core.ring, nq->core.ring.kind);
}

static inline void
net_give(struct net_queue *nq, struct net_marks *marks, struct net_mark *mark, uint16_t id,
	 uint32_t len, uint16_t nr_slots)
{
	if (vhc_unlikely(nq->tracks))
		vhc_net_note(nq, mark, id, nr_slots);
	net_marks_entries(marks, &nq->core.ring, 1);
	ring_give(&nq->core.ring, nq->core.ring.kind, id, len, nr_slots);
}

/* The ring cannot tell of what is to be done again. */
static inline uint8_t
net_idle(const struct net_queue *nq)
{
	if (!inflight_is_resubmitted(nq->core.inflight))
		return RING_IDLE_NEVER;
	return nq->core.ring.kind == RING_PACKED ? RING_IDLE_PACKED : RING_IDLE_SPLIT;
}

#endif
