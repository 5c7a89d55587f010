/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_map.c - maps of up to 509 regions: building, sharing, and translating addresses.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <sys/mman.h>

#include "mem/find.h"
#include "model/guest.h"
#include "unit/check.h"

#define PAGE 4096u

static int fd;		/* one file of MAP_REGIONS_MAX + 1 pages behind all regions */

static struct region *
new_region(uint64_t guest, uint64_t user, uint64_t size, unsigned int file_page)
{
	const struct region_claim claim = { { guest }, { user }, size, file_page * PAGE };
	char reason[REGION_REASON_LEN];
	struct region *region;

	CHECK_EQ(vhc_region_map(&claim, fd, &region, reason), 0);
	return region;
}

static unsigned int
nr_mapped_pages(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long from, to, nr = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "memfd:map_test") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			nr += (to - from) / PAGE;
	fclose(maps);
	return (unsigned int)nr;
}

/* ---- building ------------------------------------------------------------------------------- */

static void
test_overlap_is_refused(void)
{
	static const struct {
		uint64_t guest, user;
		int rc;
	} others[] = {
		{ 0x10000 + 4 * PAGE, 0x90000, 0 },		/* neighbours */
		{ 0x10000 - 4 * PAGE, 0x90000, 0 },
		{ 0x10000 + 4 * PAGE - 1, 0x90000, -EEXIST },	/* one byte shared */
		{ 0x10000 - 4 * PAGE + 1, 0x90000, -EEXIST },
		{ 0x10000, 0x90000, -EEXIST },
		{ 0x10000 + 4 * PAGE, 0x50000 + PAGE, -EEXIST },	/* its own addresses */
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct region *regions[2] = {
			new_region(0x10000, 0x50000, 4 * PAGE, 0),
			new_region(others[i].guest, others[i].user, 4 * PAGE, 4),
		};
		struct map *map = NULL;

		CHECK_EQ(vhc_map_create(regions, 2, &map), others[i].rc);
		CHECK_EQ(map != NULL, others[i].rc == 0);
		CHECK_EQ(regions[0]->refs, map ? 2 : 1);
		vhc_map_unref(map);
		vhc_region_unref(regions[0]);
		vhc_region_unref(regions[1]);
	}
	CHECK_EQ(nr_mapped_pages(), 0);
}

static void
test_add_and_remove_leave_the_old_map_alone(void)
{
	struct map *one, *two, *again, *none;
	struct region *a = new_region(0x20000, 0x20000, PAGE, 0);
	struct region *b = new_region(0x10000, 0x10000, PAGE, 1);

	CHECK_EQ(vhc_map_add(NULL, a, &one), 0);
	CHECK_EQ(vhc_map_add(one, b, &two), 0);
	CHECK_EQ(vhc_map_add(two, b, &again), -EEXIST);
	vhc_region_unref(a);
	vhc_region_unref(b);
	CHECK_EQ(one->nr, 1);
	CHECK_EQ(two->nr, 2);
	CHECK_EQ(two->slots[0].guest, 0x10000);		/* sorted */
	CHECK_EQ(vhc_map_remove(two, 1, &again), 0);
	CHECK_EQ(again->nr, 1);
	CHECK(again->slots[0].region == b);
	CHECK_EQ(vhc_map_remove(one, 0, &none), 0);
	CHECK_EQ(none->nr, 0);
	CHECK_EQ(a->refs, 2);
	CHECK_EQ(b->refs, 2);

	vhc_map_ref(two);
	vhc_map_unref(two);
	vhc_map_unref(one);
	vhc_map_unref(none);
	CHECK_EQ(nr_mapped_pages(), 2);
	vhc_map_unref(two);
	CHECK_EQ(nr_mapped_pages(), 1);
	vhc_map_unref(again);
	CHECK_EQ(nr_mapped_pages(), 0);
	vhc_map_unref(NULL);
}

static void
test_same_claim_same_file_is_found_again(void)
{
	struct region *a = new_region(0x20000, 0x50000, PAGE, 3);
	struct region_claim claim = a->claim;
	struct map *map;

	CHECK_EQ(vhc_map_add(NULL, a, &map), 0);
	vhc_region_unref(a);
	CHECK(vhc_map_region_of(map, &claim, fd) == a);
	CHECK(!vhc_map_region_of(map, &claim, 0));
	CHECK(!vhc_map_region_of(NULL, &claim, fd));
	CHECK_EQ(vhc_map_slot_of(map, &claim), 0);
	claim.size++;
	CHECK_EQ(vhc_map_slot_of(map, &claim), -1);
	CHECK_EQ(vhc_map_slot_of(NULL, &claim), -1);
	vhc_map_unref(map);
}

/* ---- translating ---------------------------------------------------------------------------- */

/* Regions of one to three pages with holes of zero to two pages between them, in any order. */
static struct map *
scattered_map(unsigned int nr)
{
	static struct region *regions[MAP_REGIONS_MAX];
	uint64_t at = 0x100000;
	struct map *map;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t size = (1 + random_below(3)) * PAGE;
		unsigned int place = random_below(i + 1);

		regions[i] = regions[place];
		regions[place] = new_region(at, at + (UINT64_C(1) << 40), size, i);
		at += size + random_below(3) * PAGE;
	}
	CHECK_EQ(vhc_map_create(regions, nr, &map), 0);
	for (unsigned int i = 0; i < nr; i++)
		vhc_region_unref(regions[i]);
	return map;
}

/* The obvious way: look at every region. */
static struct span
linear_span(const struct map *map, uint64_t at, uint64_t want)
{
	for (unsigned int i = 0; i < map->nr; i++) {
		const struct region *region = map->slots[i].region;
		uint64_t offset = at - region->claim.guest.v, room;

		if (at < region->claim.guest.v || offset >= region->claim.size)
			continue;
		room = region->claim.size - offset;
		return (struct span){ region->host + offset, want < room ? want : room };
	}
	return (struct span){ NULL, 0 };
}

static void
check_span(const struct map *map, struct map_hint *hint, uint64_t at, uint64_t want)
{
	struct span expected = linear_span(map, at, want);
	struct span got = map_span(map, hint, (gpa){ at }, want);

	CHECK(got.ptr == expected.ptr);
	CHECK_EQ(got.len, expected.len);
	CHECK(map_whole(map, hint, (gpa){ at }, want) ==
	      (expected.ptr && expected.len == want ? expected.ptr : NULL));
}

static void
check_against_linear_search(unsigned int nr)
{
	struct map *map = scattered_map(nr);
	uint64_t first = map->slots[0].guest, last = map->slots[nr - 1].guest;
	struct map_hint hint = { 0 };

	for (unsigned int i = 0; i < nr; i++) {
		const struct map_slot *s = &map->slots[i];

		check_span(map, &hint, s->guest, s->size);
		check_span(map, &hint, s->guest - 1, 2);
		check_span(map, &hint, s->guest + s->size - 1, 2);
		check_span(map, &hint, s->guest + s->size, 1);
	}
	for (unsigned int i = 0; i < 20000; i++)
		check_span(map, &hint, first - PAGE + random_next() % (last - first + 5 * PAGE),
			   1 + random_below(3 * PAGE));
	check_span(map, &hint, 0, 1);
	check_span(map, &hint, UINT64_MAX, 1);
	check_span(map, &hint, UINT64_MAX, UINT64_MAX);
	vhc_map_unref(map);
}

static void
test_translation_equals_linear_search(void)
{
	static const unsigned int sizes[] = { 1, 2, 3, 8, 32, 255, MAP_REGIONS_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_against_linear_search(sizes[i]);
	CHECK_EQ(nr_mapped_pages(), 0);
}

static void
test_empty_map_translates_nothing(void)
{
	struct map_hint hint = { 0 };
	struct map *map;

	CHECK_EQ(vhc_map_create(NULL, 0, &map), 0);
	check_span(map, &hint, 0, 1);
	check_span(map, &hint, 0x1000, 1);
	vhc_map_unref(map);
}

static void
test_one_region_too_many(void)
{
	struct map *map = scattered_map(MAP_REGIONS_MAX), *more = NULL;
	struct region *extra = new_region(0, 0, PAGE, 0);

	CHECK_EQ(vhc_map_add(map, extra, &more), -ENOSPC);
	CHECK(!more);
	CHECK_EQ(extra->refs, 1);
	vhc_region_unref(extra);
	vhc_map_unref(map);
}

static void
test_neighbours_for_the_guest_only(void)
{
	struct map_hint hint = { 0 };
	struct span low, high;
	struct guest g;

	guest_init(&g);
	low = map_span(g.map, &hint, (gpa){ GUEST_SEAM_AT - 10 }, 30);
	high = map_span(g.map, &hint, (gpa){ GUEST_SEAM_AT }, 20);
	CHECK_EQ(low.len, 10);
	CHECK_EQ(high.len, 20);
	CHECK(low.ptr + low.len != high.ptr);
	guest_fill(&g, GUEST_SEAM_AT - 10, 0x5a, 30);
	CHECK_EQ(low.ptr[9], 0x5a);
	CHECK_EQ(high.ptr[19], 0x5a);
	CHECK(!map_whole(g.map, &hint, (gpa){ GUEST_SEAM_AT - 10 }, 11));
	CHECK(map_whole(g.map, &hint, (gpa){ GUEST_SEAM_AT - 10 }, 10) == low.ptr);
	guest_fini(&g);
}

static void
test_user_addresses(void)
{
	struct guest g;
	struct span span;

	guest_init(&g);
	span = vhc_map_user_span(g.map, (uva){ GUEST_USER(GUEST_SEAM_AT) }, 4);
	CHECK_EQ(span.len, 4);
	CHECK(span.ptr == g.parts[GUEST_HIGH].region->host);
	CHECK(!vhc_map_user_span(g.map, (uva){ GUEST_USER(GUEST_SEAM_AT - 1) }, 4).ptr);
	CHECK(!vhc_map_user_span(g.map, (uva){ GUEST_SEAM_AT }, 4).ptr);
	CHECK(!vhc_map_user_span(g.map, (uva){ GUEST_USER(GUEST_FAR_AT) }, UINT64_MAX).ptr);
	CHECK(!vhc_map_user_span(NULL, (uva){ 0 }, 1).ptr);
	guest_fini(&g);
}

static const struct test tests[] = {
	TEST(test_overlap_is_refused),
	TEST(test_add_and_remove_leave_the_old_map_alone),
	TEST(test_same_claim_same_file_is_found_again),
	TEST(test_translation_equals_linear_search),
	TEST(test_empty_map_translates_nothing),
	TEST(test_one_region_too_many),
	TEST(test_neighbours_for_the_guest_only),
	TEST(test_user_addresses),
};

int
main(void)
{
	fd = memfd_create("map_test", MFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, (MAP_REGIONS_MAX + 4) * PAGE), 0);
	return RUN_TESTS(tests);
}
