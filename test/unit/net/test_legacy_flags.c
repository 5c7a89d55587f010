/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_legacy_flags.c - a guest's requests as an application would make them: forwarding is enough.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"

static struct net_rig rig;
static struct packet packet;

#define BUFFER_LEN	2100
#define RIG_FROM_GUEST	(RIG_CSUM | RIG_HOST_TSO4 | RIG_HOST_TSO6 | RIG_HOST_ECN | RIG_HOST_UFO | \
			 RIG_HOST_USO)
#define RIG_TO_GUEST	(RIG_GUEST_CSUM | RIG_GUEST_TSO4 | RIG_GUEST_TSO6 | RIG_GUEST_ECN | \
			 RIG_GUEST_UFO | RIG_GUEST_USO4 | RIG_GUEST_USO6)

static const struct net_rig_conf from_guest = {
	.features = RIG_MODERN | RIG_FROM_GUEST, .legacy_flags = true, .csum_flags = true,
};

static uint64_t
version_flag(void)
{
	return packet.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
}

static uint64_t
csum_flag(void)
{
	return packet.proto == PROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}

static void
make(uint32_t i, uint32_t payload_len)
{
	if (i & 16)
		packet_make_udp(&packet, i & 8, i & 3, payload_len);
	else
		packet_make_tcp(&packet, i & 8, i & 7, payload_len);
	put16(packet.bytes + field_at(&packet), pseudo_sum(&packet));
}

static void
expect_request(const struct virtio_net_hdr *hdr, uint64_t flags)
{
	struct rte_mbuf *m = packet_pull(&rig, hdr, &packet, 0);

	CHECK(m);
	CHECK_EQ(m->ol_flags, flags);
	CHECK_EQ(m->l2_len, packet.l2_len);
	CHECK_EQ(m->l3_len, packet.l3_len);
	CHECK_EQ(m->l4_len, packet.l4_len);
	CHECK_EQ(m->tso_segsz, le16_get(hdr->gso_size));
	CHECK_EQ(rte_validate_tx_offload(m), 0);
	packet_take(m, &packet);
}

static void
test_checksums(void)
{
	net_rig_open(&rig, &from_guest);
	for (uint32_t i = 0; i < 32; i++) {
		struct virtio_net_hdr hdr;

		make(i, i * 40);
		hdr = packet_gso_header(&packet, VIRTIO_NET_HDR_GSO_NONE, 0);
		expect_request(&hdr, csum_flag() | version_flag());
	}
	CHECK_EQ(rig_stats(rig.pull).sw_csum + rig_nr_faults(rig.pull), 0);
	net_rig_close(&rig);
}

static uint8_t
gso_type_of(uint32_t i)
{
	if (packet.proto == PROTO_UDP)
		return i & 4 ? VIRTIO_NET_HDR_GSO_UDP : VIRTIO_NET_HDR_GSO_UDP_L4;
	return packet.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
}

static void
test_segmentation(void)
{
	net_rig_open(&rig, &from_guest);
	for (uint32_t i = 0; i < 32; i++) {
		uint64_t seg = i & 16 ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG;
		struct virtio_net_hdr hdr;

		make(i, 9000);
		hdr = packet_gso_header(&packet, gso_type_of(i), 1000);
		if (!packet.ipv6)
			seg |= RTE_MBUF_F_TX_IP_CKSUM;
		expect_request(&hdr, csum_flag() | version_flag() | seg);
	}
	CHECK_EQ(rig_stats(rig.pull).gso, 32);
	net_rig_close(&rig);
}

/* The checksum of what is neither TCP nor UDP, or lies elsewhere, is finished here. */
static void
test_what_flags_cannot_say(void)
{
	net_rig_open(&rig, &from_guest);
	for (uint32_t i = 0; i < 16; i++) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *m;

		make(i, 100);
		hdr = packet_gso_header(&packet, VIRTIO_NET_HDR_GSO_NONE, 0);
		if (i & 1)
			hdr.csum_start = le16_put((uint16_t)(l4_at(&packet) + 2));
		else if (i & 2)
			hdr.csum_offset = le16_put(10);
		else
			packet.bytes[packet.l2_len - 2] = 0x12;	/* no IP */
		m = packet_pull(&rig, &hdr, &packet, 0);
		CHECK(m);
		CHECK_EQ(m->ol_flags, 0);
		CHECK_EQ(rig_stats(rig.pull).sw_csum, i + 1);
		rte_pktmbuf_free(m);
	}
	net_rig_close(&rig);
}

/* Lengths are those of what is left. */
static void
test_without_the_tag(void)
{
	net_rig_open(&rig, &from_guest);
	vhc_net_vlan_strip(rig.pull, true);
	for (uint32_t i = 1; i < 32; i += 2) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *m;

		make(i, 2000);
		hdr = packet_gso_header(&packet, i & 2 ? gso_type_of(i) : 0, i & 2 ? 1000 : 0);
		m = packet_pull(&rig, &hdr, &packet, 0);
		CHECK(m);
		CHECK(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
		CHECK_EQ(m->l2_len, 14);
		CHECK_EQ(m->l3_len, packet.l3_len);
		rte_pktmbuf_free(m);
	}
	net_rig_close(&rig);
}

/* From one guest to the other, with nothing done in between: the same packet, the same request. */
static void
test_forwarded_to_a_guest_that_takes_it(void)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_MERGEABLE | RIG_FROM_GUEST | RIG_TO_GUEST,
		.legacy_flags = true,
	};

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 64; i++) {
		bool gso = i & 32;
		struct virtio_net_hdr sent, hdr;
		struct rte_mbuf *m;

		make(i, 9000);
		if (gso && !packet.ipv6)
			put16(packet.bytes + packet.l2_len + 10, ip_checksum(&packet));
		sent = packet_gso_header(&packet, gso ? gso_type_of(i) : 0, gso ? 1000 : 0);
		m = packet_pull(&rig, &sent, &packet, 0);
		CHECK(m);
		rig_offer(&rig, 5, BUFFER_LEN);
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		CHECK_EQ(rig_receive(&rig, &hdr, got), packet.len);
		if (!gso)
			sent.hdr_len = le16_put(0);
		sent.num_buffers = le16_put(5);
		CHECK_EQ(memcmp(&hdr, &sent, sizeof(hdr)), 0);
		CHECK_EQ(memcmp(got, packet.bytes, packet.len), 0);
	}
	CHECK_EQ(rig_stats(rig.pull).sw_csum + rig_stats(rig.push).sw_csum, 0);
	net_rig_close(&rig);
}

/* ... or as many packets as it takes, all of them whole. */
static void
test_forwarded_to_a_guest_that_takes_nothing(void)
{
	static uint8_t got[2 * RIG_FRAME_MAX];
	const struct net_rig_conf conf = {
		.features = RIG_MODERN | RIG_FROM_GUEST, .legacy_flags = true,
	};

	net_rig_open(&rig, &conf);
	for (uint32_t i = 0; i < 32; i++) {
		struct virtio_net_hdr sent, hdr;
		struct rte_mbuf *m;

		if ((i & 28) == 28 && i & 2)
			continue;	/* fragments behind IPv6 extension headers: none */
		make(i, 5000);
		sent = packet_gso_header(&packet, gso_type_of(i), 1000);
		m = packet_pull(&rig, &sent, &packet, 0);
		CHECK(m);
		rig_offer(&rig, 6, BUFFER_LEN);
		driver_publish(&rig.rx);
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		/* Fragments share the UDP header as well, so they are one more. */
		for (uint32_t nr = (i & 20) == 20 ? 6 : 5; nr; nr--) {
			CHECK(rig_receive(&rig, &hdr, got) > 0);
			CHECK_EQ(hdr.flags | hdr.gso_type, 0);
		}
		CHECK_EQ(driver_nr_used(&rig.rx), 0);
		rig_nr_signals(rig.call[0]);
		net_rig_restart(&rig);
	}
	CHECK_EQ(rig_stats(rig.push).bad_offload, 0);
	net_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_checksums),
	TEST(test_segmentation),
	TEST(test_what_flags_cannot_say),
	TEST(test_without_the_tag),
	TEST(test_forwarded_to_a_guest_that_takes_it),
	TEST(test_forwarded_to_a_guest_that_takes_nothing),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
