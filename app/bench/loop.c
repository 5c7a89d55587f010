/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.c - one round on two lcores: packets per second one way, the other, and there and back.
 *
 * Knows:   bursts, lcores.
 * Trusts:  the ports.
 * Runs on: the main lcore, which plays the front-ends and looks at the clock; a second one plays
 *          the back-ends. Packets are counted where they arrive.
 */
#include "bench.h"

#include <stdio.h>
#include <sys/resource.h>

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#define TRIES 5
#define TRIES_FOR_ANY 100	/* where so much else runs that the lcores never meet */

/* In the order of the mode's kinds. */
enum direction { PULL, PUSH, BOTH, DIRECTIONS };

struct stretch {
	const struct bench_side *side;
	enum direction direction;
	uint32_t size;
	bool is_running;
	bool is_over;
	uint64_t nr_at_back;
	uint64_t nr_at_front;
	long nr_lost;		/* times the system gave the back-ends' CPU to somebody else */
};

static long
times_cpu_was_lost(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

/* Only lengths are written: what the bytes say is of no interest to either side. */
static void
send_burst(const struct bench_lane *lane, uint16_t port, uint32_t size)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nr;

	if (rte_pktmbuf_alloc_bulk(lane->pair->pools.sent, mbufs, BENCH_BURST))
		return;
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		mbufs[i]->data_len = (uint16_t)size;
		mbufs[i]->pkt_len = size;
	}
	nr = rte_eth_tx_burst(port, lane->queue, mbufs, BENCH_BURST);
	rte_pktmbuf_free_bulk(mbufs + nr, BENCH_BURST - nr);
}

static uint16_t
receive_burst(const struct bench_lane *lane, uint16_t port)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nr = rte_eth_rx_burst(port, lane->queue, mbufs, BENCH_BURST);

	rte_pktmbuf_free_bulk(mbufs, nr);
	return nr;
}

static void
return_burst(const struct bench_lane *lane)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nr = rte_eth_rx_burst(lane->pair->back, lane->queue, mbufs, BENCH_BURST);
	uint16_t nr_sent = rte_eth_tx_burst(lane->pair->back, lane->queue, mbufs, nr);

	rte_pktmbuf_free_bulk(mbufs + nr_sent, nr - nr_sent);
}

static int
play_back_ends(void *arg)
{
	struct stretch *s = arg;
	long before = times_cpu_was_lost();

	__atomic_store_n(&s->is_running, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&s->is_over, __ATOMIC_RELAXED)) {
		for (unsigned int i = 0; i < s->side->nr_lanes; i++) {
			const struct bench_lane *lane = &s->side->lanes[i];

			if (s->direction == PULL)
				s->nr_at_back += receive_burst(lane, lane->pair->back);
			else if (s->direction == PUSH)
				send_burst(lane, lane->pair->back, s->size);
			else
				return_burst(lane);
		}
	}
	s->nr_lost = times_cpu_was_lost() - before;
	return 0;
}

static void
play_front_ends(struct stretch *s, uint64_t until)
{
	while (rte_rdtsc() < until) {
		for (unsigned int i = 0; i < s->side->nr_lanes; i++) {
			const struct bench_lane *lane = &s->side->lanes[i];

			if (s->direction != PUSH)
				send_burst(lane, lane->pair->front, s->size);
			if (s->direction != PULL)
				s->nr_at_front += receive_burst(lane, lane->pair->front);
		}
	}
}

static void
empty_rings(const struct bench_side *side)
{
	for (unsigned int i = 0; i < side->nr_lanes; i++) {
		bench_drain(side->lanes[i].pair->back, side->lanes[i].queue);
		bench_drain(side->lanes[i].pair->front, side->lanes[i].queue);
	}
}

/*
 * Millions of packets a second, 0 where the system gave one of the lcores no time, or -1.
 * `*is_disturbed`: one of them had to wait for its CPU.
 */
static double
run_stretch(const struct bench_side *side, const struct bench_shot *shot, enum direction direction,
	    bool *is_disturbed)
{
	long before = times_cpu_was_lost();
	struct stretch s = { .side = side, .direction = direction, .size = shot->size };
	unsigned int back_lcore = rte_get_next_lcore(-1, 1, 0);
	uint64_t start, took, nr;

	if (rte_eal_remote_launch(play_back_ends, &s, back_lcore)) {
		fprintf(stderr, "lcore %u cannot be started\n", back_lcore);
		return -1;
	}
	while (!__atomic_load_n(&s.is_running, __ATOMIC_ACQUIRE))
		rte_pause();
	start = rte_rdtsc();
	play_front_ends(&s, start + shot->millis * (rte_get_tsc_hz() / 1000));
	took = rte_rdtsc() - start;
	__atomic_store_n(&s.is_over, true, __ATOMIC_RELAXED);
	rte_eal_wait_lcore(back_lcore);
	*is_disturbed = s.nr_lost || times_cpu_was_lost() != before;
	empty_rings(side);
	nr = direction == PULL ? s.nr_at_back : s.nr_at_front;
	return (double)nr * (double)rte_get_tsc_hz() / (double)took / 1e6;
}

/* On a quiet machine the first try is the only one; on a busy one the last must do. */
static double
rate_of(const struct bench_side *side, const struct bench_shot *shot, enum direction direction)
{
	bool is_disturbed = true;
	double rate = 0, last;

	for (int tries = 0; rate == 0 ? tries < TRIES_FOR_ANY : is_disturbed && tries < TRIES;
	     tries++) {
		last = run_stretch(side, shot, direction, &is_disturbed);
		if (last < 0)
			return last;
		if (last > 0)
			rate = last;
	}
	if (rate == 0)
		fprintf(stderr, "%s moved no packet in %d times %u ms\n", side->pairs[0].back_name,
			TRIES_FOR_ANY, shot->millis);
	return rate;
}

int
bench_round_loop(const struct bench_side *side, const struct bench_shot *shot,
		 struct bench_sample *sample)
{
	for (enum direction d = PULL; d < DIRECTIONS; d++) {
		sample->value[d] = rate_of(side, shot, d);
		if (sample->value[d] <= 0)
			return -1;
	}
	return 0;
}
