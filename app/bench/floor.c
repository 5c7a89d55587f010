/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * floor.c - the least a back-end can do: get an mbuf, copy the bytes, publish a used entry.
 *
 * Knows:   mbufs, a copy, the shape of a split ring's used ring.
 * Trusts:  everything; that is the point: no check, no descriptor, no header, no statistics.
 * Runs on: the main thread, in rounds between those of the drivers.
 */
#include "bench.h"
#include "floor.h"

#define SLOT_MASK (BENCH_RING_ENTRIES - 1)

struct used_entry {
	uint32_t id;
	uint32_t len;
};

/*
 * As many guest buffers as a ring holds are in turn, so that caches are as warm as a driver's.
 * Their addresses lie beside them, as descriptors have them.
 */
struct floor_ring {
	struct rte_mbuf *slots[BENCH_RING_ENTRIES];
	char *bytes[BENCH_RING_ENTRIES];
	struct used_entry used[BENCH_RING_ENTRIES];
	uint16_t head;
	uint16_t published;
};

static struct bench_pools pools;
static struct floor_ring pulled, pushed;

static inline void
publish(struct floor_ring *ring)
{
	ring->head += BENCH_BURST;
	__atomic_store_n(&ring->published, ring->head, __ATOMIC_RELEASE);
}

static int
floor_pull(struct rte_mbuf **mbufs, uint32_t size)
{
	if (rte_mempool_get_bulk(pools.back, (void **)mbufs, BENCH_BURST))
		return -1;
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		const char *from = pulled.bytes[(pulled.head + i) & SLOT_MASK];

		floor_fetch_mbuf(mbufs[i], size);
		__builtin_prefetch(from);
		__builtin_prefetch(from + size - 1);
	}
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (pulled.head + i) & SLOT_MASK;

		floor_fill_mbuf(mbufs[i], pulled.bytes[slot], size);
		pulled.used[slot] = (struct used_entry){ .id = slot, .len = 0 };
	}
	publish(&pulled);
	return 0;
}

static void
floor_push(struct rte_mbuf **mbufs, uint32_t size)
{
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		const char *to = pushed.bytes[(pushed.head + i) & SLOT_MASK];

		__builtin_prefetch(to, 1);
		__builtin_prefetch(to + size - 1, 1);
	}
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (pushed.head + i) & SLOT_MASK;

		if (size > SHORT_COPY)
			floor_fetch(pushed.bytes[(slot + 1) & SLOT_MASK], size);
		floor_copy(pushed.bytes[slot], floor_frame(mbufs[i]), size);
		pushed.used[slot] = (struct used_entry){ .id = slot, .len = size };
	}
	publish(&pushed);
	rte_mempool_put_bulk(pools.sent, (void **)mbufs, BENCH_BURST);
}

/* The front-end's part, not measured: buffers from `at` on are replaced, the old ones freed. */
static void
floor_offer(struct floor_ring *ring, uint16_t at, struct rte_mbuf **fresh)
{
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (at + i) & SLOT_MASK;

		rte_pktmbuf_free(ring->slots[slot]);
		ring->slots[slot] = fresh[i];
		ring->bytes[slot] = floor_frame(fresh[i]);
	}
}

static int
pull_once(uint32_t size, uint64_t *cycles)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t before;
	int rc;

	if (bench_packets_make(pools.sent, mbufs, size))
		return -1;
	floor_offer(&pulled, pulled.head, mbufs);
	before = bench_cycles_now();
	rc = floor_pull(mbufs, size);
	*cycles += bench_cycles_now() - before;
	if (rc == 0)
		rte_pktmbuf_free_bulk(mbufs, BENCH_BURST);
	return rc;
}

static int
push_once(uint32_t size, uint64_t *cycles)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t at = pushed.head;
	uint64_t before;

	if (bench_packets_make(pools.sent, mbufs, size))
		return -1;
	before = bench_cycles_now();
	floor_push(mbufs, size);
	*cycles += bench_cycles_now() - before;
	if (rte_pktmbuf_alloc_bulk(pools.front, mbufs, BENCH_BURST))
		return -1;
	floor_offer(&pushed, at, mbufs);
	return 0;
}

int
bench_floor_round(const struct bench_shot *shot, struct bench_sample *sample)
{
	double nr_packets = (double)shot->nr_bursts * BENCH_BURST;
	uint64_t pull = 0, push = 0;

	for (unsigned int burst = 0; burst < shot->nr_bursts; burst++)
		if (pull_once(shot->size, &pull) || push_once(shot->size, &push))
			return -1;
	sample->value[0] = (double)pull / nr_packets;
	sample->value[1] = (double)push / nr_packets;
	return 0;
}

int
bench_floor_open(void)
{
	struct rte_mbuf *mbufs[BENCH_BURST];

	if (bench_pools_create(&pools, 1))
		return -1;
	for (uint16_t at = 0; at < BENCH_RING_ENTRIES; at += BENCH_BURST) {
		if (rte_pktmbuf_alloc_bulk(pools.sent, mbufs, BENCH_BURST))
			return -1;
		floor_offer(&pulled, at, mbufs);
		if (rte_pktmbuf_alloc_bulk(pools.front, mbufs, BENCH_BURST))
			return -1;
		floor_offer(&pushed, at, mbufs);
	}
	return 0;
}

void
bench_floor_close(void)
{
	for (unsigned int i = 0; i < BENCH_RING_ENTRIES; i++) {
		rte_pktmbuf_free(pulled.slots[i]);
		rte_pktmbuf_free(pushed.slots[i]);
	}
	bench_pools_free(&pools);
}
