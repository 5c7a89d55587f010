/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_vlan.c - tags taken out of pulled packets, and put into pushed ones.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;
static struct packet packet;

#define TCI		0xabcd
#define BUFFER_LEN	3000
#define RX_VLAN_FLAGS	(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED)

/* A tagged TCP packet, its checksums right. */
static void
make(bool vlan, uint32_t payload_len)
{
	const struct packet_spec spec = {
		.vlan = vlan, .proto = PROTO_TCP, .payload_len = payload_len, .seed = payload_len,
	};

	packet_make(&packet, &spec);
	put16(packet.bytes + packet.l2_len + 10, ip_checksum(&packet));
	put16(packet.bytes + field_at(&packet), l4_checksum(&packet));
	if (vlan)
		put16(packet.bytes + 14, TCI);
}

static void
move_tag_out(struct packet *p)
{
	memmove(p->bytes + 12, p->bytes + 16, p->len - 16);
	p->len -= 4;
	p->l2_len -= 4;
}

static void
move_tag_in(struct packet *p)
{
	memmove(p->bytes + 16, p->bytes + 12, p->len - 12);
	put16(p->bytes + 12, 0x8100);
	put16(p->bytes + 14, TCI);
	p->len += 4;
	p->l2_len += 4;
}

/* ---- guest to host -------------------------------------------------------------------------- */

static struct rte_mbuf *
pull(const struct virtio_net_hdr *hdr)
{
	static const struct virtio_net_hdr no_offload;
	struct used_entry used;
	struct rte_mbuf *m;

	packet_send(&rig, hdr ? hdr : &no_offload, &packet, 0);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), 1);
	CHECK(driver_collect(&rig.tx, &used));
	return m;
}

static void
test_strip_is_off_until_asked_for(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN };

	net_rig_open(&rig, &conf);
	for (unsigned int i = 0; i < 4; i++) {
		struct rte_mbuf *m;

		vhc_net_vlan_strip(rig.pull, i & 1);
		/* It is the queue's, not the ring's. */
		if (i & 2)
			net_rig_restart(&rig);
		make(true, 100);
		m = pull(NULL);
		CHECK_EQ(m->ol_flags, i & 1 ? RX_VLAN_FLAGS : 0);
		if (i & 1) {
			CHECK_EQ(m->vlan_tci, TCI);
			move_tag_out(&packet);
		}
		packet_take(m, &packet);
	}
	net_rig_close(&rig);
}

/* Of every length, in segments that may be too short to look for a tag in. */
static void
test_strip_runts_and_untagged(void)
{
	for (uint16_t room = 14; room < 24; room++) {
		const struct net_rig_conf conf = { .features = RIG_MODERN, .room = room };

		net_rig_open(&rig, &conf);
		vhc_net_vlan_strip(rig.pull, true);
		for (uint32_t len = 14; len < 64; len++) {
			bool is_tagged = len & 1 || len < 20;
			struct rte_mbuf *m;

			make(is_tagged, 100);
			packet.len = len;
			m = pull(NULL);
			if (is_tagged && len >= 18 && room >= 18) {
				CHECK_EQ(m->ol_flags, RX_VLAN_FLAGS);
				move_tag_out(&packet);
			} else {
				CHECK_EQ(m->ol_flags, 0);
			}
			packet_take(m, &packet);
		}
		net_rig_close(&rig);
	}
}

/* The lengths of its headers are those of what is left. */
static void
test_strip_from_a_packet_to_be_cut(void)
{
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_CSUM | RIG_HOST_TSO4, .csum_flags = true,
	};
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = le16_put(500), .csum_start = le16_put(38), .csum_offset = le16_put(16),
	};
	struct rte_mbuf *m;

	net_rig_open(&rig, &conf);
	vhc_net_vlan_strip(rig.pull, true);
	make(true, 5000);
	m = pull(&hdr);
	CHECK_EQ(m->ol_flags, RX_VLAN_FLAGS | RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE);
	CHECK_EQ(m->l2_len, 14);
	CHECK_EQ(m->l3_len, 20);
	move_tag_out(&packet);
	packet_take(m, &packet);
	net_rig_close(&rig);
}

/* ---- host to guest -------------------------------------------------------------------------- */

/* Somebody else has the mbuf too; afterwards it must be as it was. */
static struct virtio_net_hdr
push_tagged(uint32_t seg_len, uint64_t ol_flags, uint8_t *got, uint32_t len)
{
	struct rte_mbuf *m = packet_mbuf(&rig, &packet, seg_len);
	struct virtio_net_hdr hdr;

	m->ol_flags |= RTE_MBUF_F_TX_VLAN | ol_flags;
	m->vlan_tci = TCI;
	m->tso_segsz = 500;
	for (struct rte_mbuf *seg = m; seg; seg = seg->next)
		rte_mbuf_refcnt_set(seg, 2);
	rig_offer(&rig, 1, BUFFER_LEN);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(rig_receive(&rig, &hdr, got), len);
	packet_take(m, &packet);
	return hdr;
}

static void
test_insert(void)
{
	static struct packet expected;
	static uint8_t got[2 * RIG_FRAME_MAX];
	const struct net_rig_conf conf = { .features = RIG_MODERN };
	struct vhc_net_stats stats;
	uint64_t nr_bytes = 0;

	net_rig_open(&rig, &conf);
	for (uint32_t len = 14; len < 600; len++) {
		make(false, 600);
		packet.len = len;
		expected = packet;
		move_tag_in(&expected);
		CHECK_EQ(push_tagged(len % 50, 0, got, expected.len).flags, 0);
		CHECK_EQ(memcmp(got, expected.bytes, expected.len), 0);
		nr_bytes += expected.len;
	}
	stats = rig_stats(rig.push);
	CHECK_EQ(stats.bytes, nr_bytes);
	net_rig_close(&rig);
}

/* The checksum is asked for where it now is, or right where the guest cannot do it. */
static void
test_insert_and_checksum(void)
{
	static struct packet expected;
	static uint8_t got[2 * RIG_FRAME_MAX];

	for (unsigned int i = 0; i < 4; i++) {
		const struct net_rig_conf conf = {
			.features = RIG_MODERN | (i & 1 ? RIG_GUEST_CSUM | RIG_GUEST_TSO4 : 0),
		};
		uint64_t ol_flags = i & 2 ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_TCP_CKSUM;
		bool is_whole = (i & 3) == 3;
		struct virtio_net_hdr hdr;

		net_rig_open(&rig, &conf);
		make(false, is_whole ? 2000 : 499);
		expected = packet;
		put16(packet.bytes + field_at(&packet), 0);
		move_tag_in(&expected);
		hdr = push_tagged(77, ol_flags, got, expected.len);
		CHECK_EQ(hdr.flags, i & 1 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		CHECK_EQ(le16_get(hdr.csum_start), i & 1 ? 38 : 0);
		CHECK_EQ(le16_get(hdr.hdr_len), is_whole ? 58 : 0);
		if (i & 1)
			put16(expected.bytes + field_at(&expected), pseudo_sum(&expected));
		CHECK_EQ(memcmp(got, expected.bytes, expected.len), 0);
		net_rig_close(&rig);
	}
}

/* Every segment has it. */
static void
test_insert_and_cut(void)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	const struct net_rig_conf conf = { .features = RIG_MODERN };
	struct virtio_net_hdr hdr;

	net_rig_open(&rig, &conf);
	make(false, 1000);
	rig_offer(&rig, 1, BUFFER_LEN);
	push_tagged(100, RTE_MBUF_F_TX_TCP_SEG, got, 58 + 500);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(get16(got + 12), 0x8100);
		CHECK_EQ(get16(got + 14), TCI);
		CHECK_EQ(get16(got + 16), 0x0800);
		CHECK_EQ(get32(got + 42), get32(packet.bytes + 38) + i * 500);
		CHECK_EQ(memcmp(got + 58, packet.bytes + 54 + i * 500, 500), 0);
		CHECK_EQ(rig_receive(&rig, &hdr, got), i ? 0 : 58 + 500);
	}
	net_rig_close(&rig);
}

/* With its tag it is one byte more than any packet. */
static void
test_insert_into_the_longest(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_MERGEABLE };
	struct rte_mbuf *m;

	net_rig_open(&rig, &conf);
	rig_offer(&rig, 64, BUFFER_LEN);
	driver_publish(&rig.rx);
	for (uint32_t more = 0; more < 2; more++) {
		m = rig_mbuf(&rig, 1, NET_FRAME_MAX - 4 + more, 0);
		m->ol_flags = RTE_MBUF_F_TX_VLAN;
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		CHECK_EQ(rig_stats(rig.push).packets, 1);
		CHECK_EQ(rig_stats(rig.push).too_long, more);
	}
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_strip_is_off_until_asked_for),
	TEST(test_strip_runts_and_untagged),
	TEST(test_strip_from_a_packet_to_be_cut),
	TEST(test_insert),
	TEST(test_insert_and_checksum),
	TEST(test_insert_and_cut),
	TEST(test_insert_into_the_longest),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
