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
#include "notify.h"
#include "ring.h"
#include "walk.h"

/* ---- where things are ----------------------------------------------------------------------- */

/* `n` slots on; sizes need not be powers of two. `n` is at most the size. */
static VHC_HOT struct ring_mark
packed_after(const struct ring *r, struct ring_mark mark, uint32_t n)
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
packed_room(const struct ring *r)
{
	int32_t nr_held = r->avail.idx - r->used.idx;

	if (r->avail.wrap != r->used.wrap)
		nr_held += r->size;
	return (uint16_t)(r->size - nr_held);
}

/* 2.8.1: available when the AVAIL bit matches the wrap counter and the USED bit does not. */
static VHC_HOT bool
packed_is_available(uint16_t flags, bool wrap)
{
	const uint16_t both = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

	return (flags & both) == (wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED);
}

/* ---- ready ---------------------------------------------------------------------------------- */

static VHC_HOT bool
packed_ready(struct ring *r)
{
	/* One load; the descriptor itself is loaded with acquire [A] when it is taken. */
	return packed_is_available(guest_load16(&r->g_packed[r->avail.idx].flags), r->avail.wrap) &&
	       vhc_likely(!r->broken);
}

/* ---- more ----------------------------------------------------------------------------------- */

static VHC_HOT bool
packed_more(struct ring *r)
{
	return packed_ready(r);
}

/* ---- look ----------------------------------------------------------------------------------- */

/* Descriptors follow one another: the hardware is ahead already. */
static VHC_HOT uint16_t
packed_look_ahead(const struct ring *r, uint16_t n)
{
	uint16_t room = packed_room(r);

	return n < room ? n : room;
}

/* Only whole buffers: the slots of a chain are for packed_take(). */
static VHC_HOT bool
packed_look(const struct ring *r, uint16_t n, struct ring_look *look)
{
	struct ring_mark at = packed_after(r, r->avail, n);
	struct virtq_packed_desc raw = guest_load_packed_desc(&r->g_packed[at.idx]);

	look->addr = le64_get(raw.addr);
	look->len = le32_get(raw.len);
	look->flags = le16_get(raw.flags);
	look->id = le16_get(raw.id);
	return packed_is_available(look->flags, at.wrap);
}

/* ---- skip ----------------------------------------------------------------------------------- */

static VHC_HOT void
packed_skip(struct ring *r, uint16_t n)
{
	r->avail = packed_after(r, r->avail, n);
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
			return RING_FAULT_INDIRECT_UNMAPPED;
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
	uint16_t nr = 0, room = packed_room(r);

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
		at = packed_after(r, at, 1);
		if (fault == RING_FAULT_NONE)
			fault = packed_walk_one(r, c, &raw, nr);
	} while (le16_get(raw.flags) & VIRTQ_DESC_F_NEXT);
	c->id = le16_get(raw.id);	/* 2.8.6: valid in the last descriptor only */
	c->nr_slots = nr;
	r->avail = at;
	if (vhc_likely(fault == RING_FAULT_NONE))
		return TAKE_OK;
	vhc_ring_fault(r, fault);
	return TAKE_BAD;
}

/* ---- give ----------------------------------------------------------------------------------- */

static VHC_HOT uint64_t
packed_used_bits(bool wrap, uint16_t id, uint32_t len)
{
	uint16_t flags = wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;

	return guest_packed_used(id, len, flags | (len ? VIRTQ_DESC_F_WRITE : 0));
}

/*
 * 2.8.8, 2.8.13.2: the entry goes into the first slot of its chain and stands for all of them. It
 * is the driver's as soon as its flags say so, but the driver reads in order: the first one of a
 * batch is withheld until publish, so the rest may be written at once.
 */
static VHC_HOT void
packed_give(struct ring *r, uint16_t id, uint32_t len, uint16_t nr_slots)
{
	struct ring_mark at = packed_after(r, r->used, r->nr_staged);
	uint64_t used = packed_used_bits(at.wrap, id, len);

	if (r->nr_staged == 0)
		r->staged_head = used;
	else
		guest_store_packed_used(&r->g_packed[at.idx], used);
	r->nr_staged += nr_slots;
}

/* `n` entries at once, each of one slot. */
static VHC_HOT void
packed_give_run(struct ring *r, const struct ring_used *used, uint16_t n)
{
	struct ring_mark at = packed_after(r, r->used, r->nr_staged);
	struct virtq_packed_desc *g_ring = r->g_packed;
	uint16_t size = r->size, i = 0;

	if (r->nr_staged == 0) {
		r->staged_head = packed_used_bits(at.wrap, used[0].id, used[0].len);
		i = 1;
		at = packed_after(r, at, 1);
	}
	for (; i < n; i++) {
		guest_store_packed_used(&g_ring[at.idx],
					packed_used_bits(at.wrap, used[i].id, used[i].len));
		if (vhc_unlikely(++at.idx == size)) {
			at.idx = 0;
			at.wrap = !at.wrap;
		}
	}
	r->nr_staged += n;
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
	uint16_t flags = le16_get(raw.flags), desc = le16_get(raw.desc);
	struct ring_mark old = r->signalled;
	bool valid = r->signalled_valid;
	int32_t event = desc & ((1 << VIRTQ_EVENT_WRAP_BIT) - 1), from = old.idx;

	r->signalled = r->used;
	r->signalled_valid = true;
	if (flags != RING_EVENT_FLAGS_DESC || !r->event_idx)
		return flags != RING_EVENT_FLAGS_DISABLE;
	/* Slots seen from where `used` is now: those of the round before are negative. */
	if (from >= r->used.idx)
		from -= r->size;
	if ((bool)(desc >> VIRTQ_EVENT_WRAP_BIT) != r->used.wrap)
		event -= r->size;
	return !valid || notify_is_due((uint16_t)event, r->used.idx, (uint16_t)from);
}

/* The withheld head makes the batch visible [U]; the fence is as in split_publish() [N]. */
static VHC_HOT bool
packed_publish(struct ring *r)
{
	struct virtq_packed_desc *g_head = &r->g_packed[r->used.idx];

	r->used = packed_after(r, r->used, r->nr_staged);
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
