/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_race.c - a guest that rewrites its ring while bursts run over it.
 *
 * Whatever mixture of old and new a burst sees, it stays within the guest's memory (guard pages,
 * sanitizers) and loses no mbuf. As long as only the shape of buffers changes it loses no chain
 * either, and does not break the ring; where heads, indices and wrap bits change too, it may.
 */
#define _GNU_SOURCE 1

#include <pthread.h>
#include <time.h>

#include "model/net_rig.h"

#define SECONDS		1
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

/* Captured at the start: a ring set up anew lies where the old one was. */
struct flipper {
	enum ring_kind kind;
	uint16_t size;
	bool everything;	/* also what tells chains apart */
	union driver_desc *ring;
	struct virtq_avail *avail;
	uint32_t x;
};

static uint32_t
pick(struct flipper *f, uint32_t limit)
{
	f->x = f->x * 1664525 + 1013904223;
	return (f->x >> 8) % limit;
}

static void
flip_place(struct flipper *f, union driver_desc *desc)
{
	st_relaxed(&desc->addr.raw, addrs[pick(f, VHC_ARRAY_LEN(addrs))]);
}

static void
flip_split(struct flipper *f, union driver_desc *desc)
{
	flip_place(f, desc);
	st_relaxed(&desc->len.raw, lens[pick(f, VHC_ARRAY_LEN(lens))]);
	st_relaxed(&desc->split.flags.raw, (uint16_t)pick(f, 8));
	st_relaxed(&desc->split.next.raw, (uint16_t)pick(f, f->size + 2u));
}

#define WRAP_BITS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* A used entry is left alone, or the driver would miss it: hence in one piece, if unchanged. */
static void
flip_packed(struct flipper *f, union driver_desc *desc)
{
	uint16_t mask = VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT;
	uint64_t *half = (uint64_t *)(void *)&desc->len, old = ld_relaxed(half), changed;
	uint16_t flags = (uint16_t)(old >> 48), id = (uint16_t)(old >> 32);

	if (f->everything) {
		mask |= VIRTQ_DESC_F_NEXT | WRAP_BITS;
		id = (uint16_t)pick(f, f->size + 2u);
	} else if ((flags & WRAP_BITS) == 0 || (flags & WRAP_BITS) == WRAP_BITS) {
		return;
	}
	flags = (uint16_t)((flags & ~mask) | (pick(f, 65536) & mask));
	changed = (uint64_t)flags << 48 | (uint64_t)id << 32 | lens[pick(f, VHC_ARRAY_LEN(lens))];
	flip_place(f, desc);
	__atomic_compare_exchange_n(half, &old, changed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Mostly near the truth, or the ring would be broken before anything else happens. */
static void
flip_avail(struct flipper *f)
{
	uint16_t idx = ld_relaxed(&f->avail->idx.raw), slot = (uint16_t)pick(f, f->size);

	st_relaxed(&f->avail->ring[slot].raw, (uint16_t)pick(f, f->size));
	if (pick(f, 64) == 0)
		st_relaxed(&f->avail->idx.raw, (uint16_t)(idx + pick(f, 3)));
}

static void *
flip(void *arg)
{
	union driver_desc *tables = guest_ptr(&rig.guest, TABLES_AT, TABLES_ENTRIES * 16);
	struct flipper *f = arg;

	while (!ld_relaxed(&stop)) {
		union driver_desc *desc = &f->ring[pick(f, f->size)];

		if (pick(f, 2))
			flip_split(f, &tables[pick(f, TABLES_ENTRIES)]);
		else if (f->kind == RING_PACKED)
			flip_packed(f, desc);
		else
			flip_split(f, desc);
		if (f->everything && f->kind == RING_SPLIT)
			flip_avail(f);
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

/* Bursts longer than the ring over it; then another ring, whatever became of this one. */
static void
hostile_round(bool is_push)
{
	struct driver *d = is_push ? &rig.rx : &rig.tx;
	struct rte_mbuf *mbufs[3 * NR_PER_BURST];
	uint16_t nr = VHC_ARRAY_LEN(mbufs), done;

	for (unsigned int i = 0; d->nr_free > 1; i++)
		post_any(d, i, is_push);
	driver_publish(d);
	if (is_push) {
		for (uint32_t i = 0; i < nr; i++)
			mbufs[i] = rig_mbuf(&rig, i, NET_FRAME_MIN + i * 10, 0);
		done = vhc_net_push(rig.push, mbufs, nr);
		rte_pktmbuf_free_bulk(mbufs + done, (unsigned int)(nr - done));
	} else {
		done = vhc_net_pull(rig.pull, mbufs, nr);
		rte_pktmbuf_free_bulk(mbufs, done);
	}
	net_rig_restart(&rig);
}

static void
run_rounds(struct flipper *f, bool is_push)
{
	time_t end = time(NULL) + SECONDS;
	pthread_t thread;

	st_relaxed(&stop, false);
	CHECK_EQ(pthread_create(&thread, NULL, flip, f), 0);
	while (time(NULL) <= end)
		if (f->everything)
			hostile_round(is_push);
		else if (is_push)
			push_round();
		else
			pull_round();
	st_relaxed(&stop, true);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void
race(uint64_t features, bool is_push, bool everything)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_INDIRECT | features, .nr_mbufs = 8191,
		.ring_size = everything ? 64 : 0,
	};
	struct vhc_queue *q;
	const struct driver *d;
	struct flipper f;

	net_rig_open(&rig, &conf);
	q = is_push ? rig.push : rig.pull;
	d = is_push ? &rig.rx : &rig.tx;
	f = (struct flipper){
		.kind = d->kind, .size = d->size, .everything = everything, .x = 12345,
		.ring = (union driver_desc *)(void *)d->desc, .avail = d->avail,
	};
	run_rounds(&f, is_push);
	CHECK(everything || !q->ring.broken);
	CHECK(rig_nr_faults(q) > 0);
	/* A ring gone mad may break before its first packet. */
	CHECK(everything || rig_stats(q).packets > 0);
	net_rig_close(&rig);
}

static void
test_pull(void)
{
	race(RIG_CSUM, false, false);
}

static void
test_push(void)
{
	race(0, true, false);
}

static void
test_push_mergeable(void)
{
	race(RIG_MERGEABLE, true, false);
}

static void
test_pull_from_a_ring_gone_mad(void)
{
	race(RIG_CSUM, false, true);
}

static void
test_push_to_a_ring_gone_mad(void)
{
	race(0, true, true);
	race(RIG_MERGEABLE, true, true);
}

static const struct test tests[] = {
	TEST(test_pull),
	TEST(test_push),
	TEST(test_push_mergeable),
	TEST(test_pull_from_a_ring_gone_mad),
	TEST(test_push_to_a_ring_gone_mad),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
