/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_lies.c - what breaks the rules never reaches the application: it is counted and given back,
 * or breaks the ring.
 */
#define _GNU_SOURCE 1

#include "model/lies.h"
#include "rig.h"

#define SIZE 256

static struct chain_rig rig;

#define X(NAME, name, sentence) + 1
enum { NR_BREAKING = 0 RING_FAULTS_BREAKING(X) };
#undef X

/* A packet's contents are none of our business here. */
static bool
is_of_the_ring(enum ring_fault fault)
{
	return fault <= RING_FAULT_INDIRECT_UNMAPPED && fault != RING_FAULT_CHAIN_EMPTY;
}

static void
post_honest(bool writable)
{
	const struct piece piece = { guest_alloc(&rig.guest, 60), 60, writable };

	driver_post(&rig.driver, &piece, 1);
}

/* Honest, lie, honest. */
static void
tell_one(const struct lie *lie, const struct driver_conf *conf, bool writable, bool is_tracked)
{
	struct liar liar = {
		.guest = &rig.guest, .driver = &rig.driver, .writable = writable, .hdr_len = 0,
	};
	bool is_breaking = (unsigned int)lie->fault < NR_BREAKING;
	struct vhc_chain *chains[4];
	struct used_entry used;
	uint16_t nr, nr_used;

	chain_rig_open(&rig, conf, lie->fault != RING_FAULT_INDIRECT_OFF, is_tracked);
	post_honest(writable);
	lie->tell(&liar);
	if (!is_breaking)
		post_honest(writable);
	driver_publish(&rig.driver);
	nr = vhc_queue_take(rig.q, chains, 4);
	CHECK_EQ(nr, lie->fault == RING_FAULT_AVAIL_IDX ? 0 : is_breaking ? 1 : 2);
	CHECK_EQ(rig.q->faults.count[lie->fault], 1);
	CHECK_EQ(chain_rig_faults(&rig), 1);
	CHECK_EQ(rig.q->ring.broken, is_breaking);
	for (uint16_t i = 0; i < nr; i++)
		vhc_queue_give(rig.q, chains[i], 0);
	vhc_queue_publish(rig.q);
	CHECK_EQ(chain_nr_held(rig.cq), 0);
	for (nr_used = 0; !is_breaking && driver_collect(&rig.driver, &used); nr_used++)
		CHECK_EQ(used.len, 0);
	CHECK_EQ(nr_used, is_breaking ? 0 : 3);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 4), 0);
	rig.q->faults.count[lie->fault] = 0;
	chain_rig_close(&rig);
}

static void
tell_all(const struct driver_conf *conf, bool is_tracked)
{
	for (size_t i = 0; i < nr_lies; i++) {
		if (!is_of_the_ring(lies[i].fault) || !lie_fits(&lies[i], conf->kind))
			continue;
		tell_one(&lies[i], conf, true, is_tracked);
		tell_one(&lies[i], conf, false, is_tracked);
	}
}

static void
test_split(void)
{
	struct driver_conf conf = { .kind = RING_SPLIT, .size = SIZE };

	tell_all(&conf, false);
	tell_all(&conf, true);
	conf.in_order = conf.in_sequence = true;
	tell_all(&conf, false);
}

static void
test_packed(void)
{
	struct driver_conf conf = {
		.kind = RING_PACKED, .size = SIZE, .first = DRIVER_PACKED_FRESH,
	};

	tell_all(&conf, false);
	tell_all(&conf, true);
	conf.in_order = true;
	tell_all(&conf, false);
}

/* A driver that offers again what it has not got back cannot have us hold ever more. */
static void
test_more_than_the_ring_holds(void)
{
	const struct driver_conf conf = { .kind = RING_SPLIT, .size = 4 };
	struct vhc_chain *chains[16];
	uint16_t nr = 0;

	chain_rig_open(&rig, &conf, false, false);
	for (unsigned int i = 0; i < 4; i++)
		post_honest(true);
	driver_publish(&rig.driver);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 16), 4);
	nr = 4;
	rig.driver.avail->idx = le16_put(6);
	CHECK_EQ(vhc_queue_take(rig.q, chains + nr, 12), 0);
	CHECK_EQ(rig.q->faults.count[RING_FAULT_AVAIL_IDX], 1);
	CHECK(rig.q->ring.broken);
	for (uint16_t i = 0; i < nr; i++)
		vhc_queue_give(rig.q, chains[i], 0);
	vhc_queue_publish(rig.q);
	rig.q->faults.count[RING_FAULT_AVAIL_IDX] = 0;
	chain_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_split),
	TEST(test_packed),
	TEST(test_more_than_the_ring_holds),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
