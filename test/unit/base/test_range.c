/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_range.c - range arithmetic against the same question asked of every byte.
 *
 * The top 12 addresses and the bottom 12 stand for all others: what can go wrong goes wrong there.
 */
#define _GNU_SOURCE 1

#include "base/range.h"
#include "unit/check.h"

#define EDGE 12

/* 0...11, then the twelve that end with UINT64_MAX. */
static uint64_t
edge_value(unsigned int i)
{
	return i < EDGE ? i : UINT64_MAX - (2 * EDGE - 1 - i);
}

/* `byte` lies in [start, start + len), with the arithmetic done in 128 bits. */
static bool
holds_byte(uint64_t start, uint64_t len, unsigned __int128 byte)
{
	return byte >= start && byte < (unsigned __int128)start + len;
}

static void
test_sane_means_end_fits(void)
{
	for (unsigned int i = 0; i < 2 * EDGE; i++)
		for (unsigned int k = 0; k < 2 * EDGE; k++) {
			uint64_t start = edge_value(i), len = edge_value(k);
			bool fits = (unsigned __int128)start + len <= UINT64_MAX;

			CHECK_EQ(range_is_sane(start, len), fits);
		}
}

static void
check_contains(uint64_t outer, uint64_t outer_len, uint64_t start, uint64_t len)
{
	unsigned __int128 end = (unsigned __int128)start + len;
	bool inside = start >= outer && end <= (unsigned __int128)outer + outer_len;

	CHECK_EQ(range_contains(outer, outer_len, start, len), inside);
}

static void
test_contains_at_every_edge(void)
{
	for (unsigned int a = 0; a < 2 * EDGE; a++)
		for (uint64_t a_len = 0; a_len < EDGE; a_len++)
			for (unsigned int b = 0; b < 2 * EDGE; b++)
				for (unsigned int l = 0; l < 2 * EDGE; l++)
					if (range_is_sane(edge_value(a), a_len))
						check_contains(edge_value(a), a_len, edge_value(b),
							       edge_value(l));
}

static void
check_overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	bool shared = false;

	for (uint64_t i = 0; i < a_len; i++)
		shared = shared || holds_byte(b, b_len, (unsigned __int128)a + i);
	CHECK_EQ(range_overlaps(a, a_len, b, b_len), shared);
}

static void
test_overlaps_means_a_shared_byte(void)
{
	for (unsigned int a = 0; a < 2 * EDGE; a++)
		for (uint64_t a_len = 0; a_len < EDGE; a_len++)
			for (unsigned int b = 0; b < 2 * EDGE; b++)
				for (uint64_t b_len = 0; b_len < EDGE; b_len++)
					if (range_is_sane(edge_value(a), a_len) &&
					    range_is_sane(edge_value(b), b_len))
						check_overlaps(edge_value(a), a_len, edge_value(b),
							       b_len);
}

static void
test_align(void)
{
	CHECK_EQ(range_align_down(0x1fff, 0x1000), 0x1000);
	CHECK_EQ(range_align_down(0x2000, 0x1000), 0x2000);
	CHECK_EQ(range_align_up(0, 0x1000), 0);
	CHECK_EQ(range_align_up(1, 0x1000), 0x1000);
	CHECK_EQ(range_align_up(0x1000, 0x1000), 0x1000);
	CHECK_EQ(range_align_up(UINT64_MAX - 0xfff, 0x1000), UINT64_MAX - 0xfff);
	/* One more has no page boundary above it. */
	CHECK_EQ(range_align_up(UINT64_MAX - 0xffe, 0x1000), 0);
	CHECK_EQ(range_align_up(UINT64_MAX, 0x200000), 0);
}

static const struct test tests[] = {
	TEST(test_sane_means_end_fits),
	TEST(test_contains_at_every_edge),
	TEST(test_overlaps_means_a_shared_byte),
	TEST(test_align),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
