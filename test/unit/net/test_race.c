/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_race.c - a guest that rewrites descriptors and tables while bursts run over them.
 *
 * Whatever mixture of old and new a burst sees, it stays within the guest's memory (guard pages,
 * sanitizers), loses no chain and no mbuf, and does not break the ring: no head and no index lies.
 */
#define _GNU_SOURCE 1

#include <pthread.h>
#include <time.h>

#include "model/net_rig.h"

#define SECONDS		2
#define NR_PER_BURST	64

static struct net_rig rig;
static bool stop;

/* Values that are each a trap, alone or with another. */
static const uint32_t lens[] = { 0, 1, 11, 12, 13, 26, 76, 2048, 2060, 70000, 0xffffffff };
static const uint64_t addrs[] = {
	GUEST_BUFFERS_AT, GUEST_END_AT - 76, GUEST_END_AT, GUEST_SEAM_AT - 20, 0, UINT64_MAX - 4,
	GUEST_FAR_END_AT - 1, GUEST_FAR_AT,
};

/* Indirect tables lie here. */
#define TABLES_AT	GUEST_FAR_AT
#define TABLES_ENTRIES	8

static void *
flip_descriptors(void *arg)
{
	struct driver *d = arg;
	struct virtq_desc *tables = guest_ptr(&rig.guest, TABLES_AT, TABLES_ENTRIES * 16);
	uint32_t x = 12345;

	while (!ld_relaxed(&stop)) {
		struct virtq_desc *desc;

		x = x * 1664525 + 1013904223;
		desc = x & 0x800 ? &tables[(x >> 16) % TABLES_ENTRIES] :
				   &d->desc[(x >> 16) % d->size];
		st_relaxed(&desc->len.raw, lens[(x >> 8) % VHC_ARRAY_LEN(lens)]);
		st_relaxed(&desc->addr.raw, addrs[(x >> 12) % VHC_ARRAY_LEN(addrs)]);
		st_relaxed(&desc->flags.raw, (uint16_t)((x >> 24) & 7));
		st_relaxed(&desc->next.raw, (uint16_t)((x >> 4) % (d->size + 2u)));
	}
	return NULL;
}

static void
post_any(struct driver *d, unsigned int i, bool writable)
{
	const struct piece pieces[] = {
		{ GUEST_BUFFERS_AT, 12, writable }, { GUEST_BUFFERS_AT + 100, 64, writable },
	};

	if (i % 3 == 0)
		driver_post_indirect(d, pieces, 2, 0, TABLES_AT + i % 4 * 32);
	else
		driver_post(d, pieces, 1 + i % 2);
}

static void
collect_all(struct driver *d)
{
	struct used_entry used;

	while (driver_collect(d, &used))
		;
}

/* Every chain comes back, with a packet or without. */
static void
pull_round(void)
{
	struct rte_mbuf *mbufs[NR_PER_BURST];

	for (unsigned int i = 0; i < NR_PER_BURST; i++)
		post_any(&rig.tx, i, false);
	driver_publish(&rig.tx);
	while (driver_nr_used(&rig.tx) < NR_PER_BURST) {
		uint16_t nr = vhc_net_pull(rig.pull, mbufs, NR_PER_BURST);

		for (uint16_t i = 0; i < nr; i++)
			CHECK(mbufs[i]->pkt_len - NET_FRAME_MIN <= NET_FRAME_MAX - NET_FRAME_MIN);
		rte_pktmbuf_free_bulk(mbufs, nr);
	}
	collect_all(&rig.tx);
}

/* Packets go or stay; a buffer may wait for a packet that suits it. */
static void
push_round(void)
{
	struct rte_mbuf *mbufs[NR_PER_BURST];
	uint16_t done;

	for (unsigned int i = 0; rig.rx.nr_free > 1; i++)
		post_any(&rig.rx, i, true);
	driver_publish(&rig.rx);
	for (uint32_t i = 0; i < NR_PER_BURST; i++)
		mbufs[i] = rig_mbuf(&rig, i, NET_FRAME_MIN + i * 30, 0);
	done = vhc_net_push(rig.push, mbufs, NR_PER_BURST);
	rte_pktmbuf_free_bulk(mbufs + done, (unsigned int)(NR_PER_BURST - done));
	collect_all(&rig.rx);
}

static void
race(uint64_t features, bool is_push)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_INDIRECT | features, .nr_mbufs = 8191,
	};
	struct vhc_queue *q;
	time_t end = time(NULL) + SECONDS;
	pthread_t flipper;

	net_rig_open(&rig, &conf);
	q = is_push ? rig.push : rig.pull;
	st_relaxed(&stop, false);
	CHECK_EQ(pthread_create(&flipper, NULL, flip_descriptors, is_push ? &rig.rx : &rig.tx), 0);
	while (time(NULL) < end)
		if (is_push)
			push_round();
		else
			pull_round();
	st_relaxed(&stop, true);
	CHECK_EQ(pthread_join(flipper, NULL), 0);
	CHECK(!q->ring.broken);
	CHECK(rig_nr_faults(q) > 0);
	CHECK(rig_stats(q).packets > 0);
	net_rig_close(&rig);
}

static void
test_pull(void)
{
	race(RIG_CSUM, false);
}

static void
test_push(void)
{
	race(0, true);
}

static void
test_push_mergeable(void)
{
	race(RIG_MERGEABLE, true);
}

static const struct test tests[] = {
	TEST(test_pull),
	TEST(test_push),
	TEST(test_push_mergeable),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
