/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector.c - connect to a listening front-end, patiently.
 *
 * Knows:   a path, the loop, appear.h.
 * Trusts:  nothing of whoever listens.
 * Runs on: control thread; every function on any thread that holds the loop's lock.
 *
 * One attempt is one connect(2), which on a Unix socket succeeds or fails at once. Between attempts
 * a timer runs, and the socket's directory is watched for the file to appear. It appears at the
 * front-end's bind(2), a moment before its listen(2): so the first retries come quickly.
 */
#include "connector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DELAY_MAX_MS 1000

/* A connection that lasted less was no use to anyone: the next attempt may wait. */
#define SHORT_LIVED_MS 1000

/* Attempts are this far apart once a front-end that is starting would have started. */
#define SETTLED_MS 32

static void attempt(void *arg);

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* Next attempt in delay_ms, a quarter more or less so that many ports do not try in step. */
static void
schedule(struct connector *c)
{
	unsigned int spread = c->delay_ms / 2;
	unsigned int ms = c->delay_ms - spread / 2;

	if (spread)
		ms += (unsigned int)rand_r(&c->jitter_seed) % (spread + 1);
	vhc_loop_cancel(c->loop, &c->retry_timer);
	if (vhc_loop_timer(c->loop, ms, attempt, c, &c->retry_timer))
		c->ops->explain("out of memory: no further attempt to connect will be made",
				c->ops_arg);
}

static void
back_off(struct connector *c)
{
	c->delay_ms = c->delay_ms ? c->delay_ms * 2 : 1;
	if (c->delay_ms > DELAY_MAX_MS)
		c->delay_ms = DELAY_MAX_MS;
}

static void
on_appeared(void *arg)
{
	struct connector *c = arg;

	c->delay_ms = 0;
	schedule(c);
}

/* ---- attempts ------------------------------------------------------------------------------- */

static void
attempt_failed(struct connector *c, int err, const char *reason)
{
	char why[SOCK_REASON_LEN + 16];

	back_off(c);
	schedule(c);
	/* While a front-end starts, the error changes from try to try: that is no news. */
	if (err == c->last_error || (c->last_error && c->delay_ms < SETTLED_MS))
		return;
	c->last_error = err;
	snprintf(why, sizeof(why), "%s, retrying", reason);
	c->ops->explain(why, c->ops_arg);
}

static int
try_once(struct connector *c, char *reason)
{
	pid_t peer;
	int sock;
	int rc = vhc_sock_connect(c->path, &sock, &peer, reason);

	if (rc)
		return rc;
	vhc_appear_end(c->loop, &c->wait);
	c->last_error = 0;
	c->connected_ms = now_ms();
	/* Last: the owner may find the front-end gone and call vhc_connector_reconnect(). */
	c->ops->connected(sock, peer, c->ops_arg);
	return 0;
}

static void
attempt(void *arg)
{
	struct connector *c = arg;
	char reason[SOCK_REASON_LEN];
	int rc;

	vhc_loop_cancel(c->loop, &c->retry_timer);
	/* Before connect(): a file that appears after it failed is then an event. */
	vhc_appear_begin(c->loop, &c->wait);
	rc = try_once(c, reason);
	if (rc)
		attempt_failed(c, rc, reason);
}

void
vhc_connector_init(struct connector *c, struct loop *loop, const struct endpoint_ops *ops,
		   void *ops_arg)
{
	*c = (struct connector){
		.loop = loop,
		.jitter_seed = (unsigned int)now_ms() ^ (unsigned int)(uintptr_t)c,
		.wait = { .path = c->path, .fn = on_appeared, .arg = c },
		.ops = ops,
		.ops_arg = ops_arg,
	};
}

static void
set_path(struct connector *c, const char *path)
{
	vhc_assert(strlen(path) < sizeof(c->path));
	strcpy(c->path, path);
}

void
vhc_connector_open(struct connector *c, const char *path)
{
	set_path(c, path);
	attempt(c);
}

int
vhc_connector_once(struct connector *c, const char *path, char *reason)
{
	set_path(c, path);
	return try_once(c, reason);
}

void
vhc_connector_reconnect(struct connector *c)
{
	char why[SOCK_REASON_LEN];

	if (now_ms() - c->connected_ms >= SHORT_LIVED_MS) {
		c->delay_ms = 0;
	} else {
		back_off(c);
		snprintf(why, sizeof(why), "the connection to %s ended soon after it was made; is"
			 " another back-end attached there? retrying", c->path);
		c->ops->explain(why, c->ops_arg);
	}
	vhc_appear_begin(c->loop, &c->wait);
	schedule(c);
}

void
vhc_connector_close(struct connector *c)
{
	vhc_loop_cancel(c->loop, &c->retry_timer);
	vhc_appear_end(c->loop, &c->wait);
}
