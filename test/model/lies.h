/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lies.h - every way a guest can break the rules, one function each.
 *
 * Knows:   driver.h; the faults of ring/fault.h, under whose names the lies are listed.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 */
#ifndef TEST_MODEL_LIES_H
#define TEST_MODEL_LIES_H

#include "driver.h"
#include "ring/fault.h"

/* Whose ring, and how its honest pieces look. */
struct liar {
	struct guest *guest;
	struct driver *driver;
	bool writable;
	uint16_t hdr_len;
};

enum lie_to {
	TO_BOTH,
	TO_PULL,	/* makes no sense of a receive buffer */
};

enum lie_in {
	IN_BOTH,
	IN_SPLIT,	/* uses what the other layout does not have */
	IN_PACKED,
};

struct lie {
	enum ring_fault fault;	/* what it is to be counted as */
	enum lie_to to;
	enum lie_in in;
	/* Posts one chain or, if it breaks the ring, one entry. */
	void (*tell)(const struct liar *l);
	const char *name;
};

extern const struct lie lies[];
extern const size_t nr_lies;

/* Can it be told in a ring of this layout? */
bool lie_fits(const struct lie *lie, enum ring_kind kind);

/* NULL, or why no guest can commit this fault in a ring of this layout. */
const char *lie_impossible(enum ring_fault fault, enum ring_kind kind);

#endif
