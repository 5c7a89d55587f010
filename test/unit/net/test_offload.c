/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_offload.c - checksums in both directions, against a sum computed the slow way.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;

#define BUFFER_LEN 3000

/* Now and then IPv4 options, or an IPv6 extension header. */
static void
make(struct packet *p, bool ipv6, uint8_t proto, uint32_t payload_len, uint32_t seed)
{
	const struct packet_spec spec = {
		.ipv6 = ipv6, .proto = proto, .payload_len = payload_len, .seed = seed,
		.l3_options = (uint8_t)((ipv6 ? 8 : 4) * (seed % 3)),
	};

	packet_make(p, &spec);
}

/* Choose the payload so that the sum comes out as zero, which UDP may not say. */
static void
make_zero_sum(struct packet *p, bool ipv6)
{
	make(p, ipv6, PROTO_UDP, 100, 1);
	put16(p->bytes + field_at(p) + 2, 0);
	put16(p->bytes + field_at(p) + 2, l4_checksum(p));
	CHECK_EQ(l4_checksum(p), 0xffff);
}

/* Call `fn` with TCP and UDP, over IPv4 and IPv6, with payloads of many lengths. */
static void
for_many_packets(void (*fn)(struct packet *p))
{
	static struct packet p;

	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t len = 0; len < 2000; len = len < 70 ? len + 1 : len * 2 - 67) {
			make(&p, i & 1, i & 2 ? PROTO_TCP : PROTO_UDP, len, len);
			fn(&p);
		}
		make_zero_sum(&p, i & 1);
		fn(&p);
	}
}

/* ---- guest to host -------------------------------------------------------------------------- */

/* Send as a driver that leaves the checksum to us; the field has the pseudo header's sum. */
static struct rte_mbuf *
pull_needs_csum(struct packet *p, uint16_t cut)
{
	const struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put((uint16_t)l4_at(p)),
		.csum_offset = le16_put((uint16_t)p->csum_offset),
	};
	struct used_entry used;
	struct rte_mbuf *m;

	put16(p->bytes + field_at(p), pseudo_sum(p));
	packet_send(&rig, &hdr, p, cut);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK(driver_collect(&rig.tx, &used));
	return m;
}

static void
pulled_is_finished(struct packet *p)
{
	for (uint16_t cut = 0; cut < 20; cut += 13) {
		struct rte_mbuf *m = pull_needs_csum(p, cut);

		CHECK_EQ(m->ol_flags, 0);
		put16(p->bytes + field_at(p), l4_checksum(p));
		packet_take(m, p);
	}
}

static void
pulled_is_flagged(struct packet *p)
{
	struct rte_mbuf *m = pull_needs_csum(p, 0);

	CHECK_EQ(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	packet_take(m, p);	/* as the guest wrote it */
}

static void
finish_with_room(uint16_t room)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_CSUM, .room = room };

	net_rig_open(&rig, &conf);
	for_many_packets(pulled_is_finished);
	CHECK(rig_stats(rig.pull).sw_csum > 100);
	CHECK_EQ(rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

/* Also where the field, or the sum, lies astride segments: TCP over IPv4 has it at 50 and 51. */
static void
test_pulled_checksums_are_finished(void)
{
	finish_with_room(2048);
	for (uint16_t room = 33; room < 70; room++)
		finish_with_room(room);
}

static void
test_pulled_checksums_are_left_to_who_asked(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_CSUM, .csum_flags = true };

	net_rig_open(&rig, &conf);
	for_many_packets(pulled_is_flagged);
	CHECK_EQ(rig_stats(rig.pull).sw_csum, 0);
	net_rig_close(&rig);
}

/* At every place the fields can name in a frame of 60 bytes: inside it is done, outside refused. */
static void
test_pulled_field_may_be_the_last_two_bytes(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_CSUM };
	struct rte_mbuf *m;
	struct used_entry used;

	net_rig_open(&rig, &conf);
	for (uint16_t start = 0; start < 70; start++)
		for (uint16_t offset = 0; offset < 70; offset += 3) {
			const struct virtio_net_hdr hdr = {
				.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.csum_start = le16_put(start), .csum_offset = le16_put(offset),
			};
			const struct piece piece = { GUEST_END_AT - 72, 72, false };
			bool fits = start + offset + 2 <= 60;

			rig_write_packet(&rig, piece.at, &hdr, start, 60);
			driver_post(&rig.tx, &piece, 1);
			driver_publish(&rig.tx);
			CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), fits);
			CHECK(driver_collect(&rig.tx, &used));
			if (fits)
				rte_pktmbuf_free(m);
		}
	CHECK_EQ(rig_nr_faults(rig.pull), vhc_queue_faults(rig.pull, RING_FAULT_CSUM_RANGE));
	net_rig_close(&rig);
}

/* 5.1.6.2: from a driver these say nothing, so nothing may be made of them. */
static void
test_other_flags_from_a_driver_are_ignored(void)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_CSUM, .csum_flags = true,
	};
	const struct virtio_net_hdr hdr = {
		.flags = 0xff & ~VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_put(0xffff), .csum_offset = le16_put(0xffff),
		.hdr_len = le16_put(0xffff), .num_buffers = le16_put(9),
	};
	const struct piece piece = { GUEST_BUFFERS_AT, 72, false };
	struct rte_mbuf *m;

	net_rig_open(&rig, &conf);
	rig_write_packet(&rig, piece.at, &hdr, 3, 60);
	driver_post(&rig.tx, &piece, 1);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK_EQ(m->ol_flags, 0);
	rig_take_frame(m, 3, 60);
	net_rig_close(&rig);
}

/* ---- host to guest -------------------------------------------------------------------------- */

static bool guest_csum;		/* negotiated in the rig that is open */

/* Push `m`; returns what the guest gets. */
static struct virtio_net_hdr
push_and_receive(struct rte_mbuf *m, uint8_t *got, uint32_t len)
{
	struct virtio_net_hdr hdr;

	rig_offer(&rig, 1, BUFFER_LEN);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(rig_receive(&rig, &hdr, got), len);
	CHECK_EQ(hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	return hdr;
}

/* What the guest should find, given what the mbuf asked for. */
static void
expect_pushed(const struct packet *p, const struct virtio_net_hdr *hdr, const uint8_t *got,
	      bool ip_csum)
{
	static struct packet expected;

	expected = *p;
	if (ip_csum)
		put16(expected.bytes + p->l2_len + 10, ip_checksum(p));
	if (guest_csum) {
		CHECK_EQ(hdr->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		CHECK_EQ(le16_get(hdr->csum_start), l4_at(p));
		CHECK_EQ(le16_get(hdr->csum_offset), p->csum_offset);
		put16(expected.bytes + field_at(p), pseudo_sum(p));
	} else {
		CHECK_EQ(hdr->flags, 0);
		CHECK_EQ(le16_get(hdr->csum_start), 0);
		put16(expected.bytes + field_at(p), l4_checksum(p));
	}
	CHECK_EQ(memcmp(got, expected.bytes, p->len), 0);
}

static void
push_l4(struct packet *p, uint32_t seg_len, bool ip_csum)
{
	static uint8_t got[2 * RIG_FRAME_MAX], before[PACKET_MAX], after[PACKET_MAX];
	struct rte_mbuf *m = packet_mbuf(&rig, p, seg_len);
	struct virtio_net_hdr hdr;

	m->ol_flags |= p->proto == PROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	if (ip_csum)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	/* Somebody else has it too, and must not see a byte change. */
	for (struct rte_mbuf *seg = m; seg; seg = seg->next)
		rte_mbuf_refcnt_set(seg, 2);
	rig_mbuf_read(m, before);
	hdr = push_and_receive(m, got, p->len);
	expect_pushed(p, &hdr, got, ip_csum);
	rig_mbuf_read(m, after);
	CHECK_EQ(memcmp(before, after, p->len), 0);
	rte_pktmbuf_free(m);
}

static void
push_every_way(struct packet *p)
{
	push_l4(p, 0, false);
	push_l4(p, 0, !p->ipv6);
	push_l4(p, 61, !p->ipv6);
	/* Whatever the field holds: the pseudo header's sum, as DPDK asks, or nothing. */
	put16(p->bytes + field_at(p), pseudo_sum(p));
	push_l4(p, 0, false);
	put16(p->bytes + field_at(p), 0);
	push_l4(p, 7, false);
}

static void
test_pushed_l4_checksums(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct net_rig_conf conf = {
			.features = RIG_MODERN | (i ? RIG_GUEST_CSUM : 0),
		};

		guest_csum = i;
		net_rig_open(&rig, &conf);
		for_many_packets(push_every_way);
		CHECK_EQ(rig_stats(rig.push).sw_csum > 0, !i);
		CHECK_EQ(rig_stats(rig.push).bad_offload, 0);
		net_rig_close(&rig);
	}
}

static void
push_ip_only(struct packet *p)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	struct rte_mbuf *m;

	if (p->ipv6)
		return;
	m = packet_mbuf(&rig, p, 40);
	m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	CHECK_EQ(push_and_receive(m, got, p->len).flags, 0);
	put16(p->bytes + p->l2_len + 10, ip_checksum(p));
	CHECK_EQ(memcmp(got, p->bytes, p->len), 0);
}

static void
test_pushed_ip_checksum(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_GUEST_CSUM };

	net_rig_open(&rig, &conf);
	for_many_packets(push_ip_only);
	net_rig_close(&rig);
}

/* 5.1.6.4.1: only with GUEST_CSUM may the guest be told that somebody has looked. */
static void
test_data_valid_needs_guest_csum_and_a_good_sum(void)
{
	static const struct {
		uint64_t features, ol_flags;
		uint8_t flags;
	} cases[] = {
		{ RIG_GUEST_CSUM, RTE_MBUF_F_RX_L4_CKSUM_GOOD, VIRTIO_NET_HDR_F_DATA_VALID },
		{ RIG_GUEST_CSUM, RTE_MBUF_F_RX_L4_CKSUM_BAD, 0 },
		{ RIG_GUEST_CSUM, RTE_MBUF_F_RX_L4_CKSUM_NONE, 0 },
		{ RIG_GUEST_CSUM, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, 0 },
		{ RIG_GUEST_CSUM, RTE_MBUF_F_RX_IP_CKSUM_GOOD, 0 },
		{ 0, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0 },
	};
	static uint8_t got[2 * RIG_FRAME_MAX];

	for (size_t i = 0; i < VHC_ARRAY_LEN(cases); i++)
		for (uint32_t seg_len = 0; seg_len < 80; seg_len += 40) {
			const struct net_rig_conf conf = {
				.features = RIG_MODERN | cases[i].features,
			};
			struct rte_mbuf *m;

			net_rig_open(&rig, &conf);
			m = rig_mbuf(&rig, 1, 100, seg_len);
			m->ol_flags = cases[i].ol_flags;
			CHECK_EQ(push_and_receive(m, got, 100).flags, cases[i].flags);
			net_rig_close(&rig);
		}
}

/* A short header has the same fields. */
static void
test_checksum_request_in_a_legacy_header(void)
{
	const struct net_rig_conf conf = { .features = RIG_LEGACY | RIG_GUEST_CSUM };
	static struct packet p;

	guest_csum = true;
	net_rig_open(&rig, &conf);
	make(&p, false, PROTO_TCP, 100, 3);
	push_l4(&p, 0, true);
	net_rig_close(&rig);
}

static void
make_uso(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_UDP_SEG;
}

/* No Ethernet header ends there, but an application may say that it does. */
static void
test_l4_header_at_an_odd_place(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };
	static struct packet p;

	guest_csum = false;
	net_rig_open(&rig, &conf);
	for (uint32_t len = 0; len < 500; len += 7) {
		make(&p, len & 1, PROTO_TCP, len, len);
		memmove(p.bytes + 15, p.bytes + 14, p.len - 14);
		p.len++;
		p.l2_len++;
		push_l4(&p, 0, !p.ipv6);
		push_l4(&p, 61, !p.ipv6);
	}
	net_rig_close(&rig);
}

static void
forget_l3_len(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	m->l3_len = 0;
}

static void
make_l3_len_huge(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM;
	m->l3_len = 511;
}

static void
make_field_lie_behind_the_packet(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	m->l3_len = m->pkt_len - 14 - 17;
}

static void
make_ip_lie_behind_the_packet(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	m->l3_len = m->pkt_len - 14 + 1;
}

static void
make_sctp(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_SCTP_CKSUM;
}

/* Dropped and counted, and the next packet goes. */
static void
test_requests_without_sense_are_dropped(void)
{
	static void (*const spoil[])(struct rte_mbuf *m) = {
		make_uso, forget_l3_len, make_l3_len_huge, make_field_lie_behind_the_packet,
		make_ip_lie_behind_the_packet, make_sctp,
	};
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_GUEST_CSUM };
	static struct packet p;

	net_rig_open(&rig, &conf);
	make(&p, false, PROTO_TCP, 30, 3);
	for (size_t i = 0; i < VHC_ARRAY_LEN(spoil); i++) {
		struct rte_mbuf *mbufs[] = { packet_mbuf(&rig, &p, 0), rig_mbuf(&rig, 5, 64, 0) };

		spoil[i](mbufs[0]);
		rig_offer(&rig, 1, BUFFER_LEN);
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, mbufs, 2), 2);
		CHECK_EQ(rig_stats(rig.push).bad_offload, i + 1);
		rig_receive_frame(&rig, 5, 64, 1);
	}
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_pulled_checksums_are_finished),
	TEST(test_pulled_checksums_are_left_to_who_asked),
	TEST(test_pulled_field_may_be_the_last_two_bytes),
	TEST(test_other_flags_from_a_driver_are_ignored),
	TEST(test_pushed_l4_checksums),
	TEST(test_pushed_ip_checksum),
	TEST(test_data_valid_needs_guest_csum_and_a_good_sum),
	TEST(test_checksum_request_in_a_legacy_header),
	TEST(test_l4_header_at_an_odd_place),
	TEST(test_requests_without_sense_are_dropped),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
