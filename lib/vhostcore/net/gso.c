/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gso.c - TCP packets larger than the wire takes: believe them from a guest, cut them for one.
 *
 * Knows:   virtio 1.2 5.1.6.2 and 5.1.6.4, TCP over IPv4 and IPv6.
 * Trusts:  nothing in a guest's header or packet; nothing in an mbuf's lengths.
 * Runs on: polling lcore, off the fast path.
 *
 * Cutting is done here and not by librte_gso: that one has no TCP over IPv6 (DPDK 22.11), changes
 * flags and reference counts of the caller's mbuf, and builds two mbufs a segment, out of pools a
 * transmit queue does not have, only for them to be copied and freed. A segment here is a changed
 * copy of the headers and a place in the packet, copied straight into the guest's buffer.
 */
#include "offload.h"

#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>

#include "stats.h"

/* ---- guest to host -------------------------------------------------------------------------- */

static bool
is_negotiated(const struct net_queue *nq, uint8_t gso_type)
{
	uint8_t needed = gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_TSO_ECN : 0;

	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needed |= NET_TSO_IPV4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needed |= NET_TSO_IPV6;
		break;
	default:
		return false;
	}
	return (nq->tso & needed) == needed;
}

/* The longest that the mbuf's fields for them can say. */
#define L3_LEN_MAX	((1u << RTE_MBUF_L3_LEN_BITS) - 1)

/*
 * Find the headers in the packet itself: 5.1.6.2 makes hdr_len no more than a hint. Each lies
 * within the packet, and payload behind them. What else is in it, is the receiver's to judge.
 */
static bool
find_headers(const struct rte_mbuf *m, bool ipv6, struct rte_net_hdr_lens *lens)
{
	uint32_t ptype = rte_net_get_ptype(m, lens, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK |
					   RTE_PTYPE_L4_MASK);

	if (ipv6 ? !RTE_ETH_IS_IPV6_HDR(ptype) : !RTE_ETH_IS_IPV4_HDR(ptype))
		return false;
	return (ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP &&
	       lens->l3_len <= L3_LEN_MAX && lens->l4_len >= sizeof(struct rte_tcp_hdr) &&
	       (uint32_t)lens->l2_len + lens->l3_len + lens->l4_len < m->pkt_len;
}

enum ring_fault
vhc_net_gso_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	bool ipv6 = (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6;
	struct rte_net_hdr_lens lens;

	if (!is_negotiated(nq, hdr->gso_type))
		return RING_FAULT_GSO_OFF;
	/* 5.1.6.2: a driver that asks for segments leaves their checksums to us. */
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || le16_get(hdr->gso_size) == 0 ||
	    !find_headers(m, ipv6, &lens) ||
	    le16_get(hdr->csum_start) != lens.l2_len + lens.l3_len ||
	    le16_get(hdr->csum_offset) != offsetof(struct rte_tcp_hdr, cksum))
		return RING_FAULT_GSO_BAD;
	m->ol_flags |= RTE_MBUF_F_RX_LRO;
	m->tx_offload = 0;
	m->l2_len = lens.l2_len;
	m->l3_len = lens.l3_len & L3_LEN_MAX;
	m->l4_len = lens.l4_len;
	m->tso_segsz = le16_get(hdr->gso_size);
	stats_add(&nq->stats.gso, 1);
	return RING_FAULT_NONE;
}

/* ---- host to guest -------------------------------------------------------------------------- */

#define IPV4_FRAGMENT	(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)

static bool
is_ipv6(const struct rte_mbuf *m)
{
	return m->ol_flags & RTE_MBUF_F_TX_IPV6;
}

static uint32_t
headers_len(const struct rte_mbuf *m, const struct offload_head *head)
{
	return head->l2_len + m->l3_len + m->l4_len;
}

static struct rte_tcp_hdr *
tcp_of(const struct rte_mbuf *m, struct offload_head *head)
{
	return (void *)(head->bytes + head->l2_len + m->l3_len);
}

static bool
ipv4_agrees(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip)
{
	return m->l3_len >= sizeof(*ip) && ip->version_ihl >> 4 == 4 &&
	       rte_ipv4_hdr_len(ip) == m->l3_len && ip->next_proto_id == IPPROTO_TCP &&
	       !(ip->fragment_offset & rte_cpu_to_be_16(IPV4_FRAGMENT));
}

/* Extension headers are the application's to count. */
static bool
ipv6_agrees(const struct rte_mbuf *m, const struct rte_ipv6_hdr *ip)
{
	if (m->l3_len < sizeof(*ip) || rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return false;
	return m->l3_len > sizeof(*ip) || ip->proto == IPPROTO_TCP;
}

/* Do the lengths in the mbuf agree with each other, with the packet, and with its headers? */
static bool
lengths_agree(const struct rte_mbuf *m, struct offload_head *head)
{
	const void *ip = head->bytes + head->l2_len;
	uint32_t len = headers_len(m, head);

	if (m->l2_len < sizeof(struct rte_ether_hdr) || m->l4_len < sizeof(struct rte_tcp_hdr) ||
	    len > head->len || len >= offload_frame_len(head) ||
	    offload_frame_len(head) - head->l2_len > UINT16_MAX)
		return false;
	if (!(is_ipv6(m) ? ipv6_agrees(m, ip) : ipv4_agrees(m, ip)))
		return false;
	return (tcp_of(m, head)->data_off >> 4) * 4u == m->l4_len;
}

/* The length in the IP header covers everything from it on, or from behind it with IPv6. */
static void
put_ip_len(const struct rte_mbuf *m, struct offload_head *head)
{
	uint32_t len = offload_frame_len(head) - head->l2_len;
	void *l3 = head->bytes + head->l2_len;

	if (is_ipv6(m))
		((struct rte_ipv6_hdr *)l3)->payload_len =
			rte_cpu_to_be_16((uint16_t)(len - sizeof(struct rte_ipv6_hdr)));
	else
		((struct rte_ipv4_hdr *)l3)->total_length = rte_cpu_to_be_16((uint16_t)len);
}

/* 5.1.6.4.1: the gso_type to tell the guest, or NONE if it does not take such packets. */
static uint8_t
gso_type_for(const struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	uint8_t type = is_ipv6(m) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

	/* RFC 3168: CWR belongs on the first segment only, so whoever cuts must know of it. */
	if (tcp_of(m, head)->tcp_flags & RTE_TCP_CWR_FLAG)
		type |= VIRTIO_NET_HDR_GSO_ECN;
	return is_negotiated(nq, type) ? type : VIRTIO_NET_HDR_GSO_NONE;
}

bool
vhc_net_gso_prepare(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	uint32_t payload;
	uint8_t type;

	if (m->tso_segsz == 0 || !lengths_agree(m, head))
		return false;
	put_ip_len(m, head);
	payload = offload_frame_len(head) - headers_len(m, head);
	if (payload <= m->tso_segsz)
		return true;
	type = gso_type_for(nq, m, head);
	if (type == VIRTIO_NET_HDR_GSO_NONE) {
		head->nr_segments = (uint16_t)((payload + m->tso_segsz - 1) / m->tso_segsz);
		return true;
	}
	head->hdr.gso_type = type;
	head->hdr.gso_size = le16_put(m->tso_segsz);
	head->hdr.hdr_len = le16_put((uint16_t)headers_len(m, head));
	return true;
}

/* Payload of segment `i`. */
static uint32_t
segment_payload(const struct rte_mbuf *m, const struct offload_head *whole, uint16_t i)
{
	uint32_t left = offload_frame_len(whole) - headers_len(m, whole) -
			(uint32_t)i * m->tso_segsz;

	return RTE_MIN(left, (uint32_t)m->tso_segsz);
}

uint32_t
vhc_net_gso_segment_len(const struct rte_mbuf *m, const struct offload_head *whole, uint16_t i)
{
	return headers_len(m, whole) + segment_payload(m, whole, i);
}

void
vhc_net_gso_segment(struct net_queue *nq, const struct rte_mbuf *m,
		    const struct offload_head *whole, uint16_t i, struct offload_head *segment)
{
	uint32_t at = (uint32_t)i * m->tso_segsz;
	bool is_first = i == 0, is_last = i + 1 == whole->nr_segments;
	struct rte_ipv4_hdr *ip;
	struct rte_tcp_hdr *tcp;

	*segment = *whole;
	ip = (void *)(segment->bytes + segment->l2_len);
	tcp = tcp_of(m, segment);
	segment->len = headers_len(m, whole);
	segment->from = (uint32_t)m->l2_len + m->l3_len + m->l4_len + at;
	segment->rest = segment_payload(m, whole, i);
	put_ip_len(m, segment);
	if (!is_ipv6(m))
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + i));
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + at);
	if (!is_first)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	if (!is_last)
		tcp->tcp_flags &= (uint8_t)~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	/* Cannot fail: the lengths were found to agree. */
	vhc_net_offload_sums(nq, m, segment);
}
