/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * floor.c - the least a back-end can do: get an mbuf, copy the bytes, publish a used entry.
 *
 * Knows:   mbufs, a copy, the shape of a split ring's used ring.
 * Trusts:  everything; that is the point: no check, no descriptor, no header, no statistics.
 * Runs on: the main thread, in rounds between those of the drivers.
 */
#include "bench.h"

#include <string.h>

#include <rte_mbuf.h>
#include <rte_memcpy.h>

#define SHORT_COPY 256
#define SLOT_MASK (BENCH_RING_ENTRIES - 1)

struct used_entry {
	uint32_t id;
	uint32_t len;
};

/* As many guest buffers as a ring holds are in turn, so that caches are as warm as a driver's. */
struct floor_ring {
	struct rte_mbuf *slots[BENCH_RING_ENTRIES];
	struct used_entry used[BENCH_RING_ENTRIES];
	uint16_t head;
	uint16_t published;
};

static struct bench_pools pools;
static struct floor_ring pulled, pushed;

/* The C library knows the CPU's best way for many bytes, inline code is ahead for few. */
static inline void
copy(void *to, const void *from, uint32_t size)
{
	if (size <= SHORT_COPY)
		rte_memcpy(to, from, size);
	else
		memcpy(to, from, size);
}

static inline void
publish(struct floor_ring *ring)
{
	ring->head += BENCH_BURST;
	__atomic_store_n(&ring->published, ring->head, __ATOMIC_RELEASE);
}

static int
floor_pull(struct rte_mbuf **mbufs, uint32_t size)
{
	if (rte_pktmbuf_alloc_bulk(pools.back, mbufs, BENCH_BURST))
		return -1;
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (pulled.head + i) & SLOT_MASK;

		copy(rte_pktmbuf_mtod(mbufs[i], void *),
		     rte_pktmbuf_mtod(pulled.slots[slot], void *), size);
		mbufs[i]->data_len = (uint16_t)size;
		mbufs[i]->pkt_len = size;
		pulled.used[slot] = (struct used_entry){ .id = slot, .len = 0 };
	}
	publish(&pulled);
	return 0;
}

static void
floor_push(struct rte_mbuf **mbufs, uint32_t size)
{
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (pushed.head + i) & SLOT_MASK;

		copy(rte_pktmbuf_mtod(pushed.slots[slot], void *),
		     rte_pktmbuf_mtod(mbufs[i], void *), size);
		pushed.used[slot] = (struct used_entry){ .id = slot, .len = size };
	}
	publish(&pushed);
	rte_mempool_put_bulk(pools.sent, (void **)mbufs, BENCH_BURST);
}

/* The front-end's part, not measured: fresh buffers for the next burst, the old ones to the pool. */
static void
floor_offer(struct floor_ring *ring, struct rte_mbuf **fresh)
{
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		unsigned int slot = (ring->head + i) & SLOT_MASK;

		rte_pktmbuf_free(ring->slots[slot]);
		ring->slots[slot] = fresh[i];
	}
}

int
bench_floor_round(const struct bench_shot *shot, struct bench_sample *sample)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t pull = 0, push = 0, before;
	double nr_packets = (double)shot->nr_bursts * BENCH_BURST;

	for (unsigned int burst = 0; burst < shot->nr_bursts; burst++) {
		if (bench_packets_make(pools.sent, mbufs, shot->size))
			return -1;
		floor_offer(&pulled, mbufs);
		before = bench_cycles_now();
		if (floor_pull(mbufs, shot->size))
			return -1;
		pull += bench_cycles_now() - before;
		rte_pktmbuf_free_bulk(mbufs, BENCH_BURST);

		if (rte_pktmbuf_alloc_bulk(pools.front, mbufs, BENCH_BURST))
			return -1;
		floor_offer(&pushed, mbufs);
		if (bench_packets_make(pools.sent, mbufs, shot->size))
			return -1;
		before = bench_cycles_now();
		floor_push(mbufs, shot->size);
		push += bench_cycles_now() - before;
	}
	sample->value[0] = (double)pull / nr_packets;
	sample->value[1] = (double)push / nr_packets;
	return 0;
}

int
bench_floor_open(void)
{
	return bench_pools_create(&pools, 1);
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
