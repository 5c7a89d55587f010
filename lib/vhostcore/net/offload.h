/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.h - checksums, segmentation and VLAN tags: believe, finish or refuse them.
 *
 * Knows:   virtio 1.3 5.1.6, mbuf offload flags, TCP and UDP over IPv4 and IPv6.
 * Trusts:  nothing in a guest's header; the application's mbuf lengths are judged as well.
 * Runs on: polling lcore, off the fast path.
 */
#ifndef VHC_NET_OFFLOAD_H
#define VHC_NET_OFFLOAD_H

#include <rte_ether.h>

#include "net.h"

/* Longest part of a packet that offload_prepare() may want to change. */
#define OFFLOAD_HEAD_MAX 256

/* mbuf flags that ask for segments. */
#define OFFLOAD_GSO_FLAGS (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

/* mbuf flags that need more than a copy on the way to the guest. */
#define OFFLOAD_TX_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM | OFFLOAD_GSO_FLAGS | \
			  RTE_MBUF_F_TX_VLAN)

/*
 * Act on the header of a pulled packet. RING_FAULT_NONE: the mbuf is right as far as anyone knows.
 * Otherwise the packet is not to be delivered.
 */
enum ring_fault vhc_net_offload_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr,
				       struct rte_mbuf *m) VHC_COLD;

/* A packet for the guest as it should look there: `bytes`, then a part of an mbuf. */
struct offload_head {
	struct virtio_net_hdr hdr;
	uint8_t bytes[OFFLOAD_HEAD_MAX + RTE_VLAN_HLEN + 8];	/* 8: an IPv6 fragment header */
	uint32_t len;			/* of `bytes` */
	uint32_t l2_len;		/* the mbuf's, and a tag that was put in */
	uint32_t from;			/* where the mbuf's part begins ... */
	uint32_t rest;			/* ... and how long it is */
	uint16_t nr_segments;		/* 0: one packet; else ask vhc_net_gso_segment() for each */
	bool in_fragments;		/* of IP; the L4 checksum is complete */
	uint32_t fragment_id;		/* IPv6 */
};

static inline uint32_t
offload_frame_len(const struct offload_head *head)
{
	return head->len + head->rest;
}

/*
 * Do what the mbuf's flags ask for, on a private copy of the packet's start: the mbuf may be
 * shared. False: the request makes no sense.
 */
bool vhc_net_offload_prepare(struct net_queue *nq, struct rte_mbuf *m, struct offload_head *head)
	VHC_COLD;

/* The checksums that the mbuf asks for, in the packet that `head` describes. As above. */
bool vhc_net_offload_sums(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
	VHC_COLD;

/* The checksum in its IPv4 header. As above. */
bool vhc_net_offload_ip_sum(const struct rte_mbuf *m, struct offload_head *head) VHC_COLD;

/*
 * Find the headers in the packet itself - 5.1.6.2 makes hdr_len no more than a hint - and note
 * their lengths in the mbuf. True: they lie within the packet, as *ptype says, and the checksum
 * that the header asks for is the one of TCP or UDP there. What else is in them is the receiver's
 * to judge.
 */
bool vhc_net_offload_parse(const struct virtio_net_hdr *hdr, struct rte_mbuf *m, uint32_t *ptype)
	VHC_COLD;

/* How an application asks for the L4 checksum of such a packet. */
uint64_t vhc_net_offload_tx_flags(uint32_t ptype) VHC_COLD;

/* gso.c, for what is above: judge a guest's request, and tell the application of it. */
enum ring_fault vhc_net_gso_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr,
				   struct rte_mbuf *m) VHC_COLD;

/* Judge the application's request; pass it on in the header, or say how many segments to make. */
bool vhc_net_gso_prepare(struct net_queue *nq, const struct rte_mbuf *m, struct offload_head *head)
	VHC_COLD;

/* Segment `i` of the packet `whole`, complete with its checksums. */
void vhc_net_gso_segment(struct net_queue *nq, const struct rte_mbuf *m,
			 const struct offload_head *whole, uint16_t i, struct offload_head *segment)
	VHC_COLD;

/* Its length. */
uint32_t vhc_net_gso_segment_len(const struct rte_mbuf *m, const struct offload_head *whole,
				 uint16_t i) VHC_COLD;

#endif
