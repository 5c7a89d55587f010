/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk.h - append one copied descriptor to a chain: the only door from descriptors to spans.
 *
 * Knows:   the rules every descriptor obeys, in whatever table (virtio 1.2 2.7.4, 2.7.5).
 * Trusts:  nothing in the descriptor.
 * Runs on: polling lcore.
 */
#ifndef VHC_RING_WALK_H
#define VHC_RING_WALK_H

#include "chain.h"
#include "ring.h"

static inline void
chain_begin(struct chain *c, uint16_t id)
{
	c->id = id;
	c->nr_slots = 1;
	c->nr_spans = 0;
	c->nr_readable = 0;
	c->read_len = 0;
	c->write_len = 0;
}

/* 2.7.4.2: the driver places any writable descriptors after any readable ones. */
static inline enum ring_fault
walk_direction(struct chain *c, uint32_t len, uint16_t flags)
{
	uint32_t *total = &c->write_len;

	if (!(flags & VIRTQ_DESC_F_WRITE)) {
		if (c->nr_spans != c->nr_readable)
			return RING_FAULT_CHAIN_ORDER;
		total = &c->read_len;
	}
	/* 2.7.5: the total length of a chain is less than 2^32 bytes. */
	return __builtin_add_overflow(*total, len, total) ? RING_FAULT_CHAIN_BYTES
							  : RING_FAULT_NONE;
}

/* Guest memory that is contiguous need not be so here: one descriptor may become several spans. */
static inline enum ring_fault
walk_spans(struct ring *r, struct chain *c, uint64_t addr, uint32_t len, bool writes)
{
	const struct map *map = writes ? r->writable : r->readable;
	struct map_hint *hint = map == r->map ? &r->hint : &r->other_hint;

	while (len) {
		struct span span = map_span(map, hint, (gpa){ addr }, len);

		if (!span.len)
			return vhc_ring_miss(r, RING_FAULT_DESC_UNMAPPED, addr, len, writes);
		if (c->nr_spans == CHAIN_SPANS_MAX)
			return RING_FAULT_CHAIN_SPANS;
		c->spans[c->nr_spans++] = span;
		addr += span.len;
		len -= (uint32_t)span.len;
	}
	return RING_FAULT_NONE;
}

/*
 * Append what a copied descriptor says. RING_FAULT_NONE, or what is wrong with it. An empty one is
 * legal and adds nothing.
 */
static inline enum ring_fault
walk_add(struct ring *r, struct chain *c, uint64_t addr, uint32_t len, uint16_t flags)
{
	enum ring_fault fault = walk_direction(c, len, flags);

	if (fault != RING_FAULT_NONE)
		return fault;
	if (!range_is_sane(addr, len))
		return RING_FAULT_DESC_WRAP;
	fault = walk_spans(r, c, addr, len, flags & VIRTQ_DESC_F_WRITE);
	if (fault == RING_FAULT_NONE && !(flags & VIRTQ_DESC_F_WRITE))
		c->nr_readable = c->nr_spans;
	return fault;
}

/* A table of descriptors in guest memory, 16 bytes each, entries to be loaded once. */
struct walk_table {
	const uint8_t *g_base;	/* NULL: not contiguous here, look each entry up */
	uint64_t guest;
	uint32_t size;
	uint64_t entry[2];	/* a copy of one that does not lie in one piece */
};

/*
 * 2.7.5.3, 2.8.7: follow an indirect descriptor. Its length is judged on the copy, and each entry
 * is still loaded only once, so the guest gains nothing by changing the table under us.
 */
static inline enum ring_fault
walk_enter_indirect(struct ring *r, struct walk_table *table, uint64_t addr, uint32_t len)
{
	if (!r->indirect)
		return RING_FAULT_INDIRECT_OFF;
	if (len == 0 || len % sizeof(struct virtq_desc) ||
	    len / sizeof(struct virtq_desc) > VIRTQ_SIZE_MAX)
		return RING_FAULT_INDIRECT_LEN;
	if (!range_is_sane(addr, len))
		return RING_FAULT_DESC_WRAP;
	table->g_base = map_whole(r->readable, &r->table_hint, (gpa){ addr }, len);
	table->guest = addr;
	table->size = len / sizeof(struct virtq_desc);
	return RING_FAULT_NONE;
}

/* NULL: the entry lies in no region. */
static inline const void *
walk_table_entry(struct ring *r, struct walk_table *table, uint32_t slot)
{
	uint64_t offset = slot * sizeof(struct virtq_desc);
	const void *g_entry;

	if (vhc_likely(table->g_base))
		return table->g_base + offset;
	g_entry = map_whole(r->readable, &r->table_hint, (gpa){ table->guest + offset },
			    sizeof(struct virtq_desc));
	if (vhc_likely(g_entry))
		return g_entry;
	return vhc_ring_gather(r, table->guest + offset, table->entry, sizeof(table->entry)) ?
		table->entry : NULL;
}

/* What it means that it lies in none. */
static inline enum ring_fault
walk_table_miss(struct ring *r, const struct walk_table *table, uint32_t slot)
{
	return vhc_ring_miss(r, RING_FAULT_INDIRECT_UNMAPPED,
			     table->guest + slot * sizeof(struct virtq_desc),
			     sizeof(struct virtq_desc), false);
}

#endif
