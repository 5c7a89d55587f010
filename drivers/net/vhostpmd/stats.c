/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stats.c - counters: ethdev's fixed set, and extended ones by name.
 *
 * Knows:   the names that dashboards know from net_vhost.
 * Trusts:  the library's counters to grow only.
 * Runs on: application threads; in the primary also EAL's thread for messages, which asks for
 *          secondary processes, so what a reset remembers has a lock. Never disturbs a poller.
 *
 * The library's counters live as long as the port, whatever front-ends do. A reset remembers them
 * as they are then and subtracts; the two sets are reset independently of each other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vhostpmd.h"

#define ON_RX	1u
#define ON_TX	2u
#define ON_BOTH	(ON_RX | ON_TX)

#define NET(member)	offsetof(struct vhc_net_stats, member)

/* Behind these come the guest's faults, one counter each. The order is net_vhost's. */
static const struct counter {
	const char *name;
	size_t offset;
	unsigned int on;
} counters[] = {
	{ "good_packets", NET(packets), ON_BOTH },
	{ "good_bytes", NET(bytes), ON_BOTH },
	{ "multicast_packets", NET(multicast), ON_BOTH },
	{ "broadcast_packets", NET(broadcast), ON_BOTH },
	{ "undersize_packets", NET(sizes[VHC_NET_SIZE_UNDERSIZE]), ON_BOTH },
	{ "size_64_packets", NET(sizes[VHC_NET_SIZE_64]), ON_BOTH },
	{ "size_65_127_packets", NET(sizes[VHC_NET_SIZE_65_127]), ON_BOTH },
	{ "size_128_255_packets", NET(sizes[VHC_NET_SIZE_128_255]), ON_BOTH },
	{ "size_256_511_packets", NET(sizes[VHC_NET_SIZE_256_511]), ON_BOTH },
	{ "size_512_1023_packets", NET(sizes[VHC_NET_SIZE_512_1023]), ON_BOTH },
	{ "size_1024_1518_packets", NET(sizes[VHC_NET_SIZE_1024_1518]), ON_BOTH },
	{ "size_1519_max_packets", NET(sizes[VHC_NET_SIZE_1519_MAX]), ON_BOTH },
	{ "guest_notifications", NET(notifications), ON_BOTH },
	{ "guest_notifications_suppressed", NET(notifications_suppressed), ON_BOTH },
	{ "guest_notifications_deferred", NET(notifications_deferred), ON_BOTH },
	{ "guest_notifications_error", NET(notifications_failed), ON_BOTH },
	{ "sw_csum_packets", NET(sw_csum), ON_BOTH },
	{ "gso_packets", NET(gso), ON_BOTH },
	{ "sw_gso_packets", NET(sw_gso), ON_TX },
	{ "mbuf_alloc_failed", NET(no_mbuf), ON_RX },
	{ "too_long_packets", NET(too_long), ON_BOTH },
	{ "bad_offload_packets", NET(bad_offload), ON_TX },
	{ "ring_full_bursts", NET(ring_full), ON_TX },
};

/*
 * Behind those come gauges: how things are now, not to be reset. `used` is what the driver has or
 * may have back: everything but `available`.
 */
static const char *const gauges[] = { "ring_size", "ring_available", "ring_used" };

/* At the end, of the port (all 0 without iommu-support=1), and not to be reset either. */
static const char *const iommu_names[] = {
	"iotlb_readable_entries", "iotlb_writable_entries", "iotlb_misses", "iotlb_refused",
	"iotlb_updates", "iotlb_invalidations",
};

/* ---- ethdev's fixed set --------------------------------------------------------------------- */

static uint64_t
nr_faults_of(const struct vhc_queue *q)
{
	uint64_t sum = 0;

	for (unsigned int fault = 0; fault < vhc_nr_faults(); fault++)
		sum += vhc_queue_faults(q, fault);
	return sum;
}

/* A fault on a ring we transmit to costs the guest a buffer, not us a packet: no error there. */
static struct ring_totals
totals_of(const struct port *port, uint16_t ring)
{
	struct vhc_queue *q = vhc_device_queue(port->device, ring);
	struct vhc_net_stats net;

	vhc_net_queue_stats(q, &net);
	return (struct ring_totals){
		.packets = net.packets,
		.bytes = net.bytes,
		.errors = net.too_long + (ring & 1 ? nr_faults_of(q) : net.bad_offload),
		.no_mbuf = net.no_mbuf,
	};
}

static struct ring_totals
totals_since_reset(const struct port *port, uint16_t ring)
{
	const struct ring_totals *base = &port->stats_base[ring];
	struct ring_totals totals = totals_of(port, ring);

	totals.packets -= base->packets;
	totals.bytes -= base->bytes;
	totals.errors -= base->errors;
	totals.no_mbuf -= base->no_mbuf;
	return totals;
}

static void
stats_add_queue(const struct port *port, uint16_t queue, struct rte_eth_stats *stats)
{
	struct ring_totals rx = totals_since_reset(port, ring_of_rx(queue));
	struct ring_totals tx = totals_since_reset(port, ring_of_tx(queue));

	stats->ipackets += rx.packets;
	stats->ibytes += rx.bytes;
	stats->ierrors += rx.errors;
	stats->rx_nombuf += rx.no_mbuf;
	stats->opackets += tx.packets;
	stats->obytes += tx.bytes;
	stats->oerrors += tx.errors;
	if (queue >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	stats->q_ipackets[queue] = rx.packets;
	stats->q_ibytes[queue] = rx.bytes;
	stats->q_errors[queue] = rx.errors;
	stats->q_opackets[queue] = tx.packets;
	stats->q_obytes[queue] = tx.bytes;
}

/* imissed stays 0: what we have no room for waits in the guest's ring. */
int
vhostx_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	struct port *port = port_of(dev);

	pthread_mutex_lock(&port->stats_lock);
	for (uint16_t queue = 0; queue < port->args.nr_queues; queue++)
		stats_add_queue(port, queue, stats);
	pthread_mutex_unlock(&port->stats_lock);
	return 0;
}

int
vhostx_stats_reset(struct rte_eth_dev *dev)
{
	struct port *port = port_of(dev);

	pthread_mutex_lock(&port->stats_lock);
	for (uint16_t ring = 0; ring < 2 * port->args.nr_queues; ring++)
		port->stats_base[ring] = totals_of(port, ring);
	pthread_mutex_unlock(&port->stats_lock);
	return 0;
}

/* ---- extended statistics -------------------------------------------------------------------- */

/* Room for one ring's values, whichever direction it has. */
static unsigned int
xstats_stride(void)
{
	return RTE_DIM(counters) + vhc_nr_faults();
}

static void
ring_gauges(const struct port *port, uint16_t ring, struct rte_eth_xstat *xstats)
{
	struct vhc_queue_fill fill;

	vhc_queue_fill(vhc_device_queue(port->device, ring), &fill);
	xstats[0].value = fill.size;
	xstats[1].value = fill.available;
	xstats[2].value = (uint64_t)fill.size - fill.available;
}

static bool
counter_is_on(const struct counter *counter, uint16_t ring)
{
	return (counter->on & (ring & 1 ? ON_RX : ON_TX)) != 0;
}

static unsigned int
ring_nr_xstats(uint16_t ring)
{
	unsigned int nr = vhc_nr_faults() + RTE_DIM(gauges);

	for (unsigned int i = 0; i < RTE_DIM(counters); i++)
		nr += counter_is_on(&counters[i], ring);
	return nr;
}

/* Counters since the port was made; returns how many. The order is that of ring_names(). */
static unsigned int
ring_values(const struct port *port, uint16_t ring, struct rte_eth_xstat *xstats)
{
	struct vhc_queue *q = vhc_device_queue(port->device, ring);
	struct vhc_net_stats net;
	unsigned int nr = 0;

	vhc_net_queue_stats(q, &net);
	for (unsigned int i = 0; i < RTE_DIM(counters); i++)
		if (counter_is_on(&counters[i], ring))
			xstats[nr++].value = *(uint64_t *)((char *)&net + counters[i].offset);
	for (unsigned int fault = 0; fault < vhc_nr_faults(); fault++)
		xstats[nr++].value = vhc_queue_faults(q, fault);
	return nr;
}

static void
name_one(struct rte_eth_xstat_name *slot, uint16_t ring, const char *group, const char *name)
{
	snprintf(slot->name, sizeof(slot->name), "%s_q%u_%s%s", ring & 1 ? "rx" : "tx", ring / 2,
		 group, name);
}

static unsigned int
ring_names(uint16_t ring, struct rte_eth_xstat_name *names)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < RTE_DIM(counters); i++)
		if (counter_is_on(&counters[i], ring))
			name_one(&names[nr++], ring, "", counters[i].name);
	for (unsigned int fault = 0; fault < vhc_nr_faults(); fault++)
		name_one(&names[nr++], ring, "fault_", vhc_fault_name(fault));
	for (unsigned int i = 0; i < RTE_DIM(gauges); i++)
		name_one(&names[nr++], ring, "", gauges[i]);
	return nr;
}

/* The rings ethdev knows of, receive queues first: the i-th of them. */
static uint16_t
nth_ring(const struct rte_eth_dev *dev, uint16_t i)
{
	uint16_t nr_rx = dev->data->nb_rx_queues;

	return i < nr_rx ? ring_of_rx(i) : ring_of_tx((uint16_t)(i - nr_rx));
}

static uint16_t
nr_rings(const struct rte_eth_dev *dev)
{
	return (uint16_t)(dev->data->nb_rx_queues + dev->data->nb_tx_queues);
}

static unsigned int
nr_xstats(const struct rte_eth_dev *dev)
{
	unsigned int nr = RTE_DIM(iommu_names);

	for (uint16_t i = 0; i < nr_rings(dev); i++)
		nr += ring_nr_xstats(nth_ring(dev, i));
	return nr;
}

static unsigned int
name_iommu(struct rte_eth_xstat_name *names)
{
	for (unsigned int i = 0; i < RTE_DIM(iommu_names); i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s", iommu_names[i]);
	return RTE_DIM(iommu_names);
}

static unsigned int
iommu_xstats(const struct port *port, struct rte_eth_xstat *xstats)
{
	struct vhc_iommu_info iommu;

	vhc_device_iommu(port->device, &iommu);
	xstats[0].value = iommu.nr_readable;
	xstats[1].value = iommu.nr_writable;
	xstats[2].value = iommu.nr_misses;
	xstats[3].value = iommu.nr_refused;
	xstats[4].value = iommu.nr_updates;
	xstats[5].value = iommu.nr_invalidations;
	return RTE_DIM(iommu_names);
}

int
vhostx_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
	unsigned int total = nr_xstats(dev), nr = 0;

	if (!names || n < total)
		return (int)total;
	for (uint16_t i = 0; i < nr_rings(dev); i++)
		nr += ring_names(nth_ring(dev, i), names + nr);
	nr += name_iommu(names + nr);
	return (int)nr;
}

static unsigned int
ring_xstats(const struct port *port, uint16_t ring, struct rte_eth_xstat *xstats)
{
	const struct rte_eth_xstat *base = port->xstats_base + ring * xstats_stride();
	unsigned int nr_values = ring_values(port, ring, xstats);

	for (unsigned int i = 0; i < nr_values; i++)
		xstats[i].value -= base[i].value;
	ring_gauges(port, ring, xstats + nr_values);
	return nr_values + RTE_DIM(gauges);
}

int
vhostx_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	struct port *port = port_of(dev);
	unsigned int total = nr_xstats(dev), nr = 0;

	if (!xstats || n < total)
		return (int)total;
	pthread_mutex_lock(&port->stats_lock);
	for (uint16_t i = 0; i < nr_rings(dev); i++)
		nr += ring_xstats(port, nth_ring(dev, i), xstats + nr);
	nr += iommu_xstats(port, xstats + nr);
	pthread_mutex_unlock(&port->stats_lock);
	for (unsigned int i = 0; i < nr; i++)
		xstats[i].id = i;
	return (int)nr;
}

int
vhostx_xstats_reset(struct rte_eth_dev *dev)
{
	struct port *port = port_of(dev);

	pthread_mutex_lock(&port->stats_lock);
	for (uint16_t ring = 0; ring < 2 * port->args.nr_queues; ring++)
		ring_values(port, ring, port->xstats_base + ring * xstats_stride());
	pthread_mutex_unlock(&port->stats_lock);
	return 0;
}

/* Two processes with the same number agree on the port's structure and on the order of counters. */
uint32_t
vhostx_layout(void)
{
	return (uint32_t)sizeof(struct port) << 16 ^ ring_nr_xstats(0) << 8 ^ ring_nr_xstats(1);
}

int
vhostx_stats_init(struct port *port)
{
	pthread_mutex_init(&port->stats_lock, NULL);
	port->xstats_base = calloc(2u * port->args.nr_queues * xstats_stride(),
				   sizeof(*port->xstats_base));
	return port->xstats_base ? 0 : -ENOMEM;
}

void
vhostx_stats_fini(struct port *port)
{
	free(port->xstats_base);
	port->xstats_base = NULL;
	pthread_mutex_destroy(&port->stats_lock);
}
