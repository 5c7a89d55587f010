/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains.h - the chain class's half of a queue.
 *
 * Knows:   queues, maps; who may touch what when. chains.c works the rings, chains_class.c is the
 *          side of control.
 * Trusts:  the application to give back what it took, once.
 * Runs on: see the groups.
 *
 * Unlike a burst, a chain outlives the gate: the application has it for as long as it likes, while
 * control changes memory, or stops the ring. So
 *
 *  - a chain counts on the memory it points to, which stays mapped until it is back;
 *  - what the poller cannot publish, because the gate is closed at that moment, it leaves in
 *    `late`, where control finds it when it opens the gate, or the poller itself the next time;
 *  - control counts how many are out, and has the poller tell when it waits for that.
 */
#ifndef VHC_CHAINS_H
#define VHC_CHAINS_H

#include "class.h"
#include "ring/chain.h"
#include "vhostcore_ring.h"

/* Pieces a chain has room for without an allocation. */
#define CHAIN_FEW 6

/* Guest memory that chains point to. */
struct chain_memory {
	struct map *map;	/* referenced */
	uint32_t nr_taken;	/* chains on it so far; written by the poller */
	uint32_t nr_back;	/* of these given back; likewise */
	uint32_t nr_back_late;	/* ... and by control */
	struct chain_memory *next;	/* older ones; control */
};

struct chain_item {
	struct vhc_chain chain;		/* first: what the application has */
	struct chain_item *next;	/* in one of the lists below */
	struct chain_memory *memory;
	uint32_t written;
	uint16_t nr_slots;
	uint16_t entry;			/* in the in-flight region */
	bool is_given;
	struct iovec *pieces;
	uint32_t nr_room;
	struct iovec few[CHAIN_FEW];
	struct chain_item *next_made;
};

struct chain_list {
	struct chain_item *first;
	struct chain_item *last;
};

struct chain_queue {
	struct vhc_queue core;

	/* owner: the poller, inside the gate and outside */
	struct chain_item *free VHC_ALIGNED;
	struct chain_list ready;	/* given, to be published */
	struct chain_list order;	/* IN_ORDER: taken, oldest first */
	bool in_order;			/* ... which holds for what is out now */
	struct chain_item *made;	/* every one there is */
	uint32_t nr_taken;		/* so far; these three are read by anyone */
	uint32_t nr_given;
	uint32_t nr_back;		/* published, or dropped */

	/* owner: as core's first half */
	struct chain_memory *memory;	/* of what is taken next */
	bool is_draining;		/* nothing more is taken */

	/* between the two */
	struct chain_item *late;	/* ready, but the gate was closed */
	struct chain_item *recycled;	/* free again; control published it */
	uint32_t is_over;		/* the ring is stopped: what comes back is dropped */
	uint32_t is_awaited;		/* control wants to hear of what comes back */

	/* owner: control */
	uint32_t nr_back_late;
	struct chain_memory *old;	/* replaced, but still pointed to */

	struct chain scratch;		/* the poller's, while it takes one */
};

static inline struct chain_queue *
chain_queue_of(struct vhc_queue *q)
{
	return vhc_container_of(q, struct chain_queue, core);
}

static inline void
chain_list_put(struct chain_list *list, struct chain_item *item)
{
	item->next = NULL;
	if (list->first)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
}

/* How many chains are out: taken, and neither published nor dropped. */
static inline uint32_t
chain_nr_held(const struct chain_queue *cq)
{
	uint32_t nr_back = ld_acquire(&cq->nr_back) + ld_acquire(&cq->nr_back_late);

	return ld_acquire(&cq->nr_taken) - nr_back;
}

/* Choose the bursts of the ring's kind. */
void vhc_chains_choose(struct chain_queue *cq);

/* Control, with the gate closed: publish what the poller left, or drop it: the ring is over. */
void vhc_chains_catch_up(struct chain_queue *cq);

/* Control: forget every chain there is. */
void vhc_chains_free(struct chain_queue *cq);

#endif
