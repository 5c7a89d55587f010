/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_push.c - packets into the guest: every byte, in buffers of every shape, and none past them.
 */
#define _GNU_SOURCE 1

#include "model/net_rig.h"

static struct net_rig rig;

static const struct net_rig_conf modern = { .features = RIG_MODERN | RIG_INDIRECT };
static const struct net_rig_conf legacy = { .features = RIG_LEGACY };
static const struct net_rig_conf mergeable = {
	.features = RIG_MODERN | RIG_INDIRECT | RIG_MERGEABLE, .ring_size = 1024,
};
static const struct net_rig_conf small_room = { .features = RIG_MODERN, .room = 128 };

static const uint32_t lengths[] = {
	14, 15, 16, 17, 46, 59, 60, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 1024, 1500, 1514,
	1518, 2036, 2047, 2048, 2049, 4096, 9000, 16384, 65000, 65535, RIG_FRAME_MAX,
};

#define NR_LENGTHS VHC_ARRAY_LEN(lengths)

static void
push_one_frame(uint32_t seed, uint32_t len, uint32_t seg_len)
{
	struct rte_mbuf *m = rig_mbuf(&rig, seed, len, seg_len);

	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
}

static void
push_nothing_fits(struct rte_mbuf *m)
{
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 0);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	rte_pktmbuf_free(m);
}

/* ---- shapes --------------------------------------------------------------------------------- */

static void
one_descriptor(const struct net_rig_conf *conf, uint32_t spare)
{
	net_rig_open(&rig, conf);
	for (uint32_t i = 0; i < NR_LENGTHS; i++) {
		rig_offer(&rig, 1, rig.hdr_len + lengths[i] + spare);
		driver_publish(&rig.rx);
		push_one_frame(i, lengths[i], 0);
		rig_receive_frame(&rig, i, lengths[i], 1);
	}
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

static void
test_one_descriptor(void)
{
	one_descriptor(&modern, 0);
	one_descriptor(&legacy, 0);
	one_descriptor(&mergeable, 0);
	one_descriptor(&modern, 500);
	one_descriptor(&small_room, 3);
}

/* A byte written past the end is a byte of a guard page. */
static void
test_buffer_ends_with_the_memory(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t len = NET_FRAME_MIN; len < 700; len++) {
		uint32_t total = rig.hdr_len + len;
		uint64_t end = len & 1 ? GUEST_END_AT : GUEST_FAR_END_AT;
		const struct piece piece = { end - total, total, true };

		rig_offer_pieces(&rig, &piece, 1, 1);
		driver_publish(&rig.rx);
		push_one_frame(len, len, 0);
		rig_receive_frame(&rig, len, len, 1);
	}
	net_rig_close(&rig);
}

static void
test_buffer_astride_the_seam(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t before = 1; before < rig.hdr_len + 100u; before++) {
		const struct piece piece = { GUEST_SEAM_AT - before, rig.hdr_len + 100u, true };

		rig_offer_pieces(&rig, &piece, 1, 1);
		driver_publish(&rig.rx);
		push_one_frame(before, 100, 0);
		rig_receive_frame(&rig, before, 100, 1);
	}
	net_rig_close(&rig);
}

/* A chain with room for `total`, cut into `nr` pieces at random. */
static void
offer_cut(uint32_t total, unsigned int nr, bool indirect)
{
	struct piece pieces[40];
	uint32_t left = total;

	for (unsigned int i = 0; i < nr; i++) {
		uint32_t len = i + 1 < nr ? random_below(left + 1) / (1 + random_below(3)) : left;

		pieces[i] = (struct piece){ guest_alloc(&rig.guest, len), len, true };
		left -= len;
	}
	rig_offer_pieces(&rig, pieces, nr, indirect ? random_below(nr) : nr);
}

/* The buffer begins with `nr` pieces that share the header, and one for the rest. */
static void
offer_cut_header(unsigned int nr, uint32_t rest)
{
	struct piece pieces[16];
	uint32_t done = 0;

	for (unsigned int i = 0; i < nr; i++) {
		uint32_t len = (i + 1) * rig.hdr_len / nr - done;

		pieces[i] = (struct piece){ guest_alloc(&rig.guest, len), len, true };
		done += len;
	}
	pieces[nr] = (struct piece){ guest_alloc(&rig.guest, rest), rest, true };
	rig_offer_pieces(&rig, pieces, nr + 1, nr + 1);
}

static void
header_cuts(const struct net_rig_conf *conf)
{
	net_rig_open(&rig, conf);
	for (unsigned int nr = 1; nr <= 12; nr++)
		for (uint32_t k = 0; k < NR_LENGTHS; k++) {
			offer_cut_header(nr, lengths[k] + 10);
			driver_publish(&rig.rx);
			push_one_frame(k, lengths[k], 0);
			rig_receive_frame(&rig, k, lengths[k], 1);
		}
	net_rig_close(&rig);
}

static void
test_header_over_many_descriptors(void)
{
	header_cuts(&modern);
	header_cuts(&legacy);
}

static void
random_cuts(const struct net_rig_conf *conf)
{
	net_rig_open(&rig, conf);
	for (uint32_t seed = 0; seed < 2000; seed++) {
		uint32_t len = NET_FRAME_MIN + random_below(seed % 10 ? 3000 : 65000);
		bool indirect = (conf->features & RIG_INDIRECT) && random_below(2);

		offer_cut(rig.hdr_len + len + random_below(100), 1 + random_below(30), indirect);
		driver_publish(&rig.rx);
		push_one_frame(seed, len, random_below(3) ? 0 : 1 + len / 200 + random_below(2000));
		rig_receive_frame(&rig, seed, len, 1);
	}
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

static void
test_cut_anywhere(void)
{
	random_cuts(&modern);
	random_cuts(&legacy);
}

static void
test_segments_of_every_size(void)
{
	net_rig_open(&rig, &modern);
	for (uint32_t seg_len = 1; seg_len < 80; seg_len++) {
		rig_offer(&rig, 1, 2000);
		driver_publish(&rig.rx);
		push_one_frame(seg_len, 250, seg_len);
		rig_receive_frame(&rig, seg_len, 250, 1);
	}
	CHECK_EQ(rig_stats(rig.push).packets, 79);
	net_rig_close(&rig);
}

/* ---- packets larger than a buffer ----------------------------------------------------------- */

static void
test_mergeable_packet_spans_buffers(void)
{
	static const uint32_t buffers[] = { 12, 13, 60, 100, 1526, 2048, 4096 };

	net_rig_open(&rig, &mergeable);
	for (size_t b = 0; b < VHC_ARRAY_LEN(buffers); b++)
		for (uint32_t k = 0; k < NR_LENGTHS; k++) {
			uint32_t total = rig.hdr_len + lengths[k];
			uint32_t nr = (total + buffers[b] - 1) / buffers[b];

			if (nr > 1000)
				continue;
			rig_offer(&rig, nr, buffers[b]);
			driver_publish(&rig.rx);
			push_one_frame(k, lengths[k], k % 3 ? 0 : 100 + k);
			CHECK_EQ(driver_nr_used(&rig.rx), nr);
			rig_receive_frame(&rig, k, lengths[k], (uint16_t)nr);
		}
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

/* Buffers that are chains themselves, each of another size. */
static void
test_mergeable_buffers_of_any_shape(void)
{
	net_rig_open(&rig, &mergeable);
	for (uint32_t seed = 0; seed < 1000; seed++) {
		uint32_t len = NET_FRAME_MIN + random_below(5000);
		uint32_t total = rig.hdr_len + len, room = 0;
		uint16_t nr = 0;

		while (room < total) {
			uint32_t part = rig.hdr_len + random_below(1000);

			offer_cut(part, 1 + random_below(5), random_below(2));
			room += part;
			nr++;
		}
		driver_publish(&rig.rx);
		push_one_frame(seed, len, random_below(2) ? 0 : 300);
		rig_receive_frame(&rig, seed, len, nr);
	}
	net_rig_close(&rig);
}

/* Buffers run out in the middle: nothing of it is seen, and it goes once there are more. */
static void
test_mergeable_packet_waits_for_buffers(void)
{
	struct rte_mbuf *mbufs[3];

	net_rig_open(&rig, &mergeable);
	rig_offer(&rig, 4, 500);
	driver_publish(&rig.rx);
	for (uint32_t i = 0; i < 3; i++)
		mbufs[i] = rig_mbuf(&rig, i, 900, 0);
	/* Two buffers each: the third packet finds none, the second the last two. */
	CHECK_EQ(vhc_net_push(rig.push, mbufs, 3), 2);
	CHECK_EQ(driver_nr_used(&rig.rx), 4);
	rig_receive_frame(&rig, 0, 900, 2);
	rig_receive_frame(&rig, 1, 900, 2);
	rig_offer(&rig, 1, 500);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &mbufs[2], 1), 0);
	CHECK_EQ(vhc_net_push(rig.push, &mbufs[2], 1), 0);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	rig_offer(&rig, 1, 500);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &mbufs[2], 1), 1);
	rig_receive_frame(&rig, 2, 900, 2);
	CHECK_EQ(rig_stats(rig.push).ring_full, 3);
	CHECK_EQ(rig_stats(rig.push).packets, 3);
	net_rig_close(&rig);
}

/* A bad buffer in the middle of a packet is one of its buffers, with nothing in it. */
static void
test_bad_buffer_within_a_mergeable_packet(void)
{
	const struct piece bad = { UINT64_MAX - 10, 400, true };
	struct virtio_net_hdr hdr = { .flags = 0 };
	struct used_entry used;
	uint8_t frame[1000], part[500];
	uint32_t done = 0;

	net_rig_open(&rig, &mergeable);
	rig_offer(&rig, 1, 400);
	driver_post(&rig.rx, &bad, 1);
	rig_offer(&rig, 2, 400);
	driver_publish(&rig.rx);
	push_one_frame(1, 1000, 0);
	for (unsigned int i = 0; i < 4; i++) {
		static const uint32_t expected[] = { 400, 0, 400, 212 };

		CHECK(driver_collect(&rig.rx, &used));
		CHECK_EQ(used.len, expected[i]);
		if (!used.len)
			continue;
		driver_read_writable(&rig.rx, (uint16_t)used.id, part);
		if (i == 0)
			memcpy(&hdr, part, sizeof(hdr));
		memcpy(frame + done, part + (i ? 0 : 12), used.len - (i ? 0 : 12));
		done += used.len - (i ? 0 : 12);
	}
	CHECK_EQ(le16_get(hdr.num_buffers), 4);
	CHECK_EQ(done, 1000);
	rig_frame(part, 1, 500);
	CHECK_EQ(memcmp(frame, part, 500), 0);
	CHECK_EQ(vhc_queue_faults(rig.push, RING_FAULT_DESC_WRAP), 1);
	net_rig_close(&rig);
}

/* Without MRG_RXBUF it is dropped, never cut short, and the buffer waits for one that fits. */
static void
test_packet_larger_than_its_buffer_is_dropped(void)
{
	struct rte_mbuf *mbufs[3];

	net_rig_open(&rig, &modern);
	rig_offer(&rig, 2, rig.hdr_len + 100u);
	driver_publish(&rig.rx);
	mbufs[0] = rig_mbuf(&rig, 0, 100, 0);
	mbufs[1] = rig_mbuf(&rig, 1, 101, 0);
	mbufs[2] = rig_mbuf(&rig, 2, 100, 0);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, 3), 3);
	CHECK_EQ(driver_nr_used(&rig.rx), 2);
	rig_receive_frame(&rig, 0, 100, 1);
	CHECK_EQ(driver_nr_used(&rig.rx), 1);
	rig_receive_frame(&rig, 2, 100, 1);
	CHECK_EQ(rig_stats(rig.push).too_long, 1);
	CHECK_EQ(rig_stats(rig.push).packets, 2);
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

static void
test_impossible_packets_are_dropped(void)
{
	struct rte_mbuf *mbufs[16];

	net_rig_open(&rig, &modern);
	rig_offer(&rig, 30, 2000);
	driver_publish(&rig.rx);
	for (uint32_t len = 0; len < NET_FRAME_MIN; len++)
		mbufs[len] = rig_mbuf(&rig, len, len, 0);
	mbufs[14] = rig_mbuf(&rig, 14, RIG_FRAME_MAX, 0);
	CHECK_EQ(rte_pktmbuf_chain(mbufs[14], rig_mbuf(&rig, 14, 1, 0)), 0);
	mbufs[15] = rig_mbuf(&rig, 15, 60, 0);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, 16), 16);
	CHECK_EQ(rig_stats(rig.push).too_short, NET_FRAME_MIN);
	CHECK_EQ(rig_stats(rig.push).too_long, 1);
	CHECK_EQ(driver_nr_used(&rig.rx), 1);
	rig_receive_frame(&rig, 15, 60, 1);
	net_rig_close(&rig);
}

/* ---- bursts --------------------------------------------------------------------------------- */

static uint32_t
packet_len(uint32_t seed)
{
	return NET_FRAME_MIN + seed * 37 % 1500;
}

static void
offer_any_shape(uint32_t seed)
{
	if (seed % 5 == 0)
		offer_cut(1600, 2 + seed % 3, seed % 2);
	else
		rig_offer(&rig, 1, 1600);
}

static void
test_bursts_of_every_size(void)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_INDIRECT, .ring_size = 1024, .first_idx = 50000,
	};
	struct rte_mbuf *mbufs[300];
	uint32_t sent = 0, received = 0;

	net_rig_open(&rig, &conf);
	for (uint16_t n = 1; n <= 300; n++) {
		/* Sometimes fewer buffers than packets. */
		uint16_t nr_buffers = n % 4 ? n + 3 : n - n / 4, nr_sent = RTE_MIN(n, nr_buffers);

		for (uint32_t i = 0; i < nr_buffers; i++)
			offer_any_shape(i);
		driver_publish(&rig.rx);
		for (uint32_t i = 0; i < n; i++)
			mbufs[i] = rig_mbuf(&rig, sent + i, packet_len(sent + i), i % 7 ? 0 : 200);
		CHECK_EQ(vhc_net_push(rig.push, mbufs, n), nr_sent);
		/* What was not taken is still ours, and whole. */
		for (uint16_t i = nr_sent; i < n; i++) {
			mbufs[i]->port = 7;
			rig_take_frame(mbufs[i], sent + i, packet_len(sent + i));
		}
		sent += nr_sent;
		for (; received < sent; received++)
			rig_receive_frame(&rig, received, packet_len(received), 1);
		net_rig_restart(&rig);
	}
	CHECK_EQ(rig_stats(rig.push).packets, sent);
	CHECK_EQ(rig_stats(rig.push).ring_full, 75);
	net_rig_close(&rig);
}

static void
test_no_buffers_no_packets(void)
{
	net_rig_open(&rig, &modern);
	push_nothing_fits(rig_mbuf(&rig, 1, 60, 0));
	CHECK_EQ(rig_stats(rig.push).ring_full, 1);
	rig_offer(&rig, 1, 100);
	push_nothing_fits(rig_mbuf(&rig, 1, 60, 0));	/* posted, not published */
	driver_publish(&rig.rx);
	CHECK(vhc_queue_stop(rig.push));
	push_nothing_fits(rig_mbuf(&rig, 1, 60, 0));
	CHECK(vhc_queue_update(rig.push));
	push_one_frame(1, 60, 0);
	rig_receive_frame(&rig, 1, 60, 1);
	net_rig_close(&rig);
}

static void
test_bad_buffers_do_not_cost_packets(void)
{
	const struct piece bad = { UINT64_MAX - 10, 2000, true };
	struct rte_mbuf *mbufs[40];

	net_rig_open(&rig, &modern);
	for (unsigned int position = 0; position < 40; position++) {
		struct used_entry used;

		for (uint32_t i = 0; i < 40; i++) {
			if (i == position)
				driver_post(&rig.rx, &bad, 1);
			offer_any_shape(i);
			mbufs[i] = rig_mbuf(&rig, i, packet_len(i), 0);
		}
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, mbufs, 40), 40);
		CHECK_EQ(driver_nr_used(&rig.rx), 41);
		for (uint32_t i = 0; i < 40; i++) {
			if (i == position) {
				CHECK(driver_collect(&rig.rx, &used));
				CHECK_EQ(used.len, 0);
			}
			rig_receive_frame(&rig, i, packet_len(i), 1);
		}
	}
	CHECK_EQ(rig_nr_faults(rig.push), 40);
	net_rig_close(&rig);
}

/* ---- mbufs are only read -------------------------------------------------------------------- */

static void
shared_mbuf_is_unchanged(uint32_t seg_len)
{
	uint8_t before[1000], after[1000];
	struct rte_mbuf *m, headers[1];

	rig_offer(&rig, 2, 1100);
	driver_publish(&rig.rx);
	m = rig_mbuf(&rig, 5, sizeof(before), seg_len);
	for (struct rte_mbuf *seg = m; seg; seg = seg->next)
		rte_mbuf_refcnt_set(seg, 2);
	rig_mbuf_read(m, before);
	headers[0] = *m;
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(rte_mbuf_refcnt_read(m), 1);
	rte_mbuf_refcnt_set(m, 2);
	CHECK_EQ(memcmp(m, headers, sizeof(*m)), 0);
	rte_mbuf_refcnt_set(m, 1);
	rig_mbuf_read(m, after);
	CHECK_EQ(memcmp(before, after, sizeof(before)), 0);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	rig_receive_frame(&rig, 5, sizeof(before), 1);
	rig_receive_frame(&rig, 5, sizeof(before), 1);
}

static void
test_shared_mbufs_are_unchanged(void)
{
	net_rig_open(&rig, &modern);
	shared_mbuf_is_unchanged(0);
	shared_mbuf_is_unchanged(100);
	net_rig_close(&rig);
}

/* Push frame 0 in an ordinary mbuf, then frame 1 in `odd`. */
static void
push_with_ordinary(struct rte_mbuf *odd)
{
	struct rte_mbuf *mbufs[] = { rig_mbuf(&rig, 0, 100, 0), odd };

	rig_offer(&rig, 2, 1000);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, mbufs, 2), 2);
	rig_receive_frame(&rig, 0, 100, 1);
	rig_receive_frame(&rig, 1, 100, 1);
}

static void
test_mbuf_of_another_pool_goes_home(void)
{
	struct rte_mempool *other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2048, -1);
	struct rte_mbuf *m;

	CHECK(other);
	net_rig_open(&rig, &modern);
	m = rig_mbuf(&rig, 1, 100, 0);
	push_with_ordinary(rte_pktmbuf_copy(m, other, 0, UINT32_MAX));
	CHECK_EQ(rte_mempool_in_use_count(other), 0);
	CHECK_EQ(rte_mempool_in_use_count(rig.pool), 1);
	rte_pktmbuf_free(m);
	net_rig_close(&rig);
	rte_mempool_free(other);
}

/* A clone of the same pool is detached from what it points to, which stays. */
static void
test_clone_goes_home(void)
{
	struct rte_mbuf *m;

	net_rig_open(&rig, &modern);
	m = rig_mbuf(&rig, 1, 100, 0);
	push_with_ordinary(rte_pktmbuf_clone(m, rig.pool));
	CHECK_EQ(rte_mbuf_refcnt_read(m), 1);
	CHECK_EQ(rte_mempool_in_use_count(rig.pool), 1);
	m->port = 7;
	rig_take_frame(m, 1, 100);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_one_descriptor),
	TEST(test_buffer_ends_with_the_memory),
	TEST(test_buffer_astride_the_seam),
	TEST(test_header_over_many_descriptors),
	TEST(test_cut_anywhere),
	TEST(test_segments_of_every_size),
	TEST(test_mergeable_packet_spans_buffers),
	TEST(test_mergeable_buffers_of_any_shape),
	TEST(test_mergeable_packet_waits_for_buffers),
	TEST(test_bad_buffer_within_a_mergeable_packet),
	TEST(test_packet_larger_than_its_buffer_is_dropped),
	TEST(test_impossible_packets_are_dropped),
	TEST(test_bursts_of_every_size),
	TEST(test_no_buffers_no_packets),
	TEST(test_bad_buffers_do_not_cost_packets),
	TEST(test_shared_mbufs_are_unchanged),
	TEST(test_mbuf_of_another_pool_goes_home),
	TEST(test_clone_goes_home),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
