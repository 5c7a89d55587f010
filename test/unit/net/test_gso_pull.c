/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_gso_pull.c - requests to cut TCP packets: a guest's are believed as far as they are true.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;
static struct packet packet;

#define RIG_HOST_TSO	(RIG_CSUM | RIG_HOST_TSO4 | RIG_HOST_TSO6 | RIG_HOST_ECN)

static void
expect_whole(const struct virtio_net_hdr *hdr, uint32_t cut, bool csum_flags)
{
	struct rte_mbuf *m;

	put16(packet.bytes + field_at(&packet), pseudo_sum(&packet));
	m = packet_pull(&rig, hdr, &packet, cut);
	CHECK(m);
	CHECK_EQ(m->ol_flags, RTE_MBUF_F_RX_LRO | (csum_flags ? RTE_MBUF_F_RX_L4_CKSUM_NONE : 0));
	CHECK_EQ(m->tso_segsz, le16_get(hdr->gso_size));
	CHECK_EQ(m->l2_len, packet.l2_len);
	CHECK_EQ(m->l3_len, packet.l3_len);
	CHECK_EQ(m->l4_len, packet.l4_len);
	if (!csum_flags)
		put16(packet.bytes + field_at(&packet), l4_checksum(&packet));
	packet_take(m, &packet);
}

static void
pull_sizes(uint16_t room, bool csum_flags)
{
	static const uint32_t sizes[] = { 1, 100, 1448, 1449, 9000, 65000, 65400 };
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_HOST_TSO, .room = room, .csum_flags = csum_flags,
		.nr_mbufs = room > 2048 ? 63 : 4095,
	};

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 16; i++)
		for (size_t s = 0; s < VHC_ARRAY_LEN(sizes); s++) {
			struct virtio_net_hdr hdr;

			packet_make_tcp(&packet, i & 8, i & 7, sizes[s]);
			hdr = packet_tso_header(&packet, 1448);
			expect_whole(&hdr, i & 1 ? 33 : 0, csum_flags);
		}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	CHECK_EQ(rig_stats(rig.pull).gso, 16 * VHC_ARRAY_LEN(sizes));
	net_rig_close(&rig);
}

/* Also with headers over many mbufs. */
static void
test_pulled_whole(void)
{
	pull_sizes(2048, true);
	pull_sizes(2048, false);
	pull_sizes(65400, true);
	pull_sizes(17, true);
	pull_sizes(33, false);
}

/* Every gso_type there could be, with every set of features. */
static void
test_only_what_was_negotiated(void)
{
	for (uint64_t set = 0; set < 16; set++) {
		uint64_t tso = (set & 7) << VIRTIO_NET_F_HOST_TSO4_BIT;
		const struct net_rig_conf conf = {
			.features = RIG_MODERN | tso | (set & 8 ? RIG_CSUM : 0),
		};

		net_rig_open(&rig, &conf);
		for (unsigned int type = 1; type < 256; type++) {
			bool is_4 = (type & 0x7f) == 1 && (set & 1);
			bool is_6 = (type & 0x7f) == 4 && (set & 2);
			struct virtio_net_hdr hdr;
			struct rte_mbuf *m;

			packet_make_tcp(&packet, (type & 0x7f) == 4, 0, 100);
			hdr = packet_tso_header(&packet, 50);
			hdr.gso_type = (uint8_t)type;
			/* Without CSUM, no header means anything (5.1.6.2). */
			if ((set & 8) && !((is_4 || is_6) && (!(type & 0x80) || (set & 4)))) {
				packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_OFF);
				continue;
			}
			m = packet_pull(&rig, &hdr, &packet, 0);
			CHECK(m);
			CHECK_EQ(!!(m->ol_flags & RTE_MBUF_F_RX_LRO), !!(set & 8));
			rte_pktmbuf_free(m);
		}
		net_rig_close(&rig);
	}
}

/* hdr_len is a hint, and whatever it says is as good as the truth; the others must be true. */
static void
test_every_field_at_every_edge(void)
{
	static const uint16_t hints[] = { 0, 1, 13, 53, 54, 55, 154, 155, 0x7fff, 0xffff };
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_TSO };
	struct virtio_net_hdr hdr;

	net_rig_open(&rig, &conf);
	packet_make_tcp(&packet, false, 0, 100);
	for (size_t i = 0; i < VHC_ARRAY_LEN(hints); i++) {
		hdr = packet_tso_header(&packet, 50);
		hdr.hdr_len = le16_put(hints[i]);
		expect_whole(&hdr, 0, false);
		hdr.gso_size = le16_put(hints[i]);
		if (hints[i])
			expect_whole(&hdr, 0, false);
		else
			packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
		hdr = packet_tso_header(&packet, 50);
		hdr.csum_start = le16_put(hints[i]);
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
		hdr = packet_tso_header(&packet, 50);
		hdr.csum_offset = le16_put(hints[i]);
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	for (unsigned int flags = 0; flags < 256; flags += 2) {
		hdr = packet_tso_header(&packet, 50);
		hdr.flags = (uint8_t)flags;
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	net_rig_close(&rig);
}

/* What the mbuf still holds of the packet before, which was longer, makes no header whole. */
static void
test_headers_cut_off_anywhere(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_TSO };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t whole_len;

		packet_make_tcp(&packet, i & 8, i & 7, 100);
		whole_len = packet.len;
		for (uint32_t len = NET_FRAME_MIN; len < whole_len; len++) {
			struct virtio_net_hdr hdr = packet_tso_header(&packet, 50);
			struct rte_mbuf *m;

			packet.len = len;
			if (len <= headers_len(&packet)) {
				packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
				continue;
			}
			m = packet_pull(&rig, &hdr, &packet, 0);
			CHECK(m);
			rte_pktmbuf_free(m);
		}
	}
	net_rig_close(&rig);
}

/* One byte of honest headers changed; what it stands for is in the comment. */
static void
test_headers_that_lie(void)
{
	static const struct {
		bool ipv6;
		uint8_t at, value;
	} lies[] = {
		{ false, 12, 0x86 },		/* no EtherType of IP */
		{ false, 14, 0x44 },		/* IHL 4 */
		{ false, 14, 0x40 },		/* IHL 0 */
		{ false, 14, 0x4f },		/* IHL 15: the TCP header is elsewhere */
		{ false, 14, 0x65 },		/* version 6 */
		{ false, 20, 0x20 },		/* more fragments */
		{ false, 21, 0x01 },		/* a later fragment */
		{ false, 23, PROTO_UDP },
		{ false, 23, 4 },		/* IP in IP */
		{ false, 46, 0x40 },		/* data offset 4 */
		{ false, 46, 0x00 },		/* data offset 0 */
		{ true, 13, 0x00 },		/* no EtherType of IP */
		{ true, 20, PROTO_UDP },
		{ true, 20, 44 },		/* a fragment header */
		{ true, 20, 60 },		/* an extension header where TCP is */
		{ true, 66, 0x40 },		/* data offset 4 */
	};
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_TSO };

	net_rig_open(&rig, &conf);
	for (size_t i = 0; i < VHC_ARRAY_LEN(lies); i++) {
		struct virtio_net_hdr hdr;

		packet_make_tcp(&packet, lies[i].ipv6, 0, 100);
		hdr = packet_tso_header(&packet, 50);
		packet.bytes[lies[i].at] = lies[i].value;
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
		/* ... and the other protocol's type for it. */
		packet_make_tcp(&packet, lies[i].ipv6, 0, 100);
		hdr.gso_type ^= VIRTIO_NET_HDR_GSO_TCPV4 ^ VIRTIO_NET_HDR_GSO_TCPV6;
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	net_rig_close(&rig);
}

/* Whatever is delivered as one to be cut, can be cut. */
static void
test_random_headers(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_TSO, .room = 90 };
	unsigned int nr_whole = 0;

	net_rig_open(&rig, &conf);
	for (unsigned int i = 0; i < 20000; i++) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *m;

		packet_make_tcp(&packet, random_below(2), random_below(8), random_below(200));
		hdr = packet_tso_header(&packet, 50);
		for (unsigned int n = random_below(4); n; n--)
			packet.bytes[random_below(80)] = (uint8_t)random_next();
		packet.len = NET_FRAME_MIN + random_below(packet.len - NET_FRAME_MIN);
		m = packet_pull(&rig, &hdr, &packet, random_below(2) * (1 + random_below(20)));
		if (!m)
			continue;
		nr_whole++;
		CHECK(m->ol_flags & RTE_MBUF_F_RX_LRO);
		CHECK((uint32_t)m->l2_len + m->l3_len + m->l4_len < m->pkt_len);
		rte_pktmbuf_free(m);
	}
	CHECK(nr_whole > 1000);
	CHECK_EQ(vhc_queue_faults(rig.pull, RING_FAULT_GSO_BAD), 20000 - nr_whole);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_pulled_whole),
	TEST(test_only_what_was_negotiated),
	TEST(test_every_field_at_every_edge),
	TEST(test_headers_cut_off_anywhere),
	TEST(test_headers_that_lie),
	TEST(test_random_headers),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
