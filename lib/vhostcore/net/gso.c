/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gso.c - packets larger than the wire takes: believe them from a guest, cut them for one.
 *
 * Knows:   virtio 1.3 5.1.6.2 and 5.1.6.4, TCP and UDP over IPv4 and IPv6.
 * Trusts:  nothing in a guest's header or packet; nothing in an mbuf's lengths.
 * Runs on: polling lcore, off the fast path.
 *
 * Cutting is done here and not by librte_gso: that one has neither IPv6 nor UDP datagrams (DPDK
 * 22.11), changes flags and reference counts of the caller's mbuf, and builds two mbufs a segment,
 * out of pools a transmit queue does not have, only for them to be copied and freed. A segment here
 * is a changed copy of the headers and a place in the packet, copied straight into the guest's
 * buffer.
 *
 * UDP comes in two kinds that must not be mixed up: many datagrams in one packet (USO), and one
 * datagram larger than the wire takes, which goes in IP fragments (UFO). An mbuf has one flag for
 * both, RTE_MBUF_F_TX_UDP_SEG; NICs take it as the first. The second has RTE_PTYPE_L4_FRAG as well,
 * and so has a packet of that kind that a guest sent: it stays what it is, whoever forwards it.
 */
#include "offload.h"

#include <rte_ip.h>
#include <rte_random.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "stats.h"

/* RFC 791, RFC 8200: fragments begin at multiples of this. */
#define FRAGMENT_UNIT	8

/* What a request takes to be allowed; 0: there is no such request. */
static uint8_t
features_needed(uint8_t gso_type, bool ipv6)
{
	switch (gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_GSO_TCP4;
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		return NET_GSO_TCP4 | NET_GSO_ECN;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_GSO_TCP6;
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		return NET_GSO_TCP6 | NET_GSO_ECN;
	case VIRTIO_NET_HDR_GSO_UDP:
		return NET_GSO_UFO;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return ipv6 ? NET_GSO_USO6 : NET_GSO_USO4;
	default:
		return 0;
	}
}

static bool
is_negotiated(const struct net_queue *nq, uint8_t gso_type, bool ipv6)
{
	uint8_t needed = features_needed(gso_type, ipv6);

	return needed && (nq->gso & needed) == needed;
}

/* ---- guest to host -------------------------------------------------------------------------- */

/* Is the packet of the kind that the type names? */
static bool
type_suits(uint8_t gso_type, uint32_t ptype)
{
	bool tcp = (ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP;

	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return tcp && RTE_ETH_IS_IPV4_HDR(ptype);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return tcp && RTE_ETH_IS_IPV6_HDR(ptype);
	default:
		return !tcp;
	}
}

static bool
size_suits(const struct virtio_net_hdr *hdr, const struct rte_mbuf *m)
{
	uint16_t smallest = hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP ? FRAGMENT_UNIT : 1;

	return le16_get(hdr->gso_size) >= smallest &&
	       (uint32_t)m->l2_len + m->l3_len + m->l4_len < m->pkt_len;
}

/* As a NIC says it that put the packet together, or as who wants a NIC to cut it. */
static uint64_t
gso_flags(const struct net_queue *nq, uint32_t ptype)
{
	uint64_t flags = vhc_net_offload_tx_flags(ptype);

	if (!nq->legacy_flags)
		return RTE_MBUF_F_RX_LRO;
	if (flags & RTE_MBUF_F_TX_IPV4)
		flags |= RTE_MBUF_F_TX_IP_CKSUM;
	return flags | ((ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP ? RTE_MBUF_F_TX_TCP_SEG :
								       RTE_MBUF_F_TX_UDP_SEG);
}

enum ring_fault
vhc_net_gso_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	uint32_t ptype;

	/* What a guest may send does not depend on the version of IP. */
	if (!is_negotiated(nq, hdr->gso_type, false))
		return RING_FAULT_GSO_OFF;
	/* 5.1.6.2: a driver that asks for segments leaves their checksums to us. */
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    !vhc_net_offload_parse(hdr, m, &ptype) || !type_suits(hdr->gso_type, ptype) ||
	    !size_suits(hdr, m))
		return RING_FAULT_GSO_BAD;
	m->ol_flags |= gso_flags(nq, ptype);
	m->tso_segsz = le16_get(hdr->gso_size);
	m->packet_type = ptype;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP)
		m->packet_type = (ptype & ~RTE_PTYPE_L4_MASK) | RTE_PTYPE_L4_FRAG;
	stats_add(&nq->stats.gso, 1);
	return RING_FAULT_NONE;
}

/* ---- host to guest: judge the request ------------------------------------------------------- */

#define IPV4_FRAGMENT	(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)

static bool
is_ipv6(const struct rte_mbuf *m)
{
	return m->ol_flags & RTE_MBUF_F_TX_IPV6;
}

static bool
is_tcp(const struct rte_mbuf *m)
{
	return m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
}

static bool
is_one_datagram(const struct rte_mbuf *m)
{
	return !is_tcp(m) && (m->packet_type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_FRAG;
}

static uint8_t
proto_of(const struct rte_mbuf *m)
{
	return is_tcp(m) ? IPPROTO_TCP : IPPROTO_UDP;
}

static uint32_t
l4_at(const struct rte_mbuf *m, const struct offload_head *head)
{
	return head->l2_len + m->l3_len;
}

static uint32_t
headers_len(const struct rte_mbuf *m, const struct offload_head *head)
{
	return l4_at(m, head) + m->l4_len;
}

/* Bytes to be spread over the segments: fragments cut the UDP header off like all the rest. */
static uint32_t
payload_len(const struct rte_mbuf *m, const struct offload_head *head)
{
	return offload_frame_len(head) -
	       (is_one_datagram(m) ? l4_at(m, head) : headers_len(m, head));
}

static struct rte_tcp_hdr *
tcp_of(const struct rte_mbuf *m, struct offload_head *head)
{
	return (void *)(head->bytes + l4_at(m, head));
}

static bool
ipv4_agrees(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip)
{
	return m->l3_len >= sizeof(*ip) && ip->version_ihl >> 4 == 4 &&
	       rte_ipv4_hdr_len(ip) == m->l3_len && ip->next_proto_id == proto_of(m) &&
	       !(ip->fragment_offset & rte_cpu_to_be_16(IPV4_FRAGMENT));
}

/* Extension headers are the application's to count. */
static bool
ipv6_agrees(const struct rte_mbuf *m, const struct rte_ipv6_hdr *ip)
{
	if (m->l3_len < sizeof(*ip) || rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return false;
	return m->l3_len > sizeof(*ip) || ip->proto == proto_of(m);
}

static bool
l4_agrees(const struct rte_mbuf *m, struct offload_head *head)
{
	if (!is_tcp(m))
		return m->l4_len == sizeof(struct rte_udp_hdr);
	return m->l4_len >= sizeof(struct rte_tcp_hdr) &&
	       (tcp_of(m, head)->data_off >> 4) * 4u == m->l4_len;
}

/* Do the lengths in the mbuf agree with each other, with the packet, and with its headers? */
static bool
lengths_agree(const struct rte_mbuf *m, struct offload_head *head)
{
	const void *ip = head->bytes + head->l2_len;
	uint32_t len = headers_len(m, head);

	if (m->l2_len < sizeof(struct rte_ether_hdr) || len > head->len ||
	    len >= offload_frame_len(head) ||
	    offload_frame_len(head) - head->l2_len > UINT16_MAX)
		return false;
	return (is_ipv6(m) ? ipv6_agrees(m, ip) : ipv4_agrees(m, ip)) && l4_agrees(m, head);
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

static void
put_lengths(const struct rte_mbuf *m, struct offload_head *head)
{
	struct rte_udp_hdr *udp = (void *)(head->bytes + l4_at(m, head));

	put_ip_len(m, head);
	if (!is_tcp(m))
		udp->dgram_len = rte_cpu_to_be_16((uint16_t)(offload_frame_len(head) -
							     l4_at(m, head)));
}

/* 5.1.6.4.1: the gso_type to tell the guest, or NONE if it does not take such packets. */
static uint8_t
gso_type_for(const struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	uint8_t type = is_ipv6(m) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

	if (!is_tcp(m))
		type = is_one_datagram(m) ? VIRTIO_NET_HDR_GSO_UDP : VIRTIO_NET_HDR_GSO_UDP_L4;
	/* RFC 3168: CWR belongs on the first segment only, so whoever cuts must know of it. */
	else if (tcp_of(m, head)->tcp_flags & RTE_TCP_CWR_FLAG)
		type |= VIRTIO_NET_HDR_GSO_ECN;
	return is_negotiated(nq, type, is_ipv6(m)) ? type : VIRTIO_NET_HDR_GSO_NONE;
}

/* ---- host to guest: cut --------------------------------------------------------------------- */

/* RFC 8200 4.5 */
struct fragment_header {
	uint8_t next;
	uint8_t reserved;
	rte_be16_t offset;	/* in bytes, for its unit is 8 and three bits lie below; 1: more */
	rte_be32_t id;
};

_Static_assert(sizeof(struct fragment_header) == 8, "RFC 8200 4.5");

/* Payload of all segments but the last. */
static uint32_t
cut_size(const struct rte_mbuf *m)
{
	return is_one_datagram(m) ? m->tso_segsz / FRAGMENT_UNIT * FRAGMENT_UNIT : m->tso_segsz;
}

/*
 * The one UDP checksum covers all fragments, so it must be right before they are cut. Behind IPv6
 * extension headers there is no cutting: some would have to be repeated, some not.
 */
static bool
fragments_prepare(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	if (m->tso_segsz < FRAGMENT_UNIT ||
	    (is_ipv6(m) && m->l3_len != sizeof(struct rte_ipv6_hdr)))
		return false;
	head->hdr.flags = 0;
	head->in_fragments = true;
	head->fragment_id = (uint32_t)rte_rand();
	return vhc_net_offload_sums(nq, m, head);
}

static bool
cut_prepare(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	uint32_t size = cut_size(m);

	if (is_one_datagram(m) && !fragments_prepare(nq, m, head))
		return false;
	head->nr_segments = (uint16_t)((payload_len(m, head) + size - 1) / size);
	return true;
}

bool
vhc_net_gso_prepare(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	uint8_t type;

	if (m->tso_segsz == 0 || !lengths_agree(m, head))
		return false;
	put_lengths(m, head);
	if (payload_len(m, head) <= m->tso_segsz)
		return true;
	type = gso_type_for(nq, m, head);
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return cut_prepare(nq, m, head);
	head->hdr.gso_type = type;
	head->hdr.gso_size = le16_put(m->tso_segsz);
	head->hdr.hdr_len = le16_put((uint16_t)headers_len(m, head));
	return true;
}

/* Payload of segment `i`. */
static uint32_t
segment_payload(const struct rte_mbuf *m, const struct offload_head *whole, uint16_t i)
{
	return RTE_MIN(payload_len(m, whole) - i * cut_size(m), cut_size(m));
}

uint32_t
vhc_net_gso_segment_len(const struct rte_mbuf *m, const struct offload_head *whole, uint16_t i)
{
	uint32_t len = segment_payload(m, whole, i);

	if (!whole->in_fragments)
		return headers_len(m, whole) + len;
	return l4_at(m, whole) + (is_ipv6(m) ? sizeof(struct fragment_header) : 0) + len;
}

static void
renumber(const struct rte_mbuf *m, struct offload_head *segment, uint16_t i)
{
	struct rte_ipv4_hdr *ip = (void *)(segment->bytes + segment->l2_len);

	if (!is_ipv6(m))
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + i));
}

static void
cut_tcp(struct rte_tcp_hdr *tcp, uint32_t at, bool is_first, bool is_last)
{
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + at);
	if (!is_first)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	if (!is_last)
		tcp->tcp_flags &= (uint8_t)~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
}

/* With headers of its own down to the L4 one. */
static void
cut_segment(struct net_queue *nq, const struct rte_mbuf *m, const struct offload_head *whole,
	    uint16_t i, struct offload_head *segment)
{
	uint32_t at = i * cut_size(m);

	segment->len = headers_len(m, whole);
	segment->from = (uint32_t)m->l2_len + m->l3_len + m->l4_len + at;
	segment->rest = segment_payload(m, whole, i);
	put_lengths(m, segment);
	renumber(m, segment, i);
	if (is_tcp(m))
		cut_tcp(tcp_of(m, segment), at, i == 0, i + 1 == whole->nr_segments);
	/* Cannot fail: the lengths were found to agree. */
	vhc_net_offload_sums(nq, m, segment);
}

static void
mark_ipv4_fragment(struct offload_head *fragment, uint32_t at, bool is_last)
{
	struct rte_ipv4_hdr *ip = (void *)(fragment->bytes + fragment->l2_len);
	uint32_t more = is_last ? 0 : RTE_IPV4_HDR_MF_FLAG;

	ip->fragment_offset = rte_cpu_to_be_16((uint16_t)(at / FRAGMENT_UNIT | more));
}

/* Between the IPv6 header and what of the UDP header there is. */
static void
insert_fragment_header(struct offload_head *fragment, uint32_t at, bool is_last)
{
	struct rte_ipv6_hdr *ip = (void *)(fragment->bytes + fragment->l2_len);
	uint8_t *behind = (uint8_t *)(ip + 1);
	const struct fragment_header header = {
		.next = ip->proto,
		.offset = rte_cpu_to_be_16((uint16_t)(at | !is_last)),
		.id = rte_cpu_to_be_32(fragment->fragment_id),
	};

	memmove(behind + sizeof(header), behind,
		fragment->len - (uint32_t)(behind - fragment->bytes));
	memcpy(behind, &header, sizeof(header));
	fragment->len += sizeof(header);
	ip->proto = IPPROTO_FRAGMENT;
}

/* The UDP header, which is changed, comes from the head; payload from the mbuf. */
static void
cut_fragment(const struct rte_mbuf *m, const struct offload_head *whole, uint16_t i,
	     struct offload_head *fragment)
{
	uint32_t at = i * cut_size(m), len = segment_payload(m, whole, i);
	uint32_t in_head = i == 0 ? m->l4_len : 0;
	bool is_last = i + 1 == whole->nr_segments;

	fragment->len = l4_at(m, whole) + in_head;
	fragment->from = (uint32_t)m->l2_len + m->l3_len + at + in_head;
	fragment->rest = len - in_head;
	if (is_ipv6(m))
		insert_fragment_header(fragment, at, is_last);
	else
		mark_ipv4_fragment(fragment, at, is_last);
	put_ip_len(m, fragment);
	if (!is_ipv6(m))
		vhc_net_offload_ip_sum(m, fragment);
}

void
vhc_net_gso_segment(struct net_queue *nq, const struct rte_mbuf *m,
		    const struct offload_head *whole, uint16_t i, struct offload_head *segment)
{
	*segment = *whole;
	if (whole->in_fragments)
		cut_fragment(m, whole, i, segment);
	else
		cut_segment(nq, m, whole, i, segment);
}
