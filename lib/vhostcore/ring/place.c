/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.c - see place.h.
 *
 * Knows:   virtio 1.2 section 2.8.1.
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: see place.h.
 */
#include "place.h"

#include "../mem/guest.h"
#include "slot.h"

static uint16_t
flags_at(const struct ring *r, uint32_t slot)
{
	return guest_load16(&r->g_packed[slot].flags);
}

/* How many slots from `at` on are available in the round of `wrap`; chains of one slot each. */
static uint32_t
nr_available(const struct ring *r, uint32_t at, bool wrap)
{
	uint32_t from = at;

	while (at < r->size && slot_is_available(flags_at(r, at), wrap) &&
	       !(flags_at(r, at) & VIRTQ_DESC_F_NEXT))
		at++;
	return at - from;
}

/* How many are used in that round: for the one after it, those that nobody has touched yet. */
static uint32_t
nr_used(const struct ring *r, uint32_t at, bool wrap)
{
	uint32_t from = at;

	while (at < r->size && slot_is_used(flags_at(r, at), wrap))
		at++;
	return at - from;
}

/*
 * The round of `wrap` is under way. From slot 0: made available for the next round, used in this
 * one, [here] available in this one, used in the last one; the first and the last exclude each
 * other, because the driver is in one place.
 */
static bool
find_in_round(const struct ring *r, bool wrap, struct ring_place *place)
{
	uint32_t nr_next = nr_available(r, 0, !wrap);
	uint32_t here = nr_next + nr_used(r, nr_next, wrap), nr = nr_available(r, here, wrap);
	uint32_t nr_cut_off = nr == 1 ? nr_used(r, here + 1, wrap) : 0;

	nr += nr_cut_off;
	nr += nr_cut_off ? nr_available(r, here + nr, wrap) : 0;
	if (!nr_next)
		nr += nr_used(r, here + nr, !wrap);
	if (here + nr != r->size)
		return false;
	*place = (struct ring_place){
		.mark = slot_after(r, (struct ring_mark){ .wrap = wrap }, here),
		.nr_cut_off = nr_cut_off ? (uint16_t)(nr_cut_off + 1) : 0,
	};
	return true;
}

bool
vhc_packed_find(const struct ring *r, struct ring_place *place)
{
	return find_in_round(r, true, place) || find_in_round(r, false, place);
}

bool
vhc_packed_may_be_at(const struct ring *r, struct ring_mark mark)
{
	for (uint32_t slot = 0; slot < r->size; slot++)
		if (slot_is_used(flags_at(r, slot), slot < mark.idx ? !mark.wrap : mark.wrap))
			return false;
	return true;
}

void
vhc_packed_go_on(struct ring *r, const struct ring_place *place)
{
	struct virtq_packed_desc *g_first = &r->g_packed[place->mark.idx];
	uint16_t id = le16_get(guest_load_packed_desc(g_first).id);

	if (place->nr_cut_off)
		guest_store_packed_used_then_fence(g_first,
						   slot_used_bits(place->mark.wrap, id, 0));
	r->used = r->avail = slot_after(r, place->mark, place->nr_cut_off);
}
