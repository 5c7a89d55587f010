/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.h - where a packed ring stands, by what is in it.
 *
 * Knows:   virtio 1.2 section 2.8.1: what AVAIL and USED flags mean in which round.
 * Trusts:  nothing in the ring: whatever it says, the answer is a place in it.
 * Runs on: control thread, with the queue's gate closed.
 *
 * A split ring has its used index in memory. A packed one does not, and a front-end that lost its
 * back-end does not know it either: it repeats where the ring began. But if every chain takes one
 * slot - drivers with indirect tables make no others - the flags tell.
 */
#ifndef VHC_RING_PLACE_H
#define VHC_RING_PLACE_H

#include "ring.h"

struct ring_place {
	struct ring_mark mark;	/* the next used entry goes here */
	uint16_t nr_cut_off;	/* entries from there on of a batch whose first never came */
};

/* False: it cannot be told. Longer chains may be misread: ask where there are tables for them. */
bool vhc_packed_find(const struct ring *r, struct ring_place *place);

/* Could the next used entry go there, however long the chains are? False: certainly not. */
bool vhc_packed_may_be_at(const struct ring *r, struct ring_mark mark);

/*
 * Go on there. A batch that was cut off is completed, because what its entries were before is gone:
 * the driver has those buffers back, the first one with nothing in it.
 */
void vhc_packed_go_on(struct ring *r, const struct ring_place *place);

#endif
