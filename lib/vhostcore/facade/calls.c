/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.c - interrupts, kicks, and what to watch instead.
 *
 * Knows:   the library's signals.
 * Trusts:  nothing to trust.
 * Runs on: any thread, polling ones first of all: nothing here waits for control, but the monitor.
 */
#include <errno.h>
#include <sched.h>

#include "facade.h"

/* How often to look again while control changes a descriptor or two. */
#define CALL_TRIES 1000

static struct vhc_queue *
named_queue(struct facade_port *port, uint16_t ring)
{
	return port && ring < vhc_facade_nr_rings(port) ? port->rings.queue[ring] : NULL;
}

/* ---- interrupts ----------------------------------------------------------------------------- */

/* 0, -1, or -EAGAIN. */
static int
call(int vid, uint16_t ring)
{
	struct facade_port *port = facade_port_of(vid);
	struct vhc_queue *q = facade_queue_of(port, ring);
	int rc = q ? vhc_queue_call(q) : -ENODEV;

	if (rc < 0)
		return rc == -EAGAIN ? rc : -1;
	if (rc > 0) {
		atomic_fetch_add_explicit(&port->nr_calls[ring], 1, memory_order_relaxed);
		if (port->ops->guest_notified)
			port->ops->guest_notified(vid);
	}
	return 0;
}

FACADE_API int
rte_vhost_vring_call_nonblock(int vid, uint16_t vring_idx)
{
	return call(vid, vring_idx);
}

/* Who changes the ring interrupts the guest when it is done. */
FACADE_API int
rte_vhost_vring_call(int vid, uint16_t vring_idx)
{
	int rc = call(vid, vring_idx);

	for (unsigned int i = 0; rc == -EAGAIN && i < CALL_TRIES; i++) {
		sched_yield();
		rc = call(vid, vring_idx);
	}
	return rc ? -1 : 0;
}

/* ---- kicks ---------------------------------------------------------------------------------- */

/*
 * Either the ring runs and the driver is told now, or it starts later and vhc_facade_apply_kicks()
 * sees the wish: we note it before we look, control starts the ring before it reads.
 */
FACADE_API int
rte_vhost_enable_guest_notification(int vid, uint16_t queue_id, int enable)
{
	struct facade_port *port = facade_port_of(vid);
	struct vhc_queue *q = named_queue(port, queue_id);

	if (!q)
		return -1;
	atomic_store(&port->wants_kicks[queue_id], enable != 0);
	vhc_queue_try_kicks(q, enable != 0);
	return 0;
}

/* Who never said anything may be waiting for kicks. */
void
vhc_facade_apply_kicks(struct facade_port *port, uint16_t ring)
{
	vhc_queue_try_kicks(port->rings.queue[ring], atomic_load(&port->wants_kicks[ring]) != 0);
}

FACADE_API int
rte_vhost_get_monitor_addr(int vid, uint16_t queue_id, struct rte_vhost_power_monitor_cond *pmc)
{
	struct vhc_queue *q = named_queue(facade_port_of(vid), queue_id);
	struct vhc_queue_monitor monitor;

	if (!q || !pmc || vhc_queue_monitor(q, &monitor) != 0)
		return -1;
	*pmc = (struct rte_vhost_power_monitor_cond){
		.addr = (volatile void *)(uintptr_t)monitor.addr,
		.val = monitor.value,
		.mask = monitor.mask,
		.size = monitor.size,
		.match = monitor.wakes_if_equal,
	};
	return 0;
}
