/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_must_kick.c - the model's drivers kick when the device's wish says so, and not otherwise.
 *
 * Places are counted here without end, so that what was passed is a comparison; the driver sees
 * them as its layout writes them.
 */
#define _GNU_SOURCE 1

#include "../check.h"
#include "model/driver.h"

#define TRIALS 20000

static struct guest guest;
static struct driver driver;

static uint16_t
encode(uint64_t at)
{
	if (driver.kind == RING_SPLIT)
		return (uint16_t)at;
	return (uint16_t)(at % driver.size | (at / driver.size % 2 ? 0 : DRIVER_PACKED_FRESH));
}

static uint64_t
open_ring(enum ring_kind kind, bool event_idx)
{
	struct driver_conf conf = { .kind = kind, .event_idx = event_idx };
	uint64_t at = UINT64_C(0x20000) + random_below(1 << 17);

	conf.size = kind == RING_SPLIT ? (uint16_t)(1u << random_below(6))
				       : (uint16_t)(1 + random_below(40));
	driver = (struct driver){ .kind = kind, .size = conf.size };
	at -= at % (2u * conf.size);	/* a packed ring's first round has wrap counter 1 */
	at += random_below(2u * conf.size);
	conf.first = encode(at);
	driver_init(&driver, &guest, GUEST_LOW_AT, &conf);
	return at;
}

static void
say_event(uint64_t at)
{
	le16 event = le16_put(encode(at));

	if (driver.kind == RING_SPLIT)
		memcpy(&driver.used->ring[driver.size], &event, sizeof(event));
	else
		*driver.device_event = (struct virtq_event){ event,
							     le16_put(RING_EVENT_FLAGS_DESC) };
}

static void
say_flag(bool refused)
{
	if (driver.kind == RING_SPLIT)
		driver.used->flags = le16_put(refused ? VIRTQ_USED_F_NO_NOTIFY : 0);
	else
		driver.device_event->flags = le16_put(refused ? RING_EVENT_FLAGS_DISABLE
							      : RING_EVENT_FLAGS_ENABLE);
}

static void
publish(uint32_t nr)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 16, true };

	for (uint32_t i = 0; i < nr; i++)
		driver_post(&driver, &piece, 1);
	driver_publish(&driver);
}

/* Publish twice; the device's wish may be any place that its ring can mean. */
static void
kick_at_events(enum ring_kind kind)
{
	for (unsigned int i = 0; i < TRIALS; i++) {
		uint64_t at = open_ring(kind, true), event;
		uint32_t first = random_below(driver.size), second;

		if (first)
			publish(first);
		at += first;
		second = 1 + random_below(driver.size - first);
		event = at - driver.size + random_below(2u * driver.size);
		say_event(event);
		publish(second);
		CHECK_EQ(driver_must_kick(&driver), event >= at && event < at + second);
		driver_fini(&driver);
	}
}

static void
test_split_events(void)
{
	kick_at_events(RING_SPLIT);
}

static void
test_packed_events(void)
{
	kick_at_events(RING_PACKED);
}

static void
test_flags(void)
{
	for (unsigned int i = 0; i < 8; i++) {
		open_ring(i & 1 ? RING_PACKED : RING_SPLIT, false);
		say_flag(i & 2);
		publish(1);
		CHECK_EQ(driver_must_kick(&driver), !(i & 2));
		driver_fini(&driver);
	}
}

int
main(void)
{
	static const struct test tests[] = {
		TEST(test_split_events),
		TEST(test_packed_events),
		TEST(test_flags),
	};

	guest_init(&guest);
	return RUN_TESTS(tests);
}
