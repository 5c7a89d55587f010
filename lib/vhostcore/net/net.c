/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.c - the network class: what it offers, and how its queues start.
 *
 * Knows:   virtio-net feature bits, mbuf pools.
 * Trusts:  the application's pool.
 * Runs on: control thread; vhc_net_*() as vhostcore_net.h says.
 */
#include "kernel.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <rte_ether.h>

#include "control.h"
#include "track.h"

#define BIT64(n) (UINT64_C(1) << (n))

/* A public header does not name bits. */
_Static_assert(VHC_NET_FEATURES_HOST_GSO ==
	       (BIT64(VIRTIO_NET_F_HOST_TSO4_BIT) | BIT64(VIRTIO_NET_F_HOST_TSO6_BIT) |
		BIT64(VIRTIO_NET_F_HOST_ECN_BIT) | BIT64(VIRTIO_NET_F_HOST_UFO_BIT) |
		BIT64(VIRTIO_NET_F_HOST_USO_BIT)), "from a guest");
_Static_assert(VHC_NET_FEATURES_GUEST_GSO ==
	       (BIT64(VIRTIO_NET_F_GUEST_TSO4_BIT) | BIT64(VIRTIO_NET_F_GUEST_TSO6_BIT) |
		BIT64(VIRTIO_NET_F_GUEST_ECN_BIT) | BIT64(VIRTIO_NET_F_GUEST_UFO_BIT) |
		BIT64(VIRTIO_NET_F_GUEST_USO4_BIT) | BIT64(VIRTIO_NET_F_GUEST_USO6_BIT)),
	       "to a guest");

/* A bit is here when its code and its tests are. */
static uint64_t
net_features(uint16_t nr_rings)
{
	uint64_t features = BIT64(VIRTIO_NET_F_CSUM_BIT) | BIT64(VIRTIO_NET_F_GUEST_CSUM_BIT) |
			    BIT64(VIRTIO_NET_F_MTU_BIT) | BIT64(VIRTIO_NET_F_MRG_RXBUF_BIT) |
			    VHC_NET_FEATURES_GSO | vhc_net_control_features(nr_rings);

	return nr_rings > 2 ? features | BIT64(VIRTIO_NET_F_MQ_BIT) : features;
}

static const char *const feature_names[] = {
	[VIRTIO_NET_F_CSUM_BIT] = "CSUM",
	[VIRTIO_NET_F_GUEST_CSUM_BIT] = "GUEST_CSUM",
	[VIRTIO_NET_F_MTU_BIT] = "MTU",
	[VIRTIO_NET_F_MAC_BIT] = "MAC",
	[VIRTIO_NET_F_GUEST_TSO4_BIT] = "GUEST_TSO4",
	[VIRTIO_NET_F_GUEST_TSO6_BIT] = "GUEST_TSO6",
	[VIRTIO_NET_F_GUEST_ECN_BIT] = "GUEST_ECN",
	[VIRTIO_NET_F_GUEST_UFO_BIT] = "GUEST_UFO",
	[VIRTIO_NET_F_HOST_TSO4_BIT] = "HOST_TSO4",
	[VIRTIO_NET_F_HOST_TSO6_BIT] = "HOST_TSO6",
	[VIRTIO_NET_F_HOST_ECN_BIT] = "HOST_ECN",
	[VIRTIO_NET_F_HOST_UFO_BIT] = "HOST_UFO",
	[VIRTIO_NET_F_MRG_RXBUF_BIT] = "MRG_RXBUF",
	[VIRTIO_NET_F_STATUS_BIT] = "STATUS",
	[VIRTIO_NET_F_CTRL_VQ_BIT] = "CTRL_VQ",
	[VIRTIO_NET_F_CTRL_RX_BIT] = "CTRL_RX",
	[VIRTIO_NET_F_CTRL_VLAN_BIT] = "CTRL_VLAN",
	[VIRTIO_NET_F_CTRL_RX_EXTRA_BIT] = "CTRL_RX_EXTRA",
	[VIRTIO_NET_F_GUEST_ANNOUNCE_BIT] = "GUEST_ANNOUNCE",
	[VIRTIO_NET_F_MQ_BIT] = "MQ",
	[VIRTIO_NET_F_CTRL_MAC_ADDR_BIT] = "CTRL_MAC_ADDR",
	[VIRTIO_NET_F_GUEST_USO4_BIT] = "GUEST_USO4",
	[VIRTIO_NET_F_GUEST_USO6_BIT] = "GUEST_USO6",
	[VIRTIO_NET_F_HOST_USO_BIT] = "HOST_USO",
};

static const char *
net_feature_name(unsigned int bit)
{
	return bit < VHC_ARRAY_LEN(feature_names) ? feature_names[bit] : NULL;
}

/* A tag in one piece with an Ethernet header before and something behind it; others stay. */
static void
strip_tag(struct rte_mbuf *m)
{
	const uint64_t has_lengths = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_TX_L4_MASK;

	if (m->data_len < NET_FRAME_MIN + sizeof(struct rte_vlan_hdr) || rte_vlan_strip(m) != 0)
		return;
	if (m->ol_flags & has_lengths)
		m->l2_len -= sizeof(struct rte_vlan_hdr);
}

/* Around the queue's real burst, so that who wants no tags stripped does not even ask. */
static uint16_t
pull_stripped(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	uint16_t nr = net_queue_of(q)->unstripped(q, mbufs, n);

	for (uint16_t i = 0; i < nr; i++)
		strip_tag(mbufs[i]);
	return nr;
}

/* Only the guest's packets: an empty ring needs no burst. */
static void
pull_plainly(struct net_queue *nq)
{
	nq->core.burst = nq->vlan_strip ? pull_stripped : nq->unstripped;
	nq->core.idle = net_idle(nq);
}

/* Around that, until it has had an mbuf. It takes itself off, since it runs inside the gate. */
static uint16_t
pull_announcing(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	struct net_queue *nq = net_queue_of(q);
	struct rte_mbuf *m = n ? vhc_net_announcement(nq) : NULL;

	if (!m)
		return (nq->vlan_strip ? pull_stripped : nq->unstripped)(q, mbufs, n);
	nq->announces = false;
	pull_plainly(nq);
	mbufs[0] = m;
	return 1 + q->burst(q, mbufs + 1, n - 1);
}

static void
choose_pull(struct net_queue *nq, const struct net_kernel *kernel)
{
	nq->unstripped = kernel->pull_burst(nq);
	if (nq->announces) {
		nq->core.burst = pull_announcing;
		nq->core.idle = RING_IDLE_NEVER;
	} else {
		pull_plainly(nq);
	}
}

/* Around those, once, where somebody wants to know on which CPU. */
static uint16_t
burst_noting(struct vhc_queue *q, void **mbufs, uint16_t n)
{
	st_relaxed(&q->poll_cpu, sched_getcpu());
	q->burst = net_queue_of(q)->unnoted;
	return q->burst(q, mbufs, n);
}

static void
net_choose_burst(struct net_queue *nq)
{
	const struct net_kernel *kernel = vhc_net_kernel();

	nq->tracks = nq->core.inflight;
	if (net_is_pull(&nq->core))
		choose_pull(nq, kernel);
	else
		nq->core.burst = kernel->push_burst(nq);
	if (nq->core.poll_cpu != QUEUE_CPU_WANTED)
		return;
	nq->unnoted = nq->core.burst;
	nq->core.burst = burst_noting;
}

/* Ring 1 is the one that every guest sends on. */
static void
net_announce(struct vhc_device *dev, const uint8_t *mac)
{
	struct vhc_queue *q = vhc_device_queue(dev, 1);
	struct net_queue *nq = q ? net_queue_of(q) : NULL;

	if (!nq)
		return;
	vhc_queue_pause(q);
	nq->announces = mac;
	if (mac)
		memcpy(&nq->mac, mac, sizeof(nq->mac));
	net_choose_burst(nq);
	if (mac)
		vhc_queue_wake(q);
	vhc_queue_resume(q);
}

#define NET_GSO_FIRST	(NET_GSO_TCP4 | NET_GSO_TCP6 | NET_GSO_ECN | NET_GSO_UFO)

_Static_assert(VIRTIO_NET_F_GUEST_TSO6_BIT == VIRTIO_NET_F_GUEST_TSO4_BIT + 1 &&
	       VIRTIO_NET_F_GUEST_ECN_BIT == VIRTIO_NET_F_GUEST_TSO4_BIT + 2 &&
	       VIRTIO_NET_F_GUEST_UFO_BIT == VIRTIO_NET_F_GUEST_TSO4_BIT + 3 &&
	       VIRTIO_NET_F_HOST_TSO6_BIT == VIRTIO_NET_F_HOST_TSO4_BIT + 1 &&
	       VIRTIO_NET_F_HOST_ECN_BIT == VIRTIO_NET_F_HOST_TSO4_BIT + 2 &&
	       VIRTIO_NET_F_HOST_UFO_BIT == VIRTIO_NET_F_HOST_TSO4_BIT + 3, "NET_GSO_FIRST");

/* 5.1.3.1: segmentation needs the checksum feature of its direction. */
static uint8_t
net_gso_from_guest(uint64_t features)
{
	uint8_t gso = features >> VIRTIO_NET_F_HOST_TSO4_BIT & NET_GSO_FIRST;

	if (!(features & BIT64(VIRTIO_NET_F_CSUM_BIT)))
		return 0;
	if (features & BIT64(VIRTIO_NET_F_HOST_USO_BIT))
		gso |= NET_GSO_USO4 | NET_GSO_USO6;
	return gso;
}

static uint8_t
net_gso_to_guest(uint64_t features)
{
	uint8_t gso = features >> VIRTIO_NET_F_GUEST_TSO4_BIT & NET_GSO_FIRST;

	if (!(features & BIT64(VIRTIO_NET_F_GUEST_CSUM_BIT)))
		return 0;
	if (features & BIT64(VIRTIO_NET_F_GUEST_USO4_BIT))
		gso |= NET_GSO_USO4;
	if (features & BIT64(VIRTIO_NET_F_GUEST_USO6_BIT))
		gso |= NET_GSO_USO6;
	return gso;
}

static void
net_queue_relog(struct vhc_queue *q)
{
	struct net_queue *nq = net_queue_of(q);

	nq->log = vhc_queue_log(q);
	net_choose_burst(nq);
}

/* 5.1.6.1: only a legacy device without MRG_RXBUF has the short header. */
static void
net_queue_start(struct vhc_queue *q, uint64_t features)
{
	struct net_queue *nq = net_queue_of(q);
	bool long_hdr = features & (BIT64(VIRTIO_F_VERSION_1_BIT) |
				    BIT64(VIRTIO_NET_F_MRG_RXBUF_BIT) |
				    BIT64(VIRTIO_F_RING_PACKED_BIT));
	unsigned int csum_bit =
		net_is_pull(q) ? VIRTIO_NET_F_CSUM_BIT : VIRTIO_NET_F_GUEST_CSUM_BIT;

	nq->hdr_len = long_hdr ? VIRTIO_NET_HDR_LEN : VIRTIO_NET_HDR_LEN_LEGACY;
	nq->mergeable = features & BIT64(VIRTIO_NET_F_MRG_RXBUF_BIT);
	nq->csum = features & BIT64(csum_bit);
	nq->gso = net_is_pull(q) ? net_gso_from_guest(features) : net_gso_to_guest(features);
	net_queue_relog(q);
}

/* The control ring comes last, so its number is even. */
static bool
net_driver_only_sends(uint16_t index)
{
	return index & 1;
}

static void
net_queue_init(struct vhc_queue *q)
{
	net_choose_burst(net_queue_of(q));
}

static const struct vhc_class net_class = {
	.name = "net",
	.queue_len = sizeof(struct net_queue),
	.state_len = sizeof(struct net_state),
	.nr_vital_rings = 2,
	.posts_at_start = true,
	.marks_writes = true,
	.stays_inside = true,
	.features = net_features,
	.feature_name = net_feature_name,
	.queue_init = net_queue_init,
	.driver_only_sends = net_driver_only_sends,
	.queue_start = net_queue_start,
	.queue_relog = net_queue_relog,
	.announce = net_announce,
	.control_ring = vhc_net_control_ring,
	.command = vhc_net_command,
	.ring_in_use = vhc_net_ring_in_use,
	.state_save = vhc_net_state_save,
	.state_load = vhc_net_state_load,
	.config = vhc_net_config,
};

VHC_API const struct vhc_class *
vhc_net_class(void)
{
	return &net_class;
}

/* What every fresh mbuf has in the eight bytes that pull_fill() stores at once. */
static uint64_t
rearm_value(uint16_t port)
{
	struct rte_mbuf m = {
		.data_off = RTE_PKTMBUF_HEADROOM,
		.nb_segs = 1,
		.port = port,
	};
	uint64_t value;

	rte_mbuf_refcnt_set(&m, 1);
	memcpy(&value, (const char *)&m + offsetof(struct rte_mbuf, rearm_data), sizeof(value));
	return value;
}

/* Bytes of a frame that a pool's fresh mbuf takes; 0: too few. No pool yet is none too few. */
static uint32_t
pool_room(struct rte_mempool *pool)
{
	uint32_t buf_len = pool ? rte_pktmbuf_data_room_size(pool) : UINT16_MAX;

	/* pull_copy() puts the packet header into the headroom. */
	_Static_assert(RTE_PKTMBUF_HEADROOM >= VIRTIO_NET_HDR_LEN, "headroom");
	if (buf_len < RTE_PKTMBUF_HEADROOM + NET_FRAME_MIN)
		return 0;
	return RTE_MIN(buf_len - RTE_PKTMBUF_HEADROOM, (uint32_t)NET_FRAME_MAX);
}

VHC_API int
vhc_net_pull_setup(struct vhc_queue *q, const struct vhc_net_pull_conf *conf)
{
	struct net_queue *nq = net_queue_of(q);
	uint32_t room = pool_room(conf->pool);

	if (!net_is_pull(q) || !room)
		return -EINVAL;
	vhc_queue_pause(q);
	nq->pool = conf->pool;
	nq->room = room;
	nq->rearm = rearm_value(conf->port);
	nq->port = conf->port;
	nq->csum_flags = conf->csum_flags;
	nq->legacy_flags = conf->legacy_flags;
	nq->linear = conf->linear;
	nq->ext_buffers = conf->ext_buffers;
	net_choose_burst(nq);
	vhc_queue_resume(q);
	return 0;
}

VHC_API int
vhc_net_push_setup(struct vhc_queue *q, const struct vhc_net_push_conf *conf)
{
	struct net_queue *nq = net_queue_of(q);

	if (net_is_pull(q))
		return -EINVAL;
	vhc_queue_pause(q);
	nq->keeps = conf->keep;
	net_choose_burst(nq);
	vhc_queue_resume(q);
	return 0;
}

VHC_API void
vhc_net_on_call(struct vhc_queue *q, vhc_net_called_t fn, void *arg)
{
	struct net_queue *nq = net_queue_of(q);

	vhc_queue_pause(q);
	nq->called = fn;
	nq->called_arg = arg;
	vhc_queue_resume(q);
}

VHC_API void
vhc_net_vlan_strip(struct vhc_queue *q, bool on)
{
	struct net_queue *nq = net_queue_of(q);

	vhc_queue_pause(q);
	nq->vlan_strip = on;
	net_choose_burst(nq);
	vhc_queue_resume(q);
}

void
vhc_net_notify(struct net_queue *nq)
{
	int rc;

	if (nq->core.duty.interval) {
		if (nq->core.ring.call_fd < 0)
			return;
		stats_add(&nq->stats.notifications_deferred, 1);
		vhc_queue_call_later(&nq->core);
		return;
	}
	rc = ring_call(&nq->core.ring);
	/* -EAGAIN: the driver has not yet seen the previous one, so it will see this too. */
	if (rc == 0 || rc == -EAGAIN) {
		stats_add(&nq->stats.notifications, 1);
		if (nq->called)
			nq->called(&nq->core, nq->called_arg);
	} else if (rc != -EBADF)
		stats_add(&nq->stats.notifications_failed, 1);
}

/* The ring's direction decided which burst the queue has. */
static VHC_NOINLINE uint16_t
burst_inside(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t nr = ld_relaxed(&q->burst)(q, (void **)mbufs, n);

	gate_leave(&q->gate);
	return nr;
}

/* Most polls find nothing: those touch one cache line of ours and save no register. */
VHC_API uint16_t
vhc_net_pull(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n)
{
	if (vhc_unlikely(!gate_enter(&q->gate)))
		return 0;
	if (!ring_idle(&q->ring, ld_relaxed(&q->idle)))
		return burst_inside(q, mbufs, n);
	gate_leave(&q->gate);
	return 0;
}

/* Inside the gate. False: the pool's mbufs have no room for a packet. */
static VHC_COLD bool
pull_from_now(struct net_queue *nq, struct rte_mempool *pool)
{
	bool is_first = !nq->pool;
	uint32_t room = pool ? pool_room(pool) : 0;

	if (!room)
		return false;
	nq->pool = pool;
	nq->room = room;
	if (is_first)
		net_choose_burst(nq);
	return true;
}

static VHC_NOINLINE uint16_t
burst_into(struct vhc_queue *q, struct rte_mempool *pool, struct rte_mbuf **mbufs, uint16_t n)
{
	struct net_queue *nq = net_queue_of(q);

	if (vhc_likely(nq->pool == pool) || pull_from_now(nq, pool))
		return burst_inside(q, mbufs, n);
	gate_leave(&q->gate);
	return 0;
}

VHC_API uint16_t
vhc_net_pull_into(struct vhc_queue *q, struct rte_mempool *pool, struct rte_mbuf **mbufs,
		  uint16_t n)
{
	if (vhc_unlikely(!gate_enter(&q->gate)))
		return 0;
	if (!ring_idle(&q->ring, ld_relaxed(&q->idle)))
		return burst_into(q, pool, mbufs, n);
	gate_leave(&q->gate);
	return 0;
}

VHC_API uint16_t
vhc_net_push(struct vhc_queue *q, struct rte_mbuf **mbufs, uint16_t n)
{
	return gate_enter(&q->gate) ? burst_inside(q, mbufs, n) : 0;
}

VHC_API void
vhc_net_queue_stats(const struct vhc_queue *q, struct vhc_net_stats *stats)
{
	const uint64_t *from =
		(const void *)&vhc_container_of(q, const struct net_queue, core)->stats;
	uint64_t *to = (void *)stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = ld_relaxed(&from[i]);
	stats->notifications += ld_relaxed(&q->duty.nr_made);
	stats->notifications_failed += ld_relaxed(&q->duty.nr_failed);
}
