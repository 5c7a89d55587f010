/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * features.c - what both sides can do, who owns the device, its status and reset.
 *
 * Knows:   feature words, the status byte.
 * Trusts:  nothing of the words: only what we offered may come back.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../base/log.h"
#include "../spec/virtio_net.h"

static void
reply_u64(struct reply *reply, uint64_t value)
{
	reply->payload.u64 = value;
	reply->len = sizeof(value);
}

static bool
any_ring_started(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->started)
			return true;
	return false;
}

static bool
any_ring_running(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->running)
			return true;
	return false;
}

/* 0, or -EINPROGRESS: requests of a ring that stops are still out, and none may be lost. */
static int
await_stopping_rings(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->draining)
			return -EINPROGRESS;
	return 0;
}

int
vhc_on_get_features(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->offered);
	return 0;
}

/* A front-end that knows nothing of protocol features cannot enable rings: they are on at once. */
static void
enable_all(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		dev->queues[i]->enabled = true;
}

int
vhc_on_set_features(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint64_t wanted = msg->payload.u64, alien = wanted & ~dev->offered;
	bool is_new = !dev->has_features || wanted != dev->features;
	char names[128];
	int rc;

	(void)reply;
	if (alien) {
		dev->status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
		/* QEMU repeats what the guest agreed on with the back-end before this one. */
		return vhc_session_refuse(dev, -EINVAL, "SET_FEATURES: %s was not offered; give"
					  " the port the options it had when the guest's driver"
					  " started, or restart that driver",
					  vhc_device_features_text(dev, alien, names,
								   sizeof(names)));
	}
	/*
	 * QEMU repeats the same word for each queue pair, also while earlier pairs run. A migration
	 * that begins or ends changes LOG_ALL, and nothing else, of a device that runs. A driver
	 * that reset its device may go, and another one come, with the rings left started.
	 */
	if (vhc_device_driver_ready(dev) && any_ring_started(dev) &&
	    ((wanted ^ dev->features) & ~BIT64(VHOST_F_LOG_ALL_BIT)))
		return vhc_session_refuse(dev, -EBUSY,
					  "SET_FEATURES: %s changed while rings are started",
					  vhc_device_features_text(dev, wanted ^ dev->features,
								   names, sizeof(names)));
	rc = vhc_device_set_iommu(dev, dev->cls->stays_inside &&
				  (wanted & BIT64(VIRTIO_F_ACCESS_PLATFORM_BIT)));
	if (rc)
		return vhc_session_refuse(dev, rc, "SET_FEATURES: no room for the IOMMU's table:"
					  " %s", strerror(-rc));
	dev->features = wanted;
	dev->has_features = true;
	/* Another driver begins; or the one whose state was loaded before goes on. */
	if (!any_ring_running(dev) && !dev->session->has_loaded_state)
		vhc_device_forget_commands(dev);
	if (!(wanted & BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT)))
		enable_all(dev);
	if (is_new && dev->ops.features_changed)
		dev->ops.features_changed(dev, wanted, dev->ops_arg);
	return 0;
}

/*
 * QEMU serves the configuration of a network device itself, and prints a warning for every back-end
 * that offers to. It asks before it says SET_OWNER; who has a use for the offer asks after that.
 */
static uint64_t
offered_protocol_features(const struct vhc_device *dev)
{
	bool is_config_ours = dev->is_owned && dev->cls->config;

	return dev->protocol_offered |
	       (is_config_ours ? BIT64(VHOST_USER_PROTOCOL_F_CONFIG_BIT) : 0);
}

int
vhc_on_get_protocol_features(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	reply_u64(reply, offered_protocol_features(dev));
	return 0;
}

int
vhc_on_set_protocol_features(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint64_t alien = msg->payload.u64 & ~offered_protocol_features(dev);
	char names[128];

	(void)reply;
	if (alien)
		return vhc_session_refuse(dev, -EINVAL, "SET_PROTOCOL_FEATURES: %s was not offered",
					  vhc_protocol_features_text(alien, names, sizeof(names)));
	dev->protocol_features = msg->payload.u64;
	return 0;
}

/* Not every front-end sends it, and not always first. */
int
vhc_on_set_owner(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	(void)reply;
	dev->is_owned = true;
	return 0;
}

/* Deprecated; the specification leaves us "disable all rings". */
int
vhc_on_reset_owner(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	(void)reply;
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		dev->queues[i]->enabled = false;
	return 0;
}

/* Like GET_VRING_BASE of all rings, and then everything is forgotten. */
int
vhc_on_reset_device(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	int rc;

	(void)msg;
	(void)reply;
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		dev->queues[i]->started = false;
		vhc_queue_wind_down(dev->queues[i]);
	}
	rc = await_stopping_rings(dev);
	if (rc == 0)
		vhc_device_reset(dev);
	return rc;
}

/*
 * Some front-ends compare this with queue pairs, others with rings. The number of rings satisfies
 * both; a front-end that then wants more pairs than we have is told so when it names such a ring.
 */
int
vhc_on_get_queue_num(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->nr_rings);
	return 0;
}

/*
 * Some front-ends say 0 before they fetch the last ring's index, so 0 must not wipe anything; it
 * merely says that the driver is not ready. A driver that took itself back has its buffers back,
 * too, when it is answered: virtio 1.2 2.4.1.
 */
int
vhc_on_set_status(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)reply;
	if (msg->payload.u64 > UINT8_MAX)
		return vhc_session_refuse(dev, -EINVAL,
					  "SET_STATUS: 0x%" PRIx64 " is no status byte",
					  msg->payload.u64);
	dev->status = (uint8_t)msg->payload.u64;
	if (dev->status & VIRTIO_STATUS_DRIVER_OK)
		dev->passes_driver_ok = true;
	if (vhc_device_driver_ready(dev))
		return 0;
	vhc_device_update(dev);
	return await_stopping_rings(dev);
}

static bool
any_ring_broken(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->running && ld_relaxed(&dev->queues[i]->ring.broken))
			return true;
	return false;
}

/* virtio 1.2 2.1.2: a device that cannot go on says NEEDS_RESET. */
int
vhc_on_get_status(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	reply_u64(reply, dev->status |
		  (any_ring_broken(dev) ? VIRTIO_STATUS_DEVICE_NEEDS_RESET : 0u));
	return 0;
}

int
vhc_on_set_mtu(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint64_t mtu = msg->payload.u64;

	(void)reply;
	if (mtu < VIRTIO_NET_MTU_MIN || mtu > VIRTIO_NET_MTU_MAX)
		return vhc_session_refuse(dev, -EINVAL,
					  "NET_SET_MTU: %" PRIu64 " is outside %d...%d", mtu,
					  VIRTIO_NET_MTU_MIN, VIRTIO_NET_MTU_MAX);
	if (mtu == dev->mtu)
		return 0;
	dev->mtu = (uint16_t)mtu;
	if (dev->ops.mtu_changed)
		dev->ops.mtu_changed(dev, dev->mtu, dev->ops_arg);
	return 0;
}
