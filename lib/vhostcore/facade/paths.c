/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * paths.c - the table of registered paths, and what each is to offer.
 *
 * Knows:   that options are collected until the start, when the server is made of them.
 * Trusts:  the application with its options, as far as they are not checked here.
 * Runs on: any thread. The table's lock is held for moments only, and nothing is called under it.
 */
#include "paths.h"

#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 1024

/* Not in releases that programs for this interface know. */
#define NEWER_FEATURES UINT64_C(0x01c0000000000000)	/* GUEST_USO4, GUEST_USO6, HOST_USO */

#define HOST_SEGMENTATION \
	(BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) | \
	 BIT64(VIRTIO_NET_F_HOST_UFO))

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t table_changed = PTHREAD_COND_INITIALIZER;
static struct facade_port *table;
static unsigned int nr_paths;

/* ---- the table ------------------------------------------------------------------------------ */

/* Needs the lock. */
static struct facade_port *
find(const char *path)
{
	struct facade_port *port = table;

	while (port && strcmp(port->path, path) != 0)
		port = port->next;
	return port;
}

struct facade_port *
vhc_facade_path_get(const char *path)
{
	struct facade_port *port;

	if (!path)
		return NULL;
	pthread_mutex_lock(&table_lock);
	port = find(path);
	if (port)
		port->nr_refs++;
	pthread_mutex_unlock(&table_lock);
	return port;
}

void
vhc_facade_path_put(struct facade_port *port)
{
	bool is_last;

	pthread_mutex_lock(&table_lock);
	is_last = --port->nr_refs == 0;
	pthread_mutex_unlock(&table_lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&port->facts_lock);
	free(port->stats_base);
	free(port);
}

void
vhc_facade_lock_paths(void)
{
	pthread_mutex_lock(&table_lock);
}

void
vhc_facade_unlock_paths(void)
{
	pthread_cond_broadcast(&table_changed);
	pthread_mutex_unlock(&table_lock);
}

bool
vhc_facade_wait_paths(const struct timespec *until)
{
	if (until)
		return pthread_cond_timedwait(&table_changed, &table_lock, until) == 0;
	return pthread_cond_wait(&table_changed, &table_lock) == 0;
}

/* ---- registering ---------------------------------------------------------------------------- */

static int
refuse(const char *path, const char *why)
{
	FACADE_LOG(ERR, path, "%s", why);
	return -1;
}

static int
check(const char *path, uint64_t flags)
{
	if (!*path || strlen(path) >= FACADE_PATH_LEN)
		return refuse(path, "a socket path has 1 to 107 bytes");
	if (flags & RTE_VHOST_USER_ASYNC_COPY)
		return refuse(path, "no asynchronous copies here: register without that flag");
	return 0;
}

static struct facade_port *
port_create(const char *path, uint64_t flags)
{
	struct facade_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	strcpy(port->path, path);
	port->flags = flags;
	port->nr_refs = 1;
	port->vid = -1;
	port->is_net = true;
	port->supported = vhc_class_features(vhc_net_class(), FACADE_RINGS) & ~NEWER_FEATURES;
	if ((flags & RTE_VHOST_USER_LINEARBUF_SUPPORT) && !(flags & RTE_VHOST_USER_EXTBUF_SUPPORT))
		port->supported &= ~HOST_SEGMENTATION;
	if (flags & RTE_VHOST_USER_IOMMU_SUPPORT)
		port->supported |= VHC_FEATURE_ACCESS_PLATFORM;
	port->features = port->supported;
	pthread_mutex_init(&port->facts_lock, NULL);
	if ((flags & RTE_VHOST_USER_NET_STATS_ENABLE) && vhc_facade_stats_init(port) != 0) {
		vhc_facade_path_put(port);
		return NULL;
	}
	return port;
}

/* Needs the lock. NULL, or why not. */
static const char *
insert(struct facade_port *port)
{
	if (find(port->path))
		return "this path is registered already";
	if (nr_paths == PATHS_MAX)
		return "1024 paths are registered, and no more are possible";
	port->next = table;
	table = port;
	nr_paths++;
	return NULL;
}

FACADE_API int
rte_vhost_driver_register(const char *path, uint64_t flags)
{
	struct facade_port *port;
	const char *why;

	if (!path || check(path, flags) != 0)
		return -1;
	port = port_create(path, flags);
	if (!port)
		return refuse(path, "out of memory");
	pthread_mutex_lock(&table_lock);
	why = insert(port);
	pthread_mutex_unlock(&table_lock);
	if (!why)
		return 0;
	vhc_facade_path_put(port);
	return refuse(path, why);
}

static void
remove_port(struct facade_port *port)
{
	struct facade_port **link = &table;

	pthread_mutex_lock(&table_lock);
	while (*link != port)
		link = &(*link)->next;
	*link = port->next;
	nr_paths--;
	pthread_mutex_unlock(&table_lock);
}

/* The path stays taken until its socket is gone. */
FACADE_API int
rte_vhost_driver_unregister(const char *path)
{
	struct facade_port *port;

	if (!path)
		return -1;
	if (vhc_facade_in_callback())
		return refuse(path, "a callback cannot unregister a path: do it on another thread");
	pthread_mutex_lock(&table_lock);
	port = find(path);
	if (port && port->is_ending)
		port = NULL;
	if (port)
		port->is_ending = true;
	while (port && port->progress == FACADE_STARTING)
		pthread_cond_wait(&table_changed, &table_lock);
	pthread_mutex_unlock(&table_lock);
	if (!port)
		return -1;
	if (port->server)
		vhc_server_destroy(port->server);
	vhc_facade_hardware_destroy(port);
	remove_port(port);
	vhc_facade_path_put(port);
	return 0;
}

FACADE_API int
rte_vhost_driver_callback_register(const char *path, struct rte_vhost_device_ops const * const ops)
{
	struct facade_port *port = ops ? vhc_facade_path_get(path) : NULL;
	int rc = -1;

	if (!port)
		return -1;
	pthread_mutex_lock(&table_lock);
	if (port->progress == FACADE_IDLE) {
		port->ops = ops;
		rc = 0;
	}
	pthread_mutex_unlock(&table_lock);
	vhc_facade_path_put(port);
	return rc ? refuse(path, "callbacks are registered before the start") : 0;
}
