/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_raw_inflight.c - in-flight notes for who works rings himself: written in the order of the
 * header, found again by the next.
 */
#define _GNU_SOURCE 1

#include <errno.h>

#include "rig.h"
#include "ring/verbs.h"

#define SIZE 8

static struct chain_rig rig;
static bool packed;

static void
open_ring(bool is_tracked)
{
	const struct driver_conf conf = {
		.kind = packed ? RING_PACKED : RING_SPLIT,
		.size = SIZE,
		.first = packed ? DRIVER_PACKED_FRESH : 0,
	};

	chain_rig_open(&rig, &conf, false, is_tracked);
	rig.device.raw_rings = true;
}

static void
next_back_end(void)
{
	chain_rig_abandon(&rig);
	CHECK(chain_rig_begin(&rig));
}

/* Chains of two descriptors. `at[]` receives where each begins: what set() is told. */
static void
post(unsigned int nr, uint16_t *at)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct piece pieces[2];
		uint16_t id, slot = rig.driver.next.idx;

		for (unsigned int k = 0; k < 2; k++)
			pieces[k] = (struct piece){ guest_alloc(&rig.guest, 16), 16, true };
		id = driver_post(&rig.driver, pieces, 2);
		at[i] = packed ? slot : id;
	}
	driver_publish(&rig.driver);
}

static uint16_t
last_of(uint16_t at)
{
	return (uint16_t)((at + 1) % SIZE);
}

static struct vhc_queue_inflight
told(void)
{
	struct vhc_queue_inflight inflight;

	CHECK_EQ(vhc_queue_inflight(rig.q, &inflight), 0);
	CHECK_EQ(inflight.packed, packed);
	CHECK_EQ(inflight.size, SIZE);
	CHECK(inflight.region == rig.region && inflight.region_len == rig.region_len);
	return inflight;
}

/* What is taken, and what is about to be used, is done again; what was cleared is not. */
static void
test_noted_and_found(void)
{
	uint16_t at[3], entries[3];
	struct vhc_queue_inflight inflight;

	open_ring(true);
	CHECK_EQ(told().nr_resubmit, 0);
	post(3, at);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(vhc_queue_inflight_set(rig.q, at[i], last_of(at[i]), &entries[i]), 0);
	CHECK_EQ(vhc_queue_inflight_used(rig.q, entries[1]), 0);
	next_back_end();
	inflight = told();
	CHECK_EQ(inflight.nr_resubmit, 3);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(inflight.resubmit[i].index, entries[i]);
	CHECK(inflight.resubmit[0].counter < inflight.resubmit[1].counter);

	CHECK_EQ(vhc_queue_inflight_used(rig.q, entries[1]), 0);
	/* The ring itself says so, too. */
	ring_give(&rig.q->ring, rig.q->ring.kind, at[1], 0, 2);
	ring_publish(&rig.q->ring, rig.q->ring.kind);
	CHECK_EQ(vhc_queue_inflight_clear(rig.q, entries[1], packed ? 0 : 1), 0);
	CHECK_EQ(told().used, packed ? 2 | 0x8000 : 1);
	next_back_end();
	inflight = told();
	CHECK_EQ(inflight.nr_resubmit, 2);
	CHECK_EQ(inflight.resubmit[0].index, entries[0]);
	CHECK_EQ(inflight.resubmit[1].index, entries[2]);
	CHECK_EQ(inflight.used, packed ? 2 | 0x8000 : 1);
	chain_rig_close(&rig);
}

static void
test_refused(void)
{
	struct vhc_queue_inflight inflight;
	uint16_t entry;

	open_ring(true);
	CHECK_EQ(vhc_queue_inflight_set(rig.q, SIZE, 0, &entry), -EINVAL);
	CHECK_EQ(vhc_queue_inflight_used(rig.q, SIZE), -EINVAL);
	CHECK_EQ(vhc_queue_inflight_clear(rig.q, SIZE, 0), -EINVAL);
	if (packed) {
		CHECK_EQ(vhc_queue_inflight_set(rig.q, 0, SIZE, &entry), -EINVAL);
		CHECK_EQ(vhc_queue_inflight_used(rig.q, 0), -EINVAL);	/* nothing is out */
		CHECK_EQ(vhc_queue_inflight_set(rig.q, 0, SIZE - 1, &entry), 0);
		CHECK_EQ(vhc_queue_inflight_set(rig.q, 0, 0, &entry), -EINVAL);	/* no room */
	}
	rig.device.raw_rings = false;
	CHECK_EQ(vhc_queue_inflight(rig.q, &inflight), -EINVAL);
	CHECK_EQ(vhc_queue_inflight_set(rig.q, 0, 0, &entry), -EINVAL);
	chain_rig_close(&rig);
}

static void
test_not_tracked(void)
{
	struct vhc_queue_inflight inflight = { .size = 7 };

	open_ring(false);
	CHECK_EQ(vhc_queue_inflight(rig.q, &inflight), -ENOENT);
	CHECK_EQ(inflight.size, 0);
	CHECK_EQ(vhc_queue_inflight_set(rig.q, 0, 0, NULL), -ENOENT);
	CHECK_EQ(vhc_queue_inflight_used(rig.q, 0), -ENOENT);
	CHECK_EQ(vhc_queue_inflight_clear(rig.q, 0, 0), -ENOENT);
	chain_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_noted_and_found),
	TEST(test_refused),
	TEST(test_not_tracked),
};

int
main(int argc, char **argv)
{
	packed = argc > 1 && strcmp(argv[1], "packed") == 0;
	return RUN_TESTS(tests);
}
