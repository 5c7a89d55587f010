/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * track.c - the ends of a burst whose chains are noted, and one note.
 *
 * Knows:   in-flight notes.
 * Trusts:  nothing in the ring.
 * Runs on: polling lcore inside the queue's gate.
 */
#include "track.h"

/*
 * What is out is never more than the ring has: the notes have no room for more. A driver that makes
 * available what it has not got back yet could have us take it.
 */
static bool
split_fits(struct ring *r)
{
	if (vhc_likely((uint16_t)(r->avail_seen - r->used.idx) <= r->size))
		return true;
	r->avail_seen = r->avail.idx;
	if (!r->broken)
		vhc_ring_break(r, RING_FAULT_AVAIL_IDX);
	return false;
}

bool
vhc_net_track_begin(struct net_queue *nq)
{
	struct ring *r = &nq->core.ring;

	if (vhc_unlikely(r->broken))
		return false;
	if (ring_ready(r, r->kind))
		return r->kind == RING_PACKED || split_fits(r);
	r->avail_seen = r->avail.idx;
	return !r->broken && !inflight_is_resubmitted(nq->core.inflight);
}

void
vhc_net_note(struct net_queue *nq, struct net_mark *mark, uint16_t id, uint16_t nr_slots)
{
	struct inflight *f = nq->core.inflight;
	struct ring *r = &nq->core.ring;

	if (mark->nr_again < f->nr_resubmitted) {
		vhc_inflight_stage(f, f->resubmit[mark->nr_again++].index);
		return;
	}
	vhc_inflight_stage(f, vhc_inflight_take(f, r, mark->ring.idx, id, nr_slots));
	if (r->kind == RING_PACKED)
		mark->ring = slot_after(r, mark->ring, nr_slots);
}

void
vhc_net_track_end(struct net_queue *nq, struct net_marks *marks)
{
	struct inflight *f = nq->core.inflight;
	struct ring *r = &nq->core.ring;
	struct ring_mark used = r->used;

	if (r->nr_staged) {
		if (r->kind == RING_PACKED)
			used = slot_after(r, used, r->nr_staged);
		vhc_inflight_begin_staged(f, used);
		net_publish(nq, r->kind, marks);
		vhc_inflight_end(f, r->used);
	} else {
		net_publish(nq, r->kind, marks);	/* of a packet that was given up */
	}
	if (!nq->announces)
		nq->core.idle = net_idle(nq);
}
