/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - the only loads and stores on ring memory that the guest shares with us.
 *
 * Knows:   that each access must be exactly one access: the guest changes memory while we look.
 * Trusts:  nothing it loads; the result is a raw value for the caller to judge.
 * Runs on: polling lcore, control thread.
 */
#ifndef VHC_MEM_GUEST_H
#define VHC_MEM_GUEST_H

#include <string.h>

#include "../base/order.h"
#include "../spec/virtio_ring.h"

static VHC_HOT uint16_t
guest_load16(const le16 *g)
{
	return le16toh(ld_relaxed(&g->raw));
}

static VHC_HOT uint16_t
guest_load16_acquire(const le16 *g)
{
	return le16toh(ld_acquire(&g->raw));
}

static VHC_HOT void
guest_store16(le16 *g, uint16_t v)
{
	st_relaxed(&g->raw, htole16(v));
}

/* Publish, then order later loads behind it: the driver's "do not interrupt" is read next. */
static VHC_HOT void
guest_store16_then_fence(le16 *g, uint16_t v)
{
	st_then_fence(&g->raw, htole16(v));
}

/* One descriptor, each half loaded once, into private memory. */
static VHC_HOT struct virtq_desc
guest_load_desc(const struct virtq_desc *g)
{
	const uint64_t *g_halves = (const uint64_t *)(const void *)g;
	uint64_t halves[2] = { ld_relaxed(&g_halves[0]), ld_relaxed(&g_halves[1]) };
	struct virtq_desc raw;

	memcpy(&raw, halves, sizeof(raw));
	return raw;
}

/*
 * One packed descriptor. The half with the flags is loaded first, with acquire [A]: if they say
 * that it is available, the other half is the one that was made available.
 */
static VHC_HOT struct virtq_packed_desc
guest_load_packed_desc(const struct virtq_packed_desc *g)
{
	const uint64_t *g_halves = (const uint64_t *)(const void *)g;
	uint64_t halves[2];
	struct virtq_packed_desc raw;

	halves[1] = ld_acquire(&g_halves[1]);
	halves[0] = ld_relaxed(&g_halves[0]);
	memcpy(&raw, halves, sizeof(raw));
	return raw;
}

/* What the driver reads of a used packed descriptor, in one piece. */
static VHC_HOT uint64_t
guest_packed_used(uint16_t id, uint32_t len, uint16_t flags)
{
	return htole64((uint64_t)flags << 48 | (uint64_t)id << 32 | len);
}

static VHC_HOT void
guest_store_packed_used(struct virtq_packed_desc *g, uint64_t used)
{
	st_release((uint64_t *)(void *)&g->len, used);
}

static VHC_HOT void
guest_store_packed_used_then_fence(struct virtq_packed_desc *g, uint64_t used)
{
	st_then_fence((uint64_t *)(void *)&g->len, used);
}

/* Both halves of an event structure at once. */
static VHC_HOT void
guest_store_event_then_fence(struct virtq_event *g, uint16_t desc, uint16_t flags)
{
	st_then_fence((uint32_t *)(void *)g, htole32((uint32_t)flags << 16 | desc));
}

static VHC_HOT struct virtq_event
guest_load_event(const struct virtq_event *g)
{
	uint32_t both = ld_relaxed((const uint32_t *)(const void *)g);
	struct virtq_event raw;

	memcpy(&raw, &both, sizeof(raw));
	return raw;
}

/* What the driver reads of a used entry, in one piece. */
static VHC_HOT uint64_t
guest_used(uint16_t id, uint32_t len)
{
	return htole64((uint64_t)len << 32 | id);
}

/* One used entry in one store; the index store that follows publishes it. */
static VHC_HOT void
guest_store_used(struct virtq_used_elem *g, uint16_t id, uint32_t len)
{
	st_relaxed((uint64_t *)(void *)g, guest_used(id, len));
}

/* Neighbours, in stores as wide as may be: nobody looks before the index says so. */
static VHC_HOT void
guest_store_used_run(struct virtq_used_elem *g, const uint64_t *used, uint32_t n)
{
	memcpy(g, used, n * sizeof(*used));
}

#endif
