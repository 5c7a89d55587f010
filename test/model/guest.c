/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.c - map the parts of a guest's memory, twice and fenced.
 */
#include "guest.h"

#include <sys/mman.h>

#include "unit/check.h"

#define GUARD_LEN 4096

static const struct {
	uint64_t at, len;
} layout[GUEST_NR_PARTS] = {
	[GUEST_LOW] = { GUEST_LOW_AT, GUEST_SEAM_AT - GUEST_LOW_AT },
	[GUEST_HIGH] = { GUEST_SEAM_AT, GUEST_END_AT - GUEST_SEAM_AT },
	[GUEST_FAR] = { GUEST_FAR_AT, GUEST_FAR_LEN },
};

/* Move the library's mapping between two pages that fault. */
static void
part_fence(struct guest_part *part)
{
	struct region *region = part->region;

	part->fence_len = part->len + 2 * GUARD_LEN;
	part->fence = mmap(NULL, part->fence_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(part->fence != MAP_FAILED);
	CHECK(mremap(region->mapping, region->mapping_len, part->len, MREMAP_MAYMOVE | MREMAP_FIXED,
		     part->fence + GUARD_LEN) != MAP_FAILED);
	region->mapping = region->host = part->fence + GUARD_LEN;
}

static void
part_init(struct guest_part *part)
{
	const struct region_claim claim = {
		.guest = { part->at }, .user = { GUEST_USER(part->at) }, .size = part->len,
	};
	char reason[REGION_REASON_LEN];
	int fd = memfd_create("guest", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (off_t)part->len), 0);
	part->mine = mmap(NULL, part->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(part->mine != MAP_FAILED);
	CHECK_EQ(vhc_region_map(&claim, fd, &part->region, reason), 0);
	close(fd);
	part_fence(part);
}

void
guest_init(struct guest *g)
{
	struct region *regions[GUEST_NR_PARTS];

	*g = (struct guest){ .next = GUEST_BUFFERS_AT };
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++) {
		g->parts[i].at = layout[i].at;
		g->parts[i].len = layout[i].len;
		part_init(&g->parts[i]);
		regions[i] = g->parts[i].region;
	}
	CHECK_EQ(vhc_map_create(regions, GUEST_NR_PARTS, &g->map), 0);
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		vhc_region_unref(regions[i]);
}

/* ---- scattered ------------------------------------------------------------------------------ */

/* In these ranges every two pages change places. */
static bool
is_scattered(uint64_t at)
{
	return (at >= GUEST_BUFFERS_AT && at < GUEST_BUFFERS_AT + 256 * GUEST_PAGE) ||
	       (at >= GUEST_SEAM_AT - 32 * GUEST_PAGE && at < GUEST_SEAM_AT + 32 * GUEST_PAGE);
}

uint64_t
guest_user(uint64_t at)
{
	return GUEST_USER(is_scattered(at) ? at ^ GUEST_PAGE : at);
}

/* The driver's view of two pages: each where the other is. */
static void
swap_pages(uint8_t *a, uint8_t *b)
{
	uint8_t *kept = mremap(a, 0, GUEST_PAGE, MREMAP_MAYMOVE);

	CHECK(kept != MAP_FAILED);
	CHECK(mremap(b, 0, GUEST_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, a) == a);
	CHECK(mremap(kept, GUEST_PAGE, GUEST_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b) == b);
}

void
guest_scatter(struct guest *g)
{
	for (uint64_t at = GUEST_LOW_AT; at < GUEST_END_AT; at += 2 * GUEST_PAGE)
		if (is_scattered(at))
			swap_pages(guest_ptr(g, at, GUEST_PAGE),
				   guest_ptr(g, at + GUEST_PAGE, GUEST_PAGE));
}

void
guest_fini(struct guest *g)
{
	/* The last reference of the map, and so of its regions, is ours. */
	CHECK_EQ(g->map->refs, 1);
	vhc_map_unref(g->map);
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++) {
		munmap(g->parts[i].mine, g->parts[i].len);
		munmap(g->parts[i].fence, g->parts[i].fence_len);
	}
}
