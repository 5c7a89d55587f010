/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split.h - the verbs for the split virtqueue.
 *
 * Knows:   layout and order of virtio 1.2 section 2.7.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: polling lcore inside the queue's gate.
 *
 * Reads side by side with packed.h: the same verbs in the same order.
 */
#ifndef VHC_RING_SPLIT_H
#define VHC_RING_SPLIT_H

#include "../mem/guest.h"
#include "notify.h"
#include "ring.h"
#include "walk.h"

/* ---- where things are ----------------------------------------------------------------------- */

/* Available entry `n` from the next one: a descriptor's number, not judged. */
static VHC_HOT uint16_t
split_head(const struct ring *r, uint16_t n)
{
	return guest_load16(&r->g_avail->ring[(uint16_t)(r->avail.idx + n) & (r->size - 1)]);
}

/* ---- idle ----------------------------------------------------------------------------------- */

static VHC_HOT bool
split_idle(const struct ring *r)
{
	return guest_load16(&r->g_avail->idx) == r->avail.idx;
}

/* ---- ready ---------------------------------------------------------------------------------- */

/* 2.7.13.3: acquire [A], so that the entries and descriptors behind the index are read after it. */
static VHC_HOT bool
split_ready(struct ring *r)
{
	uint16_t raw_idx = guest_load16_acquire(&r->g_avail->idx);

	if (vhc_likely(raw_idx == r->avail.idx))
		return false;
	if (vhc_unlikely((uint16_t)(raw_idx - r->avail.idx) > r->size || r->broken)) {
		r->avail_seen = r->avail.idx;
		if (!r->broken)
			vhc_ring_break(r, RING_FAULT_AVAIL_IDX);
		return false;
	}
	r->avail_seen = raw_idx;
	return true;
}

/* ---- more ----------------------------------------------------------------------------------- */

static VHC_HOT bool
split_more(const struct ring *r)
{
	return r->avail_seen != r->avail.idx;
}

/* ---- take ----------------------------------------------------------------------------------- */

/* 2.7.5.2, 2.7.5.3: follow next while NEXT; no chain is longer than its table. */
static inline enum ring_fault
split_walk(struct ring *r, struct chain *c, uint16_t head)
{
	struct walk_table table = { .g_base = (const uint8_t *)r->g_desc, .size = r->size };
	uint32_t slot = head, nr_seen = 0;
	bool in_table = false;

	for (;;) {
		const struct virtq_desc *g_desc;
		struct virtq_desc raw;
		enum ring_fault fault;
		uint16_t flags;

		if (slot >= table.size)
			return RING_FAULT_NEXT_RANGE;
		if (++nr_seen > table.size)
			return RING_FAULT_CHAIN_LOOP;
		g_desc = walk_table_entry(r, &table, slot);
		if (!g_desc)
			return walk_table_miss(r, &table, slot);
		raw = guest_load_desc(g_desc);
		flags = le16_get(raw.flags);
		if (flags & VIRTQ_DESC_F_INDIRECT) {
			if (in_table)
				return RING_FAULT_INDIRECT_NESTED;
			if (flags & VIRTQ_DESC_F_NEXT)
				return RING_FAULT_INDIRECT_NEXT;
			fault = walk_enter_indirect(r, &table, le64_get(raw.addr),
						    le32_get(raw.len));
			in_table = true;
			slot = 0;
			nr_seen = 0;
		} else {
			fault = walk_add(r, c, le64_get(raw.addr), le32_get(raw.len), flags);
			slot = le16_get(raw.next);
		}
		if (fault != RING_FAULT_NONE)
			return fault;
		if (!(flags & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT)))
			return RING_FAULT_NONE;
	}
}

static inline enum take
split_take(struct ring *r, struct chain *c)
{
	enum ring_fault fault;
	uint16_t head;

	if (!split_more(r))
		return TAKE_EMPTY;
	head = split_head(r, 0);
	if (head >= r->size) {
		r->avail_seen = r->avail.idx;
		vhc_ring_break(r, RING_FAULT_HEAD_RANGE);
		return TAKE_EMPTY;
	}
	r->avail.idx++;
	chain_begin(c, head);
	fault = split_walk(r, c, head);
	if (vhc_likely(fault == RING_FAULT_NONE))
		return TAKE_OK;
	if (fault == RING_FAULT_MISS) {
		r->avail.idx--;
		return TAKE_EMPTY;
	}
	vhc_ring_fault(r, fault);
	return TAKE_BAD;
}

/* ---- give ----------------------------------------------------------------------------------- */

/* 2.7.8: the entry becomes the driver's when publish moves the index past it. */
static VHC_HOT void
split_give(struct ring *r, uint16_t id, uint32_t len)
{
	uint16_t slot = (uint16_t)(r->used.idx + r->nr_staged) & (r->size - 1);

	guest_store_used(&r->g_used->ring[slot], id, len);
	r->nr_staged++;
}

/* 2.7.9: one entry stands for a batch of `n` whose lengths nobody needs; `id` is the last one's. */
static VHC_HOT void
split_give_batch(struct ring *r, uint16_t id, uint16_t n)
{
	split_give(r, id, 0);
	r->nr_staged += n - 1;
}

/* ---- publish -------------------------------------------------------------------------------- */

/* 2.7.7: without EVENT_IDX the flag decides, with it the index the driver wants to hear about. */
static VHC_HOT bool
split_wants_call(struct ring *r)
{
	bool wanted;

	if (!r->event_idx)
		return !(guest_load16(&r->g_avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
	wanted = !r->signalled_valid ||
		 notify_is_due(guest_load16(&r->g_avail->ring[r->size]), r->used.idx,
			       r->signalled.idx);
	r->signalled = r->used;
	r->signalled_valid = true;
	return wanted;
}

/*
 * Hand every staged entry to the driver. True: it wants an interrupt. The store of the index
 * releases the entries [U]; the fence keeps the load of the driver's wish behind it [N], or both
 * sides could go to sleep.
 */
static VHC_HOT bool
split_publish(struct ring *r)
{
	r->used.idx += r->nr_staged;
	r->nr_staged = 0;
	guest_store16_then_fence(&r->g_used->idx, r->used.idx);
	return split_wants_call(r);
}

/* ---- kicks ---------------------------------------------------------------------------------- */

/*
 * With EVENT_IDX refusing is leaving avail_event behind: 2.7.10 leaves no other way. The fence
 * orders the look at new work after the wish [K].
 */
static inline bool
split_kicks(struct ring *r, bool on)
{
	if (!r->event_idx)
		guest_store16_then_fence(&r->g_used->flags, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	else if (on)
		guest_store16_then_fence((le16 *)(void *)&r->g_used->ring[r->size], r->avail.idx);
	return on && split_ready(r);
}

#endif
