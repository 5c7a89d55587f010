/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_prepare.c - what is said of a packet before a push is what the push then does.
 */
#define _GNU_SOURCE 1

#include <errno.h>

#include "model/packet.h"

static struct net_rig rig;

/* Guests that take nothing, checksums, everything. */
static const uint64_t guests[] = {
	RIG_MODERN | RIG_MERGEABLE,
	RIG_MODERN | RIG_MERGEABLE | RIG_GUEST_CSUM,
	RIG_MODERN | RIG_MERGEABLE | RIG_GUEST_CSUM | RIG_GUEST_TSO4 | RIG_GUEST_TSO6 |
		RIG_GUEST_ECN | RIG_GUEST_UFO,
};

static int
error_of(struct rte_mbuf *m)
{
	int error = 1;
	uint16_t nr = vhc_net_push_check(&m, 1, &error);

	CHECK_EQ(nr, error == 0);
	return error;
}

/* ---- one by one ----------------------------------------------------------------------------- */

static void
check_flags(uint64_t flags, int error)
{
	struct packet p;
	struct rte_mbuf *m;

	packet_make_tcp(&p, flags & RTE_MBUF_F_TX_IPV6, 0, 100);
	m = packet_mbuf(&rig, &p, 0);
	m->ol_flags = flags;
	m->tso_segsz = 50;
	CHECK_EQ(error_of(m), error);
	rte_pktmbuf_free(m);
}

static void
test_requests(void)
{
	static const struct net_rig_conf modern = { .features = RIG_MODERN };
	static const struct {
		uint64_t flags;
		int error;
	} cases[] = {
		{ 0, 0 },
		{ RTE_MBUF_F_TX_IPV4, 0 },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM, 0 },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_VLAN, 0 },
		{ RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM, 0 },
		{ RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_SEG, 0 },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG, 0 },
		{ RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_LRO, 0 },
		{ RTE_MBUF_F_TX_TCP_CKSUM, -EINVAL },
		{ RTE_MBUF_F_TX_TCP_SEG, -EINVAL },
		{ RTE_MBUF_F_TX_UDP_SEG, -EINVAL },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_SEG, -EINVAL },	/* it is TCP */
		{ RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM, -EINVAL },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_SCTP_CKSUM, -ENOTSUP },
		{ RTE_MBUF_F_TX_QINQ, -ENOTSUP },
		{ RTE_MBUF_F_TX_MACSEC, -ENOTSUP },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_OUTER_IP_CKSUM, -ENOTSUP },
		{ RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TUNNEL_VXLAN,
		  -ENOTSUP },
	};

	net_rig_open(&rig, &modern);
	for (size_t i = 0; i < VHC_ARRAY_LEN(cases); i++)
		check_flags(cases[i].flags, cases[i].error);
	net_rig_close(&rig);
}

/* Everything before the first bad packet is good, and nothing behind it is looked at. */
static void
test_first_bad_packet_is_named(void)
{
	static const struct net_rig_conf modern = { .features = RIG_MODERN };
	struct rte_mbuf *mbufs[8];
	int error;

	net_rig_open(&rig, &modern);
	for (uint32_t i = 0; i < 8; i++)
		mbufs[i] = rig_mbuf(&rig, i, i == 5 ? NET_FRAME_MIN - 1 : 60, 0);
	CHECK_EQ(vhc_net_push_check(mbufs, 5, &error), 5);
	CHECK_EQ(error, 0);
	CHECK_EQ(vhc_net_push_check(mbufs, 8, &error), 5);
	CHECK_EQ(error, -EINVAL);
	CHECK_EQ(vhc_net_push_check(mbufs, 0, &error), 0);
	CHECK_EQ(error, 0);
	rte_pktmbuf_free_bulk(mbufs, 8);
	net_rig_close(&rig);
}

/* ---- compared with the push ----------------------------------------------------------------- */

/* What a push counts when it consumes a packet that goes nowhere. */
static uint64_t
nr_refused(void)
{
	struct vhc_net_stats stats = rig_stats(rig.push);

	return stats.too_short + stats.too_long + stats.bad_offload;
}

static void
discard_received(void)
{
	struct used_entry used;

	while (driver_collect(&rig.rx, &used))
		;
}

static void
agree(struct rte_mbuf *m)
{
	uint64_t before = nr_refused();
	int error = error_of(m);

	CHECK_EQ(vhc_net_push(rig.push, &m, 1), 1);
	CHECK_EQ(nr_refused() - before, error != 0);
	discard_received();
	rig_offer(&rig, rig.rx.nr_free, 2100);
	driver_publish(&rig.rx);
}

static void
test_lengths(void)
{
	static const uint32_t lens[] = {
		1, NET_FRAME_MIN - 1, NET_FRAME_MIN, 60, NET_FRAME_MAX - 4, NET_FRAME_MAX - 3,
		NET_FRAME_MAX, NET_FRAME_MAX + 1,
	};
	const struct net_rig_conf conf = { .features = guests[0] };

	net_rig_open(&rig, &conf);
	rig_offer(&rig, rig.rx.nr_free, 2100);
	driver_publish(&rig.rx);
	for (size_t i = 0; i < 2 * VHC_ARRAY_LEN(lens); i++) {
		uint32_t len = RTE_MIN(lens[i / 2], (uint32_t)NET_FRAME_MAX);
		struct rte_mbuf *m = rig_mbuf(&rig, 1, len, 0);

		if (lens[i / 2] > NET_FRAME_MAX) {
			CHECK_EQ(rte_pktmbuf_chain(m, rig_mbuf(&rig, 1, 1, 0)), 0);
			CHECK_EQ(m->pkt_len, lens[i / 2]);
		}
		m->ol_flags |= i & 1 ? RTE_MBUF_F_TX_VLAN : 0;
		agree(m);
	}
	net_rig_close(&rig);
}

/* Guests differ in whether they take UDP behind IPv6 extension headers, so there are none. */
static void
make_any(struct packet *p)
{
	const struct packet_spec udp = {
		.ipv6 = random_below(2), .vlan = random_below(2), .proto = PROTO_UDP,
		.payload_len = random_below(1900),
	};

	if (random_below(3))
		packet_make_tcp(p, random_below(2), random_below(8), random_below(1900));
	else
		packet_make(p, &udp);
}

/* Mostly near the truth, or every packet would fail for the first reason. */
static void
spoil(struct rte_mbuf *m)
{
	static const uint64_t wishes[] = {
		0, RTE_MBUF_F_TX_TCP_SEG, RTE_MBUF_F_TX_TCP_CKSUM, RTE_MBUF_F_TX_UDP_CKSUM,
		RTE_MBUF_F_TX_UDP_SEG,
	};
	uint32_t x = random_below(12);

	m->ol_flags |= wishes[random_below(VHC_ARRAY_LEN(wishes))];
	m->ol_flags |= random_below(2) ? RTE_MBUF_F_TX_VLAN : 0;
	if (!(m->ol_flags & RTE_MBUF_F_TX_IPV6) && random_below(2))
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	m->packet_type = random_below(2) ? RTE_PTYPE_L4_FRAG : RTE_PTYPE_UNKNOWN;
	m->tso_segsz = (uint16_t)(x == 0 ? 0 : 20 + random_below(3000));
	if (x == 1)
		m->l2_len = random_below(128);
	if (x == 2)
		m->l3_len = random_below(512);
	if (x == 3)
		m->l4_len = random_below(256);
	if (x == 4)
		*rte_pktmbuf_mtod_offset(m, uint8_t *, random_below(m->data_len)) ^=
			(uint8_t)random_next();
}

static void
test_any_request(void)
{
	static struct packet p;

	for (size_t guest = 0; guest < VHC_ARRAY_LEN(guests); guest++) {
		const struct net_rig_conf conf = { .features = guests[guest] };
		uint64_t nr_before;

		net_rig_open(&rig, &conf);
		rig_offer(&rig, rig.rx.nr_free, 2100);
		driver_publish(&rig.rx);
		nr_before = nr_refused();
		for (unsigned int i = 0; i < 4000; i++) {
			struct rte_mbuf *m;

			make_any(&p);
			m = packet_mbuf(&rig, &p, random_below(2) ? 0 : 60 + random_below(500));
			spoil(m);
			agree(m);
		}
		CHECK(nr_refused() - nr_before > 200);
		CHECK(rig_stats(rig.push).packets > 1000);
		net_rig_close(&rig);
	}
}

static const struct test tests[] = {
	TEST(test_requests),
	TEST(test_first_bad_packet_is_named),
	TEST(test_lengths),
	TEST(test_any_request),
};

int
main(int argc, char **argv)
{
	(void)argc;
	return net_rig_main(argv, tests, VHC_ARRAY_LEN(tests));
}
