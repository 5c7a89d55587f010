/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * round.c - one round on one thread: cycles inside the back-end's bursts, and of its empty polls.
 *
 * Knows:   bursts and the time-stamp counter.
 * Trusts:  the ports.
 * Runs on: the main thread, which plays both sides in turn, so that only the back-end's burst is
 *          inside the measured interval.
 */
#include "bench.h"

#include <stdio.h>

#include <rte_ethdev.h>

#define EMPTY_POLLS 8192

struct tally {
	uint64_t cycles;
	uint64_t packets;
};

/* Every front-end sends first, then every back-end is polled, as a switch goes round its ports. */
static int
pull_once(const struct bench_side *side, uint32_t size, struct tally *tally)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t before;
	uint16_t nr;

	for (unsigned int i = 0; i < side->nr_lanes; i++) {
		const struct bench_lane *lane = &side->lanes[i];

		if (bench_packets_make(lane->pair->pools.sent, mbufs, size))
			return -1;
		nr = rte_eth_tx_burst(lane->pair->front, lane->queue, mbufs, BENCH_BURST);
		rte_pktmbuf_free_bulk(mbufs + nr, BENCH_BURST - nr);
	}
	for (unsigned int i = 0; i < side->nr_lanes; i++) {
		const struct bench_lane *lane = &side->lanes[i];

		before = bench_cycles_now();
		nr = rte_eth_rx_burst(lane->pair->back, lane->queue, mbufs, BENCH_BURST);
		tally->cycles += bench_cycles_now() - before;
		tally->packets += nr;
		rte_pktmbuf_free_bulk(mbufs, nr);
	}
	return 0;
}

static int
push_once(const struct bench_side *side, uint32_t size, struct tally *tally)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	unsigned int nr_pushed = 0, nr_arrived = 0;
	uint64_t before;
	uint16_t nr;

	for (unsigned int i = 0; i < side->nr_lanes; i++) {
		const struct bench_lane *lane = &side->lanes[i];

		if (bench_packets_make(lane->pair->pools.sent, mbufs, size))
			return -1;
		before = bench_cycles_now();
		nr = rte_eth_tx_burst(lane->pair->back, lane->queue, mbufs, BENCH_BURST);
		tally->cycles += bench_cycles_now() - before;
		nr_pushed += nr;
		rte_pktmbuf_free_bulk(mbufs + nr, BENCH_BURST - nr);
	}
	for (unsigned int i = 0; i < side->nr_lanes; i++)
		nr_arrived += bench_drain(side->lanes[i].pair->front, side->lanes[i].queue);
	if (nr_arrived != nr_pushed) {
		fprintf(stderr, "%s: %u packets pushed into the front-end, %u arrived\n",
			side->pairs[0].back_name, nr_pushed, nr_arrived);
		return -1;
	}
	tally->packets += nr_pushed;
	return 0;
}

static double
idle_cycles(const struct bench_side *side, unsigned int nr_polls)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t before = bench_cycles_now();

	for (unsigned int poll = 0; poll < nr_polls; poll++)
		for (unsigned int i = 0; i < side->nr_lanes; i++)
			rte_eth_rx_burst(side->lanes[i].pair->back, side->lanes[i].queue, mbufs,
					 BENCH_BURST);
	return (double)(bench_cycles_now() - before) / nr_polls / side->nr_lanes;
}

/* What stray packets of the front-end's own and earlier rounds left. */
static void
clean_up(const struct bench_side *side)
{
	for (unsigned int i = 0; i < side->nr_lanes; i++)
		bench_drain(side->lanes[i].pair->back, side->lanes[i].queue);
}

int
bench_round_single(const struct bench_side *side, const struct bench_shot *shot,
		   struct bench_sample *sample)
{
	uint64_t enough = (uint64_t)shot->nr_bursts * BENCH_BURST * side->nr_lanes / 2;
	struct tally pull = { 0 }, push = { 0 };

	clean_up(side);
	for (unsigned int i = 0; i < shot->nr_bursts; i++)
		if (pull_once(side, shot->size, &pull) || push_once(side, shot->size, &push))
			return -1;
	clean_up(side);
	if (pull.packets < enough || push.packets < enough) {
		fprintf(stderr, "%s moved too few packets to be measured\n",
			side->pairs[0].back_name);
		return -1;
	}
	sample->value[0] = (double)pull.cycles / (double)pull.packets;
	sample->value[1] = (double)push.cycles / (double)push.packets;
	sample->value[2] = idle_cycles(side, EMPTY_POLLS);
	return 0;
}

int
bench_round_idle(const struct bench_side *side, const struct bench_shot *shot,
		 struct bench_sample *sample)
{
	clean_up(side);
	sample->value[0] = idle_cycles(side, shot->nr_bursts * BENCH_BURST);
	return 0;
}
