/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_round.c - one round over many devices: cycles of bursts, and of polls that find nothing.
 *
 * Knows:   the model's driver, the time-stamp counter.
 * Trusts:  its own devices.
 * Runs on: the main thread, which plays all front-ends and polls all devices. Front-ends go first,
 *          all of them, so what a burst finds in the caches is what as many devices leave there.
 */
#include "devices.h"

#include <stdio.h>
#include <string.h>

#define LEAST_SIZE 64
#define LEAST_LAPS 8U	/* each round uses every buffer of a ring */
#define LEAST_POLLS 2048U
/* No burst takes as long, except one the system took the CPU from; rounds here are long ones. */
#define INTERRUPTED_US 50
#define BUFFER_LEN 2048
/* From buffer to buffer, as from mbuf to mbuf: a power of two would use few sets of the caches. */
#define BUFFER_STEP UINT64_C(2368)
#define BUFFERS_LEN (BENCH_RING_ENTRIES * BUFFER_STEP)

_Static_assert(LEAST_LAPS * BENCH_BURST == BENCH_RING_ENTRIES, "every buffer");

/* First those to be sent, then those for what comes. */
const struct bench_buffers bench_buffers = { 2 * BENCH_RING_ENTRIES, BUFFER_STEP };

/* What one packet costs, by all bursts that were not interrupted. */
struct tally {
	uint64_t cycles;
	uint64_t packets;
	uint64_t limit;
};

static void
count(struct tally *tally, uint64_t cycles)
{
	if (cycles > tally->limit)
		return;
	tally->cycles += cycles;
	tally->packets += BENCH_BURST;
}

static uint64_t
buffer_at(uint64_t first, uint32_t nr)
{
	return first + nr % BENCH_RING_ENTRIES * BUFFER_STEP;
}

static void
send_burst(struct bench_device *d, uint32_t size)
{
	for (unsigned int i = 0; i < BENCH_BURST; i++) {
		struct piece piece = { buffer_at(d->buffers_at, d->nr_sent++),
				       DEVICE_HDR_LEN + size, false };
		uint8_t *bytes = guest_ptr(&d->front.guest, piece.at, piece.len);

		memset(bytes, 0, DEVICE_HDR_LEN);
		memset(bytes + DEVICE_HDR_LEN, 0x52, LEAST_SIZE);
		driver_post(&d->front.tx, &piece, 1);
	}
	driver_publish(&d->front.tx);
}

/* Buffers are used in the order they were offered in, so the oldest is free again. */
void
bench_device_offer(struct bench_device *d, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct piece piece = { buffer_at(d->buffers_at + BUFFERS_LEN, d->nr_offered++),
				       BUFFER_LEN, true };

		driver_post(&d->front.rx, &piece, 1);
	}
	driver_publish(&d->front.rx);
}

static unsigned int
collect(struct driver *driver)
{
	struct used_entry used;
	unsigned int nr = 0;

	while (driver_collect(driver, &used))
		nr++;
	return nr;
}

/* A burst that moves less than all would be cheaper than it says. */
static int
check_whole(const struct bench_devices *side, const struct bench_device *d, const char *verb,
	    unsigned int nr, unsigned int nr_collected)
{
	if (nr == BENCH_BURST && nr_collected == BENCH_BURST)
		return 0;
	fprintf(stderr, "device %td: of %d packets %u were %s, %u arrived\n", d - side->each,
		BENCH_BURST, nr, verb, nr_collected);
	return -1;
}

static int
pull_lap(struct bench_devices *side, uint32_t size, struct tally *tally)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	struct bench_device *end = side->each + side->nr;
	uint64_t before;
	uint16_t nr;

	for (struct bench_device *d = side->each; d < end; d++)
		send_burst(d, size);
	for (struct bench_device *d = side->each; d < end; d++) {
		before = bench_cycles_now();
		nr = side->pull(d, mbufs);
		count(tally, bench_cycles_now() - before);
		rte_pktmbuf_free_bulk(mbufs, nr);
		if (check_whole(side, d, "pulled", nr, collect(&d->front.tx)))
			return -1;
	}
	return 0;
}

static int
push_lap(struct bench_devices *side, uint32_t size, struct tally *tally)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	struct bench_device *end = side->each + side->nr;
	uint64_t before;
	uint16_t nr;

	for (struct bench_device *d = side->each; d < end; d++) {
		if (bench_packets_make(side->pools.sent, mbufs, size))
			return -1;
		before = bench_cycles_now();
		nr = side->push(d, mbufs);
		count(tally, bench_cycles_now() - before);
		rte_pktmbuf_free_bulk(mbufs + nr, BENCH_BURST - nr);
		if (check_whole(side, d, "pushed", nr, collect(&d->front.rx)))
			return -1;
	}
	for (struct bench_device *d = side->each; d < end; d++)
		bench_device_offer(d, BENCH_BURST);
	return 0;
}

static double
idle_cycles(struct bench_devices *side)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	unsigned int nr_laps = RTE_MAX(LEAST_POLLS / side->nr, LEAST_LAPS);
	uint64_t before = bench_cycles_now();

	for (unsigned int lap = 0; lap < nr_laps; lap++)
		for (unsigned int i = 0; i < side->nr; i++)
			side->pull(&side->each[i], mbufs);
	return (double)(bench_cycles_now() - before) / nr_laps / side->nr;
}

/* All memory of all devices, so that no page is missing later. */
int
bench_devices_touch(struct bench_devices *side)
{
	struct tally ignored = { 0 };

	for (unsigned int lap = 0; lap < LEAST_LAPS; lap++)
		if (pull_lap(side, LEAST_SIZE, &ignored) || push_lap(side, LEAST_SIZE, &ignored))
			return -1;
	return 0;
}

int
bench_devices_take(struct bench_devices *side, const struct bench_shot *shot,
		   struct bench_sample *sample)
{
	unsigned int nr_laps = RTE_MAX(shot->nr_bursts / side->nr, LEAST_LAPS);
	uint64_t limit = rte_get_tsc_hz() / 1000000 * INTERRUPTED_US;
	struct tally pull = { .limit = limit }, push = { .limit = limit };

	for (unsigned int lap = 0; lap < nr_laps; lap++)
		if (pull_lap(side, shot->size, &pull) || push_lap(side, shot->size, &push))
			return -1;
	if (!pull.packets || !push.packets) {
		fprintf(stderr, "every burst was interrupted: the machine is too busy\n");
		return -1;
	}
	sample->value[0] = (double)pull.cycles / (double)pull.packets;
	sample->value[1] = (double)push.cycles / (double)push.packets;
	sample->value[2] = idle_cycles(side);
	return 0;
}
