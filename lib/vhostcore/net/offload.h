/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.h - checksums: believe, finish or refuse them.
 *
 * Knows:   virtio 1.2 5.1.6, mbuf offload flags, TCP and UDP over IPv4 and IPv6.
 * Trusts:  nothing in a guest's header; the application's mbuf lengths are judged as well.
 * Runs on: polling lcore, off the fast path.
 */
#ifndef VHC_NET_OFFLOAD_H
#define VHC_NET_OFFLOAD_H

#include "net.h"

/* Longest part of a packet that offload_prepare() may want to change. */
#define OFFLOAD_HEAD_MAX 256

/* mbuf flags that need more than a copy on the way to the guest. */
#define OFFLOAD_TX_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG | \
			  RTE_MBUF_F_TX_UDP_SEG)

/*
 * Act on the header of a pulled packet. RING_FAULT_NONE: the mbuf is right as far as anyone knows.
 * Otherwise the packet is not to be delivered.
 */
enum ring_fault vhc_net_offload_pulled(struct net_queue *nq, const struct virtio_net_hdr *hdr,
				       struct rte_mbuf *m) VHC_COLD;

/* The start of a packet for the guest, as it should look there; the rest is the mbuf's. */
struct offload_head {
	struct virtio_net_hdr hdr;
	uint8_t bytes[OFFLOAD_HEAD_MAX];
	uint32_t len;			/* bytes of the packet replaced by `bytes` */
};

/*
 * Do what the mbuf's flags ask for, on a private copy of the packet's start: the mbuf may be
 * shared. False: the request makes no sense.
 */
bool vhc_net_offload_prepare(struct net_queue *nq, struct rte_mbuf *m, struct offload_head *head)
	VHC_COLD;

#endif
