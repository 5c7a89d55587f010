/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.c - build maps, search them.
 *
 * Knows:   regions and their order.
 * Trusts:  nothing of the addresses it is asked for.
 * Runs on: control thread; vhc_map_search() also on the polling lcore.
 */
#include "map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "find.h"
#include "guard.h"

static int
by_guest_address(const void *a, const void *b)
{
	const struct map_slot *x = a, *y = b;

	return x->guest < y->guest ? -1 : x->guest > y->guest;
}

static int
by_user_address(const void *a, const void *b)
{
	uint64_t x = (*(struct region *const *)a)->claim.user.v;
	uint64_t y = (*(struct region *const *)b)->claim.user.v;

	return x < y ? -1 : x > y;
}

/* Sorted by the front-end's addresses, or by the guest's, only neighbours can overlap. */
static bool
has_user_overlap(struct region **sorted, unsigned int nr)
{
	qsort(sorted, nr, sizeof(sorted[0]), by_user_address);
	for (unsigned int i = 1; i < nr; i++) {
		const struct region_claim *a = &sorted[i - 1]->claim, *b = &sorted[i]->claim;

		if (range_overlaps(a->user.v, a->size, b->user.v, b->size))
			return true;
	}
	return false;
}

static bool
has_overlap(const struct map *map)
{
	struct region *sorted[MAP_REGIONS_MAX];

	for (unsigned int i = 0; i < map->nr; i++) {
		const struct map_slot *s = &map->slots[i];

		sorted[i] = s->region;
		if (i && range_overlaps(s[-1].guest, s[-1].size, s->guest, s->size))
			return true;
	}
	return has_user_overlap(sorted, map->nr);
}

int
vhc_map_create(struct region *const *regions, unsigned int nr, struct map **out)
{
	struct map *map;

	if (nr > MAP_REGIONS_MAX)
		return -ENOSPC;
	map = malloc(sizeof(*map) + nr * sizeof(map->slots[0]));
	if (!map)
		return -ENOMEM;
	map->refs = 1;
	map->nr = nr;
	for (unsigned int i = 0; i < nr; i++) {
		const struct region_claim *claim = &regions[i]->claim;

		map->slots[i] = (struct map_slot){
			.guest = claim->guest.v,
			.size = claim->size,
			.to_host = (uint64_t)(uintptr_t)regions[i]->host - claim->guest.v,
			.region = regions[i],
		};
	}
	qsort(map->slots, nr, sizeof(map->slots[0]), by_guest_address);
	if (has_overlap(map)) {
		free(map);
		return -EEXIST;
	}
	for (unsigned int i = 0; i < nr; i++)
		vhc_region_ref(regions[i]);
	*out = map;
	return 0;
}

/* A map of `old` without slot `skip` (-1: none) and with `extra` (NULL: none). */
static int
map_rebuild(const struct map *old, int skip, struct region *extra, struct map **out)
{
	unsigned int nr_old = old ? old->nr : 0, nr = 0;
	struct region **regions = calloc(nr_old + 1, sizeof(*regions));
	int rc;

	if (!regions)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr_old; i++)
		if ((int)i != skip)
			regions[nr++] = old->slots[i].region;
	if (extra)
		regions[nr++] = extra;
	rc = vhc_map_create(regions, nr, out);
	free(regions);
	return rc;
}

int
vhc_map_add(const struct map *old, struct region *region, struct map **map)
{
	return map_rebuild(old, -1, region, map);
}

int
vhc_map_remove(const struct map *old, unsigned int slot, struct map **map)
{
	vhc_assert(slot < old->nr);
	return map_rebuild(old, (int)slot, NULL, map);
}

void
vhc_map_ref(struct map *map)
{
	map->refs++;
}

void
vhc_map_unref(struct map *map)
{
	if (!map || --map->refs)
		return;
	for (unsigned int i = 0; i < map->nr; i++)
		vhc_region_unref(map->slots[i].region);
	free(map);
}

int
vhc_map_slot_of(const struct map *map, const struct region_claim *claim)
{
	for (unsigned int i = 0; map && i < map->nr; i++) {
		const struct region_claim *have = &map->slots[i].region->claim;

		if (have->guest.v == claim->guest.v && have->user.v == claim->user.v &&
		    have->size == claim->size)
			return (int)i;
	}
	return -1;
}

struct region *
vhc_map_region_of(const struct map *map, const struct region_claim *claim, int fd)
{
	int slot = vhc_map_slot_of(map, claim);

	if (slot < 0 || !vhc_region_is(map->slots[slot].region, claim, fd))
		return NULL;
	return map->slots[slot].region;
}

struct span
vhc_map_user_span(const struct map *map, uva user, uint64_t len)
{
	for (unsigned int i = 0; map && i < map->nr; i++) {
		const struct region *region = map->slots[i].region;

		if (range_contains(region->claim.user.v, region->claim.size, user.v, len))
			return (struct span){
				.ptr = region->host + (user.v - region->claim.user.v),
				.len = len,
			};
	}
	return (struct span){ NULL, 0 };
}

const struct region *
vhc_map_lost(const struct map *map)
{
	for (unsigned int i = 0; map && i < map->nr; i++)
		if (vhc_guard_is_lost(map->slots[i].region->guard))
			return map->slots[i].region;
	return NULL;
}

bool
vhc_map_is_awaited(const struct map *map)
{
	for (unsigned int i = 0; map && i < map->nr; i++)
		if (map->slots[i].region->source)
			return true;
	return false;
}

bool
vhc_map_user_to_guest(const struct map *map, uva user, gpa *guest)
{
	for (unsigned int i = 0; map && i < map->nr; i++) {
		const struct region_claim *claim = &map->slots[i].region->claim;

		guest->v = claim->guest.v + (user.v - claim->user.v);
		if (user.v - claim->user.v < claim->size)
			return true;
	}
	return false;
}

VHC_API bool
vhc_map_search_host(const struct map *map, struct map_hint *hint, const void *host)
{
	for (unsigned int i = 0; map && i < map->nr; i++) {
		const struct map_slot *slot = &map->slots[i];
		uint64_t guest = (uint64_t)(uintptr_t)host - slot->to_host;

		if (guest - slot->guest >= slot->size)
			continue;
		*hint = (struct map_hint){ slot->guest, slot->size, slot->to_host };
		return true;
	}
	return false;
}

bool
vhc_map_host_to_guest(const struct map *map, const void *host, gpa *guest)
{
	struct map_hint hint;

	if (!vhc_map_search_host(map, &hint, host))
		return false;
	guest->v = (uint64_t)(uintptr_t)host - hint.to_host;
	return true;
}

/* Index of the last slot that starts at or before the address, or -1. */
static int
slot_at_or_below(const struct map *map, uint64_t guest)
{
	int low = 0, high = (int)map->nr;

	while (low < high) {
		int mid = (low + high) / 2;

		if (map->slots[mid].guest <= guest)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

VHC_API const struct map_slot *
vhc_map_search(const struct map *map, struct map_hint *hint, gpa guest)
{
	int i = slot_at_or_below(map, guest.v);
	const struct map_slot *slot;

	if (i < 0)
		return NULL;
	slot = &map->slots[i];
	if (guest.v - slot->guest >= slot->size)
		return NULL;
	*hint = (struct map_hint){ slot->guest, slot->size, slot->to_host };
	return slot;
}
