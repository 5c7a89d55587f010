/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains.h - a ring, a driver, and random chains between them: for rings of either layout.
 *
 * Knows:   the ring's verbs; model/driver.h.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread.
 */
#ifndef TEST_RING_CHAINS_H
#define TEST_RING_CHAINS_H

#include "model/driver.h"
#include "ring/verbs.h"
#include "unit/check.h"

#define PIECES_MAX	24

extern struct guest guest;
extern struct driver driver;
extern struct ring ring;
extern struct ring_faults faults;
extern struct chain chain;
extern char reason[RING_REASON_LEN];

/* A driver's ring and ours over it; to be closed without a fault counted. */
void open_ring(const struct driver_conf *conf);
void close_ring(void);

/* Looks, as a burst does first, and counts; packed: descriptors. */
uint16_t nr_ready(void);

/* A chain as the driver meant it. */
struct posted {
	struct piece pieces[PIECES_MAX];
	unsigned int nr;
	uint32_t read_len;
	uint32_t write_len;
	uint16_t id;
};

/* What the driver finds in the pieces of one direction. */
uint32_t read_pieces(const struct posted *p, bool writable, uint8_t *dst);

/* All the driver posted comes out in order; some is given back by one publish, some by the next. */
void round_trip(struct posted *posted, unsigned int nr, uint32_t seed);

/* As bursts do it: `n` plain buffers, all of them looked at, given back and published at once. */
void run_of(uint16_t n);

/* Open a ring, send this many random chains round trip, close it. */
void random_chains(const struct driver_conf *conf, uint32_t nr_chains);

#endif
