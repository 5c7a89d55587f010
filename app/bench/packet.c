/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.c - make packets, and take back what a port still holds.
 *
 * Knows:   mbufs and bursts.
 * Trusts:  the ports.
 * Runs on: the thread of the caller; none of it is inside a measured interval of one thread.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define MAX_DRAIN 64

int
bench_packets_make(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t size)
{
	if (rte_pktmbuf_alloc_bulk(pool, mbufs, BENCH_BURST)) {
		fprintf(stderr, "the mbuf pool is empty\n");
		return -1;
	}
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		/* An address of a single station, as most traffic has. */
		memset(rte_pktmbuf_append(mbufs[i], (uint16_t)size), 0x52, 64);
	}
	return 0;
}

/*
 * Everything `port` still has for us goes back to the pool. Two empty polls in a row end it: a
 * front-end may need one to make room for the rest.
 */
unsigned int
bench_drain(uint16_t port, uint16_t queue)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	unsigned int nr_all = 0, nr_empty = 0;

	for (int tries = 0; tries < MAX_DRAIN && nr_empty < 2; tries++) {
		uint16_t nr = rte_eth_rx_burst(port, queue, mbufs, BENCH_BURST);

		rte_pktmbuf_free_bulk(mbufs, nr);
		nr_all += nr;
		nr_empty = nr ? 0 : nr_empty + 1;
	}
	return nr_all;
}
