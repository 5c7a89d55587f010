/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_pull.c - packets out of the guest: every byte, in every shape, and no mbuf lost.
 */
#define _GNU_SOURCE 1

#include "model/net_rig.h"

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN | RIG_INDIRECT };
static const struct net_rig_conf legacy = { .features = RIG_LEGACY };
static const struct net_rig_conf small_room = {
	.features = RIG_MODERN | RIG_INDIRECT, .room = 128,
};

/* Small, around powers of two, and the largest a guest may send. */
static const uint32_t lengths[] = {
	14, 15, 16, 17, 46, 59, 60, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 1024, 1500, 1514,
	1518, 2036, 2047, 2048, 2049, 4096, 9000, 16384, 65000, 65535, RIG_FRAME_MAX - 1,
	RIG_FRAME_MAX,
};

#define NR_LENGTHS VHC_ARRAY_LEN(lengths)

/* One packet, and its chain given back: length 0, because nothing was written. */
static void
check_one(uint32_t seed, uint32_t len)
{
	struct rte_mbuf *m;
	struct used_entry used;

	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rig_take_frame(m, seed, len);
	CHECK(driver_collect(&rig.tx, &used));
	CHECK_EQ(used.len, 0);
	CHECK_EQ(rig.tx.nr_free, rig.tx.size);
}

/* ---- shapes --------------------------------------------------------------------------------- */

static void
one_descriptor(const struct net_rig_conf *conf)
{
	net_rig_open(&rig, conf);
	for (uint32_t i = 0; i < NR_LENGTHS; i++) {
		rig_send(&rig, i, lengths[i]);
		driver_publish(&rig.tx);
		check_one(i, lengths[i]);
	}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_one_descriptor(void)
{
	one_descriptor(&modern);
	one_descriptor(&legacy);
	one_descriptor(&small_room);
}

/* A byte read past the end, or before the start, is a byte of a guard page. */
static void
test_packet_ends_with_the_memory(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t len = NET_FRAME_MIN; len < 700; len++) {
		uint32_t total = rig.hdr_len + len;
		uint64_t at = len & 1 ? GUEST_END_AT - total : GUEST_FAR_END_AT - total;
		const struct piece piece = { at, total, false };

		rig_write_packet(&rig, at, NULL, len, len);
		driver_post(&rig.tx, &piece, 1);
		driver_publish(&rig.tx);
		check_one(len, len);
	}
	net_rig_close(&rig);
}

static void
test_packet_astride_the_seam(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t before = 1; before < rig.hdr_len + 100u; before++) {
		const struct piece piece = { GUEST_SEAM_AT - before, rig.hdr_len + 100, false };

		rig_write_packet(&rig, piece.at, NULL, before, 100);
		driver_post(&rig.tx, &piece, 1);
		driver_publish(&rig.tx);
		check_one(before, 100);
	}
	net_rig_close(&rig);
}

/* Cut a packet at these places into descriptors; each lies somewhere else. */
static unsigned int
cut_packet(const struct virtio_net_hdr *hdr, uint32_t seed, uint32_t len, const uint32_t *cuts,
	   unsigned int nr_cuts, struct piece *pieces)
{
	static uint8_t packet[VIRTIO_NET_HDR_LEN + RIG_FRAME_MAX];
	uint32_t from = 0;

	memset(packet, 0, sizeof(packet));
	if (hdr)
		memcpy(packet, hdr, rig.hdr_len);
	rig_frame(packet + rig.hdr_len, seed, len);
	for (unsigned int i = 0; i <= nr_cuts; i++) {
		uint32_t to = i < nr_cuts ? cuts[i] : rig.hdr_len + len;

		pieces[i] = (struct piece){ guest_alloc(&rig.guest, to - from), to - from, false };
		guest_write(&rig.guest, pieces[i].at, packet + from, to - from);
		from = to;
	}
	return nr_cuts + 1;
}

static void
send_cut(uint32_t seed, uint32_t len, const uint32_t *cuts, unsigned int nr_cuts, unsigned int form)
{
	struct piece pieces[40];
	unsigned int nr = cut_packet(NULL, seed, len, cuts, nr_cuts, pieces);

	if (form == 0)
		driver_post(&rig.tx, pieces, nr);
	else
		driver_post_indirect(&rig.tx, pieces, nr, form == 1 ? 0 : nr / 2,
				     guest_alloc(&rig.guest, nr * 16));
	driver_publish(&rig.tx);
	check_one(seed, len);
}

/* A cut at every place around the header's end, then the header over 1...12 descriptors. */
static void
header_cuts(const struct net_rig_conf *conf, unsigned int nr_forms)
{
	uint32_t cuts[20];

	net_rig_open(&rig, conf);
	for (unsigned int form = 0; form < nr_forms; form++) {
		for (cuts[0] = 0; cuts[0] < rig.hdr_len + 10u; cuts[0]++)
			send_cut(cuts[0], 60, cuts, 1, form);
		for (unsigned int nr = 1; nr <= 12; nr++)
			for (unsigned int k = 0; k < NR_LENGTHS; k++) {
				for (unsigned int i = 0; i < nr; i++)
					cuts[i] = (i + 1) * rig.hdr_len / nr;
				send_cut(nr * 100 + k, lengths[k], cuts, nr, form);
			}
	}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_header_over_many_descriptors(void)
{
	header_cuts(&modern, 3);
	header_cuts(&legacy, 1);
	header_cuts(&small_room, 3);
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
random_cuts(const struct net_rig_conf *conf)
{
	uint32_t cuts[30];

	net_rig_open(&rig, conf);
	for (uint32_t seed = 0; seed < 2000; seed++) {
		uint32_t len = NET_FRAME_MIN + random_below(seed % 10 ? 3000 : 65000);
		unsigned int nr = random_below(30);

		for (unsigned int i = 0; i < nr; i++)
			cuts[i] = random_below(rig.hdr_len + len + 1);
		qsort(cuts, nr, sizeof(cuts[0]), by_value);
		send_cut(seed, len, cuts, nr, conf->features & RIG_INDIRECT ? random_below(3) : 0);
	}
	net_rig_close(&rig);
}

static void
test_cut_anywhere(void)
{
	random_cuts(&modern);
	random_cuts(&legacy);
	random_cuts(&small_room);
}

/* 5.1.6.2: a driver's writable descriptors mean nothing here; neither do empty ones. */
static void
test_writable_and_empty_descriptors_are_passed_over(void)
{
	struct piece pieces[4];

	net_rig_open(&rig, &modern);
	pieces[0] = (struct piece){ GUEST_BUFFERS_AT, 0, false };
	pieces[1] = (struct piece){ GUEST_BUFFERS_AT + 100, rig.hdr_len + 64u, false };
	pieces[2] = (struct piece){ 0, 0, false };	/* empty: no address to judge */
	pieces[3] = (struct piece){ GUEST_BUFFERS_AT + 1000, 500, true };
	rig_write_packet(&rig, pieces[1].at, NULL, 1, 64);
	guest_fill(&rig.guest, pieces[3].at, 0x77, 500);
	driver_post(&rig.tx, pieces, 4);
	driver_publish(&rig.tx);
	check_one(1, 64);
	for (unsigned int i = 0; i < 500; i++)
		CHECK_EQ(*(uint8_t *)guest_ptr(&rig.guest, pieces[3].at + i, 1), 0x77);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

/* ---- bursts --------------------------------------------------------------------------------- */

/* Send `nr` packets of sizes that follow from `seed`, in shapes that do too. */
static uint32_t
packet_len(uint32_t seed)
{
	return NET_FRAME_MIN + seed * 37 % 1700;
}

static void
post_any_shape(uint32_t seed)
{
	uint32_t len = packet_len(seed), cut = rig.hdr_len + seed % 5;
	struct piece pieces[2];

	if (seed % 7 && seed % 7 != 3) {
		rig_send(&rig, seed, len);
		return;
	}
	cut_packet(NULL, seed, len, &cut, 1, pieces);
	if (seed % 2)
		driver_post(&rig.tx, pieces, 2);
	else
		driver_post_indirect(&rig.tx, pieces, 2, 0, guest_alloc(&rig.guest, 32));
}

static void
collect_all(struct driver *d)
{
	struct used_entry used;

	while (driver_collect(d, &used))
		CHECK_EQ(used.len, 0);
}

static void
test_bursts_of_every_size(void)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_INDIRECT, .ring_size = 1024, .first_idx = 40000,
	};
	struct rte_mbuf *mbufs[300];
	uint32_t sent = 0, received = 0;

	net_rig_open(&rig, &conf);
	for (uint16_t n = 1; n <= 300; n++) {
		uint16_t extra = n % 3, nr;

		for (unsigned int i = 0; i < (unsigned int)n + extra; i++)
			post_any_shape(sent++);
		driver_publish(&rig.tx);
		while (received < sent) {
			nr = vhc_net_pull(rig.pull, mbufs, n);
			CHECK_EQ(nr, RTE_MIN(sent - received, (uint32_t)n));
			for (uint16_t i = 0; i < nr; i++, received++)
				rig_take_frame(mbufs[i], received, packet_len(received));
		}
		CHECK_EQ(vhc_net_pull(rig.pull, mbufs, n), 0);
		collect_all(&rig.tx);
	}
	CHECK_EQ(rig_stats(rig.pull).packets, sent);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_burst_of_none_takes_none(void)
{
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	rig_send(&rig, 1, 60);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 0), 0);
	CHECK_EQ(driver_nr_used(&rig.tx), 0);
	check_one(1, 60);
	net_rig_close(&rig);
}

/* The receiver sees a fresh mbuf, whatever its last user left in it. */
static void
test_mbuf_fields(void)
{
	struct rte_mbuf *used[1024], *m;
	unsigned int nr = 0;

	net_rig_open(&rig, &modern);
	/* All there are, so that it does not matter which ones come next. */
	for (; (used[nr] = rte_pktmbuf_alloc(rig.pool)); nr++) {
		used[nr]->data_off = 7;
		used[nr]->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_RSS_HASH;
		used[nr]->vlan_tci = 0x123;
		used[nr]->packet_type = 0x11;
		used[nr]->hash.rss = 0xdead;
		used[nr]->port = 99;
	}
	rte_pktmbuf_free_bulk(used, nr);
	for (unsigned int i = 0; i < 64; i++) {
		struct piece pieces[2];
		uint32_t cut = 5;

		if (i & 1)
			rig_send(&rig, i, 60);
		else
			driver_post(&rig.tx, pieces, cut_packet(NULL, i, 60, &cut, 1, pieces));
		driver_publish(&rig.tx);
		CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
		CHECK_EQ(m->data_off, RTE_PKTMBUF_HEADROOM);
		CHECK_EQ(m->ol_flags, 0);
		CHECK_EQ(m->packet_type, 0);
		CHECK_EQ(m->vlan_tci, 0);
		CHECK_EQ(m->nb_segs, 1);
		CHECK(!m->next);
		CHECK_EQ(rte_mbuf_refcnt_read(m), 1);
		rig_take_frame(m, i, 60);
		collect_all(&rig.tx);
	}
	net_rig_close(&rig);
}

static void
test_long_packets_become_segments(void)
{
	struct rte_mbuf *m;

	net_rig_open(&rig, &small_room);
	rig_send(&rig, 3, 1000);
	rig_send(&rig, 4, 128);
	rig_send(&rig, 5, 129);
	driver_publish(&rig.tx);
	for (uint32_t i = 0; i < 3; i++) {
		static const uint32_t expected[][2] = { { 1000, 8 }, { 128, 1 }, { 129, 2 } };

		CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
		CHECK_EQ(m->nb_segs, expected[i][1]);
		CHECK_EQ(m->data_len, 128);
		rig_take_frame(m, 3 + i, expected[i][0]);
	}
	net_rig_close(&rig);
}

/* ---- mbufs run out -------------------------------------------------------------------------- */

/* Take all mbufs but `nr_left`. Returns how many were taken. */
static unsigned int
drain_pool(struct rte_mbuf **taken, unsigned int nr_left)
{
	unsigned int nr = 0;

	while ((taken[nr] = rte_pktmbuf_alloc(rig.pool)))
		nr++;
	CHECK(nr >= nr_left);
	for (; nr_left; nr_left--)
		rte_pktmbuf_free(taken[--nr]);
	return nr;
}

/* With this many mbufs, that many packets come, the rest stays in the ring and comes later. */
static void
starve(const struct net_rig_conf *conf, unsigned int nr_left, unsigned int nr_expected,
       uint32_t len)
{
	struct rte_mbuf *taken[1024], *mbufs[64];
	unsigned int nr_taken;

	net_rig_open(&rig, conf);
	for (uint32_t i = 0; i < 64; i++)
		rig_send(&rig, i, len);
	driver_publish(&rig.tx);
	nr_taken = drain_pool(taken, nr_left);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 64), nr_expected);
	CHECK_EQ(driver_nr_used(&rig.tx), nr_expected);
	CHECK_EQ(rig_stats(rig.pull).no_mbuf, 1);
	CHECK_EQ(rte_mempool_avail_count(rig.pool), nr_left % 8 * (len > 128));
	rte_pktmbuf_free_bulk(taken, nr_taken);
	for (uint32_t i = 0; i < nr_expected; i++)
		rig_take_frame(mbufs[i], i, len);
	CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 64), 64 - nr_expected);
	for (uint32_t i = nr_expected; i < 64; i++)
		rig_take_frame(mbufs[i - nr_expected], i, len);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_nothing_is_lost_for_want_of_mbufs(void)
{
	starve(&modern, 0, 0, 64);
	starve(&modern, 1, 1, 64);
	starve(&modern, 33, 33, 64);
	starve(&modern, 63, 63, 64);
	/* Eight segments each: what does not suffice for a packet is put back. */
	starve(&small_room, 7, 0, 1000);
	starve(&small_room, 8 * 5 + 3, 5, 1000);
}

static void
test_bad_chain_does_not_need_an_mbuf(void)
{
	const struct piece bad = { GUEST_BUFFERS_AT, 3, false };
	struct rte_mbuf *taken[1024], *m;
	unsigned int nr_taken;

	net_rig_open(&rig, &modern);
	driver_post(&rig.tx, &bad, 1);
	rig_send(&rig, 1, 64);
	driver_publish(&rig.tx);
	nr_taken = drain_pool(taken, 0);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	CHECK_EQ(rig_nr_faults(rig.pull), 1);
	rte_pktmbuf_free_bulk(taken, nr_taken);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	rig_take_frame(m, 1, 64);
	net_rig_close(&rig);
}

/* ---- what a guest may get wrong ------------------------------------------------------------- */

/* A guest that only ever lies gets no mbuf and no rest. */
static void
test_bad_chains_do_not_drain_the_pool(void)
{
	const struct piece bad = { UINT64_MAX - 50, 100, false };
	struct rte_mbuf *mbufs[64];

	net_rig_open(&rig, &modern);
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < 64; i++)
			driver_post(&rig.tx, &bad, 1);
		driver_publish(&rig.tx);
		CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 64), 0);
		CHECK_EQ(driver_nr_used(&rig.tx), 64);
		collect_all(&rig.tx);
	}
	CHECK_EQ(vhc_queue_faults(rig.pull, RING_FAULT_DESC_WRAP), 200 * 64);
	net_rig_close(&rig);
}

/* Frames of 0...13 bytes at the very end of memory, at every place in a burst. */
static void
test_runts_do_not_hurt_their_neighbours(void)
{
	struct rte_mbuf *mbufs[40];

	net_rig_open(&rig, &modern);
	for (uint32_t len = 0; len < NET_FRAME_MIN; len++)
		for (unsigned int position = 0; position < 40; position++) {
			const struct piece runt = {
				GUEST_END_AT - rig.hdr_len - len, rig.hdr_len + len, false,
			};

			for (unsigned int i = 0; i < 40; i++)
				if (i == position)
					driver_post(&rig.tx, &runt, 1);
				else
					post_any_shape(i);
			driver_publish(&rig.tx);
			CHECK_EQ(vhc_net_pull(rig.pull, mbufs, 40), 39);
			for (unsigned int i = 0, k = 0; i < 40; i++)
				if (i != position)
					rig_take_frame(mbufs[k++], i, packet_len(i));
			collect_all(&rig.tx);
			CHECK_EQ(rig.tx.nr_free, rig.tx.size);
		}
	CHECK_EQ(vhc_queue_faults(rig.pull, RING_FAULT_FRAME_SHORT), 40 * NET_FRAME_MIN);
	CHECK_EQ(rig_nr_faults(rig.pull), 40 * NET_FRAME_MIN);
	net_rig_close(&rig);
}

static void
send_flags_without_csum(const struct net_rig_conf *conf)
{
	const struct virtio_net_hdr hdr = {
		.flags = 0xff, .gso_type = 0xff, .csum_start = le16_put(0xffff),
		.num_buffers = le16_put(0xffff),
	};
	struct piece piece = { GUEST_BUFFERS_AT, 64, false };
	struct rte_mbuf *m;

	net_rig_open(&rig, conf);
	piece.len += rig.hdr_len;
	rig_write_packet(&rig, piece.at, &hdr, 1, 64);
	driver_post(&rig.tx, &piece, 1);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK_EQ(m->ol_flags, 0);
	rig_take_frame(m, 1, 64);
	net_rig_close(&rig);
}

static void
test_flags_mean_nothing_without_csum(void)
{
	send_flags_without_csum(&modern);
	send_flags_without_csum(&legacy);
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void
test_set_up_is_judged(void)
{
	struct rte_mempool *tiny;
	struct vhc_net_pull_conf conf = { .port = 7 };

	net_rig_open(&rig, &modern);
	conf.pool = rig.pool;
	CHECK(vhc_net_pull_setup(rig.push, &conf) < 0);
	tiny = rte_pktmbuf_pool_create("tiny", 31, 0, 0, RTE_PKTMBUF_HEADROOM + NET_FRAME_MIN - 1,
				       -1);
	CHECK(tiny);
	conf.pool = tiny;
	CHECK(vhc_net_pull_setup(rig.pull, &conf) < 0);
	/* The refused pool is not used. */
	rig_send(&rig, 1, 60);
	driver_publish(&rig.tx);
	check_one(1, 60);
	rte_mempool_free(tiny);
	net_rig_close(&rig);
}

static void
test_stopped_queue_moves_nothing(void)
{
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	rig_send(&rig, 1, 60);
	driver_publish(&rig.tx);
	CHECK(vhc_queue_stop(rig.pull));
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 0);
	CHECK_EQ(driver_nr_used(&rig.tx), 0);
	CHECK(vhc_queue_update(rig.pull));
	check_one(1, 60);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_one_descriptor),
	TEST(test_packet_ends_with_the_memory),
	TEST(test_packet_astride_the_seam),
	TEST(test_header_over_many_descriptors),
	TEST(test_cut_anywhere),
	TEST(test_writable_and_empty_descriptors_are_passed_over),
	TEST(test_bursts_of_every_size),
	TEST(test_burst_of_none_takes_none),
	TEST(test_mbuf_fields),
	TEST(test_long_packets_become_segments),
	TEST(test_nothing_is_lost_for_want_of_mbufs),
	TEST(test_bad_chain_does_not_need_an_mbuf),
	TEST(test_bad_chains_do_not_drain_the_pool),
	TEST(test_runts_do_not_hurt_their_neighbours),
	TEST(test_flags_mean_nothing_without_csum),
	TEST(test_set_up_is_judged),
	TEST(test_stopped_queue_moves_nothing),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
