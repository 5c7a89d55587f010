/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots.c - see slots.h. Taking, finding and giving back cost the same however many there are.
 *
 * Knows:   the size of one.
 * Trusts:  its owner.
 * Runs on: whoever owns the array.
 */
#include "slots.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 16

/* Twice as many, the new ones zeroed and free. */
static int
grow(struct slots *slots)
{
	uint32_t more = slots->nr ? slots->nr * 2 : FIRST_SLOTS;
	uint8_t *grown = realloc(slots->each, more * slots->size);

	if (!grown)
		return -1;
	slots->each = grown;
	memset(grown + slots->nr * slots->size, 0, (more - slots->nr) * slots->size);
	for (uint32_t i = more; i > slots->nr; i--) {
		struct slot *slot = slot_at(slots, i - 1);

		slot->next_free = slots->first_free;
		slots->first_free = i;
	}
	slots->nr = more;
	return 0;
}

void *
vhc_slot_take(struct slots *slots, uint64_t *id)
{
	uint32_t index;
	struct slot *slot;

	if (!slots->first_free && grow(slots))
		return NULL;
	index = slots->first_free - 1;
	slot = slot_at(slots, index);
	slots->first_free = slot->next_free;
	slot->generation++;
	*id = (uint64_t)slot->generation << 32 | index;
	return slot;
}

void *
vhc_slot_find(const struct slots *slots, uint64_t id)
{
	uint32_t generation = (uint32_t)(id >> 32);
	struct slot *slot;

	if (!(generation & 1) || slot_index(id) >= slots->nr)
		return NULL;
	slot = slot_at(slots, slot_index(id));
	return slot->generation == generation ? slot : NULL;
}

void
vhc_slot_give(struct slots *slots, void *at)
{
	struct slot *slot = at;

	vhc_assert(slot->generation & 1);
	slot->generation++;
	slot->next_free = slots->first_free;
	slots->first_free = (uint32_t)(((uint8_t *)at - slots->each) / slots->size) + 1;
}
