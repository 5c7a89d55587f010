/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * miss.c - see miss.h.
 *
 * Knows:   the two tables of an IOTLB, and whose turn it is.
 * Trusts:  nothing of the address.
 * Runs on: the poller inside the gate; control while it is closed.
 */
#include "ring.h"

#include <string.h>

#include "../base/order.h"
#include "setup.h"
#include "verbs.h"

#define LOOK_AHEAD 64	/* chains: enough for the next burst, and for the one after it */

/* How much of [addr, addr + len) is there. */
static uint32_t
nr_there(const struct map *map, uint64_t addr, uint32_t len)
{
	struct map_hint hint = { 0 };
	uint32_t nr = 0;

	while (nr < len) {
		struct span span = map_span(map, &hint, (gpa){ addr + nr }, len - nr);

		if (!span.len)
			break;
		nr += (uint32_t)span.len;
	}
	return nr;
}

static bool
is_there(const struct map *map, uint64_t addr)
{
	return nr_there(map, addr, 1);
}

VHC_API bool
vhc_ring_gather(const struct ring *r, uint64_t addr, void *to, uint32_t len)
{
	struct map_hint hint = { 0 };
	uint32_t done = 0;

	while (done < len) {
		struct span span = map_span(r->readable, &hint, (gpa){ addr + done }, len - done);

		if (!span.len)
			return false;
		memcpy((uint8_t *)to + done, span.ptr, span.len);
		done += (uint32_t)span.len;
	}
	return true;
}

static void
note(struct ring_miss *miss, uint64_t iova, bool writes)
{
	miss->iova = iova;
	miss->writes = writes;
	miss->nr_asked = 0;
	st_release(&miss->state, MISS_NOTED);	/* [I] */
	fd_signal(miss->wake_fd);
}

VHC_API enum ring_fault
vhc_ring_miss(struct ring *r, enum ring_fault fault, uint64_t addr, uint32_t len, bool writes)
{
	struct ring_miss *miss = &r->miss;
	uint32_t state = ld_acquire(&miss->state);	/* [I] */
	uint32_t nr;

	if (!miss->is_on)
		return fault;
	nr = nr_there(writes ? r->writable : r->readable, addr, len);
	if (nr == len)
		return fault;	/* it is there, but in pieces where one is needed */
	if (state == MISS_NOTED || state == MISS_ASKED)
		return RING_FAULT_MISS;
	if (state == MISS_REFUSED && miss->iova == addr + nr && miss->writes == writes) {
		st_relaxed(&miss->state, MISS_NONE);
		return is_there(writes ? r->readable : r->writable, addr + nr) ?
			RING_FAULT_IOVA_DENIED : RING_FAULT_IOVA_REFUSED;
	}
	note(miss, addr + nr, writes);
	return RING_FAULT_MISS;
}

bool
vhc_ring_miss_recheck(struct ring *r)
{
	struct ring_miss *miss = &r->miss;

	if (miss->state == MISS_NONE || !is_there(miss->writes ? r->writable : r->readable,
						  miss->iova))
		return false;
	st_relaxed(&miss->state, MISS_NONE);
	return true;
}

/* The descriptor a chain begins with, `n` entries ahead; packed: also one in its middle. */
static bool
peek(const struct ring *r, uint16_t n, struct virtq_desc *raw)
{
	uint16_t id;

	if (r->kind == RING_PACKED) {
		struct virtq_packed_desc packed =
			guest_load_packed_desc(&r->g_packed[slot_after(r, r->avail, n).idx]);

		*raw = (struct virtq_desc){ packed.addr, packed.len, packed.flags, packed.id };
		return true;
	}
	id = guest_load16(&r->g_avail->ring[(uint16_t)(r->avail.idx + n) & (r->size - 1)]);
	if (id >= r->size)
		return false;
	*raw = guest_load_desc(&r->g_desc[id]);
	return true;
}

void
vhc_ring_look_ahead(struct ring *r)
{
	uint16_t nr = r->miss.is_on ? vhc_ring_nr_available(r) : 0;
	struct virtq_desc raw;

	nr = nr < LOOK_AHEAD ? nr : LOOK_AHEAD;
	for (uint16_t n = 0; n < nr && r->miss.state == MISS_NONE && peek(r, n, &raw); n++) {
		uint16_t flags = le16_get(raw.flags);
		bool writes = (flags & (VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT)) ==
			      VIRTQ_DESC_F_WRITE;

		if (range_is_sane(le64_get(raw.addr), le32_get(raw.len)))
			vhc_ring_miss(r, RING_FAULT_NONE, le64_get(raw.addr),
				      le32_get(raw.len), writes);
	}
}

void
vhc_ring_miss_part(struct ring *r, uint64_t iova, bool writes)
{
	struct ring_miss *miss = &r->miss;

	if (miss->state != MISS_ASKED || miss->iova != iova || miss->writes != writes)
		note(miss, iova, writes);
}
