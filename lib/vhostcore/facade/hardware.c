/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hardware.c - a driver of rte_vdpa.h's kind as the library wants it: between its operations, which
 * know vids, and the library's, which know devices.
 *
 * Knows:   vdpa_driver.h, vhostcore_vdpa.h.
 * Trusts:  drivers.
 * Runs on: control thread; what is not of a connected front-end on any.
 */
#include <errno.h>
#include <string.h>

#include <dev_driver.h>
#include <vdpa_driver.h>
#include <vhostcore_vdpa.h>

#include "facade.h"
#include "mask.h"

#define CONFIG_LEN 256
#define CONFIG_FLAG_MIGRATION 1

static const struct rte_vdpa_dev_ops *
ops_of(const struct facade_port *port)
{
	return port->vdpa->ops;
}

/* ---- what it is ----------------------------------------------------------------------------- */

/* Drivers count pairs of a network device, rings of others. */
static int
nr_rings(void *arg, uint16_t *nr)
{
	const struct facade_port *port = arg;
	uint32_t nr_queues;

	if (rte_vdpa_get_queue_num(port->vdpa, &nr_queues) < 0)
		return -EIO;
	if (port->vdpa->type == RTE_VHOST_VDPA_DEVICE_TYPE_NET)
		nr_queues = 2 * RTE_MIN(nr_queues, (uint32_t)FACADE_PAIRS);
	*nr = (uint16_t)RTE_MIN(nr_queues, (uint32_t)FACADE_RINGS);
	return 0;
}

static int
features(void *arg, uint64_t *bits)
{
	const struct facade_port *port = arg;

	*bits = port->features;
	return vhc_facade_vdpa_mask(port->vdpa, bits, NULL) ? -EIO : 0;
}

static int
protocol_features(void *arg, uint64_t *bits)
{
	const struct facade_port *port = arg;

	*bits = port->has_protocol_features ? port->protocol_features : UINT64_MAX;
	return vhc_facade_vdpa_mask(port->vdpa, NULL, bits) ? -EIO : 0;
}

static int
device_type(void *arg, uint32_t *type)
{
	const struct facade_port *port = arg;

	*type = port->vdpa->type == RTE_VHOST_VDPA_DEVICE_TYPE_BLK ? VHC_VDPA_TYPE_BLOCK :
								     VHC_VDPA_TYPE_NET;
	return 0;
}

/* ---- what it does --------------------------------------------------------------------------- */

static int
dev_conf(struct vhc_device *dev, void *arg)
{
	struct facade_port *port = arg;
	int rc;

	(void)dev;
	vhc_facade_enter_callback();
	rc = ops_of(port)->dev_conf(port->vid);
	vhc_facade_leave_callback();
	return rc ? -EIO : 0;
}

static void
dev_close(struct vhc_device *dev, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	vhc_facade_enter_callback();
	ops_of(port)->dev_close(port->vid);
	vhc_facade_leave_callback();
}

static int
set_vring_state(struct vhc_device *dev, uint16_t ring, bool enabled, void *arg)
{
	struct facade_port *port = arg;
	int rc;

	(void)dev;
	vhc_facade_enter_callback();
	rc = ops_of(port)->set_vring_state(port->vid, ring, enabled);
	vhc_facade_leave_callback();
	return rc ? -EIO : 0;
}

static int
set_features(struct vhc_device *dev, uint64_t bits, void *arg)
{
	struct facade_port *port = arg;
	int rc;

	(void)dev;
	(void)bits;	/* the driver asks for them */
	vhc_facade_enter_callback();
	rc = ops_of(port)->set_features(port->vid);
	vhc_facade_leave_callback();
	return rc ? -EIO : 0;
}

static void
migration_done(struct vhc_device *dev, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	if (!ops_of(port)->migration_done)
		return;
	vhc_facade_enter_callback();
	ops_of(port)->migration_done(port->vid);
	vhc_facade_leave_callback();
}

/* Drivers give the space from its beginning. */
static int
config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	struct facade_port *port = arg;
	uint8_t space[CONFIG_LEN] = { 0 };

	(void)dev;
	if (!ops_of(port)->get_config)
		return -ENOTSUP;
	if (offset > CONFIG_LEN || len > CONFIG_LEN - offset)
		return -EINVAL;
	if (ops_of(port)->get_config(port->vid, space, offset + len) < 0)
		return -EIO;
	memcpy(bytes, space + offset, len);
	return 0;
}

static int
config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	   bool is_migration, void *arg)
{
	struct facade_port *port = arg;
	uint8_t copy[CONFIG_LEN];

	(void)dev;
	if (!ops_of(port)->set_config)
		return -ENOTSUP;
	if (len > CONFIG_LEN)
		return -EINVAL;
	memcpy(copy, bytes, len);
	return ops_of(port)->set_config(port->vid, copy, offset, len,
					is_migration ? CONFIG_FLAG_MIGRATION : 0) < 0 ? -EIO : 0;
}

static int
notify_area(struct vhc_device *dev, uint16_t ring, struct vhc_vdpa_area *area, void *arg)
{
	struct facade_port *port = arg;
	const struct rte_vdpa_dev_ops *ops = ops_of(port);

	(void)dev;
	if (!ops->get_vfio_device_fd || !ops->get_notify_area)
		return -ENOTSUP;
	area->fd = ops->get_vfio_device_fd(port->vid);
	if (area->fd < 0 ||
	    ops->get_notify_area(port->vid, ring, &area->offset, &area->size) < 0)
		return -ENOTSUP;
	return 0;
}

static const struct vhc_vdpa_ops adapter = {
	.nr_rings = nr_rings,
	.features = features,
	.protocol_features = protocol_features,
	.dev_conf = dev_conf,
	.dev_close = dev_close,
	.set_vring_state = set_vring_state,
	.set_features = set_features,
	.migration_done = migration_done,
	.config_get = config_get,
	.config_set = config_set,
	.notify_area = notify_area,
	.device_type = device_type,
};

int
vhc_facade_hardware_create(struct facade_port *port)
{
	if (!port->vdpa)
		return 0;
	return vhc_vdpa_register(port->vdpa->device->name, &adapter, port, &port->hardware);
}

void
vhc_facade_hardware_destroy(struct facade_port *port)
{
	if (port->hardware)
		vhc_vdpa_unregister(port->hardware);
	port->hardware = NULL;
}

/* ---- what drivers ask for ------------------------------------------------------------------- */

FACADE_API int
rte_vhost_host_notifier_ctrl(int vid, uint16_t qid, bool enable)
{
	struct facade_port *port = facade_port_of(vid);
	int rc;

	if (!port || !port->hardware)
		return -ENODEV;
	if (qid != RTE_VHOST_QUEUE_ALL && qid >= vhc_facade_nr_rings(port))
		return -EINVAL;
	rc = vhc_vdpa_notify_host(port->device, qid == RTE_VHOST_QUEUE_ALL ? VHC_NO_RING : qid,
				  enable);
	return rc == 0 || rc == -ENOTSUP || rc == -EINVAL ? rc : -EFAULT;
}

FACADE_API int
rte_vdpa_relay_vring_used(int vid, uint16_t qid, void *vring_m)
{
	struct facade_port *port = facade_port_of(vid);
	const struct vring *shadow = vring_m;
	int rc;

	if (!port || !port->hardware || !shadow || qid >= vhc_facade_nr_rings(port))
		return -1;
	rc = vhc_vdpa_relay_used(port->device, qid, shadow->used);
	return rc < 0 ? -1 : rc;
}
