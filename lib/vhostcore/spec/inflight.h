/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.h - the file in which a back-end notes what it has taken and not given back, as the
 * vhost-user specification lays it out ("Inflight I/O tracking").
 *
 * Knows:   layouts (native byte order: both ends share a machine); a piece a queue, one layout for
 *          each kind of ring.
 * Trusts:  nothing to trust: no code.
 * Runs on: everywhere.
 */
#ifndef VHC_SPEC_INFLIGHT_H
#define VHC_SPEC_INFLIGHT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* The version of what follows; 0: nobody has written here yet. */
#define INFLIGHT_VERSION 1

/* A descriptor of the ring; holds for the first one of a chain. */
struct desc_state_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;		/* in the list of the last batch given back */
	uint64_t counter;	/* order in which they were taken */
};

struct queue_region_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;	/* the ring's, when the last batch was done with */
	struct desc_state_split desc[];
};

/* A descriptor that was taken, wherever in the ring it was; or a free place for one. */
struct desc_state_packed {
	uint8_t inflight;	/* of a chain's first */
	uint8_t padding;
	uint16_t next;		/* of the chain, or free */
	uint16_t last;		/* of a chain's first: its last */
	uint16_t num;		/* ... and how many there are */
	uint64_t counter;	/* ... and the order in which they were taken */
	uint16_t id;		/* the rest: what the ring said, which may be overwritten there */
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* old_: what holds, until a batch that has begun is complete. */
struct queue_region_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;	/* desc_num: none is free */
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct desc_state_packed desc[];
};

static_assert(sizeof(struct desc_state_split) == 16, "entry of a split queue");
static_assert(offsetof(struct desc_state_split, next) == 6, "split: next");
static_assert(offsetof(struct queue_region_split, desc) == 16, "head of a split queue");
static_assert(sizeof(struct desc_state_packed) == 32, "entry of a packed queue");
static_assert(offsetof(struct desc_state_packed, id) == 16, "packed: id");
static_assert(offsetof(struct queue_region_packed, used_wrap_counter) == 20, "packed: wrap");
static_assert(offsetof(struct queue_region_packed, desc) == 32, "head of a packed queue");

#endif
