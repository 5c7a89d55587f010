/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ports.c - which ports there are, for threads that ask about them at any time.
 *
 * Knows:   port numbers.
 * Trusts:  probe and close to add and remove each port once.
 * Runs on: EAL's telemetry thread and its thread for messages between processes; application
 *          threads.
 *
 * The lock keeps a port alive while it is being described. The control thread never takes it.
 */
#include "vhostpmd.h"

static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rte_eth_dev *ports[RTE_MAX_ETHPORTS];

static void
ports_set(uint16_t port_id, struct rte_eth_dev *dev)
{
	pthread_mutex_lock(&ports_lock);
	ports[port_id] = dev;
	pthread_mutex_unlock(&ports_lock);
}

void
vhostx_ports_add(struct rte_eth_dev *dev)
{
	ports_set(dev->data->port_id, dev);
}

/* By address: where another process closed it, the shared data no longer know its number. */
void
vhostx_ports_remove(const struct rte_eth_dev *dev)
{
	ports_set((uint16_t)(dev - rte_eth_devices), NULL);
}

struct rte_eth_dev *
vhostx_port_hold(unsigned long port_id)
{
	pthread_mutex_lock(&ports_lock);
	if (port_id < RTE_MAX_ETHPORTS && ports[port_id])
		return ports[port_id];
	pthread_mutex_unlock(&ports_lock);
	return NULL;
}

void
vhostx_port_release(void)
{
	pthread_mutex_unlock(&ports_lock);
}

void
vhostx_ports_each(void (*fn)(uint16_t port_id, void *arg), void *arg)
{
	pthread_mutex_lock(&ports_lock);
	for (uint16_t port_id = 0; port_id < RTE_MAX_ETHPORTS; port_id++)
		if (ports[port_id])
			fn(port_id, arg);
	pthread_mutex_unlock(&ports_lock);
}
