/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - two back-ends side by side in one process, each with virtio-user front-ends.
 *
 * Knows:   what the rooms of this program tell each other.
 * Trusts:  the drivers it loads.
 * Runs on: nothing; declarations only.
 */
#ifndef VHOSTX_BENCH_H
#define VHOSTX_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define BENCH_BURST 32
#define BENCH_RING_ENTRIES 256
#define BENCH_MAX_LIST 16
#define BENCH_MAX_ROUNDS 1000
#define BENCH_MAX_PORTS 14	/* pairs; a distribution's DPDK has room for 32 ports */
#define BENCH_MAX_QUEUES 4
#define BENCH_MAX_DEVICES 4096	/* of the library, without ports */
#define BENCH_GUEST_LEN (UINT64_C(2) << 20)	/* memory of one's front-end */
#define BENCH_MAX_REGIONS 509	/* what a device takes */
#define BENCH_TABLE_REGIONS 8	/* what any back-end takes */
#define BENCH_KINDS 3

/* Whom a round is taken of; the floor is no driver, it is the least work that moves the bytes. */
enum bench_who { BENCH_PEER, BENCH_OURS, BENCH_FLOOR, BENCH_WHO };

/* One of the loopback paths: what the front-end is asked for. */
struct bench_path {
	const char *name;
	const char *virtio_args;
	uint64_t rx_offloads;	/* of the front-end's port: some choose its receive function */
	uint64_t features;	/* what the same front-end and a back-end agree on */
};

/*
 * Each use has a pool of its own: with one for all, the level of its per-core cache decides whether
 * a round pays for flushing it, and a driver that frees in bulk is measured by luck.
 */
struct bench_pools {
	struct rte_mempool *back;
	struct rte_mempool *front;
	struct rte_mempool *sent;	/* packets we make */
};

/* A back-end port and the front-end port attached to it. */
struct bench_pair {
	struct bench_pools pools;
	uint16_t back;
	uint16_t front;
	char back_name[64];
	char front_name[64];
	char socket_path[96];
};

/* A queue of a pair: what bursts go to. */
struct bench_lane {
	const struct bench_pair *pair;
	uint16_t queue;
};

/* All that is open of one driver. */
struct bench_side {
	struct bench_pair pairs[BENCH_MAX_PORTS];
	struct bench_lane lanes[BENCH_MAX_PORTS * BENCH_MAX_QUEUES];
	unsigned int nr_pairs;
	unsigned int nr_lanes;
};

/* How one round is taken. */
struct bench_shot {
	uint32_t size;
	unsigned int nr_bursts;
	unsigned int millis;
};

/* One round's figures, in the order of the mode's kinds. */
struct bench_sample {
	double value[BENCH_KINDS];
};

/* What a figure is of. */
struct bench_kind {
	const char *name;
	const char *unit;
};

struct bench_mode {
	const char *name;
	struct bench_kind kinds[BENCH_KINDS];
	bool more_is_better;
	bool has_sizes;
	bool has_floor;
	bool in_blocks;		/* both drivers at once would need too many ports */
	bool on_library;	/* devices without ports; front-ends are the tests' model */
	unsigned int nr_lcores;
	int (*round)(const struct bench_side *side, const struct bench_shot *shot,
		     struct bench_sample *sample);
};

struct bench_options {
	const struct bench_mode *mode;
	const char *drivers[2];	/* DRIVER[:ARG=VALUE...], the peer first; NULL: there is none */
	const struct bench_path *paths[BENCH_MAX_LIST];
	unsigned int nr_paths;
	unsigned int sizes[BENCH_MAX_LIST];
	unsigned int nr_sizes;
	unsigned int queues[BENCH_MAX_LIST];
	unsigned int nr_queues;
	unsigned int ports[BENCH_MAX_LIST];	/* or devices of the library */
	unsigned int nr_ports;
	unsigned int nr_rounds;
	unsigned int nr_bursts;			/* in a round */
	unsigned int millis;			/* of a stretch of --loop */
	unsigned int iommu_kib;			/* of an IOMMU's entry; 0: there is none */
	unsigned int nr_regions;		/* of a guest of --devices */
	bool on_ports;				/* --devices: of drivers, not of the library */
	bool matrix;
	bool hugepages;
	const char *json;
	const char *csv;
};

/* What a row of the table is about. */
struct bench_row {
	const struct bench_mode *mode;
	const struct bench_path *path;
	unsigned int size;			/* 0: no packets move */
	unsigned int nr_queues;
	unsigned int nr_ports;
};

/* What came out: medians, and half of the middle half as a share of the median. 0: nothing. */
struct bench_figure {
	double median[BENCH_WHO];
	double spread[BENCH_WHO];
	double ratio;				/* how many times better we are, by rounds */
	double ratio_spread;
	double distance;			/* floor / ours */
};

/* pair.c; what returns int gives 0, or -1 after a sentence on stderr */
extern const struct bench_path bench_paths[];
extern const unsigned int bench_nr_paths;

int bench_pools_create(struct bench_pools *pools, unsigned int nr_queues);
void bench_pools_free(struct bench_pools *pools);
int bench_back_open(struct bench_pair *pair, const char *driver, unsigned int nr_queues);
void bench_back_close(struct bench_pair *pair);
int bench_wait_for_link(uint16_t port);
int bench_side_open(struct bench_side *side, const char *driver, const struct bench_row *row);
void bench_side_close(struct bench_side *side);

/* packet.c */
int bench_packets_make(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t size);
unsigned int bench_drain(uint16_t port, uint16_t queue);

/* round.c, floor.c, loop.c, logged.c: rounds */
int bench_round_single(const struct bench_side *side, const struct bench_shot *shot,
		       struct bench_sample *sample);
int bench_round_idle(const struct bench_side *side, const struct bench_shot *shot,
		     struct bench_sample *sample);
int bench_round_loop(const struct bench_side *side, const struct bench_shot *shot,
		     struct bench_sample *sample);
int bench_round_logged(const struct bench_side *side, const struct bench_shot *shot,
		       struct bench_sample *sample);
int bench_floor_open(void);
void bench_floor_close(void);
int bench_floor_round(const struct bench_shot *shot, struct bench_sample *sample);

/* devices.c: the library's devices or ports of drivers, and as many bare rings */
int bench_library_start(const struct bench_options *o);
void bench_library_stop(void);
int bench_library_open(const struct bench_row *row);
void bench_library_close(void);
int bench_library_round(enum bench_who who, const struct bench_shot *shot,
			struct bench_sample *sample);

/* options.c, environment.c */
int bench_parse(int argc, char **argv, struct bench_options *o);
void bench_print_usage(FILE *to);
int bench_eal_start(const struct bench_options *o, const char *self, int argc, char **argv);

/* figure.c; `samples` holds nr rounds of BENCH_WHO each */
struct bench_figure bench_figure_of(const struct bench_sample (*samples)[BENCH_WHO],
				    unsigned int nr, unsigned int kind,
				    const struct bench_mode *mode);

/* report.c */
int bench_report_open(const struct bench_options *o, int argc, char **argv);
void bench_report_plan(unsigned int nr_measurements);
void bench_report_row(const struct bench_row *row, const struct bench_kind *kind,
		      const struct bench_figure *f);
void bench_report_measured(void);
void bench_report_progress(const struct bench_row *row, unsigned int nr_done, unsigned int nr);
int bench_report_close(void);

/* run.c */
int bench_run(const struct bench_options *o);

/*
 * Everything before has been executed; stores may still be on their way to the cache, as they are
 * when a burst returns to any application.
 */
static inline uint64_t
bench_cycles_now(void)
{
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#endif
	return rte_rdtsc();
}

#endif
