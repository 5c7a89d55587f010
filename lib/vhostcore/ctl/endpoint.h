/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * endpoint.h - what the two kinds of endpoint, listener and connector, tell their owner.
 *
 * Knows:   connected sockets.
 * Trusts:  nothing of whoever is at the other end.
 * Runs on: with the loop's lock held.
 */
#ifndef VHC_CTL_ENDPOINT_H
#define VHC_CTL_ENDPOINT_H

#include <sys/types.h>

struct endpoint_ops {
	/* A connection; the socket is the owner's from now on. */
	void (*connected)(int sock, pid_t peer, void *arg);
	/* The sentence that says why there is no connection; called when it changes. */
	void (*explain)(const char *why, void *arg);
};

#endif
