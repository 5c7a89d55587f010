/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.c - in-flight notes for who works rings himself.
 *
 * Knows:   queues, ring/inflight.h.
 * Trusts:  the application to keep to the order that vhostcore_ring.h describes; its numbers are
 *          judged.
 * Runs on: the application's thread for the ring, between queue_changed(true) and (false).
 */
#include "ring/inflight.h"

#include <errno.h>

#include "base/compiler.h"
#include "device.h"
#include "ring/slot.h"

#define WRAP_BIT 15

static int
find_notes(const struct vhc_queue *q, struct inflight **f)
{
	if (!q->dev->raw_rings)
		return -EINVAL;
	*f = q->inflight;
	return *f ? 0 : -ENOENT;
}

VHC_API int
vhc_queue_inflight(struct vhc_queue *q, struct vhc_queue_inflight *inflight)
{
	struct inflight *f;
	struct ring_mark mark;
	int rc = find_notes(q, &f);

	*inflight = (struct vhc_queue_inflight){ 0 };
	if (rc)
		return rc;
	mark = vhc_inflight_mark(f);
	*inflight = (struct vhc_queue_inflight){
		.region = f->g_split,
		.region_len = f->len,
		.size = f->nr,
		.packed = f->kind == RING_PACKED,
		.resubmit = f->resubmit,
		.nr_resubmit = f->nr_resubmit,
		.used = (uint16_t)(mark.idx | mark.wrap << WRAP_BIT),
	};
	return 0;
}

/* How many slots from `head` to `last`; 0: there is no room to note them. */
static uint16_t
slots_to_note(const struct vhc_queue *q, const struct inflight *f, uint16_t head, uint16_t last)
{
	uint32_t size = q->ring.size, nr;
	uint16_t index = f->free_head;

	if (head >= size || last >= size)
		return 0;
	nr = (last + size - head) % size + 1;
	for (uint32_t i = 0; i < nr; i++) {
		if (index >= f->nr)
			return 0;
		index = f->next[index];
	}
	return (uint16_t)nr;
}

VHC_API int
vhc_queue_inflight_set(struct vhc_queue *q, uint16_t head, uint16_t last, uint16_t *entry)
{
	struct inflight *f;
	uint16_t nr_slots = 1, noted;
	int rc = find_notes(q, &f);

	if (rc)
		return rc;
	if (head >= f->nr)
		return -EINVAL;
	if (f->kind == RING_PACKED)
		nr_slots = slots_to_note(q, f, head, last);
	if (!nr_slots)
		return -EINVAL;
	noted = vhc_inflight_take(f, &q->ring, head, vhc_inflight_id(f, &q->ring, head, last),
				  nr_slots);
	if (entry)
		*entry = noted;
	return 0;
}

VHC_API int
vhc_queue_inflight_used(struct vhc_queue *q, uint16_t entry)
{
	struct inflight *f;
	uint16_t nr_slots;
	int rc = find_notes(q, &f);

	if (rc)
		return rc;
	if (entry >= f->nr || f->nr_batch == f->nr)
		return -EINVAL;
	if (f->kind == RING_SPLIT) {
		vhc_inflight_give(f, entry);
		return 0;
	}
	/* One that is no chain's first has a number that no chain has. */
	nr_slots = f->num[entry];
	if (nr_slots == 0 || nr_slots > q->ring.size)
		return -EINVAL;
	f->used_next = slot_after(&q->ring, f->nr_batch ? f->used_next : f->used, nr_slots);
	vhc_inflight_give(f, entry);
	vhc_inflight_begin(f, f->used_next);
	return 0;
}

VHC_API int
vhc_queue_inflight_clear(struct vhc_queue *q, uint16_t entry, uint16_t used_idx)
{
	struct inflight *f;
	struct ring_mark used = { .idx = used_idx };
	int rc = find_notes(q, &f);

	if (rc)
		return rc;
	if (entry >= f->nr)
		return -EINVAL;
	if (f->kind == RING_PACKED)
		used = f->nr_batch ? f->used_next : f->used;
	/* Who did not say before that it is used says it now. */
	if (f->kind == RING_SPLIT && !f->nr_batch)
		vhc_inflight_give(f, entry);
	vhc_inflight_end(f, used);
	return 0;
}
