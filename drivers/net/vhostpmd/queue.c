/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue.c - ethdev's queues: set-up, questions about them, receive interrupts.
 *
 * Knows:   which ring belongs to which queue; EAL's interrupt handle.
 * Trusts:  the application to stop polling before it sets a queue up again.
 * Runs on: application threads; the interrupt switches on the queue's polling thread.
 *
 * A queue is the library's own and lives as long as the port: setting it up says where packets go,
 * releasing it leaves nothing to free. How many descriptors there are is the guest's decision.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_interrupts.h>

#include "vhostpmd.h"

/* An application that asked for one of them only would not look at the other's flags. */
static bool
wants_csum_flags(const struct rte_eth_dev *dev, const struct rte_eth_rxconf *conf)
{
	uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;

	return (offloads & VHOSTX_RX_CSUMS) == VHOSTX_RX_CSUMS;
}

/* For the queues that are set up; the others will look by themselves. */
int
vhostx_vlan_offload_set(struct rte_eth_dev *dev, int mask)
{
	bool strip = dev->data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;

	if (!(mask & RTE_ETH_VLAN_STRIP_MASK))
		return 0;
	for (uint16_t queue = 0; queue < dev->data->nb_rx_queues; queue++)
		if (dev->data->rx_queues[queue])
			vhc_net_vlan_strip(dev->data->rx_queues[queue], strip);
	return 0;
}

int
vhostx_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
		      unsigned int socket, const struct rte_eth_rxconf *conf,
		      struct rte_mempool *pool)
{
	struct port *port = port_of(dev);
	struct vhc_queue *q = vhc_device_queue(port->device, ring_of_rx(queue));
	const struct vhc_net_pull_conf pull = {
		.pool = pool,
		.port = dev->data->port_id,
		.csum_flags = wants_csum_flags(dev, conf),
		.legacy_flags = port->args.has_legacy_flags,
		.linear = port->args.is_linear,
		.ext_buffers = port->args.has_ext_buffers,
	};
	int rc = vhc_net_pull_setup(q, &pull);

	(void)nb_desc;
	(void)socket;
	if (rc != 0) {
		PORT_LOG(ERR, dev->data->name,
			 "rx queue %u: buffers of %u bytes are too small for a packet: "
			 "give mempool %s larger ones",
			 queue, rte_pktmbuf_data_room_size(pool), pool->name);
		return rc;
	}
	vhc_net_vlan_strip(q, (conf->offloads | dev->data->dev_conf.rxmode.offloads) &
			   RTE_ETH_RX_OFFLOAD_VLAN_STRIP);
	port->pools[queue] = pool;
	dev->data->rx_queues[queue] = q;
	/* A packet may always be larger than a buffer. */
	dev->data->scattered_rx = !port->args.is_linear;
	return 0;
}

int
vhostx_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
		      unsigned int socket, const struct rte_eth_txconf *conf)
{
	(void)nb_desc;
	(void)socket;
	(void)conf;
	dev->data->tx_queues[queue] = vhc_device_queue(port_of(dev)->device, ring_of_tx(queue));
	return 0;
}

void
vhostx_rxq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_rxq_info *rxq)
{
	struct ring_facts facts = { 0 };

	vhostx_ring_facts(dev, ring_of_rx(queue), &facts);
	rxq->mp = facts.pool;
	rxq->scattered_rx = dev->data->scattered_rx;
	rxq->nb_desc = facts.state.size;
	rxq->conf.offloads = dev->data->dev_conf.rxmode.offloads;
}

void
vhostx_txq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_txq_info *txq)
{
	struct ring_facts facts = { 0 };

	vhostx_ring_facts(dev, ring_of_tx(queue), &facts);
	txq->nb_desc = facts.state.size;
	txq->conf.offloads = dev->data->dev_conf.txmode.offloads;
}

/* Both rings of a pair are of one kind: it is the device that agrees on it. */
int
vhostx_burst_mode(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_burst_mode *mode)
{
	struct port_facts port;
	struct ring_facts ring;
	int rc = vhostx_ring_facts(dev, ring_of_rx(queue), &ring);

	if (rc == 0)
		rc = vhostx_facts(dev, &port);
	if (rc != 0)
		return rc;
	snprintf(mode->info, sizeof(mode->info), "%s%s ring, %s",
		 ring.state.packed ? "Packed" : "Split", ring.state.in_order ? " in-order" : "",
		 port.kernel);
	return 0;
}

/* A packet is copied and freed by the burst that takes it: nothing is ever left to free. */
int
vhostx_tx_done_cleanup(void *txq, uint32_t nr_wanted)
{
	(void)txq;
	(void)nr_wanted;
	return 0;
}

/* ---- receive interrupts --------------------------------------------------------------------- */

int
vhostx_rx_intr_enable(struct rte_eth_dev *dev, uint16_t queue)
{
	vhc_queue_want_kicks(dev->data->rx_queues[queue], true);
	return 0;
}

int
vhostx_rx_intr_disable(struct rte_eth_dev *dev, uint16_t queue)
{
	vhc_queue_want_kicks(dev->data->rx_queues[queue], false);
	return 0;
}

/* Queue i is vector i + 1, as EAL counts; its descriptor is the one the guest's kicks reach. */
static int
intr_add_queue(const struct rte_eth_dev *dev, uint16_t queue)
{
	struct rte_intr_handle *handle = dev->intr_handle;
	int fd = vhc_queue_kick_fd(vhc_device_queue(port_of(dev)->device, ring_of_rx(queue)));

	if (fd < 0)
		return fd;
	if (rte_intr_vec_list_index_set(handle, queue, RTE_INTR_VEC_RXTX_OFFSET + queue) ||
	    rte_intr_efds_index_set(handle, queue, fd))
		return -rte_errno;
	return 0;
}

static int
intr_fill(const struct rte_eth_dev *dev)
{
	struct rte_intr_handle *handle = dev->intr_handle;
	uint16_t nr = dev->data->nb_rx_queues;
	int rc = 0;

	/* Counter size 0: EAL must not read the descriptor, the library clears it. */
	if (rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV) ||
	    rte_intr_efd_counter_size_set(handle, 0) ||
	    rte_intr_vec_list_alloc(handle, NULL, nr) ||
	    rte_intr_nb_efd_set(handle, nr) ||
	    rte_intr_max_intr_set(handle, nr + RTE_INTR_VEC_RXTX_OFFSET))
		return -rte_errno;
	for (uint16_t queue = 0; queue < nr && rc == 0; queue++)
		rc = intr_add_queue(dev, queue);
	return rc;
}

void
vhostx_rx_intr_release(struct rte_eth_dev *dev)
{
	if (!dev->intr_handle)
		return;
	rte_intr_free_epoll_fd(dev->intr_handle);
	rte_intr_vec_list_free(dev->intr_handle);
	rte_intr_instance_free(dev->intr_handle);
	dev->intr_handle = NULL;
}

int
vhostx_rx_intr_setup(struct rte_eth_dev *dev)
{
	int rc;

	dev->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	rc = dev->intr_handle ? intr_fill(dev) : -ENOMEM;
	if (rc != 0) {
		PORT_LOG(ERR, dev->data->name, "receive interrupts cannot be set up: %s",
			 strerror(-rc));
		vhostx_rx_intr_release(dev);
	}
	return rc;
}
