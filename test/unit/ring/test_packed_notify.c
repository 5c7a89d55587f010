/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_packed_notify.c - interrupts and kicks of the packed ring, against a walk slot by slot.
 */
#define _GNU_SOURCE 1

#include "packed_rig.h"

/* "The step passed the event", slot by slot, wrap counters compared as they are. */
static bool
passes(struct ring_mark event, struct ring_mark from, uint16_t steps)
{
	for (uint16_t i = 0; i < steps; i++) {
		struct ring_mark at = guest_packed_after(&driver, from, i);

		if (at.idx == event.idx && at.wrap == event.wrap)
			return true;
	}
	return false;
}

/* `event` is within one round either side of `old`. */
static void
check_event(struct ring_mark old, uint16_t steps, struct ring_mark event)
{
	uint16_t raw = guest_packed_encode(event);

	ring.signalled = old;
	ring.signalled_valid = true;
	ring.used = guest_packed_after(&driver, old, steps);
	driver_want_call_at(&driver, raw);
	CHECK_EQ(packed_wants_call(&ring), passes(event, old, steps));
	CHECK_EQ(ring.signalled.idx, ring.used.idx);
	CHECK_EQ(ring.signalled.wrap, ring.used.wrap);
}

static void
events_of_size(uint16_t size, uint16_t nr_slots)
{
	struct driver_conf conf = conf_of(size, WRAP);

	conf.event_idx = true;
	open_ring(&conf);
	for (uint32_t i = 0; i < 2u * nr_slots; i++) {
		/* As many slots from the beginning as from the end. */
		uint32_t slot = i / 2 < nr_slots / 2u ? i / 2 : size - nr_slots + i / 2;
		struct ring_mark old = { (uint16_t)slot, i & 1 };

		for (uint16_t steps = 1; steps <= (size < 9 ? size : 9); steps++)
			for (uint32_t k = 0; k < size && k < 12; k++) {
				check_event(old, steps, guest_packed_after(&driver, old, k));
				check_event(old, steps, guest_packed_after(&driver, old, size - k));
			}
		check_event(old, size, old);
		check_event(old, size, guest_packed_after(&driver, old, size - 1));
		check_event(old, size, guest_packed_after(&driver, old, size));
	}
	close_ring();
}

static void
test_event_arithmetic(void)
{
	for (uint16_t size = 1; size <= 9; size++)
		events_of_size(size, size);
	events_of_size(255, 30);
	events_of_size(256, 30);
	events_of_size(32768, 30);
}

static void
test_calls_follow_the_flags(void)
{
	open_ring(&fresh);
	for (unsigned int i = 0; i < 20; i++) {
		driver_want_calls(&driver, i % 3);
		CHECK_EQ(give_back(1 + i % 4), i % 3 != 0);
	}
	/* Without EVENT_IDX asking for a slot is asking for all; so is a value nobody defined. */
	driver_want_call_at(&driver, 5);
	CHECK(give_back(1));
	driver.driver_event->flags = le16_put(3);
	CHECK(give_back(1));
	close_ring();
}

static void
test_calls_follow_the_slot(void)
{
	struct driver_conf conf = conf_of(7, 5 | WRAP);

	conf.event_idx = true;
	open_ring(&conf);
	driver_want_call_at(&driver, driver_event_after(&driver, 5));
	CHECK(give_back(1));		/* the first is always due */
	CHECK(!give_back(3));
	CHECK(!give_back(1));		/* up to it is not past it */
	CHECK(give_back(1));
	CHECK(!give_back(7));		/* passed already */
	driver_want_call_at(&driver, driver_event_after(&driver, 6));
	CHECK(give_back(7));		/* all of the ring, and over its end */
	driver_want_calls(&driver, true);
	CHECK(give_back(1));
	driver_want_calls(&driver, false);
	CHECK(!give_back(7));
	/* What happened while the driver did not listen is no news. */
	driver_want_call_at(&driver, driver_event_after(&driver, 0));
	CHECK(give_back(1));
	close_ring();
}

static void
test_kicks_without_event_idx(void)
{
	open_ring(&fresh);
	CHECK(!packed_kicks(&ring, false));
	CHECK(driver_kicks_refused(&driver));
	CHECK(!packed_kicks(&ring, true));
	CHECK(!driver_kicks_refused(&driver));
	CHECK_EQ(le16_get(driver.device_event->flags), RING_EVENT_FLAGS_ENABLE);
	post_plain(1);
	CHECK(packed_kicks(&ring, true));	/* it came in between: no kick will */
	CHECK(!packed_kicks(&ring, false));
	close_ring();
}

static void
test_kicks_with_event_idx(void)
{
	struct driver_conf conf = conf_of(3, 2 | WRAP);

	conf.event_idx = true;
	open_ring(&conf);
	CHECK(!packed_kicks(&ring, true));
	CHECK_EQ(driver_kick_event(&driver), 2 | WRAP);
	CHECK_EQ(le16_get(driver.device_event->flags), RING_EVENT_FLAGS_DESC);
	post_plain(1);
	CHECK(packed_kicks(&ring, true));
	CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	CHECK(!packed_kicks(&ring, true));
	CHECK_EQ(driver_kick_event(&driver), 0);	/* slot 0 of the next round */
	CHECK(!packed_kicks(&ring, false));
	CHECK(driver_kicks_refused(&driver));
	close_ring();
}

static const struct test tests[] = {
	TEST(test_event_arithmetic),
	TEST(test_calls_follow_the_flags),
	TEST(test_calls_follow_the_slot),
	TEST(test_kicks_without_event_idx),
	TEST(test_kicks_with_event_idx),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
