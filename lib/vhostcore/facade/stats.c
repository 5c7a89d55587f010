/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stats.c - a ring's counters under the names of rte_vhost.h.
 *
 * Knows:   that the library's counters live as long as the path, and a front-end's begin with it.
 * Trusts:  the library's counters to grow only.
 * Runs on: any thread; disturbs no poller.
 */
#include <stdio.h>
#include <stdlib.h>

#include "facade.h"

#define NET(member)	(offsetof(struct vhc_net_stats, member) / sizeof(uint64_t))
#define NOTHING		UINT8_MAX	/* what this library does not have */

static const struct {
	const char *name;
	uint8_t at;	/* in struct vhc_net_stats */
} counters[] = {
	{ "good_packets", NET(packets) },
	{ "good_bytes", NET(bytes) },
	{ "multicast_packets", NET(multicast) },
	{ "broadcast_packets", NET(broadcast) },
	{ "undersize_packets", NET(sizes[VHC_NET_SIZE_UNDERSIZE]) },
	{ "size_64_packets", NET(sizes[VHC_NET_SIZE_64]) },
	{ "size_65_127_packets", NET(sizes[VHC_NET_SIZE_65_127]) },
	{ "size_128_255_packets", NET(sizes[VHC_NET_SIZE_128_255]) },
	{ "size_256_511_packets", NET(sizes[VHC_NET_SIZE_256_511]) },
	{ "size_512_1023_packets", NET(sizes[VHC_NET_SIZE_512_1023]) },
	{ "size_1024_1518_packets", NET(sizes[VHC_NET_SIZE_1024_1518]) },
	{ "size_1519_max_packets", NET(sizes[VHC_NET_SIZE_1519_MAX]) },
	{ "guest_notifications", NET(notifications) },
	{ "iotlb_hits", NOTHING },
	{ "iotlb_misses", NOTHING },
	{ "inflight_submitted", NOTHING },
	{ "inflight_completed", NOTHING },
};

#define NR_COUNTERS ((unsigned int)RTE_DIM(counters))

int
vhc_facade_stats_init(struct facade_port *port)
{
	port->stats_base = calloc(FACADE_RINGS, sizeof(*port->stats_base));
	return port->stats_base ? 0 : -1;
}

/* A ring that the application works has interrupts to count, no packets. */
static void
read_ring(struct facade_port *port, uint16_t ring, struct vhc_net_stats *stats)
{
	*stats = (struct vhc_net_stats){ 0 };
	if (ring < port->rings.nr_net)
		vhc_net_queue_stats(port->rings.queue[ring], stats);
	stats->notifications += atomic_load_explicit(&port->nr_calls[ring], memory_order_relaxed);
}

void
vhc_facade_stats_begin(struct facade_port *port)
{
	for (uint16_t ring = 0; port->stats_base && ring < FACADE_RINGS; ring++)
		read_ring(port, ring, &port->stats_base[ring]);
}

/* The port, if it has such a ring and counts. */
static struct facade_port *
counting_port(int vid, uint16_t ring)
{
	struct facade_port *port = facade_port_of(vid);

	return port && port->stats_base && ring < vhc_facade_nr_rings(port) ? port : NULL;
}

FACADE_API int
rte_vhost_vring_stats_get_names(int vid, uint16_t queue_id, struct rte_vhost_stat_name *name,
				unsigned int size)
{
	if (!counting_port(vid, queue_id))
		return -1;
	for (unsigned int i = 0; name && size >= NR_COUNTERS && i < NR_COUNTERS; i++)
		snprintf(name[i].name, sizeof(name[i].name), "%s_q%u_%s",
			 queue_id & 1 ? "rx" : "tx", queue_id / 2, counters[i].name);
	return NR_COUNTERS;
}

static uint64_t
counter_of(const struct vhc_net_stats *stats, unsigned int i)
{
	return counters[i].at == NOTHING ? 0 : ((const uint64_t *)stats)[counters[i].at];
}

FACADE_API int
rte_vhost_vring_stats_get(int vid, uint16_t queue_id, struct rte_vhost_stat *stats,
			  unsigned int n)
{
	struct facade_port *port = counting_port(vid, queue_id);
	struct vhc_net_stats now;

	if (!port)
		return -1;
	if (!stats || n < NR_COUNTERS)
		return NR_COUNTERS;
	read_ring(port, queue_id, &now);
	for (unsigned int i = 0; i < NR_COUNTERS; i++)
		stats[i] = (struct rte_vhost_stat){
			.id = i,
			.value = counter_of(&now, i) -
				 counter_of(&port->stats_base[queue_id], i),
		};
	return NR_COUNTERS;
}

FACADE_API int
rte_vhost_vring_stats_reset(int vid, uint16_t queue_id)
{
	struct facade_port *port = counting_port(vid, queue_id);

	if (!port)
		return -1;
	read_ring(port, queue_id, &port->stats_base[queue_id]);
	return 0;
}
