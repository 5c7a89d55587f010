/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * miss.h - an address that a ring needs and the IOTLB does not have yet.
 *
 * Knows:   that the poller meets it, control asks for it, and a chain waits meanwhile.
 * Trusts:  nothing of the address.
 * Runs on: the poller inside the gate, control at any time: whose it is, its state says.
 *
 * One a ring: what comes behind it has to wait anyway.
 */
#ifndef VHC_RING_MISS_H
#define VHC_RING_MISS_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

enum miss_state {
	MISS_NONE,	/* the poller's: nothing is missed */
	MISS_NOTED,	/* control's: to be asked for */
	MISS_ASKED,	/* control's: the front-end has been asked */
	MISS_REFUSED,	/* the poller's: it will not come; the chain that needs it is a fault */
};

struct ring_miss {
	uint32_t state;		/* enum miss_state: stored with release, loaded with acquire [I] */
	bool is_on;		/* there is an IOMMU */
	bool writes;
	uint8_t nr_asked;	/* control's, like the next two */
	uint8_t nr_ticks;
	uint32_t question;	/* the latest; answers to earlier ones tell nothing of it */
	int wake_fd;		/* tells control that something is noted. Borrowed */
	uint64_t iova;
};

/*
 * [addr, addr + len) is not all there to be read, or written. Without an IOMMU that is `fault`.
 * With one the first address that lacks is noted, and RING_FAULT_MISS returned, until control knows
 * that it will not come: then that is what is wrong with the chain.
 */
enum ring_fault vhc_ring_miss(struct ring *r, enum ring_fault fault, uint64_t addr, uint32_t len,
			      bool writes) VHC_COLD;

/* Copy what lies in pieces, because nothing aligns a table. False: not all of it is there. */
bool vhc_ring_gather(const struct ring *r, uint64_t addr, void *to, uint32_t len) VHC_COLD;

/* ---- control, with the gate closed ---------------------------------------------------------- */

/* The tables have changed. True: what was missed is there, or nobody asks any more. */
bool vhc_ring_miss_recheck(struct ring *r);

/*
 * Note the first buffer that lacks of those made available, before it is needed: who pushes has no
 * use for one that must be waited for.
 */
void vhc_ring_look_ahead(struct ring *r);

/* A part of a ring that does not run is missed: note it, unless it has been asked for. */
void vhc_ring_miss_part(struct ring *r, uint64_t iova, bool writes);

#endif
