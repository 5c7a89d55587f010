/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - accept front-ends.
 *
 * Knows:   a listening socket and the loop.
 * Trusts:  nothing of whoever connects.
 * Runs on: control thread; open and close on any thread that holds the loop's lock.
 */
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/fd.h"

/* A peer that connects in a loop gets this many turns before the others get theirs. */
#define ACCEPTS_PER_TURN 4

/* How long to leave the queue of connections alone when accept() lacks a descriptor or memory. */
#define PAUSE_MS 100

static int start_accepting(struct listener *l);
static void on_pause_over(void *arg);

static void
explain_waiting(const struct listener *l)
{
	char why[SOCK_REASON_LEN];

	snprintf(why, sizeof(why), "waiting for a front-end to connect to %s", l->sock.path);
	l->ops->explain(why, l->ops_arg);
}

static void
explain_pause(const struct listener *l, int err)
{
	char why[SOCK_REASON_LEN], text[FD_ERROR_LEN];

	snprintf(why, sizeof(why), "cannot accept on %s: %s; retrying", l->sock.path,
		 vhc_fd_error_text(err, text));
	l->ops->explain(why, l->ops_arg);
}

/* The queued connection keeps the socket readable: without a pause we would spin on it. */
static void
pause_accepting(struct listener *l, int err)
{
	explain_pause(l, err);
	if (vhc_loop_timer(l->loop, PAUSE_MS, on_pause_over, l, &l->pause_timer) == 0)
		vhc_loop_unwatch(l->loop, &l->watch);
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;
	int rc;

	l->pause_timer = 0;
	rc = start_accepting(l);
	if (rc)
		pause_accepting(l, rc);
}

static void
on_readable(uint32_t events, void *arg)
{
	struct listener *l = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		pid_t peer;
		int sock;
		int rc = vhc_sock_accept(l->sock.fd, &sock, &peer);

		if (rc == -EAGAIN) {
			explain_waiting(l);
			return;
		}
		/* That one left before it was served; the next may not have. */
		if (rc == -ECONNABORTED || rc == -EINTR)
			continue;
		if (rc) {
			pause_accepting(l, rc);
			return;
		}
		l->ops->connected(sock, peer, l->ops_arg);
	}
}

static int
start_accepting(struct listener *l)
{
	return vhc_loop_watch(l->loop, l->sock.fd, EPOLLIN, on_readable, l, &l->watch);
}

void
vhc_listener_init(struct listener *l, struct loop *loop, const struct endpoint_ops *ops,
		  void *ops_arg)
{
	*l = (struct listener){ .loop = loop, .sock.fd = -1, .ops = ops, .ops_arg = ops_arg };
}

static int
begin(struct listener *l, char *reason)
{
	int rc = start_accepting(l);

	if (rc)
		snprintf(reason, SOCK_REASON_LEN, "cannot watch %s: %s", l->sock.path,
			 strerror(-rc));
	else
		explain_waiting(l);
	return rc;
}

int
vhc_listener_open(struct listener *l, const char *path, char *reason)
{
	int rc = vhc_sock_listen(path, &l->sock, reason);

	if (rc)
		return rc;
	rc = begin(l, reason);
	if (rc)
		vhc_sock_unlisten(&l->sock);
	return rc;
}

/* Whoever made the socket removes its file, if it has one. */
int
vhc_listener_adopt(struct listener *l, int fd, char *reason)
{
	int rc;

	l->sock.fd = fd;
	snprintf(l->sock.path, sizeof(l->sock.path), "descriptor %d", fd);
	rc = begin(l, reason);
	if (rc)
		l->sock.fd = -1;
	return rc;
}

void
vhc_listener_close(struct listener *l)
{
	vhc_loop_unwatch(l->loop, &l->watch);
	vhc_loop_cancel(l->loop, &l->pause_timer);
	vhc_sock_unlisten(&l->sock);
}
