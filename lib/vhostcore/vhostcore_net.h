/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_net.h - virtio-net on vhostcore: bursts of mbufs.
 *
 * Direction is named from our side: *pull* takes packets out of the guest (odd rings, the guest's
 * transmit queues), *push* puts packets into the guest (even rings). virtio 1.2 section 5.1.
 */
#ifndef VHOSTCORE_NET_H
#define VHOSTCORE_NET_H

#include <rte_mbuf.h>

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Feature bits of segmentation, TCP's and UDP's. HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO and
 * HOST_USO: what the guest may send; put them into vhc_server_opts.features_off unless the
 * application copes with packets of up to 64 KiB (RTE_MBUF_F_RX_LRO). GUEST_TSO4, GUEST_TSO6,
 * GUEST_ECN, GUEST_UFO, GUEST_USO4 and GUEST_USO6: what the guest may be sent.
 */
#define VHC_NET_FEATURES_HOST_GSO	UINT64_C(0x0100000000007800)
#define VHC_NET_FEATURES_GUEST_GSO	UINT64_C(0x00c0000000000780)
#define VHC_NET_FEATURES_GSO		(VHC_NET_FEATURES_HOST_GSO | VHC_NET_FEATURES_GUEST_GSO)

/** The network class, for vhc_server_opts.cls. */
const struct vhc_class *vhc_net_class(void);

/**
 * Instruction set the bursts are compiled for on this CPU, such as "AVX2": the best one it has
 * within EAL's --force-max-simd-bitwidth. Queues that start later use it.
 *
 * Context: any thread, after rte_eal_init().
 */
const char *vhc_net_kernel_name(void);

struct vhc_net_pull_conf {
	struct rte_mempool *pool; /**< of packets; NULL: each burst says (vhc_net_pull_into()) */
	uint16_t port;			/**< mbuf->port of every packet */
	/**
	 * Hand half-done checksums on as RTE_MBUF_F_RX_L4_CKSUM_NONE. False: finish them in
	 * software, set no flag.
	 */
	bool csum_flags;
	/**
	 * Hand requests on as RTE_MBUF_F_TX_* flags, so that a packet that is only forwarded needs
	 * no more to get its checksums and its segmentation. csum_flags means nothing then.
	 */
	bool legacy_flags;
	/** No chains of mbufs: a packet too long for one is dropped (vhc_net_stats.too_long). */
	bool linear;
	/** A packet too long for one mbuf gets a buffer of its own, attached to it. */
	bool ext_buffers;
};

/**
 * Say where pulled packets go. Odd rings only; bursts return 0 until it has been called.
 *
 * @return 0; -EINVAL ring is even, or the pool's buffers have no room for a packet.
 * Context: any thread; the caller makes sure that nobody polls the queue.
 */
int vhc_net_pull_setup(struct vhc_queue *q, const struct vhc_net_pull_conf *conf);

/**
 * Move the VLAN tag of pulled packets into the mbuf (RTE_MBUF_F_RX_VLAN_STRIPPED), or leave it
 * where it is, as it is at first. Odd rings only.
 *
 * Context: any thread, also while the queue is polled.
 */
void vhc_net_vlan_strip(struct vhc_queue *q, bool on);

/**
 * Take up to @p n packets from the guest.
 *
 * One that the guest wants cut has RTE_MBUF_F_RX_LRO, packet type, header lengths and tso_segsz.
 * RTE_PTYPE_L4_FRAG says that it is a single UDP datagram, for IP fragments.
 *
 * Stops early when the ring or the pool is empty. What the guest got wrong is returned to it and
 * counted (vhc_queue_faults()), never delivered.
 *
 * @param q     Queue of an odd ring; the caller is its only poller.
 * @param mbufs Receives the packets, in ring order; the caller owns them.
 * @return      Number of packets stored; 0 while the queue is not running.
 * Context: polling thread. Never blocks, never logs.
 */
uint16_t vhc_net_pull(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n);

/**
 * The same into mbufs of @p pool, from now on: for who hears with each burst where packets go. One
 * compare, if it is the same as before.
 *
 * @return 0 as well: @p pool is NULL, or its buffers have no room for a packet.
 * Context: polling thread. Never blocks, never logs.
 */
uint16_t vhc_net_pull_into(struct vhc_queue *q, struct rte_mempool *pool, struct rte_mbuf **mbufs,
			   uint16_t n);

struct vhc_net_push_conf {
	bool keep;	/**< packets that vhc_net_push() consumed stay the caller's to free */
};

/**
 * Say what becomes of pushed packets; without it they are freed. Even rings only.
 *
 * @return 0; -EINVAL ring is odd.
 * Context: any thread; the caller makes sure that nobody polls the queue.
 */
int vhc_net_push_setup(struct vhc_queue *q, const struct vhc_net_push_conf *conf);

/** The queue's polling thread interrupted the driver, and calls this: count, do not block. */
typedef void (*vhc_net_called_t)(struct vhc_queue *q, void *arg);

/** Hear of it; NULL: no more. Context: any thread, also while the queue is polled. */
void vhc_net_on_call(struct vhc_queue *q, vhc_net_called_t fn, void *arg);

/**
 * Put up to @p n packets into the guest.
 *
 * Packets are copied and, unless vhc_net_push_setup() said keep, freed; their contents are never
 * changed, also where their flags ask for a checksum, a VLAN tag or segmentation.
 * RTE_MBUF_F_TX_TCP_SEG and RTE_MBUF_F_TX_UDP_SEG are passed on to a guest that takes them; for any
 * other the packet is cut here. UDP becomes one datagram for each tso_segsz bytes of payload or,
 * with RTE_PTYPE_L4_FRAG in the packet type, stays one datagram, in IP fragments of that size. A
 * packet that only came as RTE_MBUF_F_RX_LRO goes as it is. A packet too large for the guest's
 * buffers - one of them, or with MRG_RXBUF as many as the ring has entries - is dropped and counted
 * (vhc_net_stats.too_long), so it is consumed as well.
 *
 * @param q     Queue of an even ring; the caller is its only poller.
 * @return      Number of packets consumed, from the start; the rest still belong to the caller.
 *              Fewer than @p n: the guest has no more buffers, or the queue is not running.
 * Context: polling thread. Never blocks, never logs.
 */
uint16_t vhc_net_push(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n);

/**
 * Would a push consume these packets without sending them, whatever the guest? It judges lengths
 * and offload requests; a guest with small buffers may still refuse more. Nothing is changed:
 * vhc_net_push() makes the checksums itself.
 *
 * @param error Receives 0; -EINVAL: too short, too long, or a request that makes no sense;
 *              -ENOTSUP: a request that would be ignored. Of packet @p mbufs[return value].
 * @return      Number of good packets before the first bad one.
 * Context: any thread.
 */
uint16_t vhc_net_push_check(struct rte_mbuf *const *mbufs, uint16_t n, int *error);

/** Sizes of the frames moved, in the order of struct vhc_net_stats.sizes. */
enum {
	VHC_NET_SIZE_UNDERSIZE,		/* < 64 */
	VHC_NET_SIZE_64,
	VHC_NET_SIZE_65_127,
	VHC_NET_SIZE_128_255,
	VHC_NET_SIZE_256_511,
	VHC_NET_SIZE_512_1023,
	VHC_NET_SIZE_1024_1518,
	VHC_NET_SIZE_1519_MAX,
	VHC_NET_NR_SIZES
};

/** Counters of one queue since the device was created. They survive front-ends. */
struct vhc_net_stats {
	uint64_t packets;
	uint64_t bytes;
	uint64_t multicast;
	uint64_t broadcast;
	uint64_t sizes[VHC_NET_NR_SIZES];
	uint64_t notifications;			/**< the guest was interrupted */
	uint64_t notifications_suppressed;	/**< it had asked not to be */
	uint64_t notifications_deferred; /**< left to the library's thread, which joins some */
	uint64_t notifications_failed;		/**< the call descriptor refused */
	uint64_t no_mbuf;			/**< pull: times the pool was empty */
	uint64_t too_long; /**< packets larger than the guest's buffers; pull: than one mbuf */
	uint64_t too_short;			/**< push: packets without an Ethernet header */
	uint64_t bad_offload; /**< push: packets whose offload request makes no sense */
	uint64_t ring_full;			/**< push: bursts cut short for want of buffers */
	uint64_t sw_csum;			/**< checksums finished in software */
	uint64_t gso;		/**< packets moved whole, for the receiver to cut */
	uint64_t sw_gso;	/**< push: packets cut in software */
};

/** Read the counters. Any thread; never disturbs the poller. */
void vhc_net_queue_stats(const struct vhc_queue *q, struct vhc_net_stats *stats);

/**
 * What the driver said on the control ring since it began; all zero where it said nothing or the
 * front-end listens to it. Nothing is filtered: the guest gets every packet pushed.
 */
struct vhc_net_control {
	uint16_t nr_pairs;	/**< queue pairs it uses; 0: it did not say */
	bool is_promisc;
	bool is_allmulti;
	bool has_mac;		/**< it set its address */
	uint8_t mac[6];
	uint32_t nr_unicast;	/**< addresses in its receive table */
	uint32_t nr_multicast;
	uint16_t nr_vlans;	/**< VLANs it wants to receive */
	uint64_t nr_announced;
	uint64_t nr_commands;
	uint64_t nr_refused;	/**< of these, answered with an error */
};

/** Snapshot of that. Any thread; waits for the control thread. */
void vhc_net_control(struct vhc_device *dev, struct vhc_net_control *control);

#ifdef __cplusplus
}
#endif

#endif
