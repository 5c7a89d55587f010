/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packets.c - a pool of mbufs that is a stack in ordinary memory, and frames with a number in them.
 */
#include "packets.h"

#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#define ROOM	(RTE_PKTMBUF_HEADROOM + 2048)
#define NR_MBUFS 512
#define NUMBER_AT (PACKETS_FRAME_LEN - sizeof(uint32_t))

/* The header is expected right before its mbuf. */
struct element {
	uint8_t unused[RTE_CACHE_LINE_SIZE - sizeof(struct rte_mempool_objhdr)];
	struct rte_mempool_objhdr header;
	struct rte_mbuf mbuf;
	uint8_t room[ROOM];
};

static struct element elements[NR_MBUFS];
static void *stack[NR_MBUFS];
static unsigned int nr_free;

/* ---- the pool ------------------------------------------------------------------------------- */

static int
stack_alloc(struct rte_mempool *pool)
{
	(void)pool;
	return 0;
}

static int
stack_put(struct rte_mempool *pool, void *const *objects, unsigned int n)
{
	(void)pool;
	memcpy(&stack[nr_free], objects, n * sizeof(*objects));
	nr_free += n;
	return 0;
}

static int
stack_get(struct rte_mempool *pool, void **objects, unsigned int n)
{
	(void)pool;
	if (nr_free < n)
		return -1;
	nr_free -= n;
	memcpy(objects, &stack[nr_free], n * sizeof(*objects));
	return 0;
}

static unsigned int
stack_count(const struct rte_mempool *pool)
{
	(void)pool;
	return nr_free;
}

static const struct rte_mempool_ops ops = {
	.name = "stack_of_a_test",
	.alloc = stack_alloc,
	.enqueue = stack_put,
	.dequeue = stack_get,
	.get_count = stack_count,
};

static void
fill(struct rte_mempool *pool)
{
	for (unsigned int i = 0; i < NR_MBUFS; i++) {
		elements[i].header.mp = pool;
		rte_pktmbuf_init(pool, NULL, &elements[i].mbuf, i);
		stack[nr_free++] = &elements[i].mbuf;
	}
}

struct rte_mempool *
packets_pool(void)
{
	size_t len = sizeof(struct rte_mempool) + sizeof(struct rte_pktmbuf_pool_private);
	struct rte_mempool *pool = aligned_alloc(RTE_CACHE_LINE_SIZE,
						 RTE_ALIGN_CEIL(len, RTE_CACHE_LINE_SIZE));
	struct rte_pktmbuf_pool_private *private;

	if (!pool)
		return NULL;
	memset(pool, 0, len);
	pool->size = NR_MBUFS;
	pool->elt_size = sizeof(struct rte_mbuf) + ROOM;
	pool->header_size = sizeof(struct rte_mempool_objhdr);
	pool->private_data_size = sizeof(*private);
	pool->ops_index = rte_mempool_register_ops(&ops);
	private = rte_mempool_get_priv(pool);
	private->mbuf_data_room_size = ROOM;
	fill(pool);
	return pool;
}

/* ---- frames --------------------------------------------------------------------------------- */

static void
make_frame(uint8_t *frame, uint32_t number)
{
	memset(frame, 0x5a, PACKETS_FRAME_LEN);
	memcpy(frame + NUMBER_AT, &number, sizeof(number));
}

/* More references than any push drops: the library frees what it consumed, and nothing is freed. */
uint16_t
packets_push(struct vhc_queue *q, unsigned int count, uint32_t number)
{
	static uint8_t frames[PACKETS_MAX][PACKETS_FRAME_LEN];
	static struct rte_mbuf packets[PACKETS_MAX];
	struct rte_mbuf *all[PACKETS_MAX];

	if (count > PACKETS_MAX)
		count = PACKETS_MAX;
	for (unsigned int i = 0; i < count; i++) {
		make_frame(frames[i], number == PACKETS_PLAIN ? number : number + i);
		all[i] = &packets[i];
		packets[i].buf_addr = frames[i];
		packets[i].nb_segs = 1;
		packets[i].data_len = packets[i].pkt_len = PACKETS_FRAME_LEN;
		rte_mbuf_refcnt_set(&packets[i], 2);
	}
	return vhc_net_push(q, all, (uint16_t)count);
}

static uint32_t
number_in(const struct rte_mbuf *m)
{
	const uint8_t *got = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t frame[PACKETS_FRAME_LEN];
	uint32_t number;

	if (m->pkt_len != PACKETS_FRAME_LEN || m->nb_segs != 1)
		return 0;
	memcpy(&number, got + NUMBER_AT, sizeof(number));
	make_frame(frame, number);
	return memcmp(got, frame, PACKETS_FRAME_LEN) ? 0 : number;
}

uint16_t
packets_pull(struct vhc_queue *q, unsigned int count, uint32_t *numbers)
{
	struct rte_mbuf *all[PACKETS_MAX];
	uint16_t nr;

	if (count > PACKETS_MAX)
		count = PACKETS_MAX;
	nr = vhc_net_pull(q, all, (uint16_t)count);
	for (uint16_t i = 0; i < nr; i++) {
		numbers[i] = number_in(all[i]);
		rte_pktmbuf_free(all[i]);
	}
	return nr;
}
