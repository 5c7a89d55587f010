/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_gso_push.c - TCP packets to be cut: passed on to guests that take them, else cut here.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;
static struct packet packet;

#define TCP_FIN	0x01
#define TCP_PSH	0x08
#define TCP_ACK	0x10
#define TCP_CWR	0x80
#define RIG_GUEST_TSO	(RIG_GUEST_CSUM | RIG_GUEST_TSO4 | RIG_GUEST_TSO6 | RIG_GUEST_ECN)
#define BUFFER_LEN 2100

static uint8_t *
tcp_flags(struct packet *p)
{
	return &p->bytes[l4_at(p) + 13];
}

static struct rte_mbuf *
tso_mbuf(uint32_t seg_len, uint16_t segsz)
{
	struct rte_mbuf *m = packet_mbuf(&rig, &packet, seg_len);

	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = segsz;
	return m;
}

/* The same through the eyes of somebody who cuts by the book. */
static void
expect_segment(uint32_t i, uint16_t segsz, bool guest_csum, uint32_t *at)
{
	static struct packet expected;
	static uint8_t got[2 * RIG_FRAME_MAX];
	uint32_t payload = packet.len - headers_len(&packet);
	uint32_t part = RTE_MIN(payload - *at, (uint32_t)segsz);
	struct virtio_net_hdr hdr;
	uint8_t *ip, *tcp;

	expected = packet;
	ip = expected.bytes + expected.l2_len;
	tcp = expected.bytes + l4_at(&expected);
	memmove(tcp + expected.l4_len, packet.bytes + headers_len(&packet) + *at, part);
	expected.len = headers_len(&expected) + part;
	packet_put_lengths(&expected);
	if (!expected.ipv6) {
		put16(ip + 4, get16(ip + 4) + i);
		put16(ip + 10, ip_checksum(&expected));
	}
	put32(tcp + 4, get32(tcp + 4) + *at);
	if (i)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (*at + part < payload)
		tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	put16(tcp + 16, guest_csum ? pseudo_sum(&expected) : l4_checksum(&expected));
	CHECK_EQ(rig_receive(&rig, &hdr, got), expected.len);
	CHECK_EQ(memcmp(got, expected.bytes, expected.len), 0);
	CHECK_EQ(hdr.flags, guest_csum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
	CHECK_EQ(le16_get(hdr.csum_start), guest_csum ? l4_at(&packet) : 0);
	CHECK_EQ(hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	CHECK_EQ(le16_get(hdr.gso_size), 0);
	*at += part;
}

static void
expect_cut(uint32_t seg_len, uint16_t segsz, bool guest_csum)
{
	struct vhc_net_stats before = rig_stats(rig.push), after;
	uint32_t at = 0, i = 0, payload = packet.len - headers_len(&packet);

	packet_push_shared(&rig, &packet, tso_mbuf(seg_len, segsz), (payload + segsz - 1) / segsz,
			   BUFFER_LEN);
	while (at < payload)
		expect_segment(i++, segsz, guest_csum, &at);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	after = rig_stats(rig.push);
	CHECK_EQ(after.packets - before.packets, i);
	CHECK_EQ(after.bytes - before.bytes, packet.len + (i - 1) * headers_len(&packet));
	CHECK_EQ(after.sw_gso - before.sw_gso, i > 1);
	CHECK_EQ(after.gso, before.gso);
	CHECK_EQ(after.bad_offload, 0);
}

static void
cut_many(uint64_t features, bool cwr)
{
	static const uint32_t sizes[] = { 1, 499, 500, 501, 1000, 2999, 9000 };
	static const uint8_t flags[] = { TCP_ACK, TCP_ACK | TCP_FIN | TCP_PSH, 0xff & ~TCP_CWR };
	const struct net_rig_conf conf = { .features = RIG_MODERN | features, .nr_mbufs = 4095 };
	unsigned int nr = 0;

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 16; i++)
		for (size_t s = 0; s < VHC_ARRAY_LEN(sizes); s++) {
			packet_make_tcp(&packet, i & 8, i & 7, sizes[s]);
			*tcp_flags(&packet) = flags[nr++ % 3] | (cwr ? TCP_CWR : 0);
			expect_cut(nr % 2 ? 0 : 61, 500, features & RIG_GUEST_CSUM);
		}
	net_rig_close(&rig);
}

static void
test_cut_for_guests_that_take_no_more(void)
{
	cut_many(0, false);
	cut_many(RIG_GUEST_CSUM, false);
	cut_many(RIG_GUEST_CSUM | RIG_MERGEABLE, true);
	/* Segmentation means nothing without GUEST_CSUM (5.1.3.1). */
	cut_many(RIG_GUEST_TSO & ~RIG_GUEST_CSUM, false);
	/* A guest that knows of no CWR must not be handed one to cut. */
	cut_many(RIG_GUEST_TSO & ~RIG_GUEST_ECN, true);
}

/* The identification and the sequence number wrap; the largest packet there is. */
static void
test_cut_the_largest(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN, .nr_mbufs = 4095 };

	net_rig_open(&rig, &conf);
	for (uint32_t ipv6 = 0; ipv6 < 2; ipv6++) {
		packet_make_tcp(&packet, ipv6, 0, 65535 - 20 - (ipv6 ? 40 : 20));
		put32(packet.bytes + l4_at(&packet) + 4, 0xffffff00);
		if (!ipv6)
			put16(packet.bytes + packet.l2_len + 4, 0xfffe);
		expect_cut(0, 1448, false);
		expect_cut(997, 1999, false);
	}
	net_rig_close(&rig);
}

static void
expect_passed_on(uint32_t seg_len, uint16_t segsz, bool fits)
{
	static struct packet expected;
	static uint8_t got[2 * RIG_FRAME_MAX];
	struct virtio_net_hdr hdr, want = packet_tso_header(&packet, segsz);

	expected = packet;
	packet_put_lengths(&expected);
	if (!packet.ipv6)
		put16(expected.bytes + packet.l2_len + 10, ip_checksum(&expected));
	put16(expected.bytes + field_at(&packet), pseudo_sum(&expected));
	if (*tcp_flags(&packet) & TCP_CWR)
		want.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	if (fits) {
		want.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		want.gso_size = want.hdr_len = le16_put(0);
	}
	packet_push_shared(&rig, &packet, tso_mbuf(seg_len, segsz),
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
	static const uint32_t sizes[] = { 499, 500, 501, 9000, 65400 };
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_MERGEABLE | RIG_GUEST_TSO, .nr_mbufs = 4095,
	};
	unsigned int nr_whole = 0;

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 32; i++)
		for (size_t s = 0; s < VHC_ARRAY_LEN(sizes); s++) {
			bool fits = sizes[s] <= 500;

			packet_make_tcp(&packet, i & 8, i & 7, sizes[s]);
			if (i & 16)
				*tcp_flags(&packet) |= TCP_CWR;
			/* Drivers of NICs that want it so leave zero here. */
			put16(packet.bytes + packet.l2_len + (packet.ipv6 ? 4 : 2), 0);
			expect_passed_on(i & 1 ? 0 : 61, 500, fits);
			nr_whole += !fits;
		}
	CHECK_EQ(rig_stats(rig.push).gso, nr_whole);
	CHECK_EQ(rig_stats(rig.push).sw_gso + rig_stats(rig.push).sw_csum, 0);
	net_rig_close(&rig);
}

/* ---- rings that are full, or broken in the middle -------------------------------------------- */

/* Nothing of a packet goes before all of it can. */
static void
test_full_ring_takes_all_segments_or_none(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };
	struct rte_mbuf *m;
	uint32_t at = 0;

	net_rig_open(&rig, &conf);
	packet_make_tcp(&packet, false, 0, 5000);
	m = tso_mbuf(0, 1000);
	for (unsigned int nr = 0; nr < 5; nr++) {
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 0);
		CHECK_EQ(driver_nr_used(&rig.rx), 0);
		rig_offer(&rig, 1, BUFFER_LEN);
		driver_publish(&rig.rx);
	}
	CHECK_EQ(rig_stats(rig.push).packets, 0);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	for (uint32_t i = 0; i < 5; i++)
		expect_segment(i, 1000, false, &at);
	net_rig_close(&rig);
}

/* An empty buffer between the third segment's and the fourth's: it comes back, nothing is lost. */
static void
test_bad_buffer_between_segments(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };
	const struct piece empty = { GUEST_BUFFERS_AT, 0, true };
	struct used_entry used;
	struct rte_mbuf *m;
	uint32_t at = 0;

	net_rig_open(&rig, &conf);
	packet_make_tcp(&packet, true, 0, 5000);
	m = tso_mbuf(0, 1000);
	rig_offer(&rig, 3, BUFFER_LEN);
	driver_post(&rig.rx, &empty, 1);
	rig_offer(&rig, 2, BUFFER_LEN);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	for (uint32_t i = 0; i < 5; i++) {
		if (i == 3) {
			CHECK(driver_collect(&rig.rx, &used));
			CHECK_EQ(used.len, 0);
		}
		expect_segment(i, 1000, false, &at);
	}
	CHECK_EQ(vhc_queue_faults(rig.push, RING_FAULT_CHAIN_EMPTY), 1);
	net_rig_close(&rig);
}

/* It would wait for ever; buffers that are too small are no better. */
static void
test_what_can_never_fit_is_dropped(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN, .ring_size = 8 };
	struct rte_mbuf *m;

	net_rig_open(&rig, &conf);
	packet_make_tcp(&packet, false, 0, 5000);
	m = tso_mbuf(0, 1000);
	rig_offer(&rig, 8, BUFFER_LEN);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(rig_stats(rig.push).too_long, 1);
	m = tso_mbuf(0, 2500);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(rig_stats(rig.push).too_long, 2);
	CHECK_EQ(driver_nr_used(&rig.rx), 0);
	net_rig_close(&rig);
}

/* ---- requests that make no sense ------------------------------------------------------------- */

static void
no_segsz(struct rte_mbuf *m)
{
	m->tso_segsz = 0;
}

static void
no_l2_len(struct rte_mbuf *m)
{
	m->l2_len = 0;
}

static void
l3_len_too_short(struct rte_mbuf *m)
{
	m->l3_len -= 4;
}

static void
l3_len_too_long(struct rte_mbuf *m)
{
	m->l3_len += 4;
}

static void
l3_len_longest(struct rte_mbuf *m)
{
	m->l3_len = 511;
}

static void
l4_len_none(struct rte_mbuf *m)
{
	m->l4_len = 0;
}

static void
l4_len_too_long(struct rte_mbuf *m)
{
	m->l4_len += 4;
}

static void
l4_len_longest(struct rte_mbuf *m)
{
	m->l4_len = 255;
}

static void
other_version(struct rte_mbuf *m)
{
	m->ol_flags ^= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6;
}

/* In the protocol field, or what IPv6 has for it. */
static void
not_tcp(struct rte_mbuf *m)
{
	uint8_t at = m->ol_flags & RTE_MBUF_F_TX_IPV6 ? 6 : 9;

	*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + at) = PROTO_UDP;
}

static void
data_offset_elsewhere(struct rte_mbuf *m)
{
	*rte_pktmbuf_mtod_offset(m, uint8_t *, m->l2_len + m->l3_len + 12) = 0x60;
}

/* Lengths of headers are not believed, for the headers are copied by them (CVE-2026-100236). */
static void
test_requests_without_sense_are_dropped(void)
{
	static void (*const spoil[])(struct rte_mbuf *m) = {
		no_segsz, no_l2_len, l3_len_too_short, l3_len_too_long, l3_len_longest, l4_len_none,
		l4_len_too_long, l4_len_longest, other_version, not_tcp, data_offset_elsewhere,
	};

	for (uint32_t i = 0; i < 4; i++) {
		const struct net_rig_conf conf = { .features = RIG_MODERN |
						   (i & 2 ? RIG_GUEST_TSO | RIG_MERGEABLE : 0) };

		net_rig_open(&rig, &conf);
		rig_offer(&rig, 4, BUFFER_LEN);
		driver_publish(&rig.rx);
		for (size_t k = 0; k < VHC_ARRAY_LEN(spoil); k++) {
			struct rte_mbuf *m;

			packet_make_tcp(&packet, i & 1, 0, 1200);
			m = tso_mbuf(0, 500);
			spoil[k](m);
			packet_dropped(&rig, m);
		}
		net_rig_close(&rig);
	}
}

/* All of it true, but longer than the copy that would have to be changed for each segment. */
static void
test_headers_too_long_to_copy(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 2; i++) {
		const struct packet_spec spec = {
			.ipv6 = true, .proto = PROTO_TCP, .payload_len = 1000,
			.l3_options = i ? 184 : 176,
		};
		struct rte_mbuf *m;

		/* 250 bytes of headers, then 258: 256 is the most. */
		packet_make(&packet, &spec);
		m = tso_mbuf(0, 500);
		rig_offer(&rig, 2, BUFFER_LEN);
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		CHECK_EQ(rig_stats(rig.push).bad_offload, i);
		CHECK_EQ(driver_nr_used(&rig.rx), 2);
	}
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_cut_for_guests_that_take_no_more),
	TEST(test_cut_the_largest),
	TEST(test_passed_on_to_guests_that_take_it),
	TEST(test_full_ring_takes_all_segments_or_none),
	TEST(test_bad_buffer_between_segments),
	TEST(test_what_can_never_fit_is_dropped),
	TEST(test_requests_without_sense_are_dropped),
	TEST(test_headers_too_long_to_copy),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
