/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.h - the network class's half of a queue.
 *
 * Knows:   mbufs, queues.
 * Trusts:  nothing from the ring; mbufs are the application's.
 * Runs on: polling lcore; set up by control or the application with the gate closed.
 */
#ifndef VHC_NET_NET_H
#define VHC_NET_NET_H

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "../class.h"
#include "../dirty.h"
#include "../ring/verbs.h"
#include "../spec/virtio_net.h"
#include "../vhostcore_net.h"
#include "stats.h"

/* Packets handled in one pass: enough to hide a miss, small enough for the first-level cache. */
#define NET_RUN 32

#define NET_FRAME_MIN 14		/* an Ethernet header */
#define NET_FRAME_MAX (65535 + 14 + 4)	/* an IP packet, Ethernet, a VLAN tag */

/* Kinds of segmentation; the first four in the order of their feature bits (5.1.3). */
#define NET_GSO_TCP4	1
#define NET_GSO_TCP6	2
#define NET_GSO_ECN	4
#define NET_GSO_UFO	8
#define NET_GSO_USO4	16
#define NET_GSO_USO6	32

struct net_queue {
	struct vhc_queue core;

	/* owner: as core's first half */
	struct rte_mempool *pool VHC_ALIGNED;	/* pull; NULL: not set up */
	uint64_t rearm;		/* pull: data_off, refcnt, nb_segs and port of a fresh mbuf */
	uint32_t room;		/* pull: bytes a fresh mbuf takes */
	uint16_t hdr_len;	/* 10 or 12 */
	bool mergeable;		/* push: a packet may span chains */
	bool csum;		/* pull: CSUM negotiated; push: GUEST_CSUM negotiated */
	bool csum_flags;	/* pull: leave checksums to the application */
	bool legacy_flags;	/* pull: as requests, RTE_MBUF_F_TX_* */
	uint8_t gso;		/* NET_GSO_*: pull: what the guest may send; push: what it takes */
	bool linear;		/* pull: one mbuf a packet */
	bool ext_buffers;	/* pull: long packets get buffers of their own */
	bool vlan_strip;	/* pull: tags move into the mbuf */
	vhc_burst_t unnoted;	/* the burst that does not note where it runs */
	vhc_burst_t unstripped;	/* pull: the burst that leaves them where they are */
	bool announces;		/* pull: `mac` goes before the guest's next packets */
	struct rte_ether_addr mac;
	uint16_t port;		/* pull: of fresh mbufs */
	bool keeps;		/* push: packets stay the caller's */
	struct dirty_map *log;	/* NULL, or what is written to the guest is marked there */
	bool tracks;		/* what is taken is noted: core.inflight */
	vhc_net_called_t called;	/* NULL: nobody asked */
	void *called_arg;

	/* written by the poller, read by anyone */
	struct vhc_net_stats stats VHC_ALIGNED;
};

static inline struct net_queue *
net_queue_of(struct vhc_queue *q)
{
	return vhc_container_of(q, struct net_queue, core);
}

/* Does the guest transmit here? */
static inline bool
net_is_pull(const struct vhc_queue *q)
{
	return q->index & 1;
}

/* extbuf.c: replace a fresh mbuf's buffer by one for a frame of `len` bytes. False: cannot. */
bool vhc_net_extbuf_attach(struct rte_mbuf *m, uint32_t len) VHC_COLD;

/* announce.c: a frame that tells of nq->mac, counted; NULL if there is no mbuf for it. */
struct rte_mbuf *vhc_net_announcement(struct net_queue *nq);

/* Interrupt the driver and count it. Cold for drivers that poll. */
void vhc_net_notify(struct net_queue *nq);

#endif
