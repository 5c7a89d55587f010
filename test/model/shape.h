/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shape.h - random chains: cut anywhere, lying anywhere, in a table or not.
 *
 * Knows:   driver.h.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 *
 * What may be random about an honest chain is: places and sizes of its descriptors, empty ones with
 * an address that means nothing, one of the other direction on the side where it is allowed,
 * buffers against the end of a region or astride two of them, and where an indirect table begins.
 */
#ifndef TEST_MODEL_SHAPE_H
#define TEST_MODEL_SHAPE_H

#include "driver.h"

#define SHAPE_CUTS_MAX	12
#define SHAPE_PIECES_MAX (SHAPE_CUTS_MAX + 2)

/* Addresses behind which, in the library's mapping, nothing lies. */
enum guest_end {
	END_OF_LOW,
	END_OF_HIGH,
	END_OF_FAR,
	NR_ENDS
};

/* The address of the last `len` bytes before an end. */
uint64_t guest_end_at(enum guest_end end, uint32_t len);

struct shaper {
	struct guest *guest;
	uint16_t hdr_len;	/* cuts are mostly around here */
	bool indirect;		/* tables are allowed */
	bool packed;
	uint32_t taken;		/* a bit for each place that only one buffer can have */
};

struct shape {
	struct piece pieces[SHAPE_PIECES_MAX];
	unsigned int nr;
	unsigned int nr_direct;	/* the others are in a table */
};

/* A chain with `total` bytes in its direction. */
void shape_make(struct shaper *s, uint32_t total, bool writable, struct shape *shape);

/* Descriptors of the ring that it takes. */
unsigned int shape_slots(const struct driver *d, const struct shape *shape);

/* Write over all its readable bytes in turn; fill all its writable ones. */
void shape_write(const struct guest *g, const struct shape *shape, const uint8_t *bytes);
void shape_fill(const struct guest *g, const struct shape *shape, uint8_t byte);

uint16_t shape_post(struct shaper *s, struct driver *d, const struct shape *shape);

#endif
