/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.h - notes of what was taken from a ring and not given back, for who comes after us.
 *
 * Knows:   spec/inflight.h; in which order the notes must be written so that they tell the truth
 *          whenever this process ends.
 * Trusts:  nothing in the region: another process wrote it, and the front-end can at any time. It
 *          is read once, when the ring starts; then our own books count, and are copied there.
 * Runs on: who works the ring, inside its gate; create, destroy and recover on the control thread.
 *
 * Only the end of the process is provided for, not that of the machine: what was stored before it
 * is there afterwards. So order in the program is all the order that is needed.
 */
#ifndef VHC_RING_INFLIGHT_H
#define VHC_RING_INFLIGHT_H

#include "../base/compiler.h"
#include "../spec/inflight.h"
#include "../vhostcore_ring.h"
#include "chain.h"
#include "ring.h"

struct inflight {
	union {
		struct queue_region_split *g_split;
		struct queue_region_packed *g_packed;
	};
	uint64_t len;			/* of that */
	enum ring_kind kind;
	uint16_t nr;			/* entries */
	uint64_t counter;		/* of the next to be taken */

	uint16_t *batch;		/* entries given back, not published */
	uint16_t nr_batch;
	uint16_t batch_head;		/* split: as in the region */

	/* packed, as in the region */
	uint16_t *next;
	uint16_t *last;
	uint16_t *num;
	uint16_t free_head;
	struct ring_mark used;
	struct ring_mark used_next;	/* for who says piecemeal what a batch is */

	/* what whoever was here before us took: oldest first */
	struct vhc_inflight_entry *resubmit;
	uint16_t nr_resubmit;
	uint16_t nr_resubmitted;
};

/* Bytes of the region for a queue of so many entries. */
uint64_t vhc_inflight_len(enum ring_kind kind, uint16_t nr);

/* Nothing is left of what whoever was here before us took. */
static inline bool
inflight_is_resubmitted(const struct inflight *f)
{
	return !f || f->nr_resubmitted == f->nr_resubmit;
}

/* Has anybody written to this piece of a file? Then `nr` is how many entries he says it has. */
bool vhc_inflight_is_used(const void *g_region, uint16_t *nr);

/* Books for a queue's piece of the region. Reads nothing there. 0 or -ENOMEM. */
int vhc_inflight_create(enum ring_kind kind, void *g_region, uint16_t nr, struct inflight **f)
	VHC_MUST_USE;

/* NULL is fine. */
void vhc_inflight_destroy(struct inflight *f);

/*
 * Begin to use what is in the region, or put it in order if nobody has yet: finish a batch that was
 * cut off, list what is to be resubmitted, and put the ring, just started, where it goes on.
 * `is_known`: what it says of the ring's place is newer than what the front-end says.
 *
 * False: the region contradicts itself or the ring; that is counted, and the ring is broken.
 */
bool vhc_inflight_recover(struct inflight *f, struct ring *r, bool is_known) VHC_MUST_USE;

/*
 * The next chain to resubmit: as a take, of a chain the ring has forgotten. False: none is left.
 * TAKE_EMPTY: it waits for an address, and stays the next one.
 */
bool vhc_inflight_resubmit(struct inflight *f, struct ring *r, struct chain *c, enum take *taken,
			   uint16_t *entry);

/* A chain was taken, whose first descriptor is at `from`. Returns its entry. */
uint16_t vhc_inflight_take(struct inflight *f, const struct ring *r, uint16_t from, uint16_t id,
			   uint16_t nr_slots);

/* The id of a chain by its ends: of a packed ring what its last slot says. */
uint16_t vhc_inflight_id(const struct inflight *f, const struct ring *r, uint16_t head,
			 uint16_t last);

/* Where the ring stands by the notes. */
struct ring_mark vhc_inflight_mark(const struct inflight *f);

/* The chain of this entry belongs to the batch that is going to be published. */
void vhc_inflight_give(struct inflight *f, uint16_t entry);

/*
 * The same in two steps, for who takes more chains before the batch is complete: what is given is
 * free to be noted over, so nothing is until all of it is, and the batch begins.
 */
void vhc_inflight_stage(struct inflight *f, uint16_t entry);
void vhc_inflight_begin_staged(struct inflight *f, struct ring_mark used);

/* Before, and after, the batch becomes the driver's; `used` is where the ring is then. */
void vhc_inflight_begin(struct inflight *f, struct ring_mark used);
void vhc_inflight_end(struct inflight *f, struct ring_mark used);

#endif
