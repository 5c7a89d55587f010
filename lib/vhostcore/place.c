/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.c - a packed ring goes on after a back-end that may have been killed.
 *
 * Knows:   what front-ends say that lost their back-end; ring/place.h.
 * Trusts:  neither the front-end's word nor the ring: a wrong place loses packets, nothing else.
 * Runs on: control thread.
 *
 * Where the ring allows it, the front-end's word counts. QEMU repeats, after its back-end died,
 * where the ring was when it began: then the ring never moves again, for whoever believes that.
 */
#include "base/log.h"
#include "device.h"
#include "ring/place.h"

static bool
is_same(struct ring_mark a, struct ring_mark b)
{
	return a.idx == b.idx && a.wrap == b.wrap;
}

/* The first slot of the first round: what a ring begins at, and nothing later need be. */
static bool
is_beginning(struct ring_mark mark)
{
	return mark.idx == 0 && mark.wrap;
}

static void
go_on(struct vhc_queue *q, const struct ring_place *place)
{
	uint16_t said = q->ring.used.idx;

	vhc_packed_go_on(&q->ring, place);
	if (place->nr_cut_off)
		log_notice(q->dev->name, "ring %u: an earlier back-end was cut off while it gave"
			   " buffers back: %u packets are lost, others may come twice; going on at"
			   " slot %u", q->index, place->nr_cut_off, q->ring.used.idx);
	else
		log_notice(q->dev->name, "ring %u: the front-end does not know where this packed"
			   " ring stands, and said slot %u; going on at slot %u, as the ring"
			   " shows: packets that an earlier back-end took and did not give back may"
			   " come twice, none is lost", q->index, said, q->ring.used.idx);
}

/*
 * A driver without indirect tables makes chains of several slots, which are easily misread: to give
 * back what it does not expect would do it more harm than to wait.
 */
void
vhc_queue_find_place(struct vhc_queue *q)
{
	struct ring_mark said = q->ring.used;
	struct ring_place place;
	bool is_found;

	if (q->ring.kind != RING_PACKED || q->ring.is_raw || q->inflight)
		return;
	is_found = vhc_packed_find(&q->ring, &place);
	if (is_found && is_same(place.mark, said) && !place.nr_cut_off)
		return;
	if (!is_found || !q->ring.indirect) {
		log_notice(q->dev->name, "ring %u: going on at slot %u of a packed ring, as the"
			   " front-end says; if the back-end before this one was killed, packets"
			   " may come twice, be lost, or not come at all until the guest's driver"
			   " starts anew. A split ring (QEMU: packed=off) does not have that",
			   q->index, said.idx);
		return;
	}
	if (is_beginning(said) || !vhc_packed_may_be_at(&q->ring, said))
		go_on(q, &place);
}
