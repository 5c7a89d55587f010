/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_edges.c - every number of a header at its edges, and buffers of a few bytes before the void.
 *
 * What is expected follows from the specification, written down here a second time.
 */
#define _GNU_SOURCE 1

#include "model/packet.h"
#include "model/shape.h"

static struct net_rig rig;

#define RIG_TSO_IN	(RIG_CSUM | RIG_HOST_TSO4 | RIG_HOST_TSO6)
#define RIG_GSO_IN	(RIG_TSO_IN | RIG_HOST_UFO | RIG_HOST_USO)

static const struct net_rig_conf confs[] = {
	{ .features = RIG_MODERN | RIG_GSO_IN, .csum_flags = true },
	{ .features = RIG_MODERN | RIG_TSO_IN, .room = 128 },
	{ .features = RIG_MODERN | RIG_CSUM | RIG_INDIRECT },
	{ .features = RIG_LEGACY | RIG_GSO_IN },
	{ .features = RIG_LEGACY | RIG_TSO_IN | RIG_MERGEABLE, .csum_flags = true },
};

/* ---- what a sender's header says ------------------------------------------------------------ */

/* TCP with 10 bytes of payload over IPv4, its headers end at 54; and UDP of the same length. */
#define START	34
#define OFFSET	16
#define LEN	64

static const uint16_t starts[] = {
	0, 1, START - 1, START, START + 1, LEN - OFFSET - 3, LEN - OFFSET - 2, LEN - OFFSET - 1,
	LEN - 3, LEN - 2, LEN - 1, LEN, LEN + 1, 65535 - OFFSET, 65534, 65535,
};

static const uint16_t offsets[] = {
	0, 1, 6, OFFSET - 1, OFFSET, OFFSET + 1, LEN - START - 2, LEN - START - 1, LEN - 2, LEN - 1,
	65535 - START, 65534, 65535,
};

static const uint16_t hdr_lens[] = { 0, 1, 53, 54, 55, LEN - 1, LEN, LEN + 1, 65534, 65535 };
static const uint16_t gso_sizes[] = { 0, 1, 7, 8, 9, 10, 11, 1460, 65534, 65535 };
static const uint8_t gso_types[] = {
	VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
	VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_UDP,
	VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_HDR_GSO_UDP | VIRTIO_NET_HDR_GSO_ECN,
	VIRTIO_NET_HDR_GSO_ECN, 2, 6, 0x7f, 0xff,
};

static uint64_t
feature_for(uint8_t gso_type)
{
	switch (gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return RIG_HOST_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return RIG_HOST_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP:
		return RIG_HOST_UFO;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return RIG_HOST_USO;
	default:
		return 0;	/* with ECN as well: that is not negotiated here */
	}
}

/* 5.1.6.2, for the packets above. Fragments of UDP, alone, are cut at multiples of 8. */
static enum ring_fault
gso_verdict(const struct virtio_net_hdr *hdr, const struct packet *p)
{
	bool is_tcp = p->proto == PROTO_TCP, for_tcp = hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV4;
	uint16_t smallest = hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP ? 8 : 1;

	if (!(rig.dev->features & feature_for(hdr->gso_type)))
		return RING_FAULT_GSO_OFF;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV6 || is_tcp != for_tcp ||
	    !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || le16_get(hdr->gso_size) < smallest ||
	    le16_get(hdr->csum_start) != START || le16_get(hdr->csum_offset) != p->csum_offset)
		return RING_FAULT_GSO_BAD;
	return RING_FAULT_NONE;
}

static enum ring_fault
verdict(const struct virtio_net_hdr *hdr, const struct packet *p)
{
	uint32_t start = le16_get(hdr->csum_start), offset = le16_get(hdr->csum_offset);

	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return gso_verdict(hdr, p);
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && start + offset + 2 > LEN)
		return RING_FAULT_CSUM_RANGE;
	return RING_FAULT_NONE;
}

/* The bytes that may have been touched are two: the checksum's. */
static void
check_delivered(struct rte_mbuf *m, const struct virtio_net_hdr *hdr, const struct packet *p)
{
	uint32_t at = le16_get(hdr->csum_start) + (uint32_t)le16_get(hdr->csum_offset);
	bool sum = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	bool flags = net_queue_of(rig.pull)->csum_flags;
	uint64_t expected = sum && flags ? RTE_MBUF_F_RX_L4_CKSUM_NONE : 0;
	uint8_t got[LEN];

	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		expected |= RTE_MBUF_F_RX_LRO;
		CHECK_EQ(m->tso_segsz, le16_get(hdr->gso_size));
	}
	CHECK_EQ(m->ol_flags, expected);
	CHECK_EQ(m->pkt_len, LEN);
	rig_mbuf_read(m, got);
	if (sum && !flags)
		memcpy(got + at, p->bytes + at, 2);
	CHECK_EQ(memcmp(got, p->bytes, LEN), 0);
	rte_pktmbuf_free(m);
}

/* The fast path sees a packet in one descriptor, the other one in two. */
static void
send_judged(const struct virtio_net_hdr *hdr, const struct packet *p, uint32_t cut)
{
	enum ring_fault fault = verdict(hdr, p);
	uint64_t before = rig_nr_faults(rig.pull), of_kind = 0;
	struct used_entry used;
	struct rte_mbuf *m;

	if (fault != RING_FAULT_NONE)
		of_kind = vhc_queue_faults(rig.pull, fault);
	packet_send(&rig, hdr, p, cut);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), fault == RING_FAULT_NONE);
	if (fault == RING_FAULT_NONE)
		check_delivered(m, hdr, p);
	else
		CHECK_EQ(vhc_queue_faults(rig.pull, fault), of_kind + 1);
	CHECK_EQ(rig_nr_faults(rig.pull), before + (fault != RING_FAULT_NONE));
	CHECK(driver_collect(&rig.tx, &used));
	rig.guest.next = GUEST_BUFFERS_AT;
}

/* Neither hint nor noise: only flags, gso_type, gso_size, start and offset decide. */
static void
judge_all(const struct packet *p, const struct virtio_net_hdr *like)
{
	struct virtio_net_hdr hdr = *like;

	for (size_t i = 0; i < VHC_ARRAY_LEN(starts); i++)
		for (size_t j = 0; j < VHC_ARRAY_LEN(offsets); j++) {
			hdr.csum_start = le16_put(starts[i]);
			hdr.csum_offset = le16_put(offsets[j]);
			send_judged(&hdr, p, 0);
			send_judged(&hdr, p, rig.hdr_len - 1u);
		}
}

static void
judge_at_edges(const struct packet *p)
{
	struct virtio_net_hdr hdr = { .num_buffers = le16_put(65535) };

	for (unsigned int flags = 0; flags < 4; flags++)
		for (size_t i = 0; i < VHC_ARRAY_LEN(gso_types); i++) {
			hdr.flags = (uint8_t)flags;
			hdr.gso_type = gso_types[i];
			hdr.hdr_len = le16_put(hdr_lens[i % VHC_ARRAY_LEN(hdr_lens)]);
			hdr.gso_size = le16_put(gso_sizes[i % VHC_ARRAY_LEN(gso_sizes)]);
			judge_all(p, &hdr);
		}
}

/* With the sum where it belongs, every length in both fields that have one. */
static void
judge_lengths(const struct packet *p)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(hdr_lens); i++)
		for (size_t j = 0; j < VHC_ARRAY_LEN(gso_sizes); j++)
			for (size_t k = 0; k < VHC_ARRAY_LEN(gso_types); k++) {
				struct virtio_net_hdr hdr = packet_tso_header(p, gso_sizes[j]);

				hdr.hdr_len = le16_put(hdr_lens[i]);
				hdr.gso_type = gso_types[k];
				send_judged(&hdr, p, 0);
				send_judged(&hdr, p, 1);
			}
}

static void
test_headers_at_every_edge(void)
{
	static const struct packet_spec specs[] = {
		{ .proto = PROTO_TCP, .payload_len = LEN - START - 20 },
		{ .proto = PROTO_UDP, .payload_len = LEN - START - 8 },
	};
	struct packet p;

	for (size_t i = 0; i < VHC_ARRAY_LEN(confs); i++) {
		net_rig_open(&rig, &confs[i]);
		for (size_t j = 0; j < VHC_ARRAY_LEN(specs); j++) {
			packet_make(&p, &specs[j]);
			CHECK_EQ(p.len, LEN);
			judge_at_edges(&p);
			judge_lengths(&p);
		}
		net_rig_close(&rig);
	}
}

/* ---- what the application asks for ---------------------------------------------------------- */

/* 5.1.6.4.1: what the guest is told holds for the packet it got. */
static void
check_told(const struct virtio_net_hdr *hdr, uint32_t len)
{
	uint32_t start = le16_get(hdr->csum_start), offset = le16_get(hdr->csum_offset);

	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		CHECK(start + offset + 2 <= len);
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return;
	CHECK(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK(le16_get(hdr->gso_size) > 0);
	CHECK(le16_get(hdr->hdr_len) < len);
}

/* Every packet arrives, in one piece or more, or is counted. */
static void
push_judged(const struct packet *p, const uint32_t *lens, uint64_t flags, uint16_t segsz)
{
	struct vhc_net_stats before = rig_stats(rig.push), after;
	struct rte_mbuf *m = packet_mbuf(&rig, p, 0);
	static uint8_t frame[2 * RIG_FRAME_MAX];
	struct virtio_net_hdr hdr;
	uint64_t nr = 0;
	uint32_t len;

	m->l2_len = lens[0] & 0x7f;
	m->l3_len = lens[1] & 0x1ff;
	m->l4_len = lens[2] & 0xff;
	m->tso_segsz = segsz;
	m->ol_flags |= flags;
	while (rig.rx.nr_free)
		rig_offer(&rig, 1, 2048);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	for (; (len = rig_receive(&rig, &hdr, frame)) > 0; nr++)
		check_told(&hdr, len);
	after = rig_stats(rig.push);
	CHECK_EQ(after.packets - before.packets, nr);
	CHECK_EQ((after.bad_offload - before.bad_offload) + (after.too_long - before.too_long),
		 nr == 0);
	rig.half_written |= nr == 0;
}

static void
push_at_edges(uint64_t features, const struct packet_spec *spec)
{
	static const uint32_t l2_lens[] = { 0, 1, 13, 14, 15, 18, 127 };
	static const uint32_t l3_lens[] = { 0, 1, 19, 20, 21, 39, 40, 41, 60, 255, 256, 511 };
	static const uint32_t l4_lens[] = { 0, 1, 7, 8, 19, 20, 21, 60, 255 };
	static const uint16_t segszs[] = { 0, 1, 8, 300, 65535 };
	static const uint64_t flags[] = {
		RTE_MBUF_F_TX_TCP_SEG, RTE_MBUF_F_TX_TCP_CKSUM, RTE_MBUF_F_TX_UDP_CKSUM,
		RTE_MBUF_F_TX_IP_CKSUM, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_VLAN,
		RTE_MBUF_F_TX_UDP_SEG,
	};
	const struct net_rig_conf conf = { .features = features, .ring_size = 64 };
	struct packet p;

	net_rig_open(&rig, &conf);
	packet_make(&p, spec);
	for (size_t a = 0; a < VHC_ARRAY_LEN(l2_lens); a++)
		for (size_t b = 0; b < VHC_ARRAY_LEN(l3_lens); b++)
			for (size_t c = 0; c < VHC_ARRAY_LEN(l4_lens); c++) {
				const uint32_t lens[] = { l2_lens[a], l3_lens[b], l4_lens[c] };

				for (size_t i = 0; i < VHC_ARRAY_LEN(flags); i++)
					push_judged(&p, lens, flags[i],
						    segszs[(a + b + c + i) % 5]);
			}
	CHECK_EQ(rig_nr_faults(rig.push), 0);
	net_rig_close(&rig);
}

static void
test_requests_at_every_edge(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		const struct packet_spec spec = {
			.ipv6 = i & 1, .proto = i & 2 ? PROTO_UDP : PROTO_TCP, .payload_len = 40,
		};

		push_at_edges(RIG_MODERN | RIG_GUEST_CSUM | RIG_GUEST_TSO4 | RIG_GUEST_TSO6 |
			      RIG_GUEST_UFO | RIG_GUEST_USO4 | RIG_GUEST_USO6, &spec);
		push_at_edges(RIG_MODERN | RIG_MERGEABLE, &spec);
		push_at_edges(RIG_LEGACY, &spec);
	}
}

/* ---- runts ---------------------------------------------------------------------------------- */

#define NR_PIECES 4

static const struct net_rig_conf runt_confs[] = {
	{ .features = RIG_MODERN | RIG_INDIRECT },
	{ .features = RIG_MODERN | RIG_INDIRECT | RIG_MERGEABLE, .room = 128 },
	{ .features = RIG_LEGACY },
	{ .features = RIG_LEGACY | RIG_MERGEABLE },
};

/* `nr` pieces of `len` bytes; the one at `pos` has `runt` bytes and ends where its region does. */
static uint32_t
make_runt(struct shape *shape, unsigned int pos, uint32_t runt, uint32_t len, bool writable)
{
	static unsigned int turn;

	for (unsigned int i = 0; i < shape->nr; i++)
		shape->pieces[i] = (struct piece){ guest_alloc(&rig.guest, len), len, writable };
	shape->pieces[pos].len = runt;
	shape->pieces[pos].at = guest_end_at(turn++ % NR_ENDS, runt);
	return (shape->nr - 1) * len + runt;
}

static enum ring_fault
runt_verdict(uint32_t total)
{
	if (total == 0)
		return RING_FAULT_CHAIN_EMPTY;
	if (total < rig.hdr_len)
		return RING_FAULT_HDR_SHORT;
	total -= rig.hdr_len;
	return total < NET_FRAME_MIN ? RING_FAULT_FRAME_SHORT : RING_FAULT_NONE;
}

static void
pull_runt(struct shaper *s, struct shape *shape, uint32_t total)
{
	uint8_t bytes[VIRTIO_NET_HDR_LEN + NR_PIECES * 200] = { 0 };
	enum ring_fault fault = runt_verdict(total);
	uint64_t before = rig_nr_faults(rig.pull), of_kind = 0;
	struct used_entry used;
	struct rte_mbuf *m;

	rig_frame(bytes + rig.hdr_len, total, sizeof(bytes) - rig.hdr_len);
	shape_write(&rig.guest, shape, bytes);
	if (fault != RING_FAULT_NONE)
		of_kind = vhc_queue_faults(rig.pull, fault);
	shape_post(s, &rig.tx, shape);
	driver_publish(&rig.tx);
	CHECK_EQ(vhc_net_pull(rig.pull, &m, 1), fault == RING_FAULT_NONE);
	if (fault == RING_FAULT_NONE)
		rig_take_frame(m, total, total - rig.hdr_len);
	else
		CHECK_EQ(vhc_queue_faults(rig.pull, fault), of_kind + 1);
	CHECK_EQ(rig_nr_faults(rig.pull), before + (fault != RING_FAULT_NONE));
	CHECK(driver_collect(&rig.tx, &used));
	CHECK_EQ(used.len, 0);
}

/* All the packet's bytes arrive if they fit, else it is refused and the buffer kept. */
static void
push_runt(struct shaper *s, struct shape *shape, uint32_t total)
{
	uint32_t room = total < rig.hdr_len ? 0 : total - rig.hdr_len;
	uint32_t len = RTE_MAX(room, (uint32_t)NET_FRAME_MIN);
	uint64_t nr_faults = rig_nr_faults(rig.push), nr_too_long = rig_stats(rig.push).too_long;
	bool is_fault = total < rig.hdr_len, waits = rig.dev->features & RIG_MERGEABLE;
	struct rte_mbuf *m = rig_mbuf(&rig, total, len, 0);

	shape_fill(&rig.guest, shape, 0xcc);
	shape_post(s, &rig.rx, shape);
	driver_publish(&rig.rx);
	if (room >= NET_FRAME_MIN) {
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		rig_receive_frame(&rig, total, len, 1);
		return;
	}
	/* The next buffer may be better than a bad one, or make the packet whole. */
	if (is_fault || waits) {
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 0);
		rte_pktmbuf_free(m);
	} else {
		CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
		CHECK_EQ(rig_stats(rig.push).too_long, nr_too_long + 1);
	}
	CHECK_EQ(rig_nr_faults(rig.push), nr_faults + is_fault);
	net_rig_restart(&rig);
}

/* Lengths of the others: none, too small to be enough for a while, enough. */
static void
each_runt(const struct net_rig_conf *conf, bool writable,
	  void (*move)(struct shaper *, struct shape *, uint32_t))
{
	static const uint32_t others[] = { 0, 1, 5, 100 };
	struct shaper s = { .guest = &rig.guest };
	struct shape shape;

	net_rig_open(&rig, conf);
	for (shape.nr = 1; shape.nr <= NR_PIECES; shape.nr++)
		for (unsigned int pos = 0; pos < shape.nr; pos++)
			for (uint32_t runt = 0; runt <= rig.hdr_len + 13u; runt++)
				for (size_t i = 0; i < VHC_ARRAY_LEN(others); i++) {
					bool table = conf->features & RIG_INDIRECT && i & 1;

					shape.nr_direct = table ? 0 : shape.nr;
					move(&s, &shape, make_runt(&shape, pos, runt, others[i],
								   writable));
				}
	net_rig_close(&rig);
}

static void
test_runts_at_the_end_of_memory_are_pulled(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(runt_confs); i++)
		each_runt(&runt_confs[i], false, pull_runt);
}

static void
test_runts_at_the_end_of_memory_are_pushed_to(void)
{
	for (size_t i = 0; i < VHC_ARRAY_LEN(runt_confs); i++)
		each_runt(&runt_confs[i], true, push_runt);
}

/* Buffers that merge: the second is a runt at the end of memory, of no bytes, too. */
static void
merge_runt(uint32_t runt, enum guest_end end, uint32_t len)
{
	const struct piece pieces[] = {
		{ guest_alloc(&rig.guest, rig.hdr_len + 20u), rig.hdr_len + 20u, true },
		{ guest_end_at(end, runt), runt, true },
		{ guest_alloc(&rig.guest, 100), 100, true },
	};
	struct rte_mbuf *m = rig_mbuf(&rig, len, len, 0);

	for (unsigned int i = 0; i < VHC_ARRAY_LEN(pieces); i++)
		rig_offer_pieces(&rig, &pieces[i], 1, 1);
	driver_publish(&rig.rx);
	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	rig_receive_frame(&rig, len, len, len <= 20 + runt ? 2 : 3);
}

static void
test_runts_at_the_end_of_memory_are_merged(void)
{
	const struct net_rig_conf conf = { .features = RIG_MODERN | RIG_MERGEABLE };

	for (enum guest_end end = 0; end < NR_ENDS; end++) {
		net_rig_open(&rig, &conf);
		for (uint32_t runt = 1; runt <= rig.hdr_len + 13u; runt++) {
			merge_runt(runt, end, 20 + runt + 50);
			CHECK_EQ(rig_nr_faults(rig.push), 0);
		}
		merge_runt(0, end, 70);	/* a buffer with nothing in it, named but counted in */
		CHECK_EQ(vhc_queue_faults(rig.push, RING_FAULT_CHAIN_EMPTY), 1);
		net_rig_close(&rig);
	}
}

static const struct test tests[] = {
	TEST(test_headers_at_every_edge),
	TEST(test_requests_at_every_edge),
	TEST(test_runts_at_the_end_of_memory_are_pulled),
	TEST(test_runts_at_the_end_of_memory_are_pushed_to),
	TEST(test_runts_at_the_end_of_memory_are_merged),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
