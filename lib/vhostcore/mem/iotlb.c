/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iotlb.c - see iotlb.h.
 *
 * Knows:   sorted arrays of ranges that do not overlap.
 * Trusts:  nothing of what the front-end says.
 * Runs on: control thread, while no burst is inside.
 */
#include "iotlb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "find.h"

static struct map *
create_table(unsigned int most)
{
	struct map *map = calloc(1, sizeof(*map) + most * sizeof(map->slots[0]));

	if (map)
		map->refs = 1;
	return map;
}

struct iotlb *
vhc_iotlb_create(unsigned int most)
{
	struct iotlb *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->most = most;
	t->readable = create_table(most);
	t->writable = create_table(most);
	if (t->readable && t->writable)
		return t;
	vhc_iotlb_destroy(t);
	return NULL;
}

void
vhc_iotlb_destroy(struct iotlb *t)
{
	if (!t)
		return;
	free(t->readable);
	free(t->writable);
	free(t);
}

/* ---- one table ------------------------------------------------------------------------------ */

static uint64_t
last_of(const struct map_slot *slot)
{
	return slot->guest + (slot->size - 1);
}

/* The first slot that ends at or behind `at`. */
static unsigned int
first_ending_at(const struct map *map, uint64_t at)
{
	unsigned int low = 0, high = map->nr;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (last_of(&map->slots[middle]) < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Let `nr` slots stand where [from, to) stood. */
static void
replace(struct map *map, unsigned int from, unsigned int to, const struct map_slot *slots,
	unsigned int nr)
{
	memmove(&map->slots[from + nr], &map->slots[to],
		(map->nr - to) * sizeof(map->slots[0]));
	memcpy(&map->slots[from], slots, nr * sizeof(map->slots[0]));
	map->nr = map->nr - (to - from) + nr;
}

/* What of a slot lies in [first, last]. */
static struct map_slot
piece_of(const struct map_slot *slot, uint64_t first, uint64_t last)
{
	struct map_slot piece = *slot;

	piece.guest = first;
	piece.size = last - first + 1;
	return piece;
}

/* Nothing of [first, last] is left; what goes beyond it stays. */
static void
cut(struct map *map, uint64_t first, uint64_t last)
{
	unsigned int from = first_ending_at(map, first), to = from, nr = 0;
	struct map_slot rest[2];

	while (to < map->nr && map->slots[to].guest <= last)
		to++;
	if (from == to)
		return;
	if (map->slots[from].guest < first)
		rest[nr++] = piece_of(&map->slots[from], map->slots[from].guest, first - 1);
	if (last_of(&map->slots[to - 1]) > last)
		rest[nr++] = piece_of(&map->slots[to - 1], last + 1,
				      last_of(&map->slots[to - 1]));
	replace(map, from, to, rest, nr);
}

/* One behind the other for the device, and here as well. */
static bool
may_join(const struct map_slot *a, const struct map_slot *b)
{
	return a->guest + a->size == b->guest && a->to_host == b->to_host &&
	       a->region == b->region;
}

/* There is nothing where it goes. */
static void
insert(struct map *map, struct map_slot slot)
{
	unsigned int from = first_ending_at(map, slot.guest), to = from;

	if (from > 0 && may_join(&map->slots[from - 1], &slot)) {
		from--;
		slot.guest = map->slots[from].guest;
		slot.size += map->slots[from].size;
	}
	if (to < map->nr && may_join(&slot, &map->slots[to]))
		slot.size += map->slots[to++].size;
	replace(map, from, to, &slot, 1);
}

static void
keep(struct map *map, const struct map *memory)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < map->nr; i++) {
		bool is_there = false;

		for (unsigned int k = 0; memory && k < memory->nr && !is_there; k++)
			is_there = memory->slots[k].region == map->slots[i].region;
		if (is_there)
			map->slots[nr++] = map->slots[i];
	}
	map->nr = nr;
}

/* ---- claims --------------------------------------------------------------------------------- */

/* As much of a claim as lies in one region, from `done` bytes on; size 0: in none. */
static struct map_slot
piece_in_region(const struct map *memory, const struct iotlb_claim *claim, uint64_t done)
{
	uint64_t user = claim->user.v + done, left = claim->size - done;

	for (unsigned int i = 0; memory && i < memory->nr; i++) {
		struct region *region = memory->slots[i].region;
		uint64_t offset = user - region->claim.user.v;
		uint64_t iova = claim->iova + done;

		if (offset < region->claim.size)
			return (struct map_slot){
				.guest = iova,
				.size = left < region->claim.size - offset ?
						left : region->claim.size - offset,
				.to_host = (uint64_t)(uintptr_t)(region->host + offset) - iova,
				.region = region,
			};
	}
	return (struct map_slot){ 0 };
}

static int
refuse(char *reason, int err, const struct iotlb_claim *claim, const char *why)
{
	snprintf(reason, IOTLB_REASON_LEN, "0x%" PRIx64 " (%" PRIu64 " bytes) at the front-end's"
		 " 0x%" PRIx64 ": %s", claim->iova, claim->size, claim->user.v, why);
	return err;
}

int
vhc_iotlb_judge(const struct iotlb *t, const struct map *memory, const struct iotlb_claim *claim,
		char *reason)
{
	/* Cutting a hole into one entry makes it two. */
	unsigned int nr = 1;
	struct map_slot piece;

	if (!claim->size)
		return refuse(reason, -EINVAL, claim, "it is empty");
	if (!range_is_sane(claim->iova, claim->size) || !range_is_sane(claim->user.v, claim->size))
		return refuse(reason, -EINVAL, claim, "an address plus the size overflows");
	if (claim->access < IOTLB_READ || claim->access > IOTLB_BOTH)
		return refuse(reason, -EINVAL, claim,
			      "its permission is none of 1 (read), 2 (write), 3 (both)");
	for (uint64_t done = 0; done < claim->size; done += piece.size, nr++) {
		piece = piece_in_region(memory, claim, done);
		if (!piece.size)
			return refuse(reason, -EFAULT, claim, "not all of it lies in the memory"
				      " that the front-end shares");
	}
	if (t->readable->nr + nr > t->most || t->writable->nr + nr > t->most)
		return refuse(reason, -ENOSPC, claim, "there is no room for more entries, and no"
			      " way to ask for them again (SET_BACKEND_REQ_FD)");
	return 0;
}

void
vhc_iotlb_enter(struct iotlb *t, const struct map *memory, const struct iotlb_claim *claim)
{
	struct map_slot piece;

	vhc_iotlb_forget(t, claim->iova, claim->size);
	for (uint64_t done = 0; done < claim->size; done += piece.size) {
		piece = piece_in_region(memory, claim, done);
		if (claim->access & IOTLB_READ)
			insert(t->readable, piece);
		if (claim->access & IOTLB_WRITE)
			insert(t->writable, piece);
	}
}

/* The piece lies in one slot and leads to the same place; or nothing of it is there. */
static bool
agrees(const struct map *map, const struct map_slot *piece, bool is_wanted)
{
	unsigned int i = first_ending_at(map, piece->guest);
	const struct map_slot *slot = &map->slots[i];

	if (!is_wanted)
		return i == map->nr || slot->guest > last_of(piece);
	return i < map->nr && slot->guest <= piece->guest && last_of(slot) >= last_of(piece) &&
	       slot->to_host == piece->to_host;
}

bool
vhc_iotlb_has(const struct iotlb *t, const struct map *memory, const struct iotlb_claim *claim)
{
	struct map_slot piece;

	for (uint64_t done = 0; done < claim->size; done += piece.size) {
		piece = piece_in_region(memory, claim, done);
		if (!agrees(t->readable, &piece, claim->access & IOTLB_READ) ||
		    !agrees(t->writable, &piece, claim->access & IOTLB_WRITE))
			return false;
	}
	return true;
}

/* ---- both tables ---------------------------------------------------------------------------- */

static uint64_t
last_byte(uint64_t iova, uint64_t size)
{
	return range_is_sane(iova, size) ? iova + (size - 1) : UINT64_MAX;
}

void
vhc_iotlb_forget(struct iotlb *t, uint64_t iova, uint64_t size)
{
	cut(t->readable, iova, last_byte(iova, size));
	cut(t->writable, iova, last_byte(iova, size));
}

static bool
touches(const struct map *map, uint64_t first, uint64_t last)
{
	unsigned int i = first_ending_at(map, first);

	return i < map->nr && map->slots[i].guest <= last;
}

bool
vhc_iotlb_touches(const struct iotlb *t, uint64_t iova, uint64_t size)
{
	return touches(t->readable, iova, last_byte(iova, size)) ||
	       touches(t->writable, iova, last_byte(iova, size));
}

void
vhc_iotlb_keep(struct iotlb *t, const struct map *memory)
{
	keep(t->readable, memory);
	keep(t->writable, memory);
}

void
vhc_iotlb_clear(struct iotlb *t)
{
	t->readable->nr = t->writable->nr = 0;
}

static struct span
span_in(const struct map *map, uint64_t iova, uint64_t want)
{
	struct map_hint hint = { 0 };

	return map_span(map, &hint, (gpa){ iova }, want);
}

struct span
vhc_iotlb_span(const struct iotlb *t, uint64_t iova, uint64_t want, uint8_t access)
{
	const struct map *first = access & IOTLB_READ ? t->readable : t->writable;
	struct span span = span_in(first, iova, want), other;

	if (access != IOTLB_BOTH || !span.len)
		return span;
	/* What may be both is entered in both, at the same place. */
	other = span_in(t->writable, iova, want);
	return other.len < span.len ? other : span;
}

bool
vhc_iotlb_permits(const struct iotlb *t, uint64_t iova, uint8_t access)
{
	return vhc_iotlb_span(t, iova, 1, access).len;
}
