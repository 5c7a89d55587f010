/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_long.c - frames longer than an mbuf: one mbuf all the same, a buffer of their own, or none.
 */
#define _GNU_SOURCE 1

#include <rte_malloc.h>

#include "model/packet.h"

static struct net_rig rig;

#define ROOM 2048

static const uint32_t lengths[] = {
	14, 60, 1500, ROOM - 1, ROOM, ROOM + 1, 4096, 9000, 16384, 65000, 65535 - 129, 65535 - 128,
	65535 - 127, 65534, 65535, 65536, RIG_FRAME_MAX,
};

static const struct net_rig_conf linear = { .features = RIG_MODERN, .linear = true };
static const struct net_rig_conf ext = { .features = RIG_MODERN, .ext_buffers = true };
static const struct net_rig_conf both = {
	.features = RIG_MODERN, .linear = true, .ext_buffers = true,
};

static unsigned int
nr_heap_blocks(void)
{
	struct rte_malloc_socket_stats stats;

	CHECK_EQ(rte_malloc_get_socket_stats(0, &stats), 0);
	return stats.alloc_count;
}

/* What arrives is a frame in `nr_segs` mbufs (0: nothing), with a neighbour on each side. */
static void
expect_between_neighbours(uint32_t len, unsigned int nr_segs)
{
	uint64_t dropped = rig_stats(rig.pull).too_long;
	unsigned int nr = 2 + (nr_segs > 0);
	struct rte_mbuf *mbufs[4];
	struct used_entry used;

	rig_send(&rig, 1, 64);
	rig_send(&rig, 2, len);
	rig_send(&rig, 3, 65);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 4), nr);
	rig_take_frame(mbufs[0], 1, 64);
	rig_take_frame(mbufs[nr - 1], 3, 65);
	CHECK_EQ(rig_stats(rig.pull).too_long, dropped + (nr_segs == 0));
	if (nr_segs) {
		CHECK_EQ(mbufs[1]->nb_segs, nr_segs);
		CHECK_EQ(!!RTE_MBUF_HAS_EXTBUF(mbufs[1]), len > ROOM && nr_segs == 1);
		rig_take_frame(mbufs[1], 2, len);
	}
	for (unsigned int i = 0; i < 3; i++)
		CHECK(driver_collect(&rig.tx, &used));
	CHECK_EQ(rig.tx.nr_free, rig.tx.size);
}

static unsigned int
nr_segs_of(const struct net_rig_conf *conf, uint32_t len)
{
	if (len <= ROOM || (conf->ext_buffers && len <= 65535))
		return 1;
	return conf->linear ? 0 : (len + ROOM - 1) / ROOM;
}

static void
every_length(const struct net_rig_conf *conf)
{
	unsigned int before;

	net_rig_open(&rig, conf);
	before = nr_heap_blocks();
	for (size_t i = 0; i < VHC_ARRAY_LEN(lengths); i++)
		expect_between_neighbours(lengths[i], nr_segs_of(conf, lengths[i]));
	CHECK_EQ(nr_heap_blocks(), before);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_every_length(void)
{
	every_length(&linear);
	every_length(&ext);
	every_length(&both);
}

/* All DPDK's heap has. */
static unsigned int
drain_heap(void **taken, unsigned int n)
{
	unsigned int nr = 0;

	for (size_t size = 32 << 20; size >= 64; size /= 2)
		while (nr < n && (taken[nr] = rte_malloc(NULL, size, 0)))
			nr++;
	CHECK(nr < n);
	return nr;
}

/* Without a buffer it is a chain, or where there are none nothing; never a full stop. */
static void
test_no_heap(void)
{
	static void *taken[4096];

	for (int i = 0; i < 2; i++) {
		unsigned int nr;

		net_rig_open(&rig, i ? &both : &ext);
		nr = drain_heap(taken, VHC_ARRAY_LEN(taken));
		expect_between_neighbours(9000, i ? 0 : 5);
		while (nr)
			rte_free(taken[--nr]);
		expect_between_neighbours(9000, 1);
		net_rig_close(&rig);
	}
}

static void
waits_for_an_mbuf(const struct net_rig_conf *conf, unsigned int nr_expected)
{
	static struct rte_mbuf *taken[1024];
	unsigned int nr = 0;
	struct rte_mbuf *m;

	net_rig_open(&rig, conf);
	while ((taken[nr] = rte_pktmbuf_alloc(rig.pool)))
		nr++;
	rig_send(&rig, 2, 9000);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	CHECK_EQ(rig_stats(rig.pull).no_mbuf, 1);
	CHECK_EQ(driver_nr_used(&rig.tx), 0);
	rte_pktmbuf_free_bulk(taken, nr);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), nr_expected);
	if (nr_expected)
		rig_take_frame(m, 2, 9000);
	net_rig_close(&rig);
}

static void
test_nothing_is_lost_for_want_of_mbufs(void)
{
	waits_for_an_mbuf(&ext, 1);
	waits_for_an_mbuf(&both, 1);
	waits_for_an_mbuf(&linear, 0);
}

/* The buffer goes with its last user; up to 65407 bytes there is the usual headroom. */
static void
test_buffer_lives_as_long_as_its_users(void)
{
	struct rte_mbuf *m, *clone;
	unsigned int before;

	net_rig_open(&rig, &both);
	before = nr_heap_blocks();
	for (uint32_t len = 65406; len < 65410; len++) {
		rig_send(&rig, len, len);
		driver_publish(&rig.tx);
		CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
		CHECK_EQ(rte_pktmbuf_headroom(m), RTE_MIN(65535 - len, RTE_PKTMBUF_HEADROOM + 0u));
		CHECK_EQ(rte_pktmbuf_tailroom(m), 0);
		clone = rte_pktmbuf_clone(m, rig.pool);
		CHECK(clone);
		rte_pktmbuf_free(m);
		CHECK_EQ(nr_heap_blocks(), before + 1);
		rig_take_frame(clone, len, len);
		CHECK_EQ(nr_heap_blocks(), before);
	}
	net_rig_close(&rig);
}

/* The checksum is finished there, too; what may not pass leaves nothing behind. */
static void
test_offloads_in_a_buffer_of_its_own(void)
{
	static struct packet packet;
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_CSUM | RIG_HOST_TSO4 | RIG_HOST_TSO6,
		.linear = true, .ext_buffers = true,
	};
	unsigned int before;

	net_rig_open(&rig, &conf);
	before = nr_heap_blocks();
	for (uint32_t i = 0; i < 16; i++) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *m;

		packet_make_tcp(&packet, i & 8, i & 7, 65000);
		hdr = packet_tso_header(&packet, 1448);
		put16(packet.bytes + field_at(&packet), pseudo_sum(&packet));
		m = packet_pull(&rig, &hdr, &packet, i & 1 ? 33 : 0);
		CHECK(m);
		CHECK_EQ(m->ol_flags, RTE_MBUF_F_RX_LRO | RTE_MBUF_F_EXTERNAL);
		put16(packet.bytes + field_at(&packet), l4_checksum(&packet));
		packet_take(m, &packet);
		hdr.gso_size = le16_put(0);
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	CHECK_EQ(nr_heap_blocks(), before);
	net_rig_close(&rig);
}

/* Out of one ring and into the other: in one buffer, in chains, and in chains of tiny mbufs. */
static void
forward(const struct net_rig_conf *conf)
{
	net_rig_open(&rig, conf);
	for (uint32_t i = 0; i < VHC_ARRAY_LEN(lengths); i++) {
		uint32_t len = lengths[i], nr_buffers = (len + rig.hdr_len - 1) / 1500 + 1;
		struct used_entry used;
		struct rte_mbuf *m;

		rig_send(&rig, i, len);
		driver_publish(&rig.tx);
		CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
		CHECK(driver_collect(&rig.tx, &used));
		rig_offer(&rig, nr_buffers, 1500);
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		rig_receive_frame(&rig, i, len, (uint16_t)nr_buffers);
	}
	net_rig_close(&rig);
}

static void
test_forwarded(void)
{
	static const uint16_t rooms[] = { 60, 128, 2048, 65400 };

	for (size_t i = 0; i < VHC_ARRAY_LEN(rooms); i++) {
		struct net_rig_conf conf = {
			.features = RIG_MODERN | RIG_MERGEABLE, .room = rooms[i],
			.nr_mbufs = rooms[i] > 2048 ? 63 : 2047,
		};

		forward(&conf);
		conf.ext_buffers = true;
		forward(&conf);
	}
}

static const struct test tests[] = {
	TEST(test_every_length),
	TEST(test_no_heap),
	TEST(test_nothing_is_lost_for_want_of_mbufs),
	TEST(test_buffer_lives_as_long_as_its_users),
	TEST(test_offloads_in_a_buffer_of_its_own),
	TEST(test_forwarded),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
