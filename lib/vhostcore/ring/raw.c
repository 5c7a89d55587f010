/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw.c - see raw.h.
 *
 * Knows:   both layouts' notification areas.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: any thread that holds the queue; control thread.
 */
#include "raw.h"

#include "../mem/guest.h"
#include "notify.h"

/* 2.7.10: with EVENT_IDX a wish is an index: that of the next entry the driver will add. */
static void
split_raw_kicks(struct ring *r, bool on)
{
	le16 *g_avail_event = (le16 *)(void *)&r->g_used->ring[r->size];

	if (!r->event_idx)
		guest_store16_then_fence(&r->g_used->flags, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	else if (on)
		guest_store16_then_fence(g_avail_event, guest_load16(&r->g_avail->idx));
}

bool
vhc_raw_kicks(struct ring *r, bool on)
{
	if (r->kind == RING_SPLIT)
		split_raw_kicks(r, on);
	else
		guest_store_event_then_fence(r->g_device_event, 0, on ? RING_EVENT_FLAGS_ENABLE :
								   RING_EVENT_FLAGS_DISABLE);
	return on;
}

/* Callers may race; each entry is then told of at least once. */
static bool
split_raw_wants_call(struct ring *r)
{
	uint16_t now, before;
	bool was_valid;

	if (!r->event_idx)
		return !(guest_load16(&r->g_avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
	now = guest_load16(&r->g_used->idx);
	before = exchange(&r->signalled.idx, now);
	was_valid = exchange(&r->signalled_valid, true);
	return !was_valid || notify_is_due(guest_load16(&r->g_avail->ring[r->size]), now, before);
}

/* 2.8.14: which slot was used last we do not know, so a wish for one of them is always due. */
bool
vhc_raw_wants_call(struct ring *r)
{
	struct virtq_event raw;

	fence_full();	/* [N] */
	if (r->kind == RING_SPLIT)
		return split_raw_wants_call(r);
	raw = guest_load_event(r->g_driver_event);
	return le16_get(raw.flags) != RING_EVENT_FLAGS_DISABLE;
}

struct ring_mark
vhc_raw_mark(const struct ring *r)
{
	if (r->kind == RING_PACKED)
		return r->avail;
	return (struct ring_mark){ .idx = guest_load16(&r->g_used->idx) };
}

uint16_t
vhc_raw_nr_available(const struct ring *r)
{
	uint16_t nr;

	if (r->kind == RING_PACKED)
		return 0;
	nr = (uint16_t)(guest_load16(&r->g_avail->idx) - guest_load16(&r->g_used->idx));
	return nr <= r->size ? nr : 0;
}
