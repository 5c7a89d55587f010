/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.c - checksums and VLAN tags: work that is not a plain copy.
 *
 * Knows:   virtio 1.3 5.1.6.2 and 5.1.6.4, Internet checksums.
 * Trusts:  nothing in a guest's header.
 * Runs on: polling lcore, off the fast path.
 */
#include "offload.h"

#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "stats.h"

#define CSUM_OFFSET_TCP offsetof(struct rte_tcp_hdr, cksum)
#define CSUM_OFFSET_UDP offsetof(struct rte_udp_hdr, dgram_cksum)

/*
 * The ones' complement sum of `len` bytes from `from` on. rte_raw_cksum_mbuf() would do but for one
 * thing: DPDK 22.11 loses the carries of a segment that begins at an odd place.
 */
static uint16_t
mbuf_sum(const struct rte_mbuf *m, uint32_t from, uint32_t len)
{
	uint32_t sum = 0, done = 0;

	for (; m && done < len; m = m->next) {
		uint32_t here;
		uint16_t part;

		if (from >= m->data_len) {
			from -= m->data_len;
			continue;
		}
		here = RTE_MIN(m->data_len - from, len - done);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, from), here);
		sum += done & 1 ? rte_bswap16(part) : part;
		done += here;
		from = 0;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* ---- guest to host -------------------------------------------------------------------------- */

/* Two bytes anywhere in a packet, even astride two segments. The position was judged. */
static void
mbuf_put16(struct rte_mbuf *m, uint32_t at, uint16_t value)
{
	const uint8_t *bytes = (const uint8_t *)&value;

	for (unsigned int i = 0; i < sizeof(value); i++, at++) {
		while (at >= m->data_len) {
			at -= m->data_len;
			m = m->next;
		}
		*rte_pktmbuf_mtod_offset(m, uint8_t *, at) = bytes[i];
	}
}

/* RFC 768: a UDP checksum of zero means "none", so a sum of zero is sent as all ones. */
static uint16_t
csum_final(uint16_t sum, uint16_t csum_offset)
{
	uint16_t csum = (uint16_t)~sum;

	return csum == 0 && csum_offset == CSUM_OFFSET_UDP ? 0xffff : csum;
}

/* 5.1.6.2: the field holds the sum of the pseudo header; the sum from csum_start is still to do. */
static void
csum_finish(struct net_queue *nq, struct rte_mbuf *m, uint16_t start, uint16_t offset)
{
	uint16_t sum = mbuf_sum(m, start, m->pkt_len - start);

	mbuf_put16(m, (uint32_t)start + offset, csum_final(sum, offset));
	stats_add(&nq->stats.sw_csum, 1);
}

/* The longest that the mbuf's fields for them can say. */
#define L3_LEN_MAX	((1u << RTE_MBUF_L3_LEN_BITS) - 1)

static bool
l4_suits(uint32_t ptype, uint8_t l4_len, uint16_t csum_offset)
{
	if ((ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP)
		return l4_len >= sizeof(struct rte_tcp_hdr) && csum_offset == CSUM_OFFSET_TCP;
	return (ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_UDP && csum_offset == CSUM_OFFSET_UDP;
}

bool
vhc_net_offload_parse(const struct virtio_net_hdr *hdr, struct rte_mbuf *m, uint32_t *ptype)
{
	struct rte_net_hdr_lens lens;

	*ptype = rte_net_get_ptype(m, &lens, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK |
				   RTE_PTYPE_L4_MASK);
	if (!(RTE_ETH_IS_IPV4_HDR(*ptype) || RTE_ETH_IS_IPV6_HDR(*ptype)) ||
	    !l4_suits(*ptype, lens.l4_len, le16_get(hdr->csum_offset)) ||
	    le16_get(hdr->csum_start) != lens.l2_len + lens.l3_len || lens.l3_len > L3_LEN_MAX ||
	    (uint32_t)lens.l2_len + lens.l3_len + lens.l4_len > m->pkt_len)
		return false;
	m->tx_offload = 0;
	m->l2_len = lens.l2_len;
	m->l3_len = lens.l3_len & L3_LEN_MAX;
	m->l4_len = lens.l4_len;
	return true;
}

uint64_t
vhc_net_offload_tx_flags(uint32_t ptype)
{
	bool tcp = (ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP;

	return (RTE_ETH_IS_IPV6_HDR(ptype) ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
	       (tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
}

/* The checksum is left to who gets the packet next. False: mbuf flags cannot say this one. */
static bool
csum_pass_on(const struct net_queue *nq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	uint32_t ptype;

	if (nq->legacy_flags) {
		/* Who asks for segments has asked already. */
		if (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)
			return true;
		if (!vhc_net_offload_parse(hdr, m, &ptype))
			return false;
		m->ol_flags |= vhc_net_offload_tx_flags(ptype);
		return true;
	}
	if (nq->csum_flags)
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	return nq->csum_flags;
}

enum ring_fault
vhc_net_offload_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	uint16_t start = le16_get(hdr->csum_start), offset = le16_get(hdr->csum_offset);

	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		enum ring_fault fault = vhc_net_gso_pulled(nq, hdr, m);

		if (fault != RING_FAULT_NONE)
			return fault;
	}
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return RING_FAULT_NONE;	/* 5.1.6.2: the other flags mean nothing from a driver */
	if ((uint32_t)start + offset + sizeof(uint16_t) > m->pkt_len)
		return RING_FAULT_CSUM_RANGE;
	if (!csum_pass_on(nq, hdr, m))
		csum_finish(nq, m, start, offset);
	return RING_FAULT_NONE;
}

/* ---- host to guest -------------------------------------------------------------------------- */

struct l4_claim {
	uint32_t start;		/* of the L4 header, in the head */
	uint16_t offset;	/* of its checksum */
	uint8_t proto;
	bool ipv6;
};

static bool
l4_claim_of(const struct rte_mbuf *m, const struct offload_head *head, struct l4_claim *l4)
{
	uint64_t kind = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;

	/* To ask for segments is to ask for their checksums. */
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		kind = RTE_MBUF_F_TX_TCP_CKSUM;
	else if (m->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		kind = RTE_MBUF_F_TX_UDP_CKSUM;
	if (kind == RTE_MBUF_F_TX_TCP_CKSUM)
		*l4 = (struct l4_claim){ .offset = CSUM_OFFSET_TCP, .proto = IPPROTO_TCP };
	else if (kind == RTE_MBUF_F_TX_UDP_CKSUM)
		*l4 = (struct l4_claim){ .offset = CSUM_OFFSET_UDP, .proto = IPPROTO_UDP };
	else
		return false;
	l4->start = head->l2_len + m->l3_len;
	l4->ipv6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;
	return m->l3_len >=
		       (l4->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)) &&
	       l4->start + l4->offset + sizeof(uint16_t) <= head->len;
}

static uint16_t
pseudo_header_sum(const struct offload_head *head, const struct l4_claim *l4)
{
	const void *l3 = head->bytes + head->l2_len;
	struct rte_ipv6_hdr ip;
	uint32_t l3_len = l4->start - head->l2_len;

	if (!l4->ipv6)
		return rte_ipv4_phdr_cksum(l3, 0);
	/* RFC 8200 8.1: extension headers are not part of it. */
	memcpy(&ip, l3, sizeof(ip));
	ip.proto = l4->proto;
	ip.payload_len = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip.payload_len) -
						     (l3_len - sizeof(ip))));
	return rte_ipv6_phdr_cksum(&ip, 0);
}

/* The whole checksum, over a field of zero. */
static uint16_t
l4_csum(const struct rte_mbuf *m, const struct offload_head *head, const struct l4_claim *l4,
	uint16_t pseudo)
{
	uint32_t in_head = head->len - l4->start;
	uint16_t rest = mbuf_sum(m, head->from, head->rest);
	uint32_t total = pseudo;

	total += rte_raw_cksum(head->bytes + l4->start, in_head);
	total += in_head & 1 ? rte_bswap16(rest) : rest;
	total = (total & 0xffff) + (total >> 16);
	total = (total & 0xffff) + (total >> 16);
	return csum_final((uint16_t)total, l4->offset);
}

/* 5.1.6.4.1: NEEDS_CSUM comes with the pseudo header's sum in the field. */
static bool
prepare_l4(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	struct l4_claim l4;
	uint16_t field = 0, pseudo;
	uint8_t *at;

	if (!l4_claim_of(m, head, &l4))
		return false;
	at = head->bytes + l4.start + l4.offset;
	pseudo = pseudo_header_sum(head, &l4);
	memcpy(at, &field, sizeof(field));
	if (nq->csum && !head->in_fragments) {
		head->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		head->hdr.csum_start = le16_put((uint16_t)l4.start);
		head->hdr.csum_offset = le16_put(l4.offset);
		field = pseudo;
	} else {
		field = l4_csum(m, head, &l4, pseudo);
		stats_add(&nq->stats.sw_csum, 1);
	}
	memcpy(at, &field, sizeof(field));
	return true;
}

bool
vhc_net_offload_ip_sum(const struct rte_mbuf *m, struct offload_head *head)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(head->bytes + head->l2_len);

	if (m->l3_len < sizeof(*ip) || head->l2_len + m->l3_len > head->len ||
	    rte_ipv4_hdr_len(ip) > m->l3_len)
		return false;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return true;
}

bool
vhc_net_offload_sums(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
{
	bool is_gso = m->ol_flags & OFFLOAD_GSO_FLAGS;
	bool ip = m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM;

	/* Segmentation changes the length in an IPv4 header, whatever the application asked. */
	if (is_gso)
		ip = !(m->ol_flags & RTE_MBUF_F_TX_IPV6);
	/* The IP header first: the pseudo header does not cover its checksum. */
	if (ip && !vhc_net_offload_ip_sum(m, head))
		return false;
	return !(is_gso || (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)) || prepare_l4(nq, m, head);
}

/* The packet's first bytes, gathered over its segments. */
static void
head_copy(const struct rte_mbuf *m, struct offload_head *head)
{
	uint32_t want = RTE_MIN(m->pkt_len, (uint32_t)OFFLOAD_HEAD_MAX);
	const void *bytes = rte_pktmbuf_read(m, 0, want, head->bytes);

	if (bytes != head->bytes)
		memcpy(head->bytes, bytes, want);
	head->len = head->from = want;
	head->rest = m->pkt_len - want;
	head->l2_len = m->l2_len;
	head->in_fragments = false;
}

/* IEEE 802.1Q 9.3: the tag goes behind the two addresses. */
static void
head_insert_tag(const struct rte_mbuf *m, struct offload_head *head)
{
	const uint32_t at = 2 * RTE_ETHER_ADDR_LEN;
	const uint16_t tag[] = {
		rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(m->vlan_tci),
	};

	memmove(head->bytes + at + sizeof(tag), head->bytes + at, head->len - at);
	memcpy(head->bytes + at, tag, sizeof(tag));
	head->len += sizeof(tag);
	head->l2_len += sizeof(tag);
}

bool
vhc_net_offload_prepare(struct net_queue *nq, struct rte_mbuf *m, struct offload_head *head)
{
	uint64_t gso = m->ol_flags & OFFLOAD_GSO_FLAGS;

	if (gso == OFFLOAD_GSO_FLAGS)
		return false;	/* one or the other */
	head_copy(m, head);
	if (m->ol_flags & RTE_MBUF_F_TX_VLAN)
		head_insert_tag(m, head);
	if (gso && !vhc_net_gso_prepare(nq, m, head))
		return false;
	return head->nr_segments > 0 || vhc_net_offload_sums(nq, m, head);
}
