/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa_path.c - a path and its vDPA device.
 *
 * Knows:   vdpa_driver.h.
 * Trusts:  drivers.
 * Runs on: any thread.
 */
#include <errno.h>

#include <dev_driver.h>
#include <vdpa_driver.h>

#include "paths.h"

static int
set_device(const char *path, struct rte_vdpa_device *dev)
{
	struct facade_port *port = vhc_facade_path_get(path);
	int rc = -1;

	if (!port)
		return -1;
	vhc_facade_lock_paths();
	if (port->progress == FACADE_IDLE) {
		port->vdpa = dev;
		rc = 0;
	}
	vhc_facade_unlock_paths();
	if (rc != 0)
		FACADE_LOG(ERR, path, "a vDPA device comes and goes before the start");
	vhc_facade_path_put(port);
	return rc;
}

FACADE_API int
rte_vhost_driver_attach_vdpa_device(const char *path, struct rte_vdpa_device *dev)
{
	return dev ? set_device(path, dev) : -1;
}

FACADE_API int
rte_vhost_driver_detach_vdpa_device(const char *path)
{
	return set_device(path, NULL);
}

FACADE_API struct rte_vdpa_device *
rte_vhost_driver_get_vdpa_device(const char *path)
{
	struct facade_port *port = vhc_facade_path_get(path);
	struct rte_vdpa_device *dev = port ? port->vdpa : NULL;

	if (port)
		vhc_facade_path_put(port);
	return dev;
}

FACADE_API int
rte_vhost_driver_get_vdpa_dev_type(const char *path, uint32_t *type)
{
	struct rte_vdpa_device *dev = type ? rte_vhost_driver_get_vdpa_device(path) : NULL;

	if (!dev)
		return -1;
	*type = dev->type;
	return 0;
}

FACADE_API struct rte_vdpa_device *
rte_vhost_get_vdpa_device(int vid)
{
	struct facade_port *port = facade_port_of(vid);

	return port ? port->vdpa : NULL;
}
