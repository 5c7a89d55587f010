/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * round.c - one round of measurement on one thread.
 *
 * Knows:   bursts and the time-stamp counter.
 * Trusts:  the ports.
 * Runs on: the main thread, which plays both sides in turn, so that only the back-end's burst is
 *          inside the measured interval.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

#define EMPTY_TRIES 64

/*
 * Everything before has been executed; stores may still be on their way to the cache, as they are
 * when a burst returns to any application.
 */
static inline uint64_t
cycles_now(void)
{
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#endif
	return rte_rdtsc();
}

static int
packets_make(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t size)
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

/* Everything `port` still has for us goes back to the pool. */
static unsigned int
drain(uint16_t port)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	unsigned int nr_all = 0;
	uint16_t nr;

	for (int tries = 0; tries < 4; tries++) {
		nr = rte_eth_rx_burst(port, 0, mbufs, BENCH_BURST);
		rte_pktmbuf_free_bulk(mbufs, nr);
		nr_all += nr;
	}
	return nr_all;
}

static int
pull_once(const struct bench_pair *pair, uint32_t size, uint64_t *cycles, uint64_t *packets)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nr_sent, nr;
	uint64_t before;

	if (packets_make(pair->sent_pool, mbufs, size))
		return -1;
	nr_sent = rte_eth_tx_burst(pair->front, 0, mbufs, BENCH_BURST);
	rte_pktmbuf_free_bulk(mbufs + nr_sent, BENCH_BURST - nr_sent);
	before = cycles_now();
	nr = rte_eth_rx_burst(pair->back, 0, mbufs, BENCH_BURST);
	*cycles += cycles_now() - before;
	*packets += nr;
	rte_pktmbuf_free_bulk(mbufs, nr);
	return 0;
}

static int
push_once(const struct bench_pair *pair, uint32_t size, uint64_t *cycles, uint64_t *packets)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t before;
	uint16_t nr;

	if (packets_make(pair->sent_pool, mbufs, size))
		return -1;
	before = cycles_now();
	nr = rte_eth_tx_burst(pair->back, 0, mbufs, BENCH_BURST);
	*cycles += cycles_now() - before;
	*packets += nr;
	rte_pktmbuf_free_bulk(mbufs + nr, BENCH_BURST - nr);
	if (drain(pair->front) != nr) {
		fprintf(stderr, "packets pushed into the front-end did not arrive\n");
		return -1;
	}
	return 0;
}

static double
idle_cycles(const struct bench_pair *pair)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t before = cycles_now();

	for (unsigned int i = 0; i < EMPTY_TRIES; i++)
		rte_eth_rx_burst(pair->back, 0, mbufs, BENCH_BURST);
	return (double)(cycles_now() - before) / EMPTY_TRIES;
}

int
bench_round(const struct bench_pair *pair, uint32_t size, unsigned int nr_bursts,
	    struct bench_sample *sample)
{
	uint64_t pull = 0, push = 0, nr_pulled = 0, nr_pushed = 0;

	drain(pair->back);
	for (unsigned int i = 0; i < nr_bursts; i++)
		if (pull_once(pair, size, &pull, &nr_pulled) ||
		    push_once(pair, size, &push, &nr_pushed))
			return -1;
	drain(pair->back);
	if (nr_pulled < nr_bursts * BENCH_BURST / 2 || nr_pushed < nr_bursts * BENCH_BURST / 2) {
		fprintf(stderr, "%s moved too few packets to be measured\n", pair->back_name);
		return -1;
	}
	sample->pull = (double)pull / (double)nr_pulled;
	sample->push = (double)push / (double)nr_pushed;
	sample->idle = idle_cycles(pair);
	return 0;
}
