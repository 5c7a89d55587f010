/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * secondary.c - the port in a secondary process: to be looked at, not to be worked.
 *
 * Knows:   that guest memory, sockets and queues exist in the primary process only.
 * Trusts:  what ethdev shares between the processes; of our own structure, only its beginning,
 *          once, and only if the primary has the same driver.
 * Runs on: application threads of the secondary process.
 *
 * Configuring and setting up queues have no operation here at all: ethdev then refuses before it
 * changes what the processes share. After probe nothing behind dev_private is looked at: the
 * primary may free it at any time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ethdev_vdev.h>
#include <rte_errno.h>

#include "vhostpmd.h"

static const struct port_args *
args_of(const struct rte_eth_dev *dev)
{
	return dev->process_private;
}

/* ---- refused -------------------------------------------------------------------------------- */

static int
refuse(const struct rte_eth_dev *dev, const char *what)
{
	PORT_LOG(ERR, dev->device->name, "%s: not from a secondary process: do it in the primary, "
		 "where this port lives", what);
	return -E_RTE_SECONDARY;
}

static int
refuse_start(struct rte_eth_dev *dev)
{
	return refuse(dev, "start");
}

static int
refuse_stop(struct rte_eth_dev *dev)
{
	return refuse(dev, "stop");
}

static int
refuse_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	(void)mac;
	return refuse(dev, "set the MAC address");
}

static int
refuse_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	(void)mtu;
	return refuse(dev, "set the MTU");
}

static int
refuse_vlan_offload(struct rte_eth_dev *dev, int mask)
{
	(void)mask;
	return refuse(dev, "set VLAN offloads");
}

static int
refuse_intr(struct rte_eth_dev *dev, uint16_t queue)
{
	(void)queue;
	return refuse(dev, "receive interrupts");
}

/* Said once a process: it would be said a million times a second. */
static uint16_t
no_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	static bool is_told;

	(void)queue;
	(void)mbufs;
	(void)n;
	if (!__atomic_exchange_n(&is_told, true, __ATOMIC_RELAXED))
		PORT_LOG(ERR, "net_vhostx", "a secondary process cannot receive or send: the "
			 "guest's memory is mapped in the primary only; hand packets over in "
			 "rings");
	return 0;
}

/* ---- answered ------------------------------------------------------------------------------- */

static int
secondary_infos(struct rte_eth_dev *dev, struct rte_eth_dev_info *infos)
{
	vhostx_fill_infos(args_of(dev), infos);
	return 0;
}

static int
secondary_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	return vhostx_ask_exactly(dev, ASK_STATS, 0, stats, sizeof(*stats));
}

static int
secondary_stats_reset(struct rte_eth_dev *dev)
{
	return vhostx_ask(dev, ASK_STATS_RESET, 0, NULL, 0);
}

static int
secondary_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	unsigned int total = (unsigned int)vhostx_xstats_names(dev, NULL, 0);
	int rc;

	if (!xstats || n < total)
		return (int)total;
	rc = vhostx_ask_exactly(dev, ASK_XSTATS, 0, xstats, total * sizeof(*xstats));
	return rc ? rc : (int)total;
}

static int
secondary_xstats_reset(struct rte_eth_dev *dev)
{
	return vhostx_ask(dev, ASK_XSTATS_RESET, 0, NULL, 0);
}

/* ethdev lets go of it afterwards, in this process. */
static int
secondary_close(struct rte_eth_dev *dev)
{
	vhostx_ports_remove(dev);
	free(dev->process_private);
	dev->process_private = NULL;
	return 0;
}

/* Promiscuous and the like change nothing: captures switch them on. */
static const struct eth_dev_ops secondary_ops = {
	.dev_start = refuse_start,
	.dev_stop = refuse_stop,
	.dev_close = secondary_close,
	.dev_infos_get = secondary_infos,
	.dev_supported_ptypes_get = vhostx_supported_ptypes,
	.link_update = vhostx_link_update,
	.promiscuous_enable = vhostx_accept_all,
	.promiscuous_disable = vhostx_accept_all,
	.allmulticast_enable = vhostx_accept_all,
	.allmulticast_disable = vhostx_accept_all,
	.mac_addr_set = refuse_mac,
	.mtu_set = refuse_mtu,
	.vlan_offload_set = refuse_vlan_offload,
	.rxq_info_get = vhostx_rxq_info,
	.txq_info_get = vhostx_txq_info,
	.rx_burst_mode_get = vhostx_burst_mode,
	.tx_burst_mode_get = vhostx_burst_mode,
	.rx_queue_intr_enable = refuse_intr,
	.rx_queue_intr_disable = refuse_intr,
	.stats_get = secondary_stats,
	.stats_reset = secondary_stats_reset,
	.xstats_get = secondary_xstats,
	.xstats_get_names = vhostx_xstats_names,
	.xstats_reset = secondary_xstats_reset,
	.eth_dev_priv_dump = vhostx_dump,
};

/* ---- probe and remove ----------------------------------------------------------------------- */

/* The primary's structure is there; is it what we take it for? */
static int
copy_args(struct rte_eth_dev *dev)
{
	const struct port *port = port_of(dev);
	struct port_args *args;

	if (!port || port->layout != vhostx_layout()) {
		PORT_LOG(ERR, dev->device->name, "the primary process has another version of this "
			 "driver: load the same librte_net_vhostx.so in both");
		return -EPROTO;
	}
	args = malloc(sizeof(*args));
	if (!args)
		return -ENOMEM;
	*args = port->args;
	dev->process_private = args;
	return 0;
}

int
vhostx_secondary_probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct rte_eth_dev *dev = rte_eth_dev_attach_secondary(name);
	int rc;

	if (!dev) {
		PORT_LOG(ERR, name, "the primary process has no such port: it is made there");
		return -ENODEV;
	}
	dev->device = &vdev->device;
	rc = copy_args(dev);
	if (rc != 0) {
		rte_eth_dev_release_port(dev);
		return rc;
	}
	dev->dev_ops = &secondary_ops;
	dev->rx_pkt_burst = no_burst;
	dev->tx_pkt_burst = no_burst;
	dev->tx_pkt_prepare = vhostx_tx_prepare;
	vhostx_ports_add(dev);
	rte_eth_dev_probing_finish(dev);
	return 0;
}

/* By its device: the primary may have closed the port, whose name is gone then. */
int
vhostx_secondary_remove(const struct rte_vdev_device *vdev)
{
	uint16_t port_id;

	RTE_ETH_FOREACH_DEV_OF(port_id, &vdev->device) {
		struct rte_eth_dev *dev = &rte_eth_devices[port_id];

		secondary_close(dev);
		return rte_eth_dev_release_port(dev);
	}
	return 0;
}
