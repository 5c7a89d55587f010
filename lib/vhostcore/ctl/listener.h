/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - the endpoint of the server role: we listen, front-ends connect.
 *
 * Knows:   a listening socket and the loop. Whether a newcomer is welcome is the owner's business.
 * Trusts:  nothing of whoever connects.
 * Runs on: control thread; open and close on any thread that holds the loop's lock.
 */
#ifndef VHC_CTL_LISTENER_H
#define VHC_CTL_LISTENER_H

#include "../wire/sock.h"
#include "endpoint.h"
#include "loop.h"

struct listener {
	struct loop *loop;
	struct sock_listener sock;
	uint64_t watch;
	uint64_t pause_timer;	/* runs while we do not accept, for want of descriptors or memory */
	const struct endpoint_ops *ops;
	void *ops_arg;
};

/* Nothing is open yet; vhc_listener_close() may be called from now on. */
void vhc_listener_init(struct listener *l, struct loop *loop, const struct endpoint_ops *ops,
		       void *ops_arg);

/* Listen on `path`. -errno of vhc_sock_listen(), with its `reason` (SOCK_REASON_LEN bytes). */
int vhc_listener_open(struct listener *l, const char *path, char *reason) VHC_MUST_USE;

/* The same with a socket that listens already; on success it is the listener's. */
int vhc_listener_adopt(struct listener *l, int fd, char *reason) VHC_MUST_USE;

/* Stop, and remove our socket file. Idempotent. */
void vhc_listener_close(struct listener *l);

#endif
