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

static const struct guest_part *
part_of(const struct guest *g, uint64_t at)
{
	for (unsigned int i = 0; i < GUEST_NR_PARTS; i++)
		if (at - g->parts[i].at < g->parts[i].len)
			return &g->parts[i];
	fprintf(stderr, "the model has no memory at 0x%llx\n", (unsigned long long)at);
	exit(1);
}

void *
guest_ptr(const struct guest *g, uint64_t at, uint64_t len)
{
	const struct guest_part *part = part_of(g, at);

	CHECK(len <= part->len - (at - part->at));
	return part->mine + (at - part->at);
}

/* As much of [at, at + len) as one part holds. */
static uint64_t
piece_len(const struct guest *g, uint64_t at, uint64_t len)
{
	const struct guest_part *part = part_of(g, at);
	uint64_t room = part->len - (at - part->at);

	return len < room ? len : room;
}

void
guest_write(const struct guest *g, uint64_t at, const void *src, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memcpy(guest_ptr(g, at + done, part), (const uint8_t *)src + done, part);
	}
}

void
guest_read(const struct guest *g, uint64_t at, void *dst, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memcpy((uint8_t *)dst + done, guest_ptr(g, at + done, part), part);
	}
}

void
guest_fill(const struct guest *g, uint64_t at, uint8_t byte, uint64_t len)
{
	for (uint64_t done = 0, part; done < len; done += part) {
		part = piece_len(g, at + done, len - done);
		memset(guest_ptr(g, at + done, part), byte, part);
	}
}

uint64_t
guest_alloc(struct guest *g, uint64_t len)
{
	uint64_t at = g->next;

	CHECK(len <= GUEST_END_AT - GUEST_BUFFERS_AT);
	if (len > GUEST_END_AT - at)
		at = GUEST_BUFFERS_AT;
	/* An odd step, so that buffers begin at every alignment. */
	g->next = at + len + 1 <= GUEST_END_AT ? at + len + 1 : GUEST_BUFFERS_AT;
	return at;
}

uint8_t
pattern_byte(uint32_t seed, uint32_t i)
{
	return (uint8_t)((seed * 2654435761u + i * 40503u) >> 7 ^ i);
}

void
pattern_fill(uint8_t *dst, uint32_t seed, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		dst[i] = pattern_byte(seed, i);
}

uint32_t
random_next(void)
{
	static uint32_t state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

uint32_t
random_below(uint32_t limit)
{
	return random_next() % limit;
}
