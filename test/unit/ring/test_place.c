/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_place.c - where a packed ring stands is found in it, at any moment of its life.
 *
 * A driver and a device are played by numbers: what each has done, and what that leaves in the
 * slots. The answer must be what the device knew. Then nonsense, which must have an answer as well.
 */
#include "ring/place.h"

#include "../check.h"
#include "mem/guest.h"
#include "model/guest.h"
#include "ring/slot.h"

#define SIZE_MAX_HERE 8

static struct virtq_packed_desc slots[SIZE_MAX_HERE];
static struct ring ring;

static void
set_flags(uint32_t slot, uint16_t flags)
{
	guest_store16(&slots[slot].flags, flags);
}

/* Slot number `n` of all rounds: made available; used. */
static void
avail(uint32_t n)
{
	set_flags(n % ring.size, slot_available_flags(!(n / ring.size & 1)));
}

static void
use(uint32_t n)
{
	set_flags(n % ring.size, n / ring.size & 1 ? 0 : VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
}

/* `nr_used` slots came back of `nr_avail` made available, over as many rounds as that takes. */
static void
play(uint16_t size, uint32_t nr_used, uint32_t nr_avail)
{
	memset(slots, 0, sizeof(slots));
	ring = (struct ring){ .g_packed = slots, .size = size, .kind = RING_PACKED };
	for (uint32_t n = 0; n < nr_avail; n++) {
		avail(n);
		if (n < nr_used)
			use(n);
	}
}

static struct ring_mark
mark_of(uint32_t n)
{
	return (struct ring_mark){ (uint16_t)(n % ring.size), !(n / ring.size & 1) };
}

static bool
is_at(struct ring_mark mark, uint32_t n)
{
	return mark.idx == mark_of(n).idx && mark.wrap == mark_of(n).wrap;
}

static void
test_every_moment(void)
{
	struct ring_place place;

	for (uint16_t size = 1; size <= SIZE_MAX_HERE; size++) {
		for (uint32_t used = 0; used < 4u * size; used++) {
			for (uint32_t out = 0; out <= size; out++) {
				play(size, used, used + out);
				CHECK(vhc_packed_find(&ring, &place));
				CHECK(is_at(place.mark, used));
				CHECK_EQ(place.nr_cut_off, 0);
				CHECK(vhc_packed_may_be_at(&ring, mark_of(used)));
			}
		}
	}
}

/* Used entries are written from the second of a batch on, the first one last. */
static void
test_batch_cut_off(void)
{
	struct ring_place place;

	for (uint32_t used = 0; used < 4; used++) {
		for (uint32_t nr = 2; nr <= 4; nr++) {
			play(8, used, used + nr);
			for (uint32_t n = 1; n < nr; n++)
				use(used + n);
			slots[used].id = le16_put((uint16_t)(77 + used));
			CHECK(vhc_packed_find(&ring, &place));
			CHECK(is_at(place.mark, used));
			CHECK_EQ(place.nr_cut_off, nr);
			vhc_packed_go_on(&ring, &place);
			CHECK(is_at(ring.used, used + nr));
			CHECK(is_at(ring.avail, used + nr));
			CHECK_EQ(le16_get(slots[used].id), 77 + used);
			CHECK(vhc_packed_find(&ring, &place));
			CHECK(is_at(place.mark, used + nr));
			CHECK_EQ(place.nr_cut_off, 0);
		}
	}
}

/* What is left of a chain's other slots looks available, and is not. */
static void
test_chains_of_two_slots_do_not_tell(void)
{
	struct ring_place place;

	play(8, 0, 8);
	use(0);
	use(2);
	use(4);
	CHECK(!vhc_packed_find(&ring, &place));
	CHECK(vhc_packed_may_be_at(&ring, mark_of(6)));
	CHECK(!vhc_packed_may_be_at(&ring, mark_of(4)));
	play(8, 0, 4);
	set_flags(0, slot_available_flags(true) | VIRTQ_DESC_F_NEXT);
	CHECK(!vhc_packed_find(&ring, &place));
}

/* A front-end's word that is behind the ring's, by any distance but whole pairs of rounds. */
static void
test_old_words_are_noticed(void)
{
	for (uint32_t used = 1; used < 16; used++) {
		play(8, used, used + 2);
		for (uint32_t said = used < 8 ? 0 : used - 7; said < used; said++)
			CHECK(!vhc_packed_may_be_at(&ring, mark_of(said)));
	}
}

/* Whatever the slots say, the answer is a slot. */
static void
any_nonsense(void)
{
	struct ring_place place;

	for (unsigned int i = 0; i < 20000; i++) {
		uint16_t size = (uint16_t)(1 + random_below(SIZE_MAX_HERE));

		play(size, 0, 0);
		for (uint16_t slot = 0; slot < size; slot++)
			set_flags(slot, (uint16_t)random_next() & (SLOT_FLAGS | VIRTQ_DESC_F_NEXT));
		if (!vhc_packed_find(&ring, &place))
			continue;
		CHECK(place.mark.idx < size && place.nr_cut_off <= size);
		vhc_packed_go_on(&ring, &place);
		CHECK(ring.used.idx < size && ring.avail.idx < size);
	}
}

static void test_nonsense(void) { random_seeds(3, any_nonsense); }

static const struct test tests[] = {
	TEST(test_every_moment),
	TEST(test_batch_cut_off),
	TEST(test_chains_of_two_slots_do_not_tell),
	TEST(test_old_words_are_noticed),
	TEST(test_nonsense),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
