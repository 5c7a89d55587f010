/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events.c - what the library tells becomes the application's callbacks.
 *
 * Knows:   the order that applications of rte_vhost.h expect: new_connection, vring_state_changed,
 *          new_device, and back.
 * Trusts:  the library to tell every change, in order.
 * Runs on: control thread, or the thread that unregisters the path; under control's lock.
 */
#include <vdpa_driver.h>

#include "facade.h"

/* ---- who is in a callback ------------------------------------------------------------------- */

static _Thread_local unsigned int depth;
static _Atomic(unsigned int) turn;

void
vhc_facade_enter_callback(void)
{
	if (depth++ == 0)
		atomic_fetch_add(&turn, 1);
}

void
vhc_facade_leave_callback(void)
{
	if (--depth == 0)
		atomic_fetch_add(&turn, 1);
}

bool
vhc_facade_in_callback(void)
{
	return depth > 0;
}

unsigned int
vhc_facade_callback_turn(void)
{
	return atomic_load(&turn);
}

/* ---- the device ----------------------------------------------------------------------------- */

static void
begin_device(struct facade_port *port)
{
	if (port->is_told || port->vid < 0)
		return;
	port->is_told = !port->ops->new_device || port->ops->new_device(port->vid) == 0;
}

static void
end_device(struct facade_port *port)
{
	if (!port->is_told)
		return;
	port->is_told = false;
	if (port->ops->destroy_device)
		port->ops->destroy_device(port->vid);
}

static void
begin_connection(struct facade_port *port)
{
	vhc_facade_forget_facts(port);
	for (unsigned int i = 0; i < FACADE_RINGS; i++)
		atomic_store(&port->wants_kicks[i], FACADE_KICKS_UNSAID);
	vhc_facade_stats_begin(port);
	port->extern_ops = (struct rte_vhost_user_extern_ops){ 0 };
	port->vid = vhc_facade_vid_get(port);
	port->is_refused = port->vid < 0 || (port->ops->new_connection &&
					     port->ops->new_connection(port->vid) < 0);
	if (port->vid < 0)
		FACADE_LOG(ERR, port->path, "all %d device numbers are in use",
			   RTE_MAX_VHOST_DEVICE);
	else if (port->is_refused)
		FACADE_LOG(ERR, port->path, "new_connection refused this front-end");
	else
		FACADE_LOG(INFO, port->path, "a front-end is connected: device %d", port->vid);
}

static void
end_connection(struct facade_port *port)
{
	if (port->vid < 0)
		return;
	end_device(port);
	if (port->vdpa && port->vdpa->ops->dev_cleanup)
		port->vdpa->ops->dev_cleanup(port->vid);
	if (!port->is_refused && port->ops->destroy_connection)
		port->ops->destroy_connection(port->vid);
	vhc_facade_vid_put(port->vid);
	port->vid = -1;
}

static void
on_connected(struct vhc_device *dev, bool connected, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	vhc_facade_enter_callback();
	if (connected)
		begin_connection(port);
	else
		end_connection(port);
	vhc_facade_leave_callback();
}

static void
on_running(struct vhc_device *dev, bool running, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	vhc_facade_enter_callback();
	port->runs = running;
	vhc_facade_note_device(port);
	if (running)
		begin_device(port);
	else
		end_device(port);
	vhc_facade_leave_callback();
}

/*
 * An application that works rings expects destroy_device before it loses one, and may know of
 * nothing else; the built-in device's bursts do without.
 */
static void
on_queue_changed(struct vhc_device *dev, uint16_t ring, bool usable, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	if (ring >= FACADE_RINGS || port->vid < 0)
		return;
	vhc_facade_enter_callback();
	vhc_facade_note_ring(port, ring);
	if (usable)
		vhc_facade_apply_kicks(port, ring);
	else if (!port->rings.nr_net)
		end_device(port);
	if (port->ops->vring_state_changed)
		port->ops->vring_state_changed(port->vid, ring, usable);
	if (!usable)
		vhc_facade_forget_resubmit(port, ring);
	if (usable && port->runs)
		begin_device(port);
	vhc_facade_leave_callback();
}

static void
on_features_changed(struct vhc_device *dev, uint64_t features, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	if (port->vid < 0)
		return;
	vhc_facade_enter_callback();
	vhc_facade_note_device(port);
	if (port->ops->features_changed && port->is_told)
		port->ops->features_changed(port->vid, features);
	vhc_facade_leave_callback();
}

static void
on_mtu_changed(struct vhc_device *dev, uint16_t mtu, void *arg)
{
	(void)dev;
	(void)mtu;
	vhc_facade_note_device(arg);
}

const struct vhc_device_ops vhc_facade_device_ops = {
	.connected = on_connected,
	.running = on_running,
	.queue_changed = on_queue_changed,
	.features_changed = on_features_changed,
	.mtu_changed = on_mtu_changed,
	.message_before = vhc_facade_message_before,
	.message_after = vhc_facade_message_after,
};
