/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_gso_udp.c - UDP to be cut: into datagrams (USO) or into IP fragments of one (UFO).
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;
static struct packet packet;

#define RIG_HOST_UDP	(RIG_CSUM | RIG_HOST_UFO | RIG_HOST_USO)
#define RIG_GUEST_UDP	(RIG_GUEST_CSUM | RIG_GUEST_UFO | RIG_GUEST_USO4 | RIG_GUEST_USO6)
#define BUFFER_LEN	2100

static const uint8_t types[] = { VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 };

/* ---- guest to host -------------------------------------------------------------------------- */

static void
expect_whole(const struct virtio_net_hdr *hdr, uint32_t cut, bool csum_flags)
{
	bool one = hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP;
	struct rte_mbuf *m;

	put16(packet.bytes + field_at(&packet), pseudo_sum(&packet));
	m = packet_pull(&rig, hdr, &packet, cut);
	CHECK(m);
	CHECK_EQ(m->ol_flags, RTE_MBUF_F_RX_LRO | (csum_flags ? RTE_MBUF_F_RX_L4_CKSUM_NONE : 0));
	CHECK_EQ(m->tso_segsz, le16_get(hdr->gso_size));
	CHECK_EQ(m->packet_type & RTE_PTYPE_L4_MASK, one ? RTE_PTYPE_L4_FRAG : RTE_PTYPE_L4_UDP);
	CHECK_EQ(!!RTE_ETH_IS_IPV6_HDR(m->packet_type), packet.ipv6);
	CHECK_EQ(headers_len(&packet), (uint32_t)m->l2_len + m->l3_len + m->l4_len);
	if (!csum_flags)
		put16(packet.bytes + field_at(&packet), l4_checksum(&packet));
	packet_take(m, &packet);
}

static void
pull_sizes(uint16_t room, bool csum_flags)
{
	static const uint32_t sizes[] = { 1, 1472, 1473, 9000, 65400 };
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_HOST_UDP, .room = room, .csum_flags = csum_flags,
		.nr_mbufs = room > 2048 ? 63 : 4095,
	};

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 16; i++)
		for (size_t s = 0; s < VHC_ARRAY_LEN(sizes); s++) {
			struct virtio_net_hdr hdr;

			packet_make_udp(&packet, i & 8, i & 3, sizes[s]);
			hdr = packet_gso_header(&packet, types[i >> 2 & 1], 1472);
			expect_whole(&hdr, i & 1 ? 33 : 0, csum_flags);
		}
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static void
test_pulled_whole(void)
{
	pull_sizes(2048, true);
	pull_sizes(2048, false);
	pull_sizes(17, true);
	pull_sizes(33, false);
}

/* Neither feature allows what the other names, and UDP has no CWR. */
static void
test_only_what_was_negotiated(void)
{
	for (uint64_t set = 0; set < 8; set++) {
		const struct net_rig_conf conf = {
			.features = RIG_MODERN | (set & 1 ? RIG_HOST_UFO : 0) |
				    (set & 2 ? RIG_HOST_USO : 0) | (set & 4 ? RIG_CSUM : 0),
		};

		net_rig_open(&rig, &conf);
		for (unsigned int type = 1; type < 256; type++) {
			struct virtio_net_hdr hdr;
			struct rte_mbuf *m;

			packet_make_udp(&packet, type & 1, 0, 100);
			hdr = packet_gso_header(&packet, (uint8_t)type, 50);
			if ((set & 4) && !(type == types[0] && (set & 1)) &&
			    !(type == types[1] && (set & 2))) {
				packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_OFF);
				continue;
			}
			m = packet_pull(&rig, &hdr, &packet, 0);
			CHECK(m);
			CHECK_EQ(!!(m->ol_flags & RTE_MBUF_F_RX_LRO), !!(set & 4));
			rte_pktmbuf_free(m);
		}
		net_rig_close(&rig);
	}
}

static void
expect_field_judged(uint8_t type, uint16_t value)
{
	uint16_t least = type == VIRTIO_NET_HDR_GSO_UDP ? 8 : 1;
	struct virtio_net_hdr hdr = packet_gso_header(&packet, type, 50);

	hdr.hdr_len = le16_put(value);	/* a hint */
	expect_whole(&hdr, 0, false);
	hdr.gso_size = le16_put(value);
	if (value >= least)
		expect_whole(&hdr, 0, false);
	else
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	hdr = packet_gso_header(&packet, type, 50);
	hdr.csum_start = le16_put(value);
	packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	hdr = packet_gso_header(&packet, type, 50);
	hdr.csum_offset = le16_put(value);
	packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
}

static void
test_every_field_at_every_edge(void)
{
	static const uint16_t values[] = {
		0, 1, 5, 7, 8, 9, 13, 16, 33, 35, 41, 42, 43, 141, 142, 143, 0x7fff, 0xffff,
	};
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_UDP };

	net_rig_open(&rig, &conf);
	packet_make_udp(&packet, false, 0, 100);
	for (size_t t = 0; t < VHC_ARRAY_LEN(types); t++) {
		for (size_t i = 0; i < VHC_ARRAY_LEN(values); i++)
			expect_field_judged(types[t], values[i]);
		for (unsigned int flags = 0; flags < 256; flags += 2) {
			struct virtio_net_hdr hdr = packet_gso_header(&packet, types[t], 50);

			hdr.flags = (uint8_t)flags;
			packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
		}
	}
	net_rig_close(&rig);
}

/* A length at which nothing is behind the headers is refused, longer ones are not. */
static void
test_headers_cut_off_anywhere(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_HOST_UDP };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 16; i++) {
		packet_make_udp(&packet, i & 8, i & 3, 3);
		for (uint32_t whole = packet.len, len = NET_FRAME_MIN; len <= whole; len++) {
			struct virtio_net_hdr hdr = packet_gso_header(&packet, types[i >> 2 & 1],
								      50);
			bool refused = len <= headers_len(&packet);
			struct rte_mbuf *m;

			packet.len = len;
			m = packet_pull(&rig, &hdr, &packet, 0);
			CHECK_EQ(!m, refused);
			rte_pktmbuf_free(m);
		}
	}
	CHECK_EQ(rig_nr_faults(rig.pull), vhc_queue_faults(rig.pull, RING_FAULT_GSO_BAD));
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
		{ false, 14, 0x4f },		/* IHL 15: the UDP header is elsewhere */
		{ false, 14, 0x65 },		/* version 6 */
		{ false, 20, 0x20 },		/* a fragment already */
		{ false, 21, 0x01 },		/* a later one */
		{ false, 23, PROTO_TCP },
		{ true, 13, 0x00 },		/* no EtherType of IP */
		{ true, 20, PROTO_TCP },
		{ true, 20, 44 },		/* a fragment already */
		{ true, 20, 60 },		/* an extension header where UDP is */
	};
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_HOST_UDP | RIG_HOST_TSO4 | RIG_HOST_TSO6,
	};
	struct virtio_net_hdr hdr;

	net_rig_open(&rig, &conf);
	for (size_t i = 0; i < 2 * VHC_ARRAY_LEN(lies); i++) {
		packet_make_udp(&packet, lies[i / 2].ipv6, 0, 100);
		hdr = packet_gso_header(&packet, types[i & 1], 50);
		packet.bytes[lies[i / 2].at] = lies[i / 2].value;
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	/* The other protocol's type, for packets that are what they say. */
	for (uint32_t i = 0; i < 4; i++) {
		packet_make_tcp(&packet, i & 1, 0, 100);
		hdr = packet_gso_header(&packet, types[i >> 1], 50);
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
		packet_make_udp(&packet, i & 1, 0, 100);
		hdr = packet_tso_header(&packet, 50);
		packet_refused(&rig, &hdr, &packet, RING_FAULT_GSO_BAD);
	}
	net_rig_close(&rig);
}

/* ---- host to guest -------------------------------------------------------------------------- */

static struct rte_mbuf *
udp_mbuf(uint32_t seg_len, uint16_t segsz, bool one_datagram)
{
	struct rte_mbuf *m = packet_mbuf(&rig, &packet, seg_len);

	m->ol_flags |= RTE_MBUF_F_TX_UDP_SEG;
	m->tso_segsz = segsz;
	m->packet_type = one_datagram ? RTE_PTYPE_L4_FRAG : 0;
	return m;
}

/* Datagram `i` of a packet cut every `segsz` bytes: what a sender of its own would have sent. */
static void
expect_datagram(uint32_t i, uint16_t segsz, bool guest_csum)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	static struct packet expected;
	uint32_t left = packet.len - headers_len(&packet) - i * segsz;
	struct virtio_net_hdr hdr;
	uint8_t *ip;

	expected = packet;
	ip = expected.bytes + expected.l2_len;
	expected.len = headers_len(&packet) + RTE_MIN(left, (uint32_t)segsz);
	memmove(expected.bytes + headers_len(&packet),
		packet.bytes + headers_len(&packet) + i * segsz, RTE_MIN(left, (uint32_t)segsz));
	packet_put_lengths(&expected);
	if (!expected.ipv6) {
		put16(ip + 4, get16(ip + 4) + i);
		put16(ip + 10, ip_checksum(&expected));
	}
	put16(expected.bytes + field_at(&expected),
	      guest_csum ? pseudo_sum(&expected) : l4_checksum(&expected));
	CHECK_EQ(rig_receive(&rig, &hdr, got), expected.len);
	CHECK_EQ(memcmp(got, expected.bytes, expected.len), 0);
	CHECK_EQ(hdr.flags, guest_csum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
	CHECK_EQ(hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

static void
expect_datagrams(uint32_t seg_len, uint16_t segsz, bool guest_csum)
{
	uint32_t nr = (packet.len - headers_len(&packet) + segsz - 1) / segsz;
	struct vhc_net_stats before = rig_stats(rig.push), after;

	packet_push_shared(&rig, &packet, udp_mbuf(seg_len, segsz, false), nr, BUFFER_LEN);
	for (uint32_t i = 0; i < nr; i++)
		expect_datagram(i, segsz, guest_csum);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	after = rig_stats(rig.push);
	CHECK_EQ(after.packets - before.packets, nr);
	CHECK_EQ(after.bytes - before.bytes, packet.len + (nr - 1) * headers_len(&packet));
	CHECK_EQ(after.sw_gso - before.sw_gso, nr > 1);
	CHECK_EQ(after.gso + after.bad_offload, 0);
}

static const uint32_t cut_sizes[] = { 1, 491, 492, 493, 500, 501, 1000, 1993, 9000 };

static void
cut_datagrams(uint64_t features)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | features, .nr_mbufs = 4095 };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 8; i++)
		for (size_t s = 0; s < VHC_ARRAY_LEN(cut_sizes); s++) {
			packet_make_udp(&packet, i & 4, i & 3, cut_sizes[s]);
			expect_datagrams(s % 2 ? 0 : 61, 500, features & RIG_GUEST_CSUM);
		}
	net_rig_close(&rig);
}

/* A guest that takes one datagram in fragments does not take many, and the other way round. */
static void
test_datagrams_for_guests_that_take_no_more(void)
{
	cut_datagrams(0);
	cut_datagrams(RIG_GUEST_CSUM);
	cut_datagrams(RIG_GUEST_CSUM | RIG_MERGEABLE | RIG_GUEST_UFO);
	cut_datagrams(RIG_GUEST_UDP & ~RIG_GUEST_CSUM);
}

/* ---- fragments ------------------------------------------------------------------------------ */

/* What a receiver has put together so far. */
struct reassembly {
	struct packet whole;
	uint32_t id;
	uint32_t nr;
	bool is_complete;
};

/* Fragment headers, judged; where the fragment belongs. */
static uint32_t
fragment_place(struct reassembly *r, const uint8_t *ip, bool *more)
{
	const uint8_t *behind = ip + 40;
	uint32_t id = packet.ipv6 ? get32(behind + 4) : get16(ip + 4);
	uint32_t word = get16(packet.ipv6 ? behind + 2 : ip + 6);

	if (packet.ipv6) {
		CHECK_EQ(ip[6], 44);
		CHECK_EQ(behind[0], PROTO_UDP);
		CHECK_EQ(behind[1], 0);
	} else {
		CHECK_EQ(id, get16(packet.bytes + packet.l2_len + 4));
	}
	CHECK(r->nr == 0 || id == r->id);
	r->id = id;
	*more = packet.ipv6 ? word & 1 : word & 0x2000;
	return packet.ipv6 ? word & 0xfff8 : (word & 0x1fff) * 8;
}

static void
take_fragment(struct reassembly *r, uint16_t segsz)
{
	static struct packet got;
	uint32_t skip = l4_at(&packet) + (packet.ipv6 ? 8 : 0), at;
	struct virtio_net_hdr hdr;
	bool more;

	got = packet;
	got.len = rig_receive(&rig, &hdr, got.bytes);
	CHECK(got.len > skip);
	CHECK_EQ(hdr.flags | hdr.gso_type, 0);
	CHECK_EQ(memcmp(got.bytes, packet.bytes, packet.l2_len), 0);
	at = fragment_place(r, got.bytes + got.l2_len, &more);
	CHECK_EQ(at, r->whole.len - l4_at(&packet));	/* in order, without holes */
	CHECK_EQ(got.len - skip, more ? segsz / 8u * 8 : got.len - skip);
	CHECK(got.len - skip <= segsz);
	CHECK_EQ(get16(got.bytes + got.l2_len + (packet.ipv6 ? 4 : 2)),
		 got.len - got.l2_len - (packet.ipv6 ? 40 : 0));
	if (!packet.ipv6)
		CHECK_EQ(get16(got.bytes + got.l2_len + 10), ip_checksum(&got));
	memcpy(r->whole.bytes + r->whole.len, got.bytes + skip, got.len - skip);
	r->whole.len += got.len - skip;
	r->is_complete = !more;
	r->nr++;
}

/* The datagram that comes out of the fragments is the one that went in, checksum and all. */
static void
expect_fragments(uint32_t seg_len, uint16_t segsz)
{
	static struct reassembly r;
	uint32_t part = segsz / 8u * 8, nr = (packet.len - l4_at(&packet) + part - 1) / part;
	struct vhc_net_stats before = rig_stats(rig.push), after;

	r = (struct reassembly){ .whole = packet };
	r.whole.len = l4_at(&packet);
	packet_push_shared(&rig, &packet, udp_mbuf(seg_len, segsz, true), nr, BUFFER_LEN);
	while (!r.is_complete)
		take_fragment(&r, segsz);
	CHECK_EQ(r.nr, nr);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	put16(packet.bytes + field_at(&packet), l4_checksum(&packet));
	CHECK_EQ(r.whole.len, packet.len);
	CHECK_EQ(memcmp(r.whole.bytes + l4_at(&packet), packet.bytes + l4_at(&packet),
			packet.len - l4_at(&packet)), 0);
	after = rig_stats(rig.push);
	CHECK_EQ(after.packets - before.packets, nr);
	CHECK_EQ(after.bytes - before.bytes,
		 packet.len + (nr - 1) * l4_at(&packet) + nr * (packet.ipv6 ? 8 : 0));
	CHECK_EQ(after.sw_gso - before.sw_gso, 1);
	CHECK_EQ(after.bad_offload, 0);
}

static void
cut_fragments(uint64_t features)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | features, .nr_mbufs = 4095 };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t len = 493; len < 9000; len += 331) {
			/* IPv6 extension headers are dropped: see below. */
			packet_make_udp(&packet, i & 4, i & 4 ? i & 1 : i & 3, len);
			expect_fragments(i & 1 ? 0 : 61, (uint16_t)(500 - i));
		}
	net_rig_close(&rig);
}

static void
test_fragments_for_guests_that_take_no_more(void)
{
	cut_fragments(0);
	cut_fragments(RIG_GUEST_CSUM);
	cut_fragments(RIG_GUEST_UDP & ~RIG_GUEST_UFO);
	cut_fragments((RIG_GUEST_UDP & ~RIG_GUEST_CSUM) | RIG_MERGEABLE);
}

static void
test_cut_the_largest(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN, .nr_mbufs = 4095 };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 4; i++) {
		packet_make_udp(&packet, i & 1, 0, 65535 - 8 - (i & 1 ? 40 : 20));
		if (i & 2)
			expect_fragments(i & 1 ? 997 : 0, 1480);
		else
			expect_datagrams(i & 1 ? 997 : 0, 1472, false);
	}
	net_rig_close(&rig);
}

/* ---- whole ---------------------------------------------------------------------------------- */

static void
expect_passed_on(uint16_t segsz, bool one_datagram)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	static struct packet expected;
	struct virtio_net_hdr hdr, want;

	want = packet_gso_header(&packet, one_datagram ? VIRTIO_NET_HDR_GSO_UDP :
						       VIRTIO_NET_HDR_GSO_UDP_L4, segsz);
	expected = packet;
	if (!packet.ipv6)
		put16(expected.bytes + packet.l2_len + 10, ip_checksum(&packet));
	put16(expected.bytes + field_at(&packet), pseudo_sum(&packet));
	packet_push_shared(&rig, &packet, udp_mbuf(61, segsz, one_datagram),
			   (rig.hdr_len + packet.len - 1) / BUFFER_LEN + 1, BUFFER_LEN);
	CHECK_EQ(rig_receive(&rig, &hdr, got), packet.len);
	want.num_buffers = hdr.num_buffers;
	CHECK_EQ(memcmp(&hdr, &want, sizeof(hdr)), 0);
	CHECK_EQ(memcmp(got, expected.bytes, packet.len), 0);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
}

static void
test_passed_on_to_guests_that_take_it(void)
{
	static const uint64_t needed[] = { RIG_GUEST_UFO, RIG_GUEST_USO4, RIG_GUEST_UFO,
					   RIG_GUEST_USO6 };

	for (uint32_t i = 0; i < 8; i++) {
		bool ipv6 = i & 2, one = !(i & 1);
		const struct net_rig_conf conf = {
			.features = RIG_MODERN | RIG_MERGEABLE | RIG_GUEST_CSUM |
				    (i & 4 ? RIG_GUEST_UDP : needed[i]),
			.nr_mbufs = 4095,
		};

		net_rig_open(&rig, &conf);
		for (uint32_t k = 0; k < 16; k++) {
			packet_make_udp(&packet, ipv6, k & 3, 501 + k * 4300);
			expect_passed_on(500, one);
		}
		CHECK_EQ(rig_stats(rig.push).gso, 16);
		CHECK_EQ(rig_stats(rig.push).sw_gso + rig_stats(rig.push).sw_csum, 0);
		net_rig_close(&rig);
	}
}

/* ---- requests that make no sense ------------------------------------------------------------- */

static void
no_segsz(struct rte_mbuf *m)
{
	m->tso_segsz = 0;
}

static void
tcp_as_well(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
}

static void
l4_len_none(struct rte_mbuf *m)
{
	m->l4_len = 0;
}

static void
l4_len_of_tcp(struct rte_mbuf *m)
{
	m->l4_len = 20;
}

static void
l3_len_longest(struct rte_mbuf *m)
{
	m->l3_len = 511;
}

static void
other_version(struct rte_mbuf *m)
{
	m->ol_flags ^= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6;
}

static void
not_udp(struct rte_mbuf *m)
{
	uint8_t at = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? 6 : 9;

	*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + at) = PROTO_TCP;
}

static void
test_requests_without_sense_are_dropped(void)
{
	static void (*const spoil[])(struct rte_mbuf *m) = {
		no_segsz, tcp_as_well, l4_len_none, l4_len_of_tcp, l3_len_longest, other_version,
		not_udp,
	};

	for (uint32_t i = 0; i < 8; i++) {
		const struct net_rig_conf conf = { .features = RIG_MODERN |
						   (i & 2 ? RIG_GUEST_UDP | RIG_MERGEABLE : 0) };

		net_rig_open(&rig, &conf);
		rig_offer(&rig, 4, BUFFER_LEN);
		driver_publish(&rig.rx);
		for (size_t k = 0; k < VHC_ARRAY_LEN(spoil); k++) {
			struct rte_mbuf *m;

			packet_make_udp(&packet, i & 1, 0, 1200);
			m = udp_mbuf(0, 500, i & 4);
			spoil[k](m);
			packet_dropped(&rig, m);
		}
		net_rig_close(&rig);
	}
}

/* Fragments smaller than there can be, and headers of which some would have to be repeated. */
static void
test_what_has_no_fragments_is_dropped(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };

	net_rig_open(&rig, &conf);
	rig_offer(&rig, 4, BUFFER_LEN);
	driver_publish(&rig.rx);
	packet_make_udp(&packet, false, 0, 100);
	packet_dropped(&rig, udp_mbuf(0, 7, true));
	packet_make_udp(&packet, true, 2, 1200);
	packet_dropped(&rig, udp_mbuf(0, 500, true));
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_pulled_whole),
	TEST(test_only_what_was_negotiated),
	TEST(test_every_field_at_every_edge),
	TEST(test_headers_cut_off_anywhere),
	TEST(test_headers_that_lie),
	TEST(test_datagrams_for_guests_that_take_no_more),
	TEST(test_fragments_for_guests_that_take_no_more),
	TEST(test_cut_the_largest),
	TEST(test_passed_on_to_guests_that_take_it),
	TEST(test_requests_without_sense_are_dropped),
	TEST(test_what_has_no_fragments_is_dropped),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
