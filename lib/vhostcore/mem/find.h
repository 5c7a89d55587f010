/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * find.h - guest address to host memory: the only door from an address to a pointer.
 *
 * Knows:   a published map and the region that was hit last.
 * Trusts:  nothing of the address or the length.
 * Runs on: polling lcore; control thread while the queue's gate is closed.
 */
#ifndef VHC_MEM_FIND_H
#define VHC_MEM_FIND_H

#include "../base/range.h"
#include "map.h"

/* The region hit last, by value, so that a hit touches no other cache line. */
struct map_hint {
	uint64_t guest;
	uint64_t size;
	uint64_t to_host;
};

/* Slot that holds the address, or NULL. Binary search; fills the hint for it. */
const struct map_slot *vhc_map_search(const struct map *map, struct map_hint *hint, gpa guest);

/*
 * As much of [guest, guest + want) as lies in one region: up to `want` bytes, ptr NULL if not even
 * the first is mapped. Neighbouring guest memory need not be neighbouring here, so a caller that
 * gets less asks again for the rest.
 */
static VHC_HOT struct span
map_span(const struct map *map, struct map_hint *hint, gpa guest, uint64_t want)
{
	uint64_t offset = guest.v - hint->guest;

	if (vhc_unlikely(offset >= hint->size)) {
		/* Its address escapes, so that the hint itself can stay in registers. */
		struct map_hint found;

		if (!vhc_map_search(map, &found, guest))
			return (struct span){ NULL, 0 };
		*hint = found;
		offset = guest.v - hint->guest;
	}
	uint64_t room = hint->size - offset;

	return (struct span){
		.ptr = (uint8_t *)(uintptr_t)(guest.v + hint->to_host),
		.len = want < room ? want : room,
	};
}

/*
 * The region hit last without its last MAP_NEAR_MARGIN bytes: what begins here and is no longer
 * than that lies in the region as a whole, for one comparison. For loops, in registers.
 */
struct map_near {
	uint64_t guest;
	uint64_t size;
	uint64_t to_host;
};

#define MAP_NEAR_MARGIN (128u * 1024)

static VHC_HOT struct map_near
map_near(const struct map_hint *hint)
{
	return (struct map_near){
		.guest = hint->guest,
		.size = hint->size > MAP_NEAR_MARGIN ? hint->size - MAP_NEAR_MARGIN : 0,
		.to_host = hint->to_host,
	};
}

/* The way back: guest address of what map_span() found at `host`. False: it is not there. */
static VHC_HOT bool
map_guest(const struct map *map, struct map_hint *hint, const void *host, gpa *guest)
{
	guest->v = (uint64_t)(uintptr_t)host - hint->to_host;
	if (vhc_likely(guest->v - hint->guest < hint->size))
		return true;
	if (!vhc_map_search_host(map, hint, host))
		return false;
	guest->v = (uint64_t)(uintptr_t)host - hint->to_host;
	return true;
}

/* Host memory for all of [guest, guest + len), or NULL if no single region holds it. */
static VHC_HOT void *
map_whole(const struct map *map, struct map_hint *hint, gpa guest, uint64_t len)
{
	struct span span = map_span(map, hint, guest, len);

	return vhc_likely(span.len == len) ? span.ptr : NULL;
}

/*
 * As map_whole(), first where it is cheap, for a buffer of which no more than MAP_NEAR_MARGIN bytes
 * are needed. Where it is not cheap, all of its `len` bytes must be there: an IOMMU may be asked
 * for the rest just now, and the driver must not get the buffer back before it has answered.
 */
static VHC_HOT bool
map_whole_near(const struct map *map, struct map_hint *hint, struct map_near *near, gpa guest,
	       uint32_t len, uint8_t **host)
{
	if (vhc_likely(guest.v - near->guest < near->size)) {
		*host = (uint8_t *)(uintptr_t)(guest.v + near->to_host);
		return true;
	}
	*host = map_whole(map, hint, guest, len);
	*near = map_near(hint);
	return *host;
}

#endif
