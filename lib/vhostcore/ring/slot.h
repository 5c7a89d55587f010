/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot.h - slots of a packed ring: counting them round, and whose they are.
 *
 * Knows:   wrap counters and the two flags of virtio 1.2 section 2.8.1.
 * Trusts:  its own marks; flags of a descriptor never.
 * Runs on: polling lcore inside the queue's gate; control thread while the gate is closed.
 */
#ifndef VHC_RING_SLOT_H
#define VHC_RING_SLOT_H

#include "../mem/guest.h"
#include "notify.h"
#include "ring.h"

/* `n` slots on; sizes need not be powers of two. `n` is at most the size. */
static VHC_HOT struct ring_mark
slot_after(const struct ring *r, struct ring_mark mark, uint32_t n)
{
	uint32_t idx = mark.idx + n;

	if (idx >= r->size) {
		idx -= r->size;
		mark.wrap = !mark.wrap;
	}
	mark.idx = (uint16_t)idx;
	return mark;
}

/*
 * Slots the driver may have made available: all but those of chains that were taken and not yet
 * published as used. Flags that claim more are a lie, and one that would make us write past the
 * ring.
 */
static VHC_HOT uint16_t
slot_room(const struct ring *r)
{
	int32_t nr_held = r->avail.idx - r->used.idx;

	if (r->avail.wrap != r->used.wrap)
		nr_held += r->size;
	return (uint16_t)(r->size - nr_held);
}

#define SLOT_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* 2.8.1: available when the AVAIL bit matches the wrap counter and the USED bit does not. */
static VHC_HOT uint16_t
slot_available_flags(bool wrap)
{
	return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static VHC_HOT bool
slot_is_available(uint16_t flags, bool wrap)
{
	return (flags & SLOT_FLAGS) == slot_available_flags(wrap);
}

/* ... and used when both do. */
static VHC_HOT bool
slot_is_used(uint16_t flags, bool wrap)
{
	return (flags & SLOT_FLAGS) == (wrap ? SLOT_FLAGS : 0);
}

/* 2.8.8: what a used descriptor says, in the half that is stored at once. */
static VHC_HOT uint64_t
slot_used_bits(bool wrap, uint16_t id, uint32_t len)
{
	uint16_t flags = wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;

	return guest_packed_used(id, len, flags | (len ? VIRTQ_DESC_F_WRITE : 0));
}

/*
 * 2.8.14: the step from `old` to `used` passed the slot the driver wants to hear about. Slots are
 * seen from where `used` is now, so those of the round before are negative.
 */
static VHC_HOT bool
slot_passed(const struct ring *r, uint16_t event_desc, struct ring_mark old)
{
	int32_t event = event_desc & ((1 << VIRTQ_EVENT_WRAP_BIT) - 1), from = old.idx;

	if (from >= r->used.idx)
		from -= r->size;
	if ((bool)(event_desc >> VIRTQ_EVENT_WRAP_BIT) != r->used.wrap)
		event -= r->size;
	return notify_is_due((uint16_t)event, r->used.idx, (uint16_t)from);
}

#endif
