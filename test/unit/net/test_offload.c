/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_offload.c - checksums in both directions, against a sum computed the slow way.
 */
#define _GNU_SOURCE 1

#include "model/net_rig.h"

static struct net_rig rig;

#define PACKET_MAX	3000
#define L2_LEN		14
#define PROTO_TCP	6
#define PROTO_UDP	17

/* ---- packets, and what their checksums should be -------------------------------------------- */

struct packet {
	uint8_t bytes[PACKET_MAX];
	uint32_t len;
	uint32_t l3_len;
	uint32_t csum_offset;	/* in the L4 header */
	bool ipv6;
	uint8_t proto;
};

static uint32_t
l4_at(const struct packet *p)
{
	return L2_LEN + p->l3_len;
}

static uint32_t
field_at(const struct packet *p)
{
	return l4_at(p) + p->csum_offset;
}

static void
put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* RFC 1071, a byte at a time. */
static uint32_t
sum_bytes(const uint8_t *at, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++) {
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t
pseudo_sum(const struct packet *p)
{
	const uint8_t *ip = p->bytes + L2_LEN;
	uint32_t l4_len = p->len - l4_at(p), sum;

	sum = p->ipv6 ? sum_bytes(ip + 8, 32, 0) : sum_bytes(ip + 12, 8, 0);
	sum += l4_len + p->proto;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The checksum a receiver expects. */
static uint32_t
l4_checksum(const struct packet *p)
{
	struct packet copy = *p;
	uint32_t csum;

	put16(copy.bytes + field_at(p), 0);
	csum = ~sum_bytes(copy.bytes + l4_at(p), p->len - l4_at(p), pseudo_sum(p)) & 0xffff;
	return csum == 0 && p->proto == PROTO_UDP ? 0xffff : csum;
}

static uint32_t
ip_checksum(const struct packet *p)
{
	struct packet copy = *p;

	put16(copy.bytes + L2_LEN + 10, 0);
	return ~sum_bytes(copy.bytes + L2_LEN, p->l3_len, 0) & 0xffff;
}

/* Headers that agree with each other, and the pattern behind them; both checksums are junk. */
static void
packet_make(struct packet *p, bool ipv6, uint8_t proto, uint32_t payload_len, uint32_t seed)
{
	uint32_t l4_len = (proto == PROTO_TCP ? 20 : 8) + payload_len;
	uint8_t *ip = p->bytes + L2_LEN;

	/* Now and then IPv4 options. */
	p->l3_len = ipv6 ? 40 : 20 + 4 * (seed % 3);
	p->ipv6 = ipv6;
	p->proto = proto;
	p->csum_offset = proto == PROTO_TCP ? 16 : 6;
	p->len = L2_LEN + p->l3_len + l4_len;
	CHECK(p->len <= PACKET_MAX);
	rig_frame(p->bytes, seed, p->len);
	put16(p->bytes + 12, ipv6 ? 0x86dd : 0x0800);
	if (ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, l4_len);
		ip[6] = proto;
	} else {
		ip[0] = (uint8_t)(0x40 | p->l3_len / 4);
		put16(ip + 2, p->l3_len + l4_len);
		ip[9] = proto;
	}
	if (proto == PROTO_UDP)
		put16(p->bytes + l4_at(p) + 4, l4_len);
}

/* Choose the payload so that the sum comes out as zero, which UDP may not say. */
static void
packet_make_zero_sum(struct packet *p, bool ipv6)
{
	packet_make(p, ipv6, PROTO_UDP, 100, 1);
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
			packet_make(&p, i & 1, i & 2 ? PROTO_TCP : PROTO_UDP, len, len);
			fn(&p);
		}
		packet_make_zero_sum(&p, i & 1);
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
	uint32_t total = VIRTIO_NET_HDR_LEN + p->len;
	struct piece pieces[2] = { { guest_alloc(&rig.guest, total), total, false } };
	struct used_entry used;
	struct rte_mbuf *m;

	put16(p->bytes + field_at(p), pseudo_sum(p));
	guest_write(&rig.guest, pieces[0].at, &hdr, VIRTIO_NET_HDR_LEN);
	guest_write(&rig.guest, pieces[0].at + VIRTIO_NET_HDR_LEN, p->bytes, p->len);
	if (cut) {
		pieces[1] = (struct piece){ pieces[0].at + cut, total - cut, false };
		pieces[0].len = cut;
	}
	driver_post(&rig.tx, pieces, cut ? 2 : 1);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK(driver_collect(&rig.tx, &used));
	return m;
}

static void
check_bytes(struct rte_mbuf *m, const struct packet *p)
{
	static uint8_t got[PACKET_MAX];

	CHECK_EQ(m->pkt_len, p->len);
	rig_mbuf_read(m, got);
	CHECK_EQ(memcmp(got, p->bytes, p->len), 0);
	rte_pktmbuf_free(m);
}

static void
pulled_is_finished(struct packet *p)
{
	for (uint16_t cut = 0; cut < 20; cut += 13) {
		struct rte_mbuf *m = pull_needs_csum(p, cut);

		CHECK_EQ(m->ol_flags, 0);
		put16(p->bytes + field_at(p), l4_checksum(p));
		check_bytes(m, p);
	}
}

static void
pulled_is_flagged(struct packet *p)
{
	struct rte_mbuf *m = pull_needs_csum(p, 0);

	CHECK_EQ(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	check_bytes(m, p);	/* as the guest wrote it */
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

static struct rte_mbuf *
mbuf_of(const struct packet *p, uint32_t seg_len)
{
	struct rte_mbuf *m = rig_mbuf(&rig, 0, p->len, seg_len);
	uint32_t done = 0;

	for (struct rte_mbuf *seg = m; seg; seg = seg->next) {
		memcpy(rte_pktmbuf_mtod(seg, void *), p->bytes + done, seg->data_len);
		done += seg->data_len;
	}
	m->l2_len = L2_LEN;
	m->l3_len = p->l3_len & 0x1ff;
	m->ol_flags = p->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	return m;
}

/* Push `m`; returns what the guest gets. */
static struct virtio_net_hdr
push_and_receive(struct rte_mbuf *m, uint8_t *got, uint32_t len)
{
	struct virtio_net_hdr hdr;

	rig_offer(&rig, 1, PACKET_MAX);
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
	struct packet expected = *p;

	if (ip_csum)
		put16(expected.bytes + L2_LEN + 10, ip_checksum(p));
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
	struct rte_mbuf *m = mbuf_of(p, seg_len);
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
	m = mbuf_of(p, 40);
	m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	CHECK_EQ(push_and_receive(m, got, p->len).flags, 0);
	put16(p->bytes + L2_LEN + 10, ip_checksum(p));
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
	struct packet p;

	guest_csum = true;
	net_rig_open(&rig, &conf);
	packet_make(&p, false, PROTO_TCP, 100, 3);
	push_l4(&p, 0, true);
	net_rig_close(&rig);
}

static void
make_tso(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->l4_len = 20;
	m->tso_segsz = 500;
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
	m->l3_len = m->pkt_len - L2_LEN - 17;
}

static void
make_ip_lie_behind_the_packet(struct rte_mbuf *m)
{
	m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	m->l3_len = m->pkt_len - L2_LEN + 1;
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
		make_tso, forget_l3_len, make_l3_len_huge, make_field_lie_behind_the_packet,
		make_ip_lie_behind_the_packet, make_sctp,
	};
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_GUEST_CSUM };
	struct packet p;

	net_rig_open(&rig, &conf);
	packet_make(&p, false, PROTO_TCP, 30, 3);
	for (size_t i = 0; i < VHC_ARRAY_LEN(spoil); i++) {
		struct rte_mbuf *mbufs[] = { mbuf_of(&p, 0), rig_mbuf(&rig, 5, 64, 0) };

		spoil[i](mbufs[0]);
		rig_offer(&rig, 1, PACKET_MAX);
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
	TEST(test_requests_without_sense_are_dropped),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
