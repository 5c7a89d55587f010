/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.h - the guest's memory as one immutable, sorted, reference-counted table of regions.
 *
 * Knows:   regions. Adding or removing one builds a new table; nobody sees a table change.
 * Trusts:  region.h's regions; refuses those that overlap.
 * Runs on: control thread; find.h reads a published map on the polling lcore.
 */
#ifndef VHC_MEM_MAP_H
#define VHC_MEM_MAP_H

#include "region.h"

/* Most regions a map holds: what QEMU's largest machines use. */
#define MAP_REGIONS_MAX 509

struct map_slot {
	uint64_t guest;		/* first guest address */
	uint64_t size;
	uint64_t to_host;	/* host address = guest address + this, modulo 2^64 */
	struct region *region;
};

struct map {
	unsigned int refs;
	unsigned int nr;
	struct map_slot slots[];	/* by rising guest address, not overlapping */
};

/* A map of these regions, one reference; takes a reference on each. -EEXIST: two overlap. */
int vhc_map_create(struct region *const *regions, unsigned int nr, struct map **map) VHC_MUST_USE;

/* The regions of `old` (NULL: none) and one more. -EEXIST overlaps, -ENOSPC full. */
int vhc_map_add(const struct map *old, struct region *region, struct map **map) VHC_MUST_USE;

/* The regions of `old` without slot `slot`. */
int vhc_map_remove(const struct map *old, unsigned int slot, struct map **map) VHC_MUST_USE;

void vhc_map_ref(struct map *map);

/* Drop one reference; the last one drops the regions'. NULL is fine. */
void vhc_map_unref(struct map *map);

/* Slot of the region with this guest address, user address and size, or -1. */
int vhc_map_slot_of(const struct map *map, const struct region_claim *claim);

/* Region identical to the claim and file, or NULL. `map` may be NULL. */
struct region *vhc_map_region_of(const struct map *map, const struct region_claim *claim, int fd);

/* Host memory behind [user, user + len) if one region holds all of it, else ptr NULL. */
struct span vhc_map_user_span(const struct map *map, uva user, uint64_t len);

/* A region that has lost memory (guard.h), or NULL. */
const struct region *vhc_map_lost(const struct map *map);

/* Pages of it are still to come (pages.h). */
bool vhc_map_is_awaited(const struct map *map);

/* Guest address of what the front-end has at `user`, or of what is here at `host`. */
bool vhc_map_user_to_guest(const struct map *map, uva user, gpa *guest);
bool vhc_map_host_to_guest(const struct map *map, const void *host, gpa *guest);

struct map_hint;

/* The same, as a hint for the region it lies in. */
bool vhc_map_search_host(const struct map *map, struct map_hint *hint, const void *host);

#endif
