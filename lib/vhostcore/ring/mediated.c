/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mediated.c - see mediated.h.
 *
 * Knows:   the split layout.
 * Trusts:  neither the hardware's entries nor the guest's descriptors.
 * Runs on: see mediated.h.
 *
 * The hardware has used a chain already when we look at its descriptors, so a guest that changes
 * them meanwhile only fools its own migration; all that must not happen is that it fools us. What
 * cannot be followed is counted, and passed on all the same.
 */
#include "mediated.h"

#include <errno.h>

#include "../mem/guest.h"
#include "walk.h"

struct mark {
	struct dirty_map *log;
	struct ring *r;
};

static enum ring_fault
mark_piece(const struct mark *m, const struct virtq_desc *raw)
{
	uint64_t addr = le64_get(raw->addr);
	uint32_t len = le32_get(raw->len);

	if (!(le16_get(raw->flags) & VIRTQ_DESC_F_WRITE))
		return RING_FAULT_NONE;
	if (!range_is_sane(addr, len))
		return RING_FAULT_DESC_WRAP;
	vhc_dirty_log_mark(m->log, (gpa){ addr }, len);
	return RING_FAULT_NONE;
}

/* 2.7.5.3: no table within a table, and its entries are linked like a ring's. */
static enum ring_fault
mark_table(const struct mark *m, const struct virtq_desc *indirect)
{
	struct walk_table table;
	enum ring_fault fault = walk_enter_indirect(m->r, &table, le64_get(indirect->addr),
						    le32_get(indirect->len));
	uint32_t slot = 0;

	for (uint32_t n = 0; fault == RING_FAULT_NONE && n < table.size; n++) {
		const struct virtq_desc *g_entry = walk_table_entry(m->r, &table, slot);
		struct virtq_desc raw;

		if (!g_entry)
			return RING_FAULT_INDIRECT_UNMAPPED;
		raw = guest_load_desc(g_entry);
		if (le16_get(raw.flags) & VIRTQ_DESC_F_INDIRECT)
			return RING_FAULT_INDIRECT_NESTED;
		fault = mark_piece(m, &raw);
		if (!(le16_get(raw.flags) & VIRTQ_DESC_F_NEXT))
			return fault;
		slot = le16_get(raw.next);
		if (slot >= table.size)
			return RING_FAULT_NEXT_RANGE;
	}
	return fault == RING_FAULT_NONE ? RING_FAULT_CHAIN_LOOP : fault;
}

static enum ring_fault
mark_chain(const struct mark *m, uint16_t slot)
{
	for (uint32_t n = 0; n < m->r->size; n++) {
		struct virtq_desc raw = guest_load_desc(&m->r->g_desc[slot]);
		uint16_t flags = le16_get(raw.flags);
		enum ring_fault fault;

		if (flags & VIRTQ_DESC_F_INDIRECT)
			return flags & VIRTQ_DESC_F_NEXT ? RING_FAULT_INDIRECT_NEXT :
							   mark_table(m, &raw);
		fault = mark_piece(m, &raw);
		if (fault != RING_FAULT_NONE || !(flags & VIRTQ_DESC_F_NEXT))
			return fault;
		slot = le16_get(raw.next);
		if (slot >= m->r->size)
			return RING_FAULT_NEXT_RANGE;
	}
	return RING_FAULT_CHAIN_LOOP;
}

/* One entry into the ring, its buffers into the log. */
static int
relay_one(const struct mark *m, const struct virtq_used *hw, uint16_t idx)
{
	struct ring *r = m->r;
	uint16_t slot = idx & (r->size - 1);
	uint32_t id = le32toh(ld_relaxed(&hw->ring[slot].id.raw));
	uint32_t len = le32toh(ld_relaxed(&hw->ring[slot].len.raw));
	enum ring_fault fault = RING_FAULT_NONE;

	/* Hardware gives back what it was given. */
	if (id >= r->size) {
		vhc_ring_break(r, RING_FAULT_HEAD_RANGE);
		return -EPROTO;
	}
	if (m->log)
		fault = mark_chain(m, (uint16_t)id);
	if (fault != RING_FAULT_NONE)
		vhc_ring_fault(r, fault);
	guest_store_used(&r->g_used->ring[slot], (uint16_t)id, len);
	return 0;
}

static int
relay(const struct mark *m, const struct virtq_used *hw, uint16_t nr)
{
	struct ring *r = m->r;
	uint16_t idx = r->used.idx;
	int rc = 0;

	while (nr && rc == 0) {
		rc = relay_one(m, hw, idx);
		idx = (uint16_t)(idx + (rc == 0));
		nr--;
	}
	nr = (uint16_t)(idx - r->used.idx);
	if (nr) {
		st_release(&r->g_used->idx.raw, htole16(idx));	/* [U] */
		st_relaxed(&r->used.idx, idx);
	}
	return rc ? rc : nr;
}

int
vhc_ring_relay_used(struct ring *r, const struct virtq_used *hw, struct dirty_log *dirty,
		    uint16_t *first)
{
	uint16_t nr = (uint16_t)(guest_load16_acquire(&hw->idx) - r->used.idx);
	struct mark m = { .r = r };
	int rc;

	*first = r->used.idx;
	if (nr > r->size || r->broken)
		return -EPROTO;
	/* The hardware's own stores came before its index. */
	m.log = nr ? dirty_log_hold(dirty) : NULL;
	rc = relay(&m, hw, nr);
	if (m.log)
		dirty_log_release(m.log);
	return rc;
}
