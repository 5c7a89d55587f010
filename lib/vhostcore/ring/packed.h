/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packed.h - the verbs for the packed virtqueue.
 *
 * Knows:   layout and order of virtio 1.2 section 2.8.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: polling lcore inside the queue's gate.
 *
 * Reads side by side with split.h: the same verbs in the same order. A used descriptor overwrites
 * a slot of a chain that was taken, so an entry is given only when its chain is given for good.
 */
#ifndef VHC_RING_PACKED_H
#define VHC_RING_PACKED_H

#include "../mem/guest.h"
#include "ring.h"
#include "slot.h"
#include "walk.h"

/* ---- idle ----------------------------------------------------------------------------------- */

static VHC_HOT bool
packed_idle(const struct ring *r)
{
	return !slot_is_available(guest_load16(&r->g_packed[r->avail.idx].flags), r->avail.wrap);
}

/* ---- ready ---------------------------------------------------------------------------------- */

static VHC_HOT bool
packed_ready(struct ring *r)
{
	/* One load; the descriptor itself is loaded with acquire [A] when it is taken. */
	return !packed_idle(r) && vhc_likely(!r->broken);
}

/* ---- more ----------------------------------------------------------------------------------- */

static VHC_HOT bool
packed_more(struct ring *r)
{
	return packed_ready(r);
}

/* ---- take ----------------------------------------------------------------------------------- */

/*
 * 2.8.7: entries follow one another; of their flags only WRITE means anything. Not even that where
 * the driver only sends: DPDK's (22.11) leaves it on the header's entry, and on entry n of the
 * table in slot n.
 */
static inline enum ring_fault
packed_walk_indirect(struct ring *r, struct chain *c, const struct virtq_packed_desc *raw)
{
	struct walk_table table;
	enum ring_fault fault = walk_enter_indirect(r, &table, le64_get(raw->addr),
						    le32_get(raw->len));

	for (uint32_t slot = 0; fault == RING_FAULT_NONE && slot < table.size; slot++) {
		const struct virtq_packed_desc *g_desc = walk_table_entry(r, &table, slot);
		struct virtq_packed_desc entry;
		uint16_t flags;

		if (!g_desc)
			return walk_table_miss(r, &table, slot);
		entry = guest_load_packed_desc(g_desc);
		flags = le16_get(entry.flags);
		if (flags & VIRTQ_DESC_F_INDIRECT)
			return RING_FAULT_INDIRECT_NESTED;
		if (r->driver_only_sends)
			flags &= (uint16_t)~VIRTQ_DESC_F_WRITE;
		fault = walk_add(r, c, le64_get(entry.addr), le32_get(entry.len), flags);
	}
	return fault;
}

static inline enum ring_fault
packed_walk_one(struct ring *r, struct chain *c, const struct virtq_packed_desc *raw, uint16_t nr)
{
	uint16_t flags = le16_get(raw->flags);

	if (!(flags & VIRTQ_DESC_F_INDIRECT))
		return walk_add(r, c, le64_get(raw->addr), le32_get(raw->len), flags);
	/* 2.8.7.1: an indirect descriptor stands alone. */
	if ((flags & VIRTQ_DESC_F_NEXT) || nr > 1)
		return RING_FAULT_INDIRECT_NEXT;
	return packed_walk_indirect(r, c, raw);
}

/* A bad chain is walked to its end all the same: only there are its id and its length known. */
static inline enum take
packed_take(struct ring *r, struct chain *c)
{
	enum ring_fault fault = RING_FAULT_NONE;
	struct ring_mark at = r->avail;
	struct virtq_packed_desc raw;
	uint16_t nr = 0, room = slot_room(r);

	if (!room || !packed_ready(r))
		return TAKE_EMPTY;
	chain_begin(c, 0);
	do {
		if (nr == room) {
			vhc_ring_break(r, RING_FAULT_CHAIN_ENDLESS);
			return TAKE_EMPTY;
		}
		raw = guest_load_packed_desc(&r->g_packed[at.idx]);
		nr++;
		at = slot_after(r, at, 1);
		if (fault == RING_FAULT_NONE)
			fault = packed_walk_one(r, c, &raw, nr);
	} while (le16_get(raw.flags) & VIRTQ_DESC_F_NEXT);
	if (fault == RING_FAULT_MISS)
		return TAKE_EMPTY;
	c->id = le16_get(raw.id);	/* 2.8.6: valid in the last descriptor only */
	c->nr_slots = nr;
	r->avail = at;
	if (vhc_likely(fault == RING_FAULT_NONE))
		return TAKE_OK;
	vhc_ring_fault(r, fault);
	return TAKE_BAD;
}

/* ---- give ----------------------------------------------------------------------------------- */

/*
 * 2.8.8, 2.8.13.2: the entry goes into the first slot of its chain and stands for all of them. It
 * is the driver's as soon as its flags say so, but the driver reads in order: the first one of a
 * batch is withheld until publish, so the rest may be written at once.
 */
static VHC_HOT void
packed_give(struct ring *r, uint16_t id, uint32_t len, uint16_t nr_slots)
{
	struct ring_mark at = slot_after(r, r->used, r->nr_staged);
	uint64_t used = slot_used_bits(at.wrap, id, len);

	if (r->nr_staged == 0)
		r->staged_head = used;
	else
		guest_store_packed_used(&r->g_packed[at.idx], used);
	r->nr_staged += nr_slots;
}

/* 2.8.9: one entry stands for a batch of `n` whose lengths nobody needs; `id` is the last one's. */
static VHC_HOT void
packed_give_batch(struct ring *r, uint16_t id, uint16_t n)
{
	packed_give(r, id, 0, n);
}

/* ---- publish -------------------------------------------------------------------------------- */

/* 2.8.14: the driver's wish, as flags or as the slot it wants to hear about. */
static VHC_HOT bool
packed_wants_call(struct ring *r)
{
	struct virtq_event raw = guest_load_event(r->g_driver_event);
	uint16_t flags = le16_get(raw.flags);
	struct ring_mark old = r->signalled;
	bool valid = r->signalled_valid;

	r->signalled = r->used;
	r->signalled_valid = true;
	if (flags != RING_EVENT_FLAGS_DESC || !r->event_idx)
		return flags != RING_EVENT_FLAGS_DISABLE;
	return !valid || slot_passed(r, le16_get(raw.desc), old);
}

/* The withheld head makes the batch visible [U]; the fence is as in split_publish() [N]. */
static VHC_HOT bool
packed_publish(struct ring *r)
{
	struct virtq_packed_desc *g_head = &r->g_packed[r->used.idx];

	r->used = slot_after(r, r->used, r->nr_staged);
	r->nr_staged = 0;
	guest_store_packed_used_then_fence(g_head, r->staged_head);
	return packed_wants_call(r);
}

/* ---- kicks ---------------------------------------------------------------------------------- */

/* 2.8.10: [K] as in split_kicks(). */
static inline bool
packed_kicks(struct ring *r, bool on)
{
	uint16_t desc = (uint16_t)(r->avail.idx | r->avail.wrap << VIRTQ_EVENT_WRAP_BIT);
	uint16_t wish = r->event_idx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;

	guest_store_event_then_fence(r->g_device_event, desc, on ? wish : RING_EVENT_FLAGS_DISABLE);
	return on && packed_ready(r);
}

#endif
