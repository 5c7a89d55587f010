/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_faults.c - every way a guest can lie, each told exactly once.
 *
 * One test a name of ring/fault.h; a name without a lie does not pass. Each lie is told between
 * honest packets, in a ring whose neighbour must not notice. It must be counted once under its
 * name and under no other; the chain comes back with length 0 and the ring goes on, or, where no
 * chain can be told, the ring is broken, says so, and stays so until it is set up again.
 */
#define _GNU_SOURCE 1

#include "model/lies.h"
#include "model/net_rig.h"

#define FRAME_LEN 100
#define NR_CHAINS 4	/* one of them a lie */

static struct net_rig rig;

/* The ring that is lied to. */
static struct liar liar;

/* ---- telling them ---------------------------------------------------------------------------- */

#define X(NAME, name, sentence) + 1
enum { NR_BREAKING = 0 RING_FAULTS_BREAKING(X) };
#undef X

static bool
is_breaking(enum ring_fault fault)
{
	return (unsigned int)fault < NR_BREAKING;
}

/* One honest packet or buffer. */
static void
post_honest(uint32_t seed)
{
	if (liar.writable)
		rig_offer(&rig, 1, rig.hdr_len + FRAME_LEN);
	else
		rig_send(&rig, seed, FRAME_LEN);
}

/* Move up to `nr` packets through the ring that is lied to. Returns how many went. */
static unsigned int
move(unsigned int nr, uint32_t seed)
{
	struct rte_mbuf *mbufs[8];
	uint16_t done;

	CHECK(nr <= 8);
	if (!liar.writable) {
		done = vhc_net_pull(rig.pull, mbufs, (uint16_t)nr);
		for (unsigned int i = 0; i < done; i++)
			rig_take_frame(mbufs[i], seed + i, FRAME_LEN);
		return done;
	}
	for (unsigned int i = 0; i < nr; i++)
		mbufs[i] = rig_mbuf(&rig, seed + i, FRAME_LEN, 0);
	done = vhc_net_push(rig.push, mbufs, (uint16_t)nr);
	rte_pktmbuf_free_bulk(mbufs + done, nr - done);
	return done;
}

static void
check_counted_once(struct vhc_queue *q, enum ring_fault fault)
{
	struct vhc_queue_info about;

	for (unsigned int i = 0; i < RING_NR_FAULTS; i++)
		CHECK_EQ(vhc_queue_faults(q, i), i == (unsigned int)fault);
	vhc_queue_info(q, &about);
	CHECK_EQ(strcmp(about.last_fault, vhc_fault_name(fault)), 0);
}

static void
choose_ring(bool is_push)
{
	liar = (struct liar){
		.guest = &rig.guest,
		.driver = is_push ? &rig.rx : &rig.tx,
		.writable = is_push,
		.hdr_len = rig.hdr_len,
	};
}

/* A packet through each ring; ends with the ring that was lied to. */
static void
check_both_work(void)
{
	bool was_writable = liar.writable;

	for (unsigned int i = 0; i < 2; i++) {
		struct used_entry used;

		choose_ring(i ? was_writable : !was_writable);
		post_honest(50);
		driver_publish(liar.driver);
		CHECK_EQ(move(1, 50), 1);
		CHECK(driver_collect(liar.driver, &used));
		CHECK_EQ(used.len, liar.writable ? rig.hdr_len + FRAME_LEN : 0);
	}
}

static void
check_chain_came_back_unused(uint16_t position)
{
	struct used_entry used;

	for (uint16_t i = 0; i < NR_CHAINS; i++) {
		CHECK(driver_collect(liar.driver, &used));
		CHECK_EQ(used.len, liar.writable && i != position ? rig.hdr_len + FRAME_LEN : 0);
	}
	CHECK(!driver_collect(liar.driver, &used));
	CHECK_EQ(liar.driver->nr_free, liar.driver->size);
	check_both_work();
}

/* It says so once, stays so whatever the guest does, and ends when the ring is set up again. */
static void
check_broken(struct vhc_queue *q, enum ring_fault fault)
{
	struct vhc_queue_info about;

	CHECK_EQ(rig_nr_signals(rig.err[q->index]), 1);
	vhc_queue_info(q, &about);
	CHECK(about.broken);
	driver_insist(liar.driver);
	CHECK_EQ(move(NR_CHAINS, 0), 0);
	check_counted_once(q, fault);
	CHECK_EQ(rig_nr_signals(rig.err[q->index]), 0);
	net_rig_restart(&rig);
	check_both_work();
}

/* `position` honest packets before the lie, and as many after it as the ring still takes. */
static void
tell_one(const struct lie *lie, uint16_t position)
{
	struct vhc_queue *q = liar.writable ? rig.push : rig.pull;
	const struct vhc_queue *other = liar.writable ? rig.pull : rig.push;
	unsigned int nr_honest = 0;

	for (uint16_t i = 0; i < NR_CHAINS; i++) {
		if (i == position)
			lie->tell(&liar);
		else if (!is_breaking(lie->fault) || i < position)
			post_honest(nr_honest++);
	}
	driver_publish(liar.driver);
	/* An index out of bounds leaves nothing of the ring to believe. */
	CHECK_EQ(move(NR_CHAINS, 0), lie->fault == RING_FAULT_AVAIL_IDX ? 0 : nr_honest);
	check_counted_once(q, lie->fault);
	CHECK_EQ(rig_nr_faults(other), 0);
	if (is_breaking(lie->fault))
		check_broken(q, lie->fault);
	else
		check_chain_came_back_unused(position);
	check_counted_once(q, lie->fault);
	CHECK_EQ(rig_nr_faults(other), 0);
}

static void
tell_everywhere(const struct lie *lie, uint64_t features, bool is_push)
{
	uint64_t indirect = lie->fault == RING_FAULT_INDIRECT_OFF ? 0 : RIG_INDIRECT;
	uint64_t tso = lie->fault == RING_FAULT_GSO_BAD ? RIG_HOST_TSO4 : 0;
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_CSUM | indirect | tso | features,
	};

	for (uint16_t position = 0; position < NR_CHAINS; position++) {
		net_rig_open(&rig, &conf);
		choose_ring(is_push);
		tell_one(lie, position);
		net_rig_close(&rig);
	}
}

/* Every lie that is this fault, in rings of one kind. */
static void
tell_in(enum ring_fault fault, uint64_t features)
{
	enum ring_kind kind = features & RIG_PACKED ? RING_PACKED : RING_SPLIT;
	const char *why_not = lie_impossible(fault, kind);
	unsigned int nr_told = 0;

	if (why_not)
		printf("  not in a %s ring: %s\n", kind == RING_PACKED ? "packed" : "split",
		       why_not);
	for (size_t i = 0; i < nr_lies; i++) {
		if (lies[i].fault != fault || !lie_fits(&lies[i], kind))
			continue;
		printf("  %s\n", lies[i].name);
		fflush(stdout);
		tell_everywhere(&lies[i], features, false);
		if (lies[i].to == TO_BOTH)
			tell_everywhere(&lies[i], features, true);
		nr_told++;
	}
	/* A fault without a lie is one nobody has seen counted. */
	CHECK_EQ(nr_told > 0, !why_not);
}

static void
tell(enum ring_fault fault)
{
	tell_in(fault, 0);
	tell_in(fault, RIG_IN_ORDER);
	tell_in(fault, RIG_PACKED);
	tell_in(fault, RIG_PACKED | RIG_IN_ORDER);
}

#define X(NAME, name, sentence) \
static void \
test_##name(void) \
{ \
	tell(RING_FAULT_##NAME); \
}
RING_FAULTS_BREAKING(X)
RING_FAULTS_CHAIN(X)
#undef X

static const struct test tests[] = {
#define X(NAME, name, sentence) { #name, test_##name },
	RING_FAULTS_BREAKING(X)
	RING_FAULTS_CHAIN(X)
#undef X
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
