/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blk_bench.h - disks of several back-ends side by side, each with a front-end in this process.
 *
 * Knows:   what the rooms of this program tell each other.
 * Trusts:  nothing that a back-end says or does: whoever errs, or is silent, ends the program.
 * Runs on: the main thread, all of it.
 */
#ifndef VHOSTX_BLK_BENCH_H
#define VHOSTX_BLK_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "latency.h"
#include "model/driver.h"

#define SECTOR_SIZE	512u
#define BLOCK_SIZE	4096u		/* what is stamped, and has random offsets */
#define BIG_SIZE	(1u << 20)	/* bytes of a sequential request */
#define BIG_BLOCKS	(BIG_SIZE / BLOCK_SIZE)
#define RING_SIZE	128		/* as QEMU's default for a disk */
#define MOST_BIG	4		/* sequential requests at a time */
#define MOST_DEPTH	32
#define MOST_BACKENDS	8
#define MOST_PATTERNS	16
#define MOST_ROUNDS	1000
#define PATIENCE_S	5		/* for any answer */

struct pattern {
	const char *name;
	bool writes;
	bool is_random;
	uint32_t size;
	unsigned int depth;
};

/* How the front-end behaves. */
struct style {
	bool packed;		/* where the back-end offers it */
	bool sleeps;		/* until interrupted, as kernels do; or polls, as SPDK's clients */
	bool indirect;		/* a request is one descriptor, which names a table */
	bool event_idx;		/* where the back-end offers it */
};

/* A request, at most one at a time, with a place in guest memory of its own. */
struct slot {
	uint64_t block;
	uint64_t start_ns;
};

struct backend {
	const char *name;
	const char *path;
	int sock;		/* -1: not attached */
	bool acks;		/* it confirms what it is told */
	clockid_t cpu_clock;	/* of its process */
	uint64_t features;	/* agreed on */
	int memory_fd;
	int kick_fd;
	int call_fd;
	int epoll_fd;		/* reasons to wake up: an interrupt, the end of the socket */
	uint8_t *memory;	/* the guest's; NULL: none */
	struct guest guest;
	struct driver ring;
	const struct style *style;
	uint64_t nr_kicks;

	struct slot slots[MOST_DEPTH];
	uint8_t slot_of[RING_SIZE];	/* by chain */
	unsigned int nr_posted;		/* since the last publish */

	/* What was written: see stamp.c. */
	uint64_t capacity;	/* bytes */
	uint64_t nr_blocks;	/* used by us, from the start of the disk */
	uint64_t seed;
	uint32_t generation;
	uint32_t *generations;	/* by block */
};

/* Requests of one pattern, until so many are started or it is so late. */
struct run {
	const struct pattern *pattern;
	uint64_t nr_left;
	uint64_t end_ns;	/* 0: no end but nr_left */
	uint64_t next_block;	/* sequential */
	uint64_t random;
	bool whole;		/* write and compare every byte, not stamps only */
};

struct sample {
	uint64_t nr_requests;
	uint64_t nr_kicks;
	double seconds;
	double cpu_seconds;	/* of the back-end's process, all its threads */
	double p50_us;
	double p99_us;
};

struct options {
	struct backend backends[MOST_BACKENDS];
	unsigned int nr_backends;
	const struct pattern *patterns[MOST_PATTERNS];
	unsigned int nr_patterns;
	bool split, packed;	/* both: one after the other; so below */
	bool polls, sleeps;
	bool direct, indirect;	/* both off: as the style's like do it */
	bool no_event_idx;
	unsigned int nr_rounds;
	unsigned int millis;
	unsigned int span_mib;
	const char *json;
};

/* What returns int gives 0, or -1 after a sentence on stderr. */

/* pattern.c */
extern const struct pattern patterns[];
extern const unsigned int nr_patterns;
extern const struct pattern fill_pattern, sweep_pattern;

/* options.c */
int options_parse(int argc, char **argv, struct options *o);

/* attach.c */
int backend_attach(struct backend *b, const struct style *style, unsigned int span_mib);
/* One that has failed is left without a word. */
void backend_detach(struct backend *b, bool says_goodbye);

/* lane.c: requests on the ring */
uint8_t *lane_data(const struct backend *b, unsigned int slot, const struct pattern *p);
void lane_post(struct backend *b, unsigned int slot, const struct pattern *p);
int lane_publish(struct backend *b);
/* At least one answer. Its slots to `done`, their number to `nr`. */
int lane_wait(struct backend *b, uint8_t *done, unsigned int *nr);
uint8_t lane_status(const struct backend *b, unsigned int slot);

/* stamp.c: what a block holds */
void stamp_write(struct backend *b, uint8_t *data, uint64_t block, bool whole);
bool stamp_is_right(const struct backend *b, const uint8_t *data, uint64_t block, bool whole);

/* run.c */
uint64_t clock_ns(clockid_t clock);
int run_requests(struct backend *b, struct run *run, struct sample *sample);
/* Write all of the disk that is used; read it. */
int run_fill(struct backend *b);
int run_sweep(struct backend *b, bool whole);
int run_round(struct backend *b, const struct pattern *p, unsigned int millis, unsigned int number,
	      struct sample *sample);

/* report.c */
int report_open(const struct options *o, int argc, char **argv);
/* nr_rounds samples of each back-end. */
void report_pattern(const struct options *o, const struct pattern *p,
		    const struct sample samples[][MOST_ROUNDS]);
int report_close(const struct options *o);

#endif
