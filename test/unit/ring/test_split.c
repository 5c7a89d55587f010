/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_split.c - the verbs of the split ring, against a driver that keeps books of its own.
 */
#define _GNU_SOURCE 1

#include <errno.h>

#include "chains.h"

/* A ring of `size` whose indices begin at `first_idx`. */
static void
open_split(uint16_t size, bool event_idx, uint16_t first_idx)
{
	const struct driver_conf conf = {
		.size = size, .first = first_idx, .event_idx = event_idx,
	};

	open_ring(&conf);
}

/* ---- chains --------------------------------------------------------------------------------- */

/* Half of them before the 16-bit indices wrap, half after. */
static void
test_random_legal_chains(void)
{
	static const uint16_t sizes[] = { 1, 2, 4, 64, 256, 1024, 32768 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned int order = 0; order < 2; order++) {
			uint32_t nr_chains = sizes[i] < 64 ? 300 : 3000;
			const struct driver_conf conf = {
				.size = sizes[i], .first = (uint16_t)(65536 - nr_chains / 2),
				.event_idx = random_below(2), .in_order = order,
			};

			random_chains(&conf, nr_chains);
		}
}

/* 2.7.5.3 asks for no alignment of a table, and it need not be contiguous for us. */
static void
test_indirect_table_anywhere(void)
{
	static const uint64_t places[] = {
		GUEST_END_AT - 160, GUEST_FAR_END_AT - 160, GUEST_SEAM_AT - 16, GUEST_SEAM_AT - 80,
		GUEST_SEAM_AT - 144, GUEST_BUFFERS_AT + 1, GUEST_BUFFERS_AT + 2,
		GUEST_BUFFERS_AT + 8, GUEST_END_AT - 163,
	};
	struct posted p = { .nr = 10, .read_len = 50, .write_len = 50 };

	open_split(4, false, 0);
	for (unsigned int i = 0; i < p.nr; i++)
		p.pieces[i] = (struct piece){ GUEST_SEAM_AT + 0x10000 + 100 * i, 10, i >= 5 };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		p.id = driver_post_indirect(&driver, p.pieces, p.nr, 0, places[i]);
		round_trip(&p, 1, 7);
	}
	close_ring();
}

static void
test_writes_land_in_the_writable_pieces_in_order(void)
{
	const struct piece pieces[] = {
		{ GUEST_SEAM_AT - 5, 9, false },
		{ GUEST_SEAM_AT + 100, 1, true },
		{ GUEST_END_AT - 7, 7, true },
		{ GUEST_SEAM_AT - 203, 206, true },
	};
	struct posted p = { .nr = 4 };
	uint8_t sent[214], got[214];
	struct chain_pos pos;

	open_split(256, false, 0);
	memcpy(p.pieces, pieces, sizeof(pieces));
	guest_fill(&guest, GUEST_SEAM_AT - 5, 0xee, 9);
	driver_post(&driver, p.pieces, p.nr);
	driver_publish(&driver);
	CHECK_EQ(nr_ready(), 1);
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	pattern_fill(sent, 1, sizeof(sent));
	pos = chain_writable(&chain);
	/* In two steps; asking for more than there is writes what there is. */
	CHECK_EQ(chain_copy_in(&pos, sent, 4), 4);
	CHECK_EQ(chain_copy_in(&pos, sent + 4, 500), 210);
	CHECK_EQ(read_pieces(&p, true, got), 214);
	CHECK_EQ(memcmp(got, sent, 214), 0);
	close_ring();
}

static void
test_whole_ring_in_one_chain(void)
{
	static struct piece pieces[1024];

	for (uint16_t size = 1; size <= 1024; size *= 2) {
		open_split(size, false, 0);
		for (uint16_t i = 0; i < size; i++)
			pieces[i] = (struct piece){ GUEST_BUFFERS_AT + 2u * i, 1, i & 512 };
		driver_post(&driver, pieces, size);
		driver_publish(&driver);
		CHECK_EQ(nr_ready(), 1);
		CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
		CHECK_EQ(chain.nr_spans, size);
		CHECK_EQ(chain.read_len + chain.write_len, size);
		close_ring();
	}
}

static void
test_full_ring(void)
{
	static const uint16_t sizes[] = { 1, 2, 256, 32768 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct piece piece = { GUEST_BUFFERS_AT, 60, false };
		struct used_entry used;

		open_split(sizes[i], false, 40000);
		for (unsigned int k = 0; k < sizes[i]; k++)
			driver_post(&driver, &piece, 1);
		driver_publish(&driver);
		CHECK_EQ(nr_ready(), sizes[i]);
		while (nr_ready()) {
			CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
			split_give(&ring, chain.id, 0);
		}
		split_publish(&ring);
		CHECK_EQ(driver_nr_used(&driver), sizes[i]);
		while (driver_collect(&driver, &used))
			;
		CHECK_EQ(driver.nr_free, sizes[i]);
		close_ring();
	}
}

/* ---- untake, publish ------------------------------------------------------------------------ */

static void
test_untaken_chains_come_again(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };
	uint16_t ids[5];
	struct used_entry used;
	struct ring_mark mark;

	open_split(8, false, 65534);
	for (unsigned int i = 0; i < 5; i++)
		ids[i] = driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK_EQ(nr_ready(), 5);
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	split_give(&ring, chain.id, 11);
	mark = ring_mark(&ring);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	ring_untake(&ring, mark);
	CHECK_EQ(nr_ready(), 4);
	split_publish(&ring);
	CHECK_EQ(driver_nr_used(&driver), 1);
	for (unsigned int i = 1; i < 5; i++) {
		CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
		CHECK_EQ(chain.id, ids[i]);
		split_give(&ring, chain.id, 22);
	}
	split_publish(&ring);
	for (unsigned int i = 0; i < 5; i++) {
		CHECK(driver_collect(&driver, &used));
		CHECK_EQ(used.id, ids[i]);
		CHECK_EQ(used.len, i ? 22 : 11);
	}
	close_ring();
}

static void
test_nothing_is_visible_before_publish(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };

	open_split(4, false, 65535);
	for (unsigned int i = 0; i < 4; i++)
		driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK_EQ(nr_ready(), 4);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
		split_give(&ring, chain.id, i);
		CHECK_EQ(driver_nr_used(&driver), 0);
	}
	/* The entries are written by now: the index is all that is missing. */
	for (unsigned int i = 0; i < 4; i++)
		CHECK_EQ(le32_get(driver.used->ring[(65535u + i) & 3].len), i);
	split_publish(&ring);
	CHECK_EQ(driver_nr_used(&driver), 4);
	split_publish(&ring);
	CHECK_EQ(driver_nr_used(&driver), 4);
	close_ring();
}

static void
test_starts_where_the_ring_is(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };
	uint16_t first;

	open_split(8, false, 100);
	first = driver_post(&driver, &piece, 1);
	driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK_EQ(nr_ready(), 2);
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	/* Neither was given back before the backend died: both are taken again. */
	vhc_ring_start(&ring, 0);
	CHECK_EQ(nr_ready(), 2);
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	CHECK_EQ(chain.id, first);
	close_ring();
}

/* ---- IN_ORDER ------------------------------------------------------------------------------- */

static void
test_runs_from_every_slot(void)
{
	for (uint16_t size = 2; size <= 16; size *= 2)
		for (uint16_t first = 0; first < size; first++)
			for (uint16_t n = 1; n <= size; n++) {
				const struct driver_conf conf = {
					.size = size, .first = (uint16_t)(65530 + first),
				};

				open_ring(&conf);
				for (unsigned int round = 0; round < 3; round++)
					run_of(n);
				close_ring();
			}
}

/* 2.7.9: one entry with the last one's id; the index moves by as many as the batch has. */
static void
batches(uint16_t size, uint16_t n)
{
	const struct driver_conf conf = { .size = size, .first = 65500, .in_order = true };
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };
	struct used_entry used;

	open_ring(&conf);
	for (unsigned int round = 0; round < 30; round++) {
		uint16_t last = 0, ids[16];

		for (uint16_t i = 0; i < n; i++)
			last = ids[i] = driver_post(&driver, &piece, 1);
		driver_publish(&driver);
		CHECK_EQ(nr_ready(), n);
		split_skip(&ring, n);
		split_give_batch(&ring, last, n);
		CHECK_EQ(driver_nr_used(&driver), 0);
		split_publish(&ring);
		CHECK_EQ(driver_nr_used(&driver), n);
		for (uint16_t i = 0; i < n; i++) {
			CHECK(driver_collect(&driver, &used));
			CHECK_EQ(used.id, ids[i]);
			CHECK_EQ(used.len, 0);
		}
		CHECK_EQ(driver.nr_free, size);
	}
	close_ring();
}

static void
test_one_entry_for_a_batch(void)
{
	for (uint16_t size = 1; size <= 16; size *= 2)
		for (uint16_t n = 1; n <= size; n++)
			batches(size, n);
}

/* ---- notifications -------------------------------------------------------------------------- */

/* "The step passed `event`", by taking the step entry by entry. */
static bool
passes(uint16_t event, uint16_t old_idx, uint16_t steps)
{
	for (uint16_t i = 0; i < steps; i++)
		if ((uint16_t)(old_idx + i) == event)
			return true;
	return false;
}

static void
test_event_idx_arithmetic(void)
{
	static const uint16_t olds[] = { 0, 1, 5, 32767, 32768, 65530, 65535 };

	for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++)
		for (uint16_t steps = 0; steps < 40; steps++)
			for (int near = -50; near < 50; near++) {
				uint16_t old_idx = olds[i], event = (uint16_t)(old_idx + near);

				CHECK_EQ(notify_is_due(event, (uint16_t)(old_idx + steps), old_idx),
					 passes(event, old_idx, steps));
			}
}

/* Give `nr` chains back in one publish. */
static bool
give_back(unsigned int nr)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };
	struct used_entry used;
	bool wants_call;

	for (unsigned int i = 0; i < nr; i++)
		driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK_EQ(nr_ready(), nr);
	for (unsigned int i = 0; i < nr; i++) {
		CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
		split_give(&ring, chain.id, 0);
	}
	wants_call = split_publish(&ring);
	while (driver_collect(&driver, &used))
		;
	return wants_call;
}

static void
test_calls_without_event_idx_follow_the_flag(void)
{
	open_split(8, false, 0);
	for (unsigned int i = 0; i < 20; i++) {
		driver_want_calls(&driver, i % 3);
		CHECK_EQ(give_back(1 + i % 4), i % 3 != 0);
	}
	close_ring();
}

static void
test_calls_with_event_idx_follow_the_index(void)
{
	open_split(16, true, 65528);
	driver_want_calls(&driver, false);	/* means nothing here */
	driver_want_call_at(&driver, 1000);
	CHECK(give_back(1));		/* the first is always due */
	CHECK(!give_back(1));
	driver_want_call_at(&driver, driver.seen_idx);
	CHECK(give_back(1));
	CHECK(!give_back(1));		/* passed already */
	driver_want_call_at(&driver, (uint16_t)(driver.seen_idx + 5));
	CHECK(!give_back(5));
	CHECK(give_back(9));		/* and over the wrap */
	CHECK(!give_back(1));
	close_ring();
}

static void
test_kicks_without_event_idx(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };

	open_split(8, false, 0);
	CHECK(!split_kicks(&ring, false));
	CHECK(driver_kicks_refused(&driver));
	CHECK(!split_kicks(&ring, true));
	CHECK(!driver_kicks_refused(&driver));
	driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK(split_kicks(&ring, true));	/* it came in between: no kick will */
	CHECK(!split_kicks(&ring, false));
	close_ring();
}

static void
test_kicks_with_event_idx(void)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };

	open_split(8, true, 65535);
	CHECK(!split_kicks(&ring, true));
	CHECK_EQ(driver_kick_event(&driver), 65535);
	CHECK(!driver_kicks_refused(&driver));
	driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK(split_kicks(&ring, true));
	CHECK_EQ(split_take(&ring, &chain), TAKE_OK);
	CHECK(!split_kicks(&ring, false));
	CHECK_EQ(driver_kick_event(&driver), 65535);	/* left behind: that refuses kicks */
	CHECK(!driver_kicks_refused(&driver));
	CHECK(!split_kicks(&ring, true));
	CHECK_EQ(driver_kick_event(&driver), 0);
	close_ring();
}

/* ---- addresses of the ring itself ----------------------------------------------------------- */

static void
test_ring_addresses_are_judged(void)
{
	struct ring_claim good, bad;

	open_split(256, false, 0);
	good = driver_claim(&driver, true);
	for (uint64_t off = 1; off < 16; off++) {
		bad = good;
		bad.desc.v += off;
		CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EINVAL);
		CHECK_HAS(reason, "descriptor ring address");
	}
	bad = good;
	bad.avail.v++;
	CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EINVAL);
	CHECK_HAS(reason, "available ring address");
	bad = good;
	bad.used.v += 2;
	CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EINVAL);
	CHECK_HAS(reason, "used ring address");
	bad = good;
	bad.desc.v = GUEST_USER(GUEST_SEAM_AT) - 16;	/* the rest is a neighbour's */
	CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EFAULT);
	bad.desc.v = UINT64_MAX - 15;
	CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EFAULT);
	bad = good;
	bad.used.v = 0x1000;
	CHECK_EQ(vhc_ring_translate(&ring, &bad, guest.map, reason), -EFAULT);
	CHECK_HAS(reason, "no memory region");
	close_ring();
}

/* Without EVENT_IDX the trailing fields may be missing; with it they may not. */
static void
test_ring_may_end_with_the_memory(void)
{
	struct ring_claim claim;

	open_split(256, false, 0);
	claim = driver_claim(&driver, true);
	claim.used.v = GUEST_USER(GUEST_END_AT) - (4 + 8 * 256);
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), 0);
	vhc_ring_start(&ring, 0);
	split_kicks(&ring, false);
	claim.avail.v = GUEST_USER(GUEST_FAR_END_AT) - (4 + 2 * 256);
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), 0);
	claim.event_idx = true;
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), -EFAULT);
	claim.avail.v -= 2;
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), -EFAULT);
	claim.used.v -= 4;
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), 0);
	close_ring();
}

static const struct test tests[] = {
	TEST(test_random_legal_chains),
	TEST(test_indirect_table_anywhere),
	TEST(test_writes_land_in_the_writable_pieces_in_order),
	TEST(test_whole_ring_in_one_chain),
	TEST(test_full_ring),
	TEST(test_untaken_chains_come_again),
	TEST(test_nothing_is_visible_before_publish),
	TEST(test_starts_where_the_ring_is),
	TEST(test_runs_from_every_slot),
	TEST(test_one_entry_for_a_batch),
	TEST(test_event_idx_arithmetic),
	TEST(test_calls_without_event_idx_follow_the_flag),
	TEST(test_calls_with_event_idx_follow_the_index),
	TEST(test_kicks_without_event_idx),
	TEST(test_kicks_with_event_idx),
	TEST(test_ring_addresses_are_judged),
	TEST(test_ring_may_end_with_the_memory),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
