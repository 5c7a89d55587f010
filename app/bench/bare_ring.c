/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bare_ring.c - the floor of many devices: read descriptors, copy, publish; no check of anything.
 *
 * Knows:   both layouts of rings, that bursts come in whole and rings are a multiple of them.
 * Trusts:  everything; that is the point. It touches as many cache lines as the library does.
 * Runs on: the main thread, in rounds between those of the library.
 */
#include "devices.h"
#include "floor.h"

#include "base/order.h"

#define SLOT_MASK (BENCH_RING_ENTRIES - 1)

/* What a chain of one descriptor says. */
struct bare_chain {
	uint8_t *bytes;
	uint32_t len;
	uint16_t id;
};

/* Also a poll that finds nothing has the first of its lines to read. */
static inline void
enter(struct bare_ring *ring)
{
	ring->state[0][0]++;
}

static inline bool
wrap_of(const struct bare_ring *ring)
{
	return !(ring->at & BENCH_RING_ENTRIES);
}

static inline bool
is_ready(const struct bare_ring *ring, enum ring_kind kind)
{
	uint16_t flags;

	if (kind == RING_SPLIT)
		return le16toh(ld_acquire(&ring->avail->idx.raw)) != ring->at;
	flags = le16toh(ld_acquire(&ring->packed[ring->at & SLOT_MASK].flags.raw));
	return !!(flags & VIRTQ_DESC_F_AVAIL) == wrap_of(ring) &&
	       !!(flags & VIRTQ_DESC_F_USED) != wrap_of(ring);
}

static inline struct bare_chain
chain_at(const struct bare_ring *ring, enum ring_kind kind, unsigned int nr)
{
	unsigned int slot = (ring->at + nr) & SLOT_MASK;
	uint16_t id = le16_get(kind == RING_SPLIT ? ring->avail->ring[slot] :
						    ring->packed[slot].id);
	/* The layouts agree on address and length. */
	const struct virtq_desc *desc =
		kind == RING_SPLIT ? &ring->desc[id] : (const void *)&ring->packed[slot];

	return (struct bare_chain){
		.bytes = ring->memory + le64_get(desc->addr) - FRONTEND_AT,
		.len = le32_get(desc->len),
		.id = id,
	};
}

static inline le16
used_flags(const struct bare_ring *ring, bool was_written)
{
	return le16_put((uint16_t)((wrap_of(ring) ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0) |
				   (was_written ? VIRTQ_DESC_F_WRITE : 0)));
}

/* The first flags of a packed burst hand over all of it, so publish() writes them. */
static inline void
use(struct bare_ring *ring, enum ring_kind kind, unsigned int nr, uint16_t id, uint32_t len)
{
	unsigned int slot = (ring->at + nr) & SLOT_MASK;

	if (kind == RING_SPLIT) {
		ring->used->ring[slot] = (struct virtq_used_elem){
			.id = le32_put(id), .len = le32_put(len),
		};
		return;
	}
	ring->packed[slot].id = le16_put(id);
	ring->packed[slot].len = le32_put(len);
	if (nr)
		ring->packed[slot].flags = used_flags(ring, len);
}

static inline void
publish(struct bare_ring *ring, enum ring_kind kind, bool was_written)
{
	uint16_t end = ring->at + BENCH_BURST;

	for (unsigned int line = 1; line < BARE_LINES; line++)
		ring->state[line][0] += BENCH_BURST;
	if (kind == RING_SPLIT)
		st_release(&ring->used->idx.raw, htole16(end));
	else
		st_release(&ring->packed[ring->at & SLOT_MASK].flags.raw,
			   used_flags(ring, was_written).raw);
	ring->at = end;
}

static inline uint16_t
bare_pull(struct bare_ring *ring, struct rte_mbuf **mbufs, enum ring_kind kind)
{
	struct bare_chain chains[BENCH_BURST];

	enter(ring);
	if (!is_ready(ring, kind) ||
	    rte_mempool_get_bulk(ring->pool, (void **)mbufs, BENCH_BURST))
		return 0;
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		chains[i] = chain_at(ring, kind, i);
		floor_fetch_mbuf(mbufs[i], chains[i].len);
		__builtin_prefetch(chains[i].bytes);
		__builtin_prefetch(chains[i].bytes + chains[i].len - 1);
	}
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		floor_fill_mbuf(mbufs[i], chains[i].bytes + DEVICE_HDR_LEN,
				chains[i].len - DEVICE_HDR_LEN);
		use(ring, kind, i, chains[i].id, 0);
	}
	publish(ring, kind, false);
	return BENCH_BURST;
}

static inline uint16_t
bare_push(struct bare_ring *ring, struct rte_mbuf **mbufs, enum ring_kind kind)
{
	struct bare_chain chains[BENCH_BURST];
	uint32_t size = mbufs[0]->data_len;

	enter(ring);
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		chains[i] = chain_at(ring, kind, i);
		__builtin_prefetch(chains[i].bytes, 1);
		__builtin_prefetch(chains[i].bytes + DEVICE_HDR_LEN + size - 1, 1);
	}
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		if (size > SHORT_COPY && i + 1 < BENCH_BURST)
			floor_fetch(chains[i + 1].bytes, DEVICE_HDR_LEN + size);
		floor_copy(chains[i].bytes + DEVICE_HDR_LEN, floor_frame(mbufs[i]), size);
		use(ring, kind, i, chains[i].id, DEVICE_HDR_LEN + size);
	}
	publish(ring, kind, true);
	rte_mempool_put_bulk(ring->pool, (void **)mbufs, BENCH_BURST);
	return BENCH_BURST;
}

static uint16_t
pull_split(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return bare_pull(&d->bare_pull, mbufs, RING_SPLIT);
}

static uint16_t
push_split(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return bare_push(&d->bare_push, mbufs, RING_SPLIT);
}

static uint16_t
pull_packed(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return bare_pull(&d->bare_pull, mbufs, RING_PACKED);
}

static uint16_t
push_packed(struct bench_device *d, struct rte_mbuf **mbufs)
{
	return bare_push(&d->bare_push, mbufs, RING_PACKED);
}

void
bare_rings_choose(struct bench_devices *side, enum ring_kind kind)
{
	side->pull = kind == RING_SPLIT ? pull_split : pull_packed;
	side->push = kind == RING_SPLIT ? push_split : push_packed;
}

void
bare_ring_init(struct bare_ring *ring, const struct driver *d, uint8_t *memory,
	       struct rte_mempool *pool)
{
	*ring = (struct bare_ring){
		.memory = memory,
		.pool = pool,
		.desc = (void *)(memory + d->desc_at - FRONTEND_AT),
		.avail = (void *)(memory + d->avail_at - FRONTEND_AT),
		.used = (void *)(memory + d->used_at - FRONTEND_AT),
	};
}
