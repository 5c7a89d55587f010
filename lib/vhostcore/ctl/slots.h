/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots.h - an array of things that come and go, each named by an id that is never used again.
 *
 * Knows:   the size of one; nothing of what it is.
 * Trusts:  its owner to give back what it took, once.
 * Runs on: whoever owns the array.
 *
 * An id is the slot's generation above its index. A generation is odd while the slot is in use, so
 * an id is never 0, and an id of a former use of the slot is recognised.
 */
#ifndef VHC_CTL_SLOTS_H
#define VHC_CTL_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/compiler.h"

/* The first member of each. */
struct slot {
	uint32_t generation;
	uint32_t next_free;	/* index + 1; 0: none */
};

struct slots {
	size_t size;		/* of one, in bytes; the rest starts zeroed */
	uint8_t *each;		/* moves when one is taken */
	uint32_t nr;
	uint32_t first_free;	/* as next_free */
};

/* One that is free, NULL if there is no memory. Only its `struct slot` means anything. */
void *vhc_slot_take(struct slots *slots, uint64_t *id) VHC_MUST_USE;

/* The one of this id, NULL if it was given back. Any id will do, 0 included. */
void *vhc_slot_find(const struct slots *slots, uint64_t id);

void vhc_slot_give(struct slots *slots, void *slot);

static inline uint32_t
slot_index(uint64_t id)
{
	return (uint32_t)id;
}

/* Of one in use. */
static inline void *
slot_at(const struct slots *slots, uint32_t index)
{
	return slots->each + index * slots->size;
}

#endif
