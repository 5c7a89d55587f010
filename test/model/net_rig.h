/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_rig.h - a network device with one queue pair, wired to a model guest instead of a socket.
 *
 * Knows:   device, queue and net rooms of the library; driver.h.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread.
 *
 * "tx" and "rx" are the guest's words: tx is the ring we pull from, rx the one we push to.
 */
#ifndef TEST_MODEL_NET_RIG_H
#define TEST_MODEL_NET_RIG_H

#include "device.h"
#include "driver.h"
#include "net/net.h"
#include "unit/check.h"

/* Feature bits most tests want; the long header comes with VERSION_1. */
#define RIG_MODERN	BIT64(VIRTIO_F_VERSION_1_BIT)
#define RIG_LEGACY	UINT64_C(0)
#define RIG_INDIRECT	BIT64(VIRTIO_F_INDIRECT_DESC_BIT)
#define RIG_PACKED	BIT64(VIRTIO_F_RING_PACKED_BIT)
#define RIG_IN_ORDER	BIT64(VIRTIO_F_IN_ORDER_BIT)
#define RIG_EVENT_IDX	BIT64(VIRTIO_F_EVENT_IDX_BIT)
#define RIG_CSUM	BIT64(VIRTIO_NET_F_CSUM_BIT)
#define RIG_GUEST_CSUM	BIT64(VIRTIO_NET_F_GUEST_CSUM_BIT)
#define RIG_HOST_TSO4	BIT64(VIRTIO_NET_F_HOST_TSO4_BIT)
#define RIG_HOST_TSO6	BIT64(VIRTIO_NET_F_HOST_TSO6_BIT)
#define RIG_HOST_ECN	BIT64(VIRTIO_NET_F_HOST_ECN_BIT)
#define RIG_GUEST_TSO4	BIT64(VIRTIO_NET_F_GUEST_TSO4_BIT)
#define RIG_GUEST_TSO6	BIT64(VIRTIO_NET_F_GUEST_TSO6_BIT)
#define RIG_GUEST_ECN	BIT64(VIRTIO_NET_F_GUEST_ECN_BIT)
#define RIG_HOST_UFO	BIT64(VIRTIO_NET_F_HOST_UFO_BIT)
#define RIG_HOST_USO	BIT64(VIRTIO_NET_F_HOST_USO_BIT)
#define RIG_GUEST_UFO	BIT64(VIRTIO_NET_F_GUEST_UFO_BIT)
#define RIG_GUEST_USO4	BIT64(VIRTIO_NET_F_GUEST_USO4_BIT)
#define RIG_GUEST_USO6	BIT64(VIRTIO_NET_F_GUEST_USO6_BIT)
#define RIG_IOMMU	BIT64(VIRTIO_F_ACCESS_PLATFORM_BIT)
#define RIG_MERGEABLE	BIT64(VIRTIO_NET_F_MRG_RXBUF_BIT)

#define RIG_FRAME_MAX	(65535 + 18)

struct net_rig_conf {
	uint64_t features;
	uint16_t ring_size;	/* 0: 256 */
	uint16_t first_idx;	/* of both rings; packed: the slot it comes to */
	uint16_t nr_mbufs;	/* 0: 1023 */
	uint16_t room;		/* bytes a fresh mbuf takes; 0: 2048 */
	bool csum_flags;	/* these four are as in vhc_net_pull_conf */
	bool legacy_flags;
	bool linear;
	bool ext_buffers;
	bool no_call_fd;
	bool tracked;		/* what is taken is noted, also without the argument */
};

struct net_rig {
	struct guest guest;
	struct driver tx;
	struct driver rx;
	struct loop *loop;
	struct vhc_device *dev;
	struct vhc_queue *pull;
	struct vhc_queue *push;
	struct rte_mempool *pool;
	uint16_t hdr_len;
	bool is_tracked;
	uint32_t base;		/* of both rings, when they began */
	bool half_written;	/* unused buffers hold bytes of packets given up half-way */
	int call[2];		/* eventfds, by ring index: 0 rx, 1 tx */
	int err[2];
};

/* Start EAL without huge pages, devices or files. Once, before anything else. */
void net_rig_eal(const char *program);

/*
 * main() of a program of tests that use rigs. Arguments "packed", "in-order" and "iommu": every rig
 * that is RIG_MODERN has these features too, so that the same tests run over all kinds of rings.
 * The IOMMU shows all of the guest's memory, in pieces (guest_scatter()). With "tracked" what every
 * rig takes is noted (ring/inflight.h).
 */
int net_rig_main(char **argv, const struct test *tests, size_t nr);

/* Will a rig of RIG_MODERN have packed rings? */
bool net_rig_is_packed(void);

/* Show the guest's whole memory to the device; or a page, or more where none is scattered. */
void net_rig_show_all(struct net_rig *rig);
void net_rig_show(struct net_rig *rig, uint64_t at, uint64_t len);

void net_rig_open(struct net_rig *rig, const struct net_rig_conf *conf);

/* Also checks that every mbuf came home, once. */
void net_rig_close(struct net_rig *rig);

/* Stop both rings, start them with fresh ones. Counters stay. */
void net_rig_restart(struct net_rig *rig);

/*
 * The back-end is gone with all it knew, and the next one begins, in two steps. Rings and notes
 * stay; the front-end says where the rings were when they began.
 */
void net_rig_abandon(struct net_rig *rig);
void net_rig_begin_again(struct net_rig *rig);

/* ---- the guest's side ----------------------------------------------------------------------- */

/* Frame `seed`: a unicast destination, then the pattern. */
void rig_frame(uint8_t *frame, uint32_t seed, uint32_t len);

/* Write header (NULL: zeros) and frame `seed` to `at`. */
void rig_write_packet(struct net_rig *rig, uint64_t at, const struct virtio_net_hdr *hdr,
		      uint32_t seed, uint32_t len);

/* Post frame `seed` to be sent, header and frame in one descriptor. Returns the chain's id. */
uint16_t rig_send(struct net_rig *rig, uint32_t seed, uint32_t len);

/* Post `nr` receive buffers of `len` bytes in one descriptor each; they are filled with 0xcc. */
void rig_offer(struct net_rig *rig, unsigned int nr, uint32_t len);

/* The same, in one chain of these pieces, `nr_direct` of them not in a table. */
void rig_offer_pieces(struct net_rig *rig, const struct piece *pieces, unsigned int nr,
		      unsigned int nr_direct);

/*
 * Receive one packet: header to `hdr` (a short one leaves num_buffers 1), frame to `frame`. All
 * buffers but the last must be full, and nothing written behind what the used entries say. Returns
 * the frame's length, 0 if none is there.
 */
uint32_t rig_receive(struct net_rig *rig, struct virtio_net_hdr *hdr, uint8_t *frame);

/* Receive frame `seed`, with no offload, in `nr_buffers` buffers. */
void rig_receive_frame(struct net_rig *rig, uint32_t seed, uint32_t len, uint16_t nr_buffers);

/* ---- our side ------------------------------------------------------------------------------- */

/* The mbuf holds exactly frame `seed` and is freed. */
void rig_take_frame(struct rte_mbuf *m, uint32_t seed, uint32_t len);

/* A fresh mbuf with frame `seed`, in segments of at most `seg_len` bytes (0: as few as can be). */
struct rte_mbuf *rig_mbuf(struct net_rig *rig, uint32_t seed, uint32_t len, uint32_t seg_len);

/* Bytes of an mbuf, over all its segments. */
void rig_mbuf_read(const struct rte_mbuf *m, void *dst);

struct vhc_net_stats rig_stats(const struct vhc_queue *q);

/* Guest faults of all kinds on a queue. */
uint64_t rig_nr_faults(const struct vhc_queue *q);

/* Signals that arrived on an eventfd since the last look. */
uint64_t rig_nr_signals(int fd);

#endif
