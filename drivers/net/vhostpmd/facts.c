/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * facts.c - what is known of a port, in pieces that mean the same in every process.
 *
 * Knows:   the library's snapshots, which it takes where the port lives: in the primary process.
 * Trusts:  the library.
 * Runs on: any thread but the polling ones.
 */
#include <stdio.h>
#include <string.h>

#include "vhostcore_features.h"
#include "vhostpmd.h"

void
vhostx_gather_facts(const struct port *port, struct port_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	vhc_device_info(port->device, &facts->device);
	vhc_net_control(port->device, &facts->control);
	vhc_device_iommu(port->device, &facts->iommu);
	facts->memory_node = vhc_device_numa_node(port->device);
	vhc_device_features_text(port->device, facts->device.features, facts->features,
				 sizeof(facts->features));
	vhc_protocol_features_text(facts->device.protocol_features, facts->protocol_features,
				   sizeof(facts->protocol_features));
	snprintf(facts->kernel, sizeof(facts->kernel), "%s", vhc_net_kernel_name());
}

void
vhostx_gather_ring_facts(const struct port *port, uint16_t ring, struct ring_facts *facts)
{
	struct vhc_queue *q = vhc_device_queue(port->device, ring);
	const char *fault;

	memset(facts, 0, sizeof(*facts));
	vhc_queue_info(q, &facts->state);
	vhc_queue_fill(q, &facts->fill);
	fault = facts->state.last_fault;
	facts->state.last_fault = NULL;	/* a pointer into this process */
	snprintf(facts->last_fault, sizeof(facts->last_fault), "%s", fault ? fault : "");
	if (ring & 1 && ring / 2 < port->args.nr_queues)
		facts->pool = port->pools[ring / 2];
}

int
vhostx_facts(struct rte_eth_dev *dev, struct port_facts *facts)
{
	if (!vhostx_is_secondary()) {
		vhostx_gather_facts(port_of(dev), facts);
		return 0;
	}
	return vhostx_ask_exactly(dev, ASK_FACTS, 0, facts, sizeof(*facts));
}

int
vhostx_ring_facts(struct rte_eth_dev *dev, uint16_t ring, struct ring_facts *facts)
{
	if (!vhostx_is_secondary()) {
		vhostx_gather_ring_facts(port_of(dev), ring, facts);
		return 0;
	}
	return vhostx_ask_exactly(dev, ASK_RING, ring, facts, sizeof(*facts));
}
