/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.h - many chains at once, each of one descriptor: the verbs of the fast path.
 *
 * Knows:   both layouts, virtio 1.2 sections 2.7 and 2.8; each verb for one, then for the other.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: polling lcore inside the queue's gate.
 *
 * A window is a piece of the ring that does not go round its end, so that nothing in it needs a
 * modulo. What has another shape than one buffer a chain is left for take.
 */
#ifndef VHC_RING_WINDOW_H
#define VHC_RING_WINDOW_H

#include "../mem/guest.h"
#include "ring.h"
#include "slot.h"

/*
 * Entries that may be looked at one by one: neither they nor the used entries for them go round
 * the ring's end. What does not change while they are looked at, so that it stays in registers.
 */
struct ring_window {
	union {
		const struct virtq_desc *g_desc;	/* split: the table */
		const struct virtq_packed_desc *g_packed;	/* packed: the first entry */
	};
	const le16 *g_ids;	/* split: the first entry */
	uint32_t size;		/* split: of the table */
	uint16_t flags;		/* packed: AVAIL and USED of a slot that is available */
	bool wrap;		/* packed: of its used entries */
	uint32_t nr;
};

/* A descriptor the driver made available, copied and not judged: one entry, one buffer. */
struct ring_look {
	uint64_t addr;
	uint32_t len;
	uint16_t shape;		/* RING_SHAPE_*; anything else is for take */
	uint16_t id;
};

#define RING_SHAPE_READ		0
#define RING_SHAPE_WRITE	VIRTQ_DESC_F_WRITE
#define RING_SHAPE_FLAGS	(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT)

/* ---- window --------------------------------------------------------------------------------- */

/* As much of the next `n` as is available and in one piece. */
static VHC_HOT struct ring_window
split_window(const struct ring *r, uint32_t n)
{
	uint32_t mask = r->size - 1u, slot = r->avail.idx & mask;
	uint32_t nr_seen = (uint16_t)(r->avail_seen - r->avail.idx);
	uint32_t to_end = r->size - slot;
	uint32_t to_used_end = r->size - ((uint32_t)(r->used.idx + r->nr_staged) & mask);

	n = n < nr_seen ? n : nr_seen;
	n = n < to_end ? n : to_end;
	return (struct ring_window){
		.g_desc = r->g_desc,
		.g_ids = &r->g_avail->ring[slot],
		.size = r->size,
		.nr = n < to_used_end ? n : to_used_end,
	};
}

/* As much of the next `n` as may be available and is in one piece. */
static VHC_HOT struct ring_window
packed_window(const struct ring *r, uint32_t n)
{
	struct ring_mark used = slot_after(r, r->used, r->nr_staged);
	uint32_t room = slot_room(r), to_end = (uint32_t)r->size - r->avail.idx;
	uint32_t to_used_end = (uint32_t)r->size - used.idx;

	n = n < room ? n : room;
	n = n < to_end ? n : to_end;
	return (struct ring_window){
		.g_packed = &r->g_packed[r->avail.idx],
		.flags = slot_available_flags(r->avail.wrap),
		.wrap = used.wrap,
		.nr = n < to_used_end ? n : to_used_end,
	};
}

/* ---- look ----------------------------------------------------------------------------------- */

static VHC_HOT bool
split_look(const struct ring_window *w, uint32_t n, struct ring_look *look)
{
	uint32_t raw_id = guest_load16(&w->g_ids[n]);
	struct virtq_desc raw;

	if (vhc_unlikely(raw_id >= w->size))
		return false;	/* split_take() finds the words */
	raw = guest_load_desc(&w->g_desc[raw_id]);
	look->addr = le64_get(raw.addr);
	look->len = le32_get(raw.len);
	look->shape = le16_get(raw.flags) & RING_SHAPE_FLAGS;
	look->id = (uint16_t)raw_id;
	return true;
}

/* Only whole buffers: the slots of a chain are for packed_take(). */
static VHC_HOT bool
packed_look(const struct ring_window *w, uint32_t n, struct ring_look *look)
{
	struct virtq_packed_desc raw = guest_load_packed_desc(&w->g_packed[n]);

	look->addr = le64_get(raw.addr);
	look->len = le32_get(raw.len);
	/* A slot that is not available has bits left that no shape has. */
	look->shape = (le16_get(raw.flags) ^ w->flags) & (RING_SHAPE_FLAGS | SLOT_FLAGS);
	look->id = le16_get(raw.id);
	return true;
}

/* ---- skip ----------------------------------------------------------------------------------- */

static VHC_HOT void
split_skip(struct ring *r, uint16_t n)
{
	r->avail.idx += n;
}

static VHC_HOT void
packed_skip(struct ring *r, uint16_t n)
{
	r->avail = slot_after(r, r->avail, n);
}

/* ---- used ----------------------------------------------------------------------------------- */

/* What split_give_run() stores. */
static VHC_HOT uint64_t
split_used(uint16_t id, uint32_t len)
{
	return guest_used(id, len);
}

/* What packed_give_run() stores. The slots of a window were available in one turn of the ring. */
static VHC_HOT uint64_t
packed_used(const struct ring_window *w, uint16_t id, uint32_t len)
{
	return slot_used_bits(w->wrap, id, len);
}

static VHC_HOT uint16_t
split_used_id(uint64_t used)
{
	return (uint16_t)le64toh(used);
}

static VHC_HOT uint16_t
packed_used_id(uint64_t used)
{
	return (uint16_t)(le64toh(used) >> 32);
}

/* ---- give_run ------------------------------------------------------------------------------- */

/* `n` entries of a window at once. */
static VHC_HOT void
split_give_run(struct ring *r, const uint64_t *used, uint32_t n)
{
	uint16_t slot = (uint16_t)(r->used.idx + r->nr_staged) & (r->size - 1);

	guest_store_used_run(&r->g_used->ring[slot], used, n);
	r->nr_staged += (uint16_t)n;
}

/* `n` entries of a window at once, each of one slot. */
static VHC_HOT void
packed_give_run(struct ring *r, const uint64_t *used, uint32_t n)
{
	struct virtq_packed_desc *g_slots =
		&r->g_packed[slot_after(r, r->used, r->nr_staged).idx];
	uint32_t i = 0;

	if (r->nr_staged == 0) {
		r->staged_head = used[0];
		i = 1;
	}
	for (; i < n; i++)
		guest_store_packed_used(&g_slots[i], used[i]);
	r->nr_staged += (uint16_t)n;
}

#endif
