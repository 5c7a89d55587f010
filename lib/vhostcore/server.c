/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.c - one socket path and the device served on it.
 *
 * Knows:   the two kinds of endpoint, and that a device takes one front-end at a time.
 * Trusts:  the application's options no further than checked below.
 * Runs on: API calls on any thread, under the loop's lock; everything else on the control thread.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/gate.h"
#include "base/log.h"
#include "ctl/connector.h"
#include "ctl/listener.h"
#include "device.h"
#include "postcopy.h"
#include "vhostcore_loop.h"

#define NAME_LEN sizeof(((struct vhc_device_info *)0)->name)
#define RINGS_MAX 256

struct vhc_server {
	char name[NAME_LEN];
	char path[SOCK_PATH_LEN];
	enum vhc_role role;
	struct loop *loop;
	struct vhc_device *dev;

	/* Below: guarded by the loop's lock. The role says which endpoint is in use. */
	struct listener listener;
	struct connector connector;
	bool is_started;
	bool is_ending;			/* being destroyed: no new connections */
	bool no_reconnect;
	struct log_limit refusals;
	char why[VHC_WHY_LEN];
};

/* ---- what the endpoints tell ---------------------------------------------------------------- */

static void
on_explain(const char *why, void *arg)
{
	struct vhc_server *server = arg;

	if (strncmp(server->why, why, sizeof(server->why) - 1) == 0)
		return;
	snprintf(server->why, sizeof(server->why), "%s", why);
	vhc_device_explain(server->dev);
}

static void
refuse_newcomer(struct vhc_server *server, int sock, pid_t peer)
{
	char who[SOCK_PEER_LEN];

	close(sock);
	if (vhc_log_allows(&server->refusals, server->name))
		log_warn(server->name, "%s connected to %s and was turned away: a front-end is"
			 " attached already", vhc_sock_peer_text(peer, who), server->path);
}

static void
on_connected(int sock, pid_t peer, void *arg)
{
	struct vhc_server *server = arg;

	/* The one we have may be gone without our having read the end of its stream yet. */
	if (vhc_device_is_attached(server->dev))
		vhc_device_poll_socket(server->dev);
	if (vhc_device_is_attached(server->dev)) {
		refuse_newcomer(server, sock, peer);
		return;
	}
	/* True from the moment this connection ends; why the attempts before failed is history. */
	if (server->role == VHC_ROLE_CLIENT)
		snprintf(server->why, sizeof(server->why), "connecting to %s again", server->path);
	if (vhc_device_attach(server->dev, sock, peer))
		vhc_server_detached(server);
}

static const struct endpoint_ops endpoint_ops = {
	.connected = on_connected,
	.explain = on_explain,
};

/* ---- what the device asks and tells --------------------------------------------------------- */

void
vhc_server_detached(struct vhc_server *server)
{
	if (server->role != VHC_ROLE_CLIENT || server->is_ending)
		return;
	if (server->no_reconnect)
		on_explain("the connection ended, and no other was to be made", server);
	else
		vhc_connector_reconnect(&server->connector);
}

void
vhc_server_why(const struct vhc_server *server, char *why)
{
	memcpy(why, server->why, sizeof(server->why));
}

/* ---- API ------------------------------------------------------------------------------------ */

static int
refuse_option(const struct vhc_server_opts *opts, int err, const char *why)
{
	log_err(opts->name, "%s", why);
	return err;
}

static int
check_opts(const struct vhc_server_opts *opts)
{
	if (!opts->name || !*opts->name || strlen(opts->name) >= NAME_LEN)
		return refuse_option(opts, -EINVAL, "a server's name must have 1 to 63 bytes");
	if (!opts->path || !*opts->path)
		return refuse_option(opts, -EINVAL, "the socket path is missing");
	if (strlen(opts->path) >= SOCK_PATH_LEN)
		return refuse_option(opts, -ENAMETOOLONG, "the socket path is longer than the 107"
				     " bytes that are possible; choose a shorter one");
	if (opts->role != VHC_ROLE_SERVER && opts->role != VHC_ROLE_CLIENT)
		return refuse_option(opts, -EINVAL, "the role is neither server nor client");
	if (opts->nr_rings < 1 || opts->nr_rings > RINGS_MAX)
		return refuse_option(opts, -EINVAL, "the number of rings must be 1 to 256");
	if (opts->nr_vital_rings > opts->nr_rings)
		return refuse_option(opts, -EINVAL, "more rings are vital than there are");
	if (opts->control_thread >= VHC_CONTROL_THREADS_MAX)
		return refuse_option(opts, -EINVAL, "the control thread's number must be 0 to 15");
	if (opts->cls && opts->raw_rings)
		return refuse_option(opts, -EINVAL, "the rings of a class are the class's to work");
	if (!opts->cls && !opts->raw_rings && (opts->features_on & VHC_FEATURE_ACCESS_PLATFORM))
		return refuse_option(opts, -EINVAL, "ACCESS_PLATFORM cannot be offered: requests"
				     " outlive what a guest's IOMMU permits");
	return 0;
}

static int
check_postcopy(const struct vhc_server_opts *opts)
{
	char reason[REGION_REASON_LEN];
	int rc = opts->postcopy ? vhc_postcopy_probe(opts->cls, reason) : 0;

	return rc ? refuse_option(opts, rc, reason) : 0;
}

static int
setup_gates(const char *name)
{
	int rc = vhc_gate_setup();

	if (rc == 0)
		return 0;
	log_err(name, "this kernel has no private expedited membarrier(2) (%s); Linux 4.14 or later"
		" is needed", strerror(-rc));
	return -ENOSYS;
}

static struct vhc_server *
server_alloc(const struct vhc_server_opts *opts)
{
	struct vhc_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	strcpy(server->name, opts->name);
	strcpy(server->path, opts->path);
	server->role = opts->role;
	server->no_reconnect = opts->no_reconnect;
	strcpy(server->why, "not started");
	return server;
}

VHC_API int
vhc_server_create(const struct vhc_server_opts *opts, struct vhc_server **out)
{
	char text[FD_ERROR_LEN];
	struct vhc_server *server;
	int rc;

	if (opts->vdpa && opts->postcopy)
		return refuse_option(opts, -EINVAL, "hardware cannot wait for pages of the guest's"
				     " memory: a vDPA device has no postcopy");
	if (opts->vdpa)
		return vhc_vdpa_create_server(opts, out);
	rc = check_opts(opts);
	if (rc == 0)
		rc = check_postcopy(opts);
	if (rc)
		return rc;
	rc = setup_gates(opts->name);
	if (rc)
		return rc;
	server = server_alloc(opts);
	if (!server)
		return -ENOMEM;
	rc = vhc_loop_get(opts->control_thread, &server->loop);
	if (rc) {
		log_err(opts->name, "cannot start the control thread: %s",
			vhc_fd_error_text(rc, text));
		goto err_server;
	}
	vhc_listener_init(&server->listener, server->loop, &endpoint_ops, server);
	vhc_connector_init(&server->connector, server->loop, &endpoint_ops, server);
	vhc_loop_lock(server->loop);
	rc = vhc_device_create(opts, server, server->loop, &server->dev);
	vhc_loop_unlock(server->loop);
	if (rc) {
		log_err(opts->name, "cannot make the device: %s", vhc_fd_error_text(rc, text));
		goto err_loop;
	}
	*out = server;
	return 0;

err_loop:
	vhc_loop_put(server->loop);
err_server:
	free(server);
	return rc;
}

/* True from the start, for who is connected at once. */
static int
open_endpoint(struct vhc_server *server, char *reason)
{
	server->is_started = true;
	if (server->role == VHC_ROLE_SERVER)
		return vhc_listener_open(&server->listener, server->path, reason);
	if (server->no_reconnect)
		return vhc_connector_once(&server->connector, server->path, reason);
	vhc_connector_open(&server->connector, server->path);
	return 0;
}

static int
start_locked(struct vhc_server *server)
{
	char reason[SOCK_REASON_LEN];
	int rc;

	if (server->is_started)
		return -EALREADY;
	rc = open_endpoint(server, reason);
	if (rc) {
		log_err(server->name, "%s", reason);
		server->is_started = false;
	}
	return rc;
}

VHC_API int
vhc_server_start(struct vhc_server *server)
{
	int rc;

	vhc_loop_lock(server->loop);
	rc = start_locked(server);
	vhc_loop_unlock(server->loop);
	return rc;
}

/* One that is connected is the only one there will be. */
static int
take_descriptor(struct vhc_server *server, int fd, char *reason)
{
	bool is_listening;
	pid_t peer;
	int rc = vhc_sock_adopt(fd, &is_listening, &peer, reason);

	if (rc)
		return rc;
	if (is_listening)
		return vhc_listener_adopt(&server->listener, fd, reason);
	snprintf(server->why, sizeof(server->why), "the front-end of descriptor %d has gone, and"
		 " no other can come", fd);
	rc = vhc_device_attach(server->dev, fd, peer);
	if (rc)
		snprintf(reason, SOCK_REASON_LEN, "descriptor %d: %s", fd, strerror(-rc));
	return rc;
}

static int
start_fd_locked(struct vhc_server *server, int fd)
{
	char reason[SOCK_REASON_LEN];
	int rc;

	if (server->is_started)
		return -EALREADY;
	rc = take_descriptor(server, fd, reason);
	server->is_started = rc == 0;
	if (rc)
		log_err(server->name, "%s", reason);
	return rc;
}

VHC_API int
vhc_server_start_fd(struct vhc_server *server, int fd)
{
	int rc;

	vhc_loop_lock(server->loop);
	rc = start_fd_locked(server, fd);
	vhc_loop_unlock(server->loop);
	return rc;
}

VHC_API void
vhc_server_destroy(struct vhc_server *server)
{
	vhc_assert(!vhc_loop_is_current(server->loop));
	vhc_loop_lock(server->loop);
	server->is_ending = true;
	vhc_listener_close(&server->listener);
	vhc_connector_close(&server->connector);
	vhc_device_destroy(server->dev);
	vhc_loop_unlock(server->loop);
	vhc_loop_put(server->loop);
	free(server);
}

VHC_API struct vhc_device *
vhc_server_device(struct vhc_server *server)
{
	return server->dev;
}
