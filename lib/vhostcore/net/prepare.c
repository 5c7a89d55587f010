/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prepare.c - would a push refuse this packet? Asked before it is too late to do something else.
 *
 * Knows:   mbuf offload flags; push.c's limits; offload.c does the judging.
 * Trusts:  nothing in the mbuf's lengths and flags.
 * Runs on: polling lcore; touches no ring.
 */
#include <errno.h>

#include "offload.h"

/* What asks for something, or says what kind of packet it is, and is understood. */
#define UNDERSTOOD (OFFLOAD_TX_FLAGS | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)

/* A push leaves out what it does not know: the packet would arrive, and wrong. */
static bool
is_understood(uint64_t flags)
{
	return !(flags & RTE_MBUF_F_TX_OFFLOAD_MASK & ~UNDERSTOOD) &&
	       (flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_SCTP_CKSUM;
}

/* A checksum above IP covers addresses; an IPv6 header has none of its own. */
static bool
is_typed(uint64_t flags)
{
	if ((flags & RTE_MBUF_F_TX_IP_CKSUM) && (flags & RTE_MBUF_F_TX_IPV6))
		return false;
	return !(flags & (RTE_MBUF_F_TX_L4_MASK | OFFLOAD_GSO_FLAGS)) ||
	       (flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6));
}

/*
 * For a guest that takes checksums half done, so that they are judged and not computed; and no
 * segments, because cutting asks most of a packet.
 */
static int
prepare_one(struct net_queue *any_guest, struct rte_mbuf *m)
{
	uint32_t tag_len = m->ol_flags & RTE_MBUF_F_TX_VLAN ? RTE_VLAN_HLEN : 0;
	struct offload_head head = { .rest = m->pkt_len };

	if (m->pkt_len < NET_FRAME_MIN || m->pkt_len > NET_FRAME_MAX - tag_len)
		return -EINVAL;
	if (!(m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK))
		return 0;
	if (!is_understood(m->ol_flags))
		return -ENOTSUP;
	if (!is_typed(m->ol_flags))
		return -EINVAL;
	if (!(m->ol_flags & OFFLOAD_TX_FLAGS))
		return 0;
	return vhc_net_offload_prepare(any_guest, m, &head) ? 0 : -EINVAL;
}

VHC_API uint16_t
vhc_net_push_check(struct rte_mbuf *const *mbufs, uint16_t n, int *error)
{
	struct net_queue any_guest = { .csum = true };

	*error = 0;
	for (uint16_t i = 0; i < n; i++) {
		*error = prepare_one(&any_guest, mbufs[i]);
		if (*error)
			return i;
	}
	return n;
}
