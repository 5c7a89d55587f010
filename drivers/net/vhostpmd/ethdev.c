/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ethdev.c - the driver as EAL and ethdev see it: probe, remove, the table of operations.
 *
 * Knows:   the life of a port; one port is one server of the library.
 * Trusts:  the application.
 * Runs on: application threads, which ethdev lets in one at a time for one port.
 *
 * The socket exists from probe to close: a front-end may come, agree on everything and wait while
 * the port is not started. Stopping a port takes its link down and leaves the front-end connected.
 */
#include <errno.h>
#include <string.h>

#include <ethdev_vdev.h>
#include <rte_version.h>

#include "vhostcore_features.h"
#include "vhostpmd.h"

/*
 * MBUF_FAST_FREE is a promise that needs no code: a burst whose packets all are of one pool and
 * unshared finds that out with one comparison each, and gives them back at once.
 */
#define PUSH_OFFLOADS	(RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | \
			 RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | \
			 RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
#define PUSH_SEGMENTATION (RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_UDP_TSO)

RTE_LOG_REGISTER_DEFAULT(vhostx_logtype, NOTICE)

/* ---- operations ----------------------------------------------------------------------------- */

static int
port_configure(struct rte_eth_dev *dev)
{
	vhostx_rx_intr_release(dev);
	return dev->data->dev_conf.intr_conf.rxq ? vhostx_rx_intr_setup(dev) : 0;
}

static void
set_queue_states(struct rte_eth_dev *dev, uint8_t state)
{
	memset(dev->data->rx_queue_state, state, dev->data->nb_rx_queues);
	memset(dev->data->tx_queue_state, state, dev->data->nb_tx_queues);
}

static int
port_start(struct rte_eth_dev *dev)
{
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STARTED);
	vhostx_link_start(port_of(dev));
	return 0;
}

static int
port_stop(struct rte_eth_dev *dev)
{
	vhostx_link_stop(port_of(dev));
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STOPPED);
	return 0;
}

/* ethdev frees the port's structure when this returns. */
static int
port_close(struct rte_eth_dev *dev)
{
	struct port *port = port_of(dev);

	vhostx_ports_remove(dev);
	vhostx_link_close(port);
	vhc_server_destroy(port->server);
	vhostx_rx_intr_release(dev);
	vhostx_stats_fini(port);
	pthread_mutex_destroy(&port->link_lock);
	dev->data->mac_addrs = NULL;	/* part of the port's structure, not to be freed alone */
	return 0;
}

/* Packets for which there is no room would only be dropped. */
static bool
takes_long_packets(const struct port_args *args)
{
	return args->has_tso && (!args->is_linear || args->has_ext_buffers);
}

/* Requests are not what a receiver looks for: with legacy flags there is nothing to look for. */
static uint64_t
pull_offloads(const struct port_args *args)
{
	uint64_t offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;

	if (!args->is_linear)
		offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (!args->has_legacy_flags)
		offloads |= VHOSTX_RX_CSUMS;
	if (!args->has_legacy_flags && takes_long_packets(args))
		offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
	return offloads;
}

static uint64_t
push_offloads(const struct port_args *args)
{
	return PUSH_OFFLOADS | (args->has_tso ? PUSH_SEGMENTATION : 0);
}

void
vhostx_fill_infos(const struct port_args *args, struct rte_eth_dev_info *infos)
{
	infos->max_mac_addrs = 1;
	infos->max_rx_queues = args->nr_queues;
	infos->max_tx_queues = args->nr_queues;
	infos->max_rx_pktlen = VHOSTX_FRAME_MAX;
	infos->min_mtu = RTE_ETHER_MIN_MTU;
	infos->max_mtu = UINT16_MAX;
	infos->min_rx_bufsize = RTE_ETHER_MIN_LEN;
	infos->speed_capa = RTE_ETH_LINK_SPEED_10G;
	infos->rx_offload_capa = pull_offloads(args);
	infos->tx_offload_capa = push_offloads(args);
	if (infos->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		infos->max_lro_pkt_size = VHOSTX_FRAME_MAX;
	infos->rx_queue_offload_capa = infos->rx_offload_capa;
	infos->tx_queue_offload_capa = infos->tx_offload_capa;
}

static int
port_infos(struct rte_eth_dev *dev, struct rte_eth_dev_info *infos)
{
	vhostx_fill_infos(&port_of(dev)->args, infos);
	return 0;
}

/* Every frame the guest sends is delivered, whatever its address: these can only succeed. */
int
vhostx_accept_all(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

static int
accept_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	(void)dev;
	(void)mac;
	return 0;
}

/* The MTU is the application's word to itself: longer frames pass in both directions. */
static int
accept_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	(void)dev;
	(void)mtu;
	return 0;
}

/* Packets are not parsed, but for those that the guest wants cut. */
const uint32_t *
vhostx_supported_ptypes(struct rte_eth_dev *dev)
{
	static const uint32_t none[] = { RTE_PTYPE_UNKNOWN };

	(void)dev;
	return none;
}

static const struct eth_dev_ops port_ops = {
	.dev_configure = port_configure,
	.dev_start = port_start,
	.dev_stop = port_stop,
	.dev_close = port_close,
	.dev_infos_get = port_infos,
	.dev_supported_ptypes_get = vhostx_supported_ptypes,
	.link_update = vhostx_link_update,
	.promiscuous_enable = vhostx_accept_all,
	.promiscuous_disable = vhostx_accept_all,
	.allmulticast_enable = vhostx_accept_all,
	.allmulticast_disable = vhostx_accept_all,
	.mac_addr_set = accept_mac,
	.mtu_set = accept_mtu,
	.vlan_offload_set = vhostx_vlan_offload_set,
	.rx_queue_setup = vhostx_rx_queue_setup,
	.tx_queue_setup = vhostx_tx_queue_setup,
	.rxq_info_get = vhostx_rxq_info,
	.txq_info_get = vhostx_txq_info,
	.rx_burst_mode_get = vhostx_burst_mode,
	.tx_burst_mode_get = vhostx_burst_mode,
	.rx_queue_intr_enable = vhostx_rx_intr_enable,
	.rx_queue_intr_disable = vhostx_rx_intr_disable,
	.get_monitor_addr = vhostx_get_monitor_addr,
	.tx_done_cleanup = vhostx_tx_done_cleanup,
	.stats_get = vhostx_stats_get,
	.stats_reset = vhostx_stats_reset,
	.xstats_get = vhostx_xstats_get,
	.xstats_get_names = vhostx_xstats_names,
	.xstats_reset = vhostx_xstats_reset,
	.eth_dev_priv_dump = vhostx_dump,
};

/* ---- probe and remove ----------------------------------------------------------------------- */

/*
 * Locally administered "VHX", then two bytes that follow from the socket path and the port number:
 * the same after a restart, different from port to port and from one program to the next.
 */
static void
make_mac(const struct port_args *args, uint16_t port_id, struct rte_ether_addr *mac)
{
	uint32_t hash = 2166136261u;	/* FNV-1a */

	for (const char *c = args->path; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	*mac = (struct rte_ether_addr){
		{ 'V', 'H', 'X', (uint8_t)(hash >> 8), (uint8_t)hash, (uint8_t)port_id },
	};
}

/* Everything a callback or a burst may look at; the server is not there yet. */
static void
port_fill(struct rte_eth_dev *dev, const struct port_args *args)
{
	struct port *port = port_of(dev);

	port->layout = vhostx_layout();
	port->dev = dev;
	port->args = *args;
	pthread_mutex_init(&port->link_lock, NULL);
	make_mac(args, dev->data->port_id, &port->mac);
	dev->data->mac_addrs = &port->mac;
	dev->data->nb_rx_queues = args->nr_queues;
	dev->data->nb_tx_queues = args->nr_queues;
	dev->data->mtu = RTE_ETHER_MTU;
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	dev->data->dev_link = (struct rte_eth_link){
		.link_speed = RTE_ETH_SPEED_NUM_10G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
	};
	dev->data->dev_flags = RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->dev_ops = &port_ops;
	/* A queue is what the library's bursts take: nothing of ours is in between. */
	dev->rx_pkt_burst = (eth_rx_burst_t)vhc_net_pull;
	dev->tx_pkt_burst = (eth_tx_burst_t)vhc_net_push;
	dev->tx_pkt_prepare = vhostx_tx_prepare;
	dev->rx_queue_count = vhostx_rx_queue_count;
	dev->rx_descriptor_status = vhostx_rx_descriptor_status;
	dev->tx_descriptor_status = vhostx_tx_descriptor_status;
}

/* What the guest is not offered. */
static uint64_t
features_off(const struct port_args *args)
{
	if (!args->has_tso)
		return VHC_NET_FEATURES_GSO;
	return takes_long_packets(args) ? 0 : VHC_NET_FEATURES_HOST_GSO;
}

static int
defer_calls(const struct port *port)
{
	int rc = 0;

	for (uint16_t ring = 0; rc == 0 && ring < 2 * port->args.nr_queues; ring++)
		rc = vhc_queue_defer_calls(vhc_device_queue(port->device, ring),
					   port->args.notify_us);
	return rc;
}

/* 0, or -errno with nothing left behind but what port_fill() made. */
static int
server_start(struct port *port)
{
	const struct vhc_server_opts opts = {
		.name = port->dev->data->name,
		.path = port->args.path,
		.role = port->args.is_client ? VHC_ROLE_CLIENT : VHC_ROLE_SERVER,
		.nr_rings = (uint16_t)(2 * port->args.nr_queues),
		.cls = vhc_net_class(),
		.features_off = features_off(&port->args),
		.features_on = port->args.has_iommu ? VHC_FEATURE_ACCESS_PLATFORM : 0,
		.inflight = port->args.has_inflight,
		.postcopy = port->args.has_postcopy,
		.ops = &vhostx_device_ops,
		.ops_arg = port,
		.control_thread = port->args.control_thread,
	};
	int rc = vhc_server_create(&opts, &port->server);

	if (rc != 0)
		return rc;
	port->device = vhc_server_device(port->server);
	rc = defer_calls(port);
	if (rc == 0)
		rc = vhc_server_start(port->server);
	if (rc != 0)
		vhc_server_destroy(port->server);
	return rc;
}

/* ethdev says that it has no place left; what to do about it, it does not. */
static void
explain_no_port(const char *name)
{
	if (rte_eth_dev_count_total() >= RTE_MAX_ETHPORTS)
		PORT_LOG(ERR, name, "there are %d ports already, as many as this DPDK was built for"
			 " (RTE_MAX_ETHPORTS): remove one, build DPDK with -Dmax_ethports=, or use"
			 " libvhostcore, which has no such limit", RTE_MAX_ETHPORTS);
}

static int
port_create(struct rte_vdev_device *vdev, const struct port_args *args)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof(struct port));
	struct port *port;
	int rc;

	if (!dev) {
		explain_no_port(rte_vdev_device_name(vdev));
		return -ENOMEM;
	}
	port = port_of(dev);
	port_fill(dev, args);
	rc = vhostx_stats_init(port);
	if (rc != 0)
		goto release;
	rc = vhostx_run_off_lcores(server_start, port);
	if (rc != 0)
		goto stats;
	vhostx_ports_add(dev);
	vhostx_answer_secondaries();
	rte_eth_dev_probing_finish(dev);
	return 0;
stats:
	vhostx_stats_fini(port);
release:
	pthread_mutex_destroy(&port->link_lock);
	dev->data->mac_addrs = NULL;
	rte_eth_dev_release_port(dev);
	return rc;
}

static int
vhostx_probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct port_args args;
	int rc = vhostx_abi_check(rte_version());

	if (rc != 0)
		return rc;
	if (vhostx_is_secondary())
		return vhostx_secondary_probe(vdev);
	rc = vhostx_args_parse(name, rte_vdev_device_args(vdev), &args);
	if (rc != 0)
		return rc;
	rc = port_create(vdev, &args);
	if (rc != 0)
		PORT_LOG(ERR, name, "no port on %s: %s", args.path, strerror(-rc));
	return rc;
}

static int
vhostx_remove(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (vhostx_is_secondary())
		return vhostx_secondary_remove(vdev);
	if (!dev)
		return 0;	/* closed before */
	if (dev->data->dev_started)
		rte_eth_dev_stop(dev->data->port_id);
	return rte_eth_dev_close(dev->data->port_id);
}

/* ---- registration --------------------------------------------------------------------------- */

static void
log_line(enum vhc_log_level level, const char *line, void *arg)
{
	static const uint32_t levels[] = {
		[VHC_LOG_ERR] = RTE_LOG_ERR,
		[VHC_LOG_WARNING] = RTE_LOG_WARNING,
		[VHC_LOG_NOTICE] = RTE_LOG_NOTICE,
		[VHC_LOG_INFO] = RTE_LOG_INFO,
		[VHC_LOG_DEBUG] = RTE_LOG_DEBUG,
	};

	(void)arg;
	rte_log(levels[level], vhostx_logtype, "%s\n", line);
}

RTE_INIT(vhostx_take_log)
{
	vhc_log_set_sink(log_line, NULL);
}

static struct rte_vdev_driver vhostx_driver = {
	.probe = vhostx_probe,
	.remove = vhostx_remove,
};

RTE_PMD_REGISTER_VDEV(net_vhostx, vhostx_driver);
RTE_PMD_REGISTER_ALIAS(net_vhostx, eth_vhostx);
RTE_PMD_REGISTER_PARAM_STRING(net_vhostx, VHOSTX_PARAMS);

/* After the registration above: constructors of one file run in order. */
RTE_INIT(vhostx_go_first)
{
	vhostx_step_in_front(&vhostx_driver);
}

/* What dpdk-pmdinfo.py reads; DPDK's own build makes this string from the two lines above. */
static const char pmd_facts[] __rte_used =
	"PMD_INFO_STRING= {\"name\": \"net_vhostx\", \"params\": \"" VHOSTX_PARAMS "\", "
	"\"pci_ids\": []}";
