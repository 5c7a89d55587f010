/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.c - so many requests at a time, for so long, each answer judged.
 *
 * Knows:   patterns, lanes, stamps.
 * Trusts:  no answer.
 * Runs on: the main thread.
 */
#include "blk_bench.h"

#include <linux/virtio_blk.h>

#define MILLI_NS UINT64_C(1000000)

static struct latency latency;

uint64_t
clock_ns(clockid_t clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- start ---------------------------------------------------------------------------------- */

/* xorshift64*: every back-end is asked for the same blocks in a round. */
static uint64_t
random_block(struct run *run, uint64_t nr_blocks)
{
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return (run->random * UINT64_C(0x2545f4914f6cdd1d) >> 32) % nr_blocks;
}

static uint64_t
sequential_block(struct run *run, uint64_t nr_blocks)
{
	uint64_t block = run->next_block;

	run->next_block = (block + run->pattern->size / BLOCK_SIZE) % nr_blocks;
	return block;
}

/* False: the run is over. */
static bool
start(struct backend *b, struct run *run, unsigned int slot, uint64_t now)
{
	const struct pattern *p = run->pattern;
	uint8_t *data = lane_data(b, slot, p);
	uint64_t block;

	if (!run->nr_left || (run->end_ns && now >= run->end_ns))
		return false;
	run->nr_left--;
	block = p->is_random ? random_block(run, b->nr_blocks)
			     : sequential_block(run, b->nr_blocks);
	b->slots[slot] = (struct slot){ block, now };
	for (uint32_t i = 0; p->writes && i < p->size / BLOCK_SIZE; i++)
		stamp_write(b, data + i * BLOCK_SIZE, block + i, run->whole);
	lane_post(b, slot, p);
	return true;
}

/* ---- finish --------------------------------------------------------------------------------- */

static int
finish(const struct backend *b, const struct run *run, unsigned int slot)
{
	const struct pattern *p = run->pattern;
	const uint8_t *data = lane_data(b, slot, p);
	uint64_t block = b->slots[slot].block;

	if (lane_status(b, slot) != VIRTIO_BLK_S_OK) {
		fprintf(stderr, "%s: a %s of %u bytes at byte %llu was answered with status %u\n",
			b->name, p->writes ? "write" : "read", p->size,
			(unsigned long long)block * BLOCK_SIZE, lane_status(b, slot));
		return -1;
	}
	for (uint32_t i = 0; !p->writes && i < p->size / BLOCK_SIZE; i++) {
		if (stamp_is_right(b, data + i * BLOCK_SIZE, block + i, run->whole))
			continue;
		fprintf(stderr, "%s: what was written at byte %llu is not what is read there\n",
			b->name, (unsigned long long)(block + i) * BLOCK_SIZE);
		return -1;
	}
	return 0;
}

/* Answers that came; their slots go on while the run does. */
static int
turn(struct backend *b, struct run *run, unsigned int *nr_running, uint64_t *now)
{
	uint8_t done[MOST_DEPTH];
	unsigned int nr;

	if (lane_wait(b, done, &nr))
		return -1;
	*now = clock_ns(CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < nr; i++) {
		latency_note(&latency, *now - b->slots[done[i]].start_ns);
		if (finish(b, run, done[i]))
			return -1;
		if (!start(b, run, done[i], *now))
			(*nr_running)--;
	}
	return lane_publish(b);
}

int
run_requests(struct backend *b, struct run *run, struct sample *sample)
{
	uint64_t cpu = clock_ns(b->cpu_clock), nr_kicks = b->nr_kicks;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC), now = begin;
	unsigned int nr_running = 0;

	latency_clear(&latency);
	while (nr_running < run->pattern->depth && start(b, run, nr_running, now))
		nr_running++;
	if (lane_publish(b))
		return -1;
	while (nr_running)
		if (turn(b, run, &nr_running, &now))
			return -1;
	*sample = (struct sample){
		.nr_requests = latency.total,
		.nr_kicks = b->nr_kicks - nr_kicks,
		.seconds = (double)(now - begin) / 1e9,
		.cpu_seconds = (double)(clock_ns(b->cpu_clock) - cpu) / 1e9,
		.p50_us = latency_quantile(&latency, 0.50),
		.p99_us = latency_quantile(&latency, 0.99),
	};
	return 0;
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* All blocks once. */
static int
run_over_all(struct backend *b, const struct pattern *p, bool whole)
{
	struct run run = { .pattern = p, .nr_left = b->nr_blocks / BIG_BLOCKS, .whole = whole };
	struct sample ignored;

	b->generation++;
	return run_requests(b, &run, &ignored);
}

int
run_fill(struct backend *b)
{
	return run_over_all(b, &fill_pattern, true);
}

int
run_sweep(struct backend *b, bool whole)
{
	return run_over_all(b, &sweep_pattern, whole);
}

int
run_round(struct backend *b, const struct pattern *p, unsigned int millis, unsigned int number,
	  struct sample *sample)
{
	struct run run = {
		.pattern = p,
		.nr_left = UINT64_MAX,
		.end_ns = clock_ns(CLOCK_MONOTONIC) + millis * MILLI_NS,
		.random = (number + 1) * UINT64_C(0x9e3779b97f4a7c15),
	};

	b->generation++;
	return run_requests(b, &run, sample);
}
