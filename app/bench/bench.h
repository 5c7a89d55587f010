/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - two back-ends side by side in one process, each with a virtio-user front-end.
 *
 * Knows:   ethdevs and their device arguments.
 * Trusts:  the drivers it loads.
 * Runs on: one thread; the drivers' control threads beside it.
 */
#ifndef VHOSTX_BENCH_H
#define VHOSTX_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#define BENCH_BURST 32
#define BENCH_MAX_LIST 16

/* One of the loopback paths: what the front-end is asked for. */
struct bench_path {
	const char *name;
	const char *virtio_args;
	uint64_t rx_offloads;	/* of the front-end's port: some choose its receive function */
};

/*
 * A back-end port and the front-end port attached to it. Each use has a pool of its own: with one
 * for all, the level of its per-core cache decides whether a round pays for flushing it, and a
 * driver that frees in bulk is measured by luck.
 */
struct bench_pair {
	struct rte_mempool *back_pool;
	struct rte_mempool *front_pool;
	struct rte_mempool *sent_pool;	/* packets we make */
	uint16_t back;
	uint16_t front;
	char back_name[32];
	char front_name[32];
};

struct bench_options {
	const char *drivers[2];		/* the peer first, then ours */
	const char *paths[BENCH_MAX_LIST];
	unsigned int nr_paths;		/* 0: all */
	uint32_t sizes[BENCH_MAX_LIST];
	unsigned int nr_sizes;
	unsigned int nr_rounds;
	unsigned int nr_bursts;		/* in a round */
	const char *json;
};

/* Cycles a packet in one round, inside the back-end's burst only. */
struct bench_sample {
	double pull;
	double push;
	double idle;			/* cycles of a poll that finds nothing */
};

extern const struct bench_path bench_paths[];
extern const unsigned int bench_nr_paths;

/* 0, or -1 after a sentence on stderr. */
int bench_pair_open(struct bench_pair *pair, const char *driver, const struct bench_path *path);
void bench_pair_close(struct bench_pair *pair);

int bench_round(const struct bench_pair *pair, uint32_t size, unsigned int nr_bursts,
		struct bench_sample *sample);

#endif
