/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * split.h - the verbs of ring.h for the split virtqueue.
 *
 * Knows:   layout and order of virtio 1.2 section 2.7.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: polling lcore inside the queue's gate.
 */
#ifndef VHC_RING_SPLIT_H
#define VHC_RING_SPLIT_H

#include "../base/fd.h"
#include "../mem/guest.h"
#include "notify.h"
#include "ring.h"
#include "walk.h"

/* Descriptor table and available ring: where entry `n` from here is. */
static VHC_HOT uint16_t
split_head(const struct ring *r, uint16_t n)
{
	return guest_load16(&r->g_avail->ring[(uint16_t)(r->avail_idx + n) & (r->size - 1)]);
}

/* ---- ready ---------------------------------------------------------------------------------- */

/* 2.7.13.3: acquire [A], so that the entries and descriptors behind the index are read after it. */
static VHC_HOT uint16_t
split_ready(struct ring *r)
{
	uint16_t nr = (uint16_t)(guest_load16_acquire(&r->g_avail->idx) - r->avail_idx);

	if (vhc_likely(nr <= r->size))
		return vhc_unlikely(r->broken) ? 0 : nr;
	if (!r->broken)
		vhc_ring_break(r, RING_FAULT_AVAIL_IDX);
	return 0;
}

/* ---- take ----------------------------------------------------------------------------------- */

/* A table of descriptors being walked: the ring's own, or an indirect one. Guest memory. */
struct split_table {
	const struct virtq_desc *g_desc;	/* NULL: not contiguous here, look each entry up */
	uint64_t guest;
	uint32_t size;
	bool is_indirect;
};

/*
 * 2.7.5.3: follow an indirect descriptor. Its length is judged on the copy, and each entry is
 * still loaded only once, so the guest gains nothing by changing the table under us.
 */
static inline enum ring_fault
split_enter_indirect(struct ring *r, const struct virtq_desc *raw, struct split_table *table)
{
	uint32_t len = le32_get(raw->len);

	if (!r->indirect)
		return RING_FAULT_INDIRECT_OFF;
	if (table->is_indirect)
		return RING_FAULT_INDIRECT_NESTED;
	if (le16_get(raw->flags) & VIRTQ_DESC_F_NEXT)
		return RING_FAULT_INDIRECT_NEXT;
	if (len == 0 || len % sizeof(struct virtq_desc) ||
	    len / sizeof(struct virtq_desc) > VIRTQ_SIZE_MAX)
		return RING_FAULT_INDIRECT_LEN;
	table->guest = le64_get(raw->addr);
	if (!range_is_sane(table->guest, len))
		return RING_FAULT_DESC_WRAP;
	table->g_desc = map_whole(r->map, &r->table_hint, (gpa){ table->guest }, len);
	table->size = len / sizeof(struct virtq_desc);
	table->is_indirect = true;
	return RING_FAULT_NONE;
}

static inline const struct virtq_desc *
split_table_slot(struct ring *r, const struct split_table *table, uint32_t slot)
{
	if (vhc_likely(table->g_desc))
		return &table->g_desc[slot];
	return map_whole(r->map, &r->table_hint,
			 (gpa){ table->guest + slot * sizeof(struct virtq_desc) },
			 sizeof(struct virtq_desc));
}

/* 2.7.5.2: follow next while NEXT; no chain is longer than its table. */
static inline enum ring_fault
split_walk(struct ring *r, struct chain *c, uint16_t head)
{
	struct split_table table = { .g_desc = r->g_desc, .size = r->size };
	uint32_t slot = head, nr_seen = 0;
	enum ring_fault fault;

	for (;;) {
		const struct virtq_desc *g_desc;
		struct virtq_desc raw;

		if (slot >= table.size)
			return RING_FAULT_NEXT_RANGE;
		if (++nr_seen > table.size)
			return RING_FAULT_CHAIN_LOOP;
		g_desc = split_table_slot(r, &table, slot);
		if (!g_desc)
			return RING_FAULT_INDIRECT_UNMAPPED;
		raw = guest_load_desc(g_desc);
		if (le16_get(raw.flags) & VIRTQ_DESC_F_INDIRECT) {
			fault = split_enter_indirect(r, &raw, &table);
			slot = 0;
			nr_seen = 0;
		} else {
			fault = walk_add(r, c, &raw);
			slot = le16_get(raw.next);
		}
		if (fault != RING_FAULT_NONE)
			return fault;
		if (!(le16_get(raw.flags) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT)))
			return RING_FAULT_NONE;
	}
}

/* The caller has seen split_ready() > 0. */
static inline enum take
split_take(struct ring *r, struct chain *c)
{
	uint16_t head = split_head(r, 0);
	enum ring_fault fault;

	if (head >= r->size) {
		vhc_ring_break(r, RING_FAULT_HEAD_RANGE);
		return TAKE_EMPTY;
	}
	r->avail_idx++;
	chain_begin(c, head);
	fault = split_walk(r, c, head);
	if (vhc_likely(fault == RING_FAULT_NONE))
		return TAKE_OK;
	vhc_ring_fault(r, fault);
	return TAKE_BAD;
}

/* ---- untake --------------------------------------------------------------------------------- */

/* As if the last `nr` chains had never been taken, nor the last `nr_given` entries staged. */
static inline void
split_untake(struct ring *r, uint16_t nr, uint16_t nr_given)
{
	r->avail_idx -= nr;
	r->nr_staged -= nr_given;
}

/* ---- give ----------------------------------------------------------------------------------- */

/* 2.7.8: the entry becomes the driver's when publish moves the index past it. */
static VHC_HOT void
split_give(struct ring *r, uint16_t id, uint32_t len)
{
	uint16_t slot = (uint16_t)(r->used_idx + r->nr_staged) & (r->size - 1);

	guest_store_used(&r->g_used->ring[slot], id, len);
	r->nr_staged++;
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
		 notify_is_due(guest_load16(&r->g_avail->ring[r->size]), r->used_idx,
			       r->signalled_idx);
	r->signalled_idx = r->used_idx;
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
	r->used_idx += r->nr_staged;
	r->nr_staged = 0;
	guest_store16_then_fence(&r->g_used->idx, r->used_idx);
	return split_wants_call(r);
}

/* ---- kicks ---------------------------------------------------------------------------------- */

/*
 * Ask for kicks, or say that we poll. True: work is there already, and no kick may come for it.
 * With EVENT_IDX refusing is leaving avail_event behind: 2.7.10 leaves no other way.
 */
static inline bool
split_kicks(struct ring *r, bool on)
{
	if (r->event_idx) {
		if (on)
			guest_store16_then_fence((le16 *)(void *)&r->g_used->ring[r->size],
						 r->avail_idx);
	} else {
		guest_store16_then_fence(&r->g_used->flags, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	}
	return on && split_ready(r) > 0;	/* [K] the fence above orders this after the wish */
}

/* ---- call ----------------------------------------------------------------------------------- */

/* 0; -EBADF: the driver polls; another -errno: the descriptor refused. */
static inline int
split_call(const struct ring *r)
{
	return r->call_fd >= 0 ? fd_signal(r->call_fd) : -EBADF;
}

#endif
