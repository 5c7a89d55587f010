/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * start.c - a path's options become a server.
 *
 * Knows:   what applications hold while they start a path (see facade.h): a callback of another
 *          path may be waiting for that, and we for the callback.
 * Trusts:  the library to say why a socket cannot be made.
 * Runs on: any thread; the server is made on an EAL control thread, so that the library's threads
 *          stay off the polling cores.
 */
#include <errno.h>
#include <string.h>

#include <rte_lcore.h>

#include "paths.h"

/* A callback that runs for longer than this may be waiting for who waits for its end. */
#define PATIENCE_MS 200

/* ---- the server ----------------------------------------------------------------------------- */

/* The end of the path tells ports apart better than its beginning. */
static const char *
name_of(const struct facade_port *port)
{
	size_t len = strlen(port->path);

	return len < 64 ? port->path : port->path + len - 63;
}

static struct vhc_server_opts
options_of(struct facade_port *port)
{
	bool is_net = port->is_net && !port->vdpa;
	const struct vhc_class *cls = is_net ? vhc_net_class() : NULL;
	/* What hardware has it says itself, less what the path does not offer: hardware.c. */
	uint64_t all = port->vdpa ? port->features : vhc_class_features(cls, FACADE_RINGS);
	uint64_t iommu = port->flags & RTE_VHOST_USER_IOMMU_SUPPORT ?
			 VHC_FEATURE_ACCESS_PLATFORM : 0;

	return (struct vhc_server_opts){
		.name = name_of(port),
		.path = port->path,
		.role = port->flags & RTE_VHOST_USER_CLIENT ? VHC_ROLE_CLIENT : VHC_ROLE_SERVER,
		.nr_rings = port->vdpa ? 0 : FACADE_RINGS,
		.vdpa = port->hardware,
		.cls = cls,
		.features_off = (all | iommu) & ~port->features,
		.features_on = is_net ? iommu : port->features & ~all,
		.raw_rings = !is_net && !port->vdpa,
		.no_reconnect = port->flags & RTE_VHOST_USER_NO_RECONNECT,
		.postcopy = port->flags & RTE_VHOST_USER_POSTCOPY_SUPPORT && !port->vdpa,
		.ops = &vhc_facade_device_ops,
		.ops_arg = port,
	};
}

static void
on_call(struct vhc_queue *q, void *arg)
{
	struct facade_port *port = arg;
	int vid = port->vid;

	(void)q;
	if (vid >= 0)
		port->ops->guest_notified(vid);
}

static void
setup_net_ring(struct facade_port *port, struct vhc_queue *q, uint16_t ring)
{
	const struct vhc_net_push_conf push = { .keep = true };
	const struct vhc_net_pull_conf pull = {
		.port = RTE_MBUF_PORT_INVALID,
		.csum_flags = true,
		.legacy_flags = !(port->flags & RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS),
		.linear = port->flags & RTE_VHOST_USER_LINEARBUF_SUPPORT,
		.ext_buffers = port->flags & RTE_VHOST_USER_EXTBUF_SUPPORT,
	};

	if (ring & 1)
		vhc_net_pull_setup(q, &pull);
	else
		vhc_net_push_setup(q, &push);
	if (port->ops->guest_notified)
		vhc_net_on_call(q, on_call, port);
}

static void
setup_rings(struct facade_port *port)
{
	bool is_net = port->is_net && !port->vdpa;

	for (uint16_t ring = 0; ring < FACADE_RINGS; ring++) {
		port->rings.queue[ring] = vhc_device_queue(port->device, ring);
		if (is_net)
			setup_net_ring(port, port->rings.queue[ring], ring);
	}
	port->rings.nr_net = is_net ? FACADE_RINGS : 0;
}

int
vhc_facade_server_start(struct facade_port *port)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct vhc_server_opts opts;
	struct vhc_server *server;
	int rc;

	pthread_once(&once, vhc_facade_set_log);
	if ((port->flags & RTE_VHOST_USER_IOMMU_SUPPORT) && (!port->is_net || port->vdpa)) {
		FACADE_LOG(ERR, port->path, "IOMMU support is for network devices whose rings the"
			   " library works: register without that flag");
		return -ENOTSUP;
	}
	rc = vhc_facade_hardware_create(port);
	if (rc)
		return rc;
	opts = options_of(port);
	rc = vhc_server_create(&opts, &server);
	if (rc) {
		vhc_facade_hardware_destroy(port);
		return rc;
	}
	port->device = vhc_server_device(server);
	setup_rings(port);
	if (port->has_protocol_features)
		rc = vhc_server_set_protocol_features(server, port->protocol_features);
	if (rc == 0)
		rc = vhc_server_start(server);
	if (rc) {
		vhc_server_destroy(server);
		vhc_facade_hardware_destroy(port);
		return rc;
	}
	port->server = server;
	return 0;
}

/* ---- on a thread of its own ----------------------------------------------------------------- */

static void *
run_start(void *arg)
{
	struct facade_port *port = arg;
	int rc = vhc_facade_server_start(port);

	if (rc)
		FACADE_LOG(ERR, port->path, "cannot be started: %s", strerror(-rc));
	vhc_facade_lock_paths();
	port->progress = rc ? FACADE_IDLE : FACADE_STARTED;
	vhc_facade_unlock_paths();
	vhc_facade_path_put(port);
	return NULL;
}

static struct timespec
soon(void)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += PATIENCE_MS * 1000000L;
	at.tv_sec += at.tv_nsec / 1000000000L;
	at.tv_nsec %= 1000000000L;
	return at;
}

/* True: it is known how it went. Locked. */
static bool
wait_started(const struct facade_port *port)
{
	while (port->progress == FACADE_STARTING) {
		unsigned int turn = vhc_facade_callback_turn();
		struct timespec until = soon();

		while (port->progress == FACADE_STARTING && vhc_facade_wait_paths(&until))
			;
		if (port->progress == FACADE_STARTING && (turn & 1) &&
		    turn == vhc_facade_callback_turn())
			return false;
	}
	return true;
}

static void
launch(struct facade_port *port)
{
	pthread_t thread;

	if (rte_ctrl_thread_create(&thread, "vhost-start", NULL, run_start, port) == 0)
		pthread_detach(thread);
	else
		run_start(port);
}

/* Locked. False: it cannot begin now. */
static bool
begin_start(struct facade_port *port)
{
	if (!port->ops || port->is_ending || port->progress != FACADE_IDLE)
		return false;
	port->progress = FACADE_STARTING;
	port->nr_refs++;
	return true;
}

static int
start(struct facade_port *port)
{
	bool is_known, is_started;

	vhc_facade_lock_paths();
	if (!begin_start(port)) {
		vhc_facade_unlock_paths();
		FACADE_LOG(ERR, port->path, "%s", port->ops ? "started already" :
			   "no callbacks are registered");
		return -1;
	}
	vhc_facade_unlock_paths();
	launch(port);
	vhc_facade_lock_paths();
	/* In a callback there is nothing to wait for: it ends after us. */
	is_known = !vhc_facade_in_callback() && wait_started(port);
	is_started = port->progress == FACADE_STARTED;
	vhc_facade_unlock_paths();
	if (!is_known)
		FACADE_LOG(NOTICE, port->path, "starts when the callback that runs is over");
	return is_started || !is_known ? 0 : -1;
}

FACADE_API int
rte_vhost_driver_start(const char *path)
{
	struct facade_port *port = vhc_facade_path_get(path);
	int rc;

	if (!port)
		return -1;
	rc = start(port);
	vhc_facade_path_put(port);
	return rc;
}
