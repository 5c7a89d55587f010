/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packed_rig.h - what the tests of packed rings share.
 *
 * Knows:   chains.h, with packed rings in it.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread.
 */
#ifndef TEST_RING_PACKED_RIG_H
#define TEST_RING_PACKED_RIG_H

#include "chains.h"
#include "model/guest_packed.h"

#define WRAP DRIVER_PACKED_FRESH

static const struct driver_conf fresh = { .kind = RING_PACKED, .size = 8, .first = WRAP };

static const struct piece piece60 = { GUEST_BUFFERS_AT, 60, true };

static inline struct driver_conf
conf_of(uint16_t size, uint16_t first)
{
	return (struct driver_conf){ .kind = RING_PACKED, .size = size, .first = first };
}

/* Post `nr` buffers of one descriptor. */
static inline void
post_plain(uint16_t nr)
{
	for (uint16_t i = 0; i < nr; i++)
		driver_post(&driver, &piece60, 1);
	driver_publish(&driver);
}

static inline void
collect_all(void)
{
	struct used_entry used;

	while (driver_collect(&driver, &used))
		;
}

/* Post, take and give back `nr` buffers; does the driver want an interrupt? */
static inline bool
give_back(uint16_t nr)
{
	bool wants_call;

	post_plain(nr);
	for (uint16_t i = 0; i < nr; i++) {
		CHECK(packed_ready(&ring));
		CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
		packed_give(&ring, chain.id, 0, chain.nr_slots);
	}
	CHECK(!packed_ready(&ring));
	wants_call = packed_publish(&ring);
	collect_all();
	CHECK_EQ(driver.nr_free, driver.size);
	return wants_call;
}

#endif
