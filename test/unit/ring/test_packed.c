/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_packed.c - the verbs of the packed ring, against a driver that keeps books of its own.
 */
#define _GNU_SOURCE 1

#include <errno.h>

#include "packed_rig.h"

/* ---- random legal chains -------------------------------------------------------------------- */

/* Many rounds of the ring each, so that both counters wrap at every place. */
static void
test_random_legal_chains(void)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 64, 255, 256, 1000, 32768 };

	for (size_t i = 0; i < VHC_ARRAY_LEN(sizes); i++)
		for (unsigned int order = 0; order < 2; order++) {
			struct driver_conf conf = conf_of(sizes[i], WRAP);

			conf.event_idx = random_below(2);
			conf.in_order = order;
			random_chains(&conf, sizes[i] < 64 ? 500 : 3000);
		}
}

/* 32,768 slots do not come round with so few: begin shortly before the end. */
static void
test_largest_ring_wraps(void)
{
	for (uint16_t wrap = 0; wrap < 2; wrap++) {
		struct driver_conf conf = conf_of(32768, (uint16_t)(32700 | wrap << 15));

		random_chains(&conf, 100);
		CHECK(ring.used.idx < 32700);
		CHECK_EQ(ring.used.wrap, !wrap);
	}
}

static void
test_whole_ring_in_one_chain(void)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 255, 256, 1000, 1024 };
	static struct piece pieces[1024];

	for (size_t k = 0; k < VHC_ARRAY_LEN(sizes); k++)
		for (uint16_t first = 0; first < sizes[k]; first += 1 + sizes[k] / 5) {
			struct driver_conf conf = conf_of(sizes[k], first | WRAP);
			struct used_entry used;

			open_ring(&conf);
			for (uint16_t i = 0; i < conf.size; i++)
				pieces[i] = (struct piece){ GUEST_BUFFERS_AT + 2u * i, 1, i & 512 };
			driver_post(&driver, pieces, conf.size);
			driver_publish(&driver);
			CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
			CHECK_EQ(chain.nr_slots, conf.size);
			CHECK_EQ(chain.nr_spans, conf.size);
			CHECK_EQ(ring.avail.idx, first);
			CHECK(!ring.avail.wrap);
			CHECK(!packed_ready(&ring));
			packed_give(&ring, chain.id, 1, chain.nr_slots);
			packed_publish(&ring);
			CHECK(driver_collect(&driver, &used));
			CHECK_EQ(driver.nr_free, conf.size);
			CHECK_EQ(give_back(conf.size), true);
			close_ring();
		}
}

static void
test_full_ring(void)
{
	static const uint16_t sizes[] = { 1, 2, 3, 255, 256, 32768 };

	for (size_t i = 0; i < VHC_ARRAY_LEN(sizes); i++) {
		struct driver_conf conf = conf_of(sizes[i], (sizes[i] - 1) | WRAP);

		open_ring(&conf);
		for (unsigned int round = 0; round < 3; round++)
			CHECK(give_back(sizes[i]));
		CHECK_EQ(ring.used.idx, sizes[i] - 1);
		CHECK(!ring.used.wrap);
		close_ring();
	}
}

#define TABLE_AT (GUEST_BUFFERS_AT + 0x10000)

/* A table of three readable entries, WRITE left on those whose bit is set in `mask`. */
static void
post_with_write_left(struct posted *p, unsigned int mask)
{
	union driver_desc *entries = guest_ptr(&guest, TABLE_AT, 3 * sizeof(*entries));

	*p = (struct posted){ .nr = 3, .read_len = 30 };
	for (unsigned int i = 0; i < 3; i++)
		p->pieces[i] = (struct piece){ GUEST_BUFFERS_AT + 100 * i, 10, false };
	p->id = driver_post_indirect(&driver, p->pieces, p->nr, 0, TABLE_AT);
	for (unsigned int i = 0; i < 3; i++)
		if (mask >> i & 1)
			entries[i].packed.flags = le16_put(VIRTQ_DESC_F_WRITE);
}

/* As DPDK's virtio driver sends segments; where buffers are for us to write it is an error. */
static void
test_write_in_a_table_of_a_driver_that_only_sends(void)
{
	struct posted p;

	open_ring(&fresh);
	ring.driver_only_sends = true;
	for (unsigned int mask = 0; mask < 8; mask++) {
		post_with_write_left(&p, mask);
		round_trip(&p, 1, mask);
	}
	ring.driver_only_sends = false;
	post_with_write_left(&p, 1);
	driver_publish(&driver);
	CHECK_EQ(packed_take(&ring, &chain), TAKE_BAD);
	CHECK_EQ(faults.count[RING_FAULT_CHAIN_ORDER], 1);
	faults.count[RING_FAULT_CHAIN_ORDER] = 0;
	close_ring();
}

/* ---- window, look, skip, give_run ------------------------------------------------------------ */

static void
test_runs_from_every_slot(void)
{
	for (uint16_t size = 2; size <= 13; size++)
		for (uint16_t first = 0; first < size; first++)
			for (uint16_t n = 2; n <= size; n++) {
				struct driver_conf conf = conf_of(size, first | WRAP);

				open_ring(&conf);
				for (unsigned int round = 0; round < 3; round++)
					run_of(n);
				close_ring();
			}
}

/* Whatever a guest's flags say, what is taken and not published is not there to be taken. */
static void
test_slots_held_are_not_taken_again(void)
{
	static const uint16_t sizes[] = { 1, 3, 8 };

	for (size_t k = 0; k < VHC_ARRAY_LEN(sizes); k++) {
		struct driver_conf conf = conf_of(sizes[k], WRAP);

		open_ring(&conf);
		post_plain(conf.size);
		for (uint16_t i = 0; i < conf.size; i++) {
			CHECK(packed_window(&ring, 32).nr <= (uint32_t)(conf.size - i));
			CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
			packed_give(&ring, chain.id, 0, chain.nr_slots);
		}
		for (uint16_t i = 0; i < conf.size; i++)
			driver.packed[i].flags = le16_put(VIRTQ_DESC_F_USED);
		CHECK(packed_ready(&ring));
		CHECK_EQ(packed_window(&ring, 32).nr, 0);
		CHECK_EQ(packed_take(&ring, &chain), TAKE_EMPTY);
		CHECK_EQ(ring.nr_staged, conf.size);
		packed_publish(&ring);
		close_ring();
	}
}

/* ---- untake, publish ------------------------------------------------------------------------ */

static void
untake_at(uint16_t first)
{
	struct driver_conf conf = conf_of(5, first);
	uint16_t ids[5];
	struct used_entry used;
	struct ring_mark mark;

	open_ring(&conf);
	for (unsigned int i = 0; i < 5; i++)
		ids[i] = driver_post(&driver, &piece60, 1);
	driver_publish(&driver);
	CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	packed_give(&ring, chain.id, 11, 1);
	mark = ring_mark(&ring);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	ring_untake(&ring, mark);
	CHECK_EQ(vhc_ring_nr_available(&ring), 4);
	packed_publish(&ring);
	CHECK_EQ(driver_nr_used(&driver), 1);
	for (unsigned int i = 1; i < 5; i++) {
		CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
		CHECK_EQ(chain.id, ids[i]);
		packed_give(&ring, chain.id, 22, 1);
	}
	packed_publish(&ring);
	for (unsigned int i = 0; i < 5; i++) {
		CHECK(driver_collect(&driver, &used));
		CHECK_EQ(used.id, ids[i]);
		CHECK_EQ(used.len, i ? 22 : 11);
	}
	close_ring();
}

static void
test_untaken_chains_come_again(void)
{
	for (uint16_t first = 0; first < 5; first++) {
		untake_at(first);
		untake_at(first | WRAP);
	}
}

/* All but the first entry is written by then: 2.8.8, the head's flags are all that is missing. */
static void
test_nothing_is_visible_before_publish(void)
{
	open_ring(&fresh);
	post_plain(4);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
		packed_give(&ring, chain.id, 10 + i, 1);
		CHECK_EQ(driver_nr_used(&driver), 0);
	}
	CHECK_EQ(le16_get(driver.packed[0].flags), VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_WRITE);
	for (unsigned int i = 1; i < 4; i++)
		CHECK_EQ(le32_get(driver.packed[i].len), 10 + i);
	packed_publish(&ring);
	CHECK_EQ(driver_nr_used(&driver), 4);
	close_ring();
}

/* 2.8.13: posted descriptors become chains with the first one's flags, not before. */
static void
test_takes_nothing_before_the_head_is_available(void)
{
	const struct piece pieces[] = { piece60, piece60, piece60 };

	open_ring(&fresh);
	driver_post(&driver, pieces, 3);
	driver.packed[1].flags = driver.packed[2].flags = le16_put(VIRTQ_DESC_F_AVAIL);
	CHECK(!packed_ready(&ring));
	CHECK_EQ(packed_take(&ring, &chain), TAKE_EMPTY);
	CHECK_EQ(vhc_ring_nr_available(&ring), 0);
	driver_publish(&driver);
	CHECK_EQ(vhc_ring_nr_available(&ring), 3);
	close_ring();
}

/* ---- where a ring begins and goes on -------------------------------------------------------- */

/* From every slot with both wrap counters: the base comes back, moved on by what was used. */
static void
base_at(uint16_t size, uint16_t slot, bool wrap)
{
	struct driver_conf conf = conf_of(size, (uint16_t)(slot | (wrap ? WRAP : 0)));
	uint32_t after = (uint32_t)(slot + 1) % size | ((slot + 1 == size) != wrap ? WRAP : 0);

	open_ring(&conf);
	CHECK_EQ(vhc_ring_base(&ring), conf.first * 0x10001u);
	CHECK(!packed_ready(&ring));
	give_back(1);
	CHECK_EQ(vhc_ring_base(&ring), after * 0x10001u);
	CHECK_EQ(driver_base(&driver), after);
	/* Stopped, and started where it stopped. */
	post_plain(1);
	vhc_ring_start(&ring, vhc_ring_base(&ring));
	CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	CHECK_EQ(vhc_ring_base(&ring) >> 16, after);
	close_ring();
}

static void
test_base_at_every_slot(void)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 64, 255 };

	for (size_t i = 0; i < VHC_ARRAY_LEN(sizes); i++)
		for (uint16_t slot = 0; slot < sizes[i]; slot++) {
			base_at(sizes[i], slot, false);
			base_at(sizes[i], slot, true);
		}
	base_at(32768, 32767, true);
	base_at(32768, 32767, false);
}

/* Front-ends differ in the used half: fresh, QEMU says 0x80008000, virtio-user 0x8000. */
static void
test_only_the_available_half_of_a_base_counts(void)
{
	open_ring(&fresh);
	for (unsigned int i = 0; i < 3; i++) {
		vhc_ring_start(&ring, (const uint32_t[]){ 0x80008000, 0x8000, 0x00038000 }[i]);
		CHECK_EQ(vhc_ring_base(&ring), 0x80008000);
	}
	close_ring();
}

static void
test_chains_not_given_back_come_again_after_a_start(void)
{
	uint32_t base;

	open_ring(&fresh);
	give_back(3);
	base = vhc_ring_base(&ring);
	post_plain(2);
	CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	CHECK_EQ(packed_take(&ring, &chain), TAKE_OK);
	packed_give(&ring, chain.id, 0, 1);
	vhc_ring_start(&ring, base);
	CHECK_EQ(vhc_ring_nr_available(&ring), 2);
	CHECK_EQ(ring.nr_staged, 0);
	close_ring();
}

/* ---- IN_ORDER ------------------------------------------------------------------------------- */

/* 2.8.9: one entry at the batch's first slot, the last one's id; the slots of all are skipped. */
static void
batches(uint16_t size, uint16_t n)
{
	struct driver_conf conf = conf_of(size, WRAP);
	struct used_entry used;

	conf.in_order = true;
	open_ring(&conf);
	for (unsigned int round = 0; round < 20; round++) {
		uint16_t last = 0, ids[16];

		for (uint16_t i = 0; i < n; i++)
			last = ids[i] = driver_post(&driver, &piece60, 1);
		driver_publish(&driver);
		packed_skip(&ring, n);
		packed_give_batch(&ring, last, n);
		CHECK_EQ(driver_nr_used(&driver), 0);
		packed_publish(&ring);
		CHECK_EQ(driver_nr_used(&driver), n);
		for (uint16_t i = 0; i < n; i++) {
			CHECK(driver_collect(&driver, &used));
			CHECK_EQ(used.id, ids[i]);
			CHECK_EQ(used.len, 0);
		}
		CHECK(!driver_collect(&driver, &used));
		CHECK_EQ(driver.nr_free, size);
	}
	close_ring();
}

static void
test_one_entry_for_a_batch(void)
{
	for (uint16_t size = 1; size <= 13; size++)
		for (uint16_t n = 1; n <= size; n++)
			batches(size, n);
}

/* A batch writes one slot; the others keep what the driver wrote. */
static void
test_a_batch_writes_one_slot(void)
{
	struct driver_conf conf = fresh;
	uint16_t ids[4];

	conf.in_order = true;
	open_ring(&conf);
	for (unsigned int i = 0; i < 4; i++)
		ids[i] = driver_post(&driver, &piece60, 1);
	driver_publish(&driver);
	packed_skip(&ring, 4);
	packed_give(&ring, ids[0], 5, 1);
	packed_give_batch(&ring, ids[3], 3);
	packed_publish(&ring);
	CHECK_EQ(le16_get(driver.packed[1].id), ids[3]);
	for (unsigned int i = 2; i < 4; i++) {
		CHECK_EQ(le16_get(driver.packed[i].id), ids[i]);
		CHECK_EQ(le16_get(driver.packed[i].flags),
			 VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_WRITE);
	}
	collect_all();
	CHECK_EQ(driver.nr_free, 8);
	close_ring();
}

/* ---- addresses of the ring itself ----------------------------------------------------------- */

static void
refuse(struct ring_claim claim, int expected, const char *words)
{
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), expected);
	CHECK_HAS(reason, words);
}

static void
test_ring_addresses_are_judged(void)
{
	struct ring_claim good, bad;

	open_ring(&fresh);
	bad = good = driver_claim(&driver, true);
	for (uint64_t off = 1; off < 16; off++) {
		bad.desc.v = good.desc.v + off;
		refuse(bad, -EINVAL, "descriptor ring address");
	}
	bad.desc.v = GUEST_USER(GUEST_SEAM_AT) - 16;	/* the rest is a neighbour's */
	refuse(bad, -EFAULT, "no memory region");
	for (uint64_t off = 1; off < 4; off++) {
		bad = good;
		bad.avail.v += off;
		refuse(bad, -EINVAL, "driver event ring address");
		bad = good;
		bad.used.v += off;
		refuse(bad, -EINVAL, "device event ring address");
	}
	bad = good;
	bad.avail.v = GUEST_USER(GUEST_END_AT);
	refuse(bad, -EFAULT, "driver event ring address");
	bad = good;
	bad.used.v = 0x1000;
	refuse(bad, -EFAULT, "device event ring address");
	close_ring();
}

static void
test_ring_may_end_with_the_memory(void)
{
	struct ring_claim claim;

	open_ring(&fresh);
	claim = driver_claim(&driver, true);
	claim.desc.v = GUEST_USER(GUEST_END_AT) - 8 * 16;
	claim.avail.v = GUEST_USER(GUEST_FAR_END_AT) - 4;
	claim.used.v = GUEST_USER(GUEST_SEAM_AT) - 4;
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), 0);
	vhc_ring_start(&ring, WRAP);
	CHECK(!packed_kicks(&ring, true));
	CHECK(packed_wants_call(&ring));
	CHECK_EQ(packed_take(&ring, &chain), TAKE_EMPTY);
	close_ring();
}

static const struct test tests[] = {
	TEST(test_random_legal_chains),
	TEST(test_largest_ring_wraps),
	TEST(test_whole_ring_in_one_chain),
	TEST(test_full_ring),
	TEST(test_write_in_a_table_of_a_driver_that_only_sends),
	TEST(test_runs_from_every_slot),
	TEST(test_slots_held_are_not_taken_again),
	TEST(test_untaken_chains_come_again),
	TEST(test_nothing_is_visible_before_publish),
	TEST(test_takes_nothing_before_the_head_is_available),
	TEST(test_base_at_every_slot),
	TEST(test_only_the_available_half_of_a_base_counts),
	TEST(test_chains_not_given_back_come_again_after_a_start),
	TEST(test_one_entry_for_a_batch),
	TEST(test_a_batch_writes_one_slot),
	TEST(test_ring_addresses_are_judged),
	TEST(test_ring_may_end_with_the_memory),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
