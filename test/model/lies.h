/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lies.h - every way a guest can break the rules, one function each.
 *
 * Knows:   guest_split.h; the faults of ring/fault.h, under whose names the lies are listed.
 * Trusts:  nothing to trust.
 * Runs on: the test's thread.
 */
#ifndef TEST_MODEL_LIES_H
#define TEST_MODEL_LIES_H

#include "guest_split.h"
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

struct lie {
	enum ring_fault fault;	/* what it is to be counted as */
	enum lie_to to;
	/* Posts one chain or, if it breaks the ring, one entry. */
	void (*tell)(const struct liar *l);
	const char *name;
};

extern const struct lie lies[];
extern const size_t nr_lies;

#endif
