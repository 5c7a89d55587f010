/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector.h - the endpoint of the client role: the front-end listens, we connect and reconnect.
 *
 * Knows:   a path, the loop, who tells of files that appear. Goes on trying for ever: at once when
 *          the socket file appears, else less and less often, down to once a second.
 * Trusts:  nothing of whoever listens; one that accepts and hangs up is tried ever less often.
 * Runs on: control thread; every function on any thread that holds the loop's lock.
 */
#ifndef VHC_CTL_CONNECTOR_H
#define VHC_CTL_CONNECTOR_H

#include "../wire/sock.h"
#include "appear.h"
#include "endpoint.h"
#include "loop.h"

struct connector {
	struct loop *loop;
	char path[SOCK_PATH_LEN];
	int last_error;			/* the one explained last; 0: none since it was connected */
	unsigned int delay_ms;		/* before the next attempt */
	unsigned int jitter_seed;
	uint64_t connected_ms;		/* when, CLOCK_MONOTONIC */
	uint64_t retry_timer;
	struct appear_wait wait;	/* for the socket file, while not connected */
	const struct endpoint_ops *ops;
	void *ops_arg;
};

/* Nothing is tried yet; vhc_connector_close() may be called from now on. */
void vhc_connector_init(struct connector *c, struct loop *loop, const struct endpoint_ops *ops,
			void *ops_arg);

/* Try now, and keep trying. */
void vhc_connector_open(struct connector *c, const char *path);

/* Try now, and never again. 0, or -errno and a sentence (SOCK_REASON_LEN). */
int vhc_connector_once(struct connector *c, const char *path, char *reason) VHC_MUST_USE;

/* The connection it made is gone: make another one, after this call returned. */
void vhc_connector_reconnect(struct connector *c);

/* Stop trying. Idempotent. */
void vhc_connector_close(struct connector *c);

#endif
