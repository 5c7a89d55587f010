/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offers.c - what a path offers to front-ends.
 *
 * Knows:   that before the start it is only noted, and then the server's.
 * Trusts:  the application with the features of a device it makes itself.
 * Runs on: any thread.
 */
#include <rte_vdpa.h>

#include "mask.h"
#include "paths.h"

/* What the library serves by itself, whatever the device; known once there is a server. */
static uint64_t
default_protocol_features(const struct facade_port *port)
{
	bool has_postcopy = port->flags & RTE_VHOST_USER_POSTCOPY_SUPPORT;

	return BIT64(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |
	       (has_postcopy ? BIT64(VHOST_USER_PROTOCOL_F_PAGEFAULT) : 0) |
	       BIT64(VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD) |
	       BIT64(VHOST_USER_PROTOCOL_F_HOST_NOTIFIER) |
	       BIT64(VHOST_USER_PROTOCOL_F_MQ) | BIT64(VHOST_USER_PROTOCOL_F_RARP) |
	       BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT64(VHOST_USER_PROTOCOL_F_NET_MTU) |
	       BIT64(VHOST_USER_PROTOCOL_F_SLAVE_REQ) | BIT64(VHOST_USER_PROTOCOL_F_STATUS);
}

/* Note it; the server is told afterwards, without the lock, if there is one. */
static int
change(const char *path, uint64_t add, uint64_t remove)
{
	struct facade_port *port = vhc_facade_path_get(path);
	struct vhc_server *server;
	int rc = 0;

	if (!port)
		return -1;
	vhc_facade_lock_paths();
	if (add & ~port->supported)
		rc = -1;
	else if (port->progress == FACADE_IDLE)
		port->features = (port->features | add) & ~remove;
	server = port->server;
	vhc_facade_unlock_paths();
	if (rc == 0 && server)
		rc = add ? vhc_server_enable_features(server, add) :
			   vhc_server_disable_features(server, remove);
	if (rc == 0 && server) {
		vhc_facade_lock_paths();
		port->features = (port->features | add) & ~remove;
		vhc_facade_unlock_paths();
	}
	vhc_facade_path_put(port);
	return rc ? -1 : 0;
}

FACADE_API int
rte_vhost_driver_enable_features(const char *path, uint64_t features)
{
	return change(path, features, 0);
}

FACADE_API int
rte_vhost_driver_disable_features(const char *path, uint64_t features)
{
	return change(path, 0, features);
}

FACADE_API int
rte_vhost_driver_set_features(const char *path, uint64_t features)
{
	struct facade_port *port = vhc_facade_path_get(path);
	int rc = -1;

	if (!port)
		return -1;
	vhc_facade_lock_paths();
	if (port->progress == FACADE_IDLE) {
		port->supported = port->features = features;
		port->is_net = false;
		rc = 0;
	}
	vhc_facade_unlock_paths();
	if (rc != 0)
		FACADE_LOG(ERR, path, "features are set before the start");
	vhc_facade_path_put(port);
	return rc;
}

FACADE_API int
rte_vhost_driver_get_features(const char *path, uint64_t *features)
{
	struct facade_port *port = features ? vhc_facade_path_get(path) : NULL;
	int rc;

	if (!port)
		return -1;
	*features = port->features;
	rc = vhc_facade_vdpa_mask(port->vdpa, features, NULL);
	vhc_facade_path_put(port);
	return rc;
}

FACADE_API int
rte_vhost_driver_set_protocol_features(const char *path, uint64_t protocol_features)
{
	struct facade_port *port = vhc_facade_path_get(path);
	int rc = -1;

	if (!port)
		return -1;
	vhc_facade_lock_paths();
	if (port->progress == FACADE_IDLE) {
		port->protocol_features = protocol_features;
		port->has_protocol_features = true;
		rc = 0;
	}
	vhc_facade_unlock_paths();
	if (rc != 0)
		FACADE_LOG(ERR, path, "protocol features are set before the start");
	vhc_facade_path_put(port);
	return rc;
}

FACADE_API int
rte_vhost_driver_get_protocol_features(const char *path, uint64_t *protocol_features)
{
	struct facade_port *port = protocol_features ? vhc_facade_path_get(path) : NULL;
	int rc;

	if (!port)
		return -1;
	*protocol_features = port->has_protocol_features ? port->protocol_features :
							   default_protocol_features(port);
	rc = vhc_facade_vdpa_mask(port->vdpa, NULL, protocol_features);
	vhc_facade_path_put(port);
	return rc;
}

FACADE_API int
rte_vhost_driver_get_queue_num(const char *path, uint32_t *queue_num)
{
	struct facade_port *port = queue_num ? vhc_facade_path_get(path) : NULL;
	int rc = 0;

	if (!port)
		return -1;
	*queue_num = FACADE_PAIRS;
	if (port->vdpa)
		rc = rte_vdpa_get_queue_num(port->vdpa, queue_num);
	*queue_num = RTE_MIN(*queue_num, (uint32_t)FACADE_PAIRS);
	vhc_facade_path_put(port);
	return rc < 0 ? -1 : 0;
}
