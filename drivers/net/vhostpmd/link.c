/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.c - what the library tells about its device becomes link state and events.
 *
 * Knows:   the link is up while the library moves packets and the application started the port.
 * Trusts:  the library to report every change, in order.
 * Runs on: the callbacks on the control thread, the rest on application threads.
 *
 * Events are raised on the control thread only: an application may hold its own lock around
 * rte_eth_dev_start() and take the same lock in its callback. It reads the link after a start.
 * link_lock is never held while the application or the library is called.
 */
#include "vhostcore_memory.h"
#include "vhostpmd.h"

/* Needs link_lock. True: the link changed. */
static bool
link_refresh(struct port *port)
{
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_10G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = port->is_running && port->is_started,
	};

	return rte_eth_linkstatus_set(port->dev, &link) == 0;
}

/* A port that ethdev has not announced yet, or is about to drop, has nobody to tell. */
static bool
wants_events(const struct port *port)
{
	return port->dev->state == RTE_ETH_DEV_ATTACHED && !port->is_closing;
}

/* What rte_eth_dev_socket_id() says: with no guest, where the latest one was. */
static void
follow_memory(struct port *port)
{
	int node = vhc_device_numa_node(port->device);

	if (node >= 0)
		port->dev->data->numa_node = node;
}

static void
on_running(struct vhc_device *device, bool running, void *arg)
{
	struct port *port = arg;
	bool tell;

	(void)device;
	if (running)
		follow_memory(port);
	pthread_mutex_lock(&port->link_lock);
	port->is_running = running;
	tell = link_refresh(port) && wants_events(port);
	pthread_mutex_unlock(&port->link_lock);
	if (tell)
		rte_eth_dev_callback_process(port->dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

static void
on_queue_changed(struct vhc_device *device, uint16_t ring, bool usable, void *arg)
{
	struct port *port = arg;
	bool tell;

	(void)device;
	pthread_mutex_lock(&port->link_lock);
	tell = wants_events(port);
	pthread_mutex_unlock(&port->link_lock);
	PORT_LOG(DEBUG, port->dev->data->name, "%s queue %u is %s", ring & 1 ? "rx" : "tx",
		 ring / 2, usable ? "usable" : "not usable");
	if (tell)
		rte_eth_dev_callback_process(port->dev, RTE_ETH_EVENT_QUEUE_STATE, NULL);
}

static void
on_mtu_changed(struct vhc_device *device, uint16_t mtu, void *arg)
{
	struct port *port = arg;

	(void)device;
	port->dev->data->mtu = mtu;
	PORT_LOG(NOTICE, port->dev->data->name, "the front-end announced MTU %u", mtu);
}

const struct vhc_device_ops vhostx_device_ops = {
	.running = on_running,
	.queue_changed = on_queue_changed,
	.mtu_changed = on_mtu_changed,
};

static void
link_set_started(struct port *port, bool started)
{
	pthread_mutex_lock(&port->link_lock);
	port->is_started = started;
	link_refresh(port);
	pthread_mutex_unlock(&port->link_lock);
}

void
vhostx_link_start(struct port *port)
{
	link_set_started(port, true);
}

void
vhostx_link_stop(struct port *port)
{
	link_set_started(port, false);
}

void
vhostx_link_close(struct port *port)
{
	pthread_mutex_lock(&port->link_lock);
	port->is_closing = true;
	pthread_mutex_unlock(&port->link_lock);
}

/* The callbacks keep the state up to date; there is nothing to go and ask. */
int
vhostx_link_update(struct rte_eth_dev *dev, int wait)
{
	(void)dev;
	(void)wait;
	return 0;
}
