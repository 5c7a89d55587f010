/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.c - from an eventfd of ours to a pipe or socket of the front-end's.
 *
 * Knows:   what a driver reads there: eight bytes, as from an eventfd.
 * Trusts:  nothing of the far end.
 * Runs on: control thread, under the loop's lock.
 *
 * O_NONBLOCK is no protection, because the front-end shares the flag and can clear it. vmsplice(2)
 * and send(2) take "do not wait" with the call. A pipe nobody reads any more raises SIGPIPE on this
 * thread only, which has all signals blocked.
 */
#define _GNU_SOURCE 1	/* vmsplice() */

#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "../base/fd.h"

struct relay {
	struct loop *loop;
	uint64_t watch;
	int far;
	bool is_pipe;
};

/* A pipe keeps a reference to it until it is read. */
static const uint64_t one_interrupt = 1;

bool
vhc_relay_fits(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if (S_ISSOCK(st.st_mode))
		return true;
	return S_ISFIFO(st.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* One that is full has a wake-up pending; one that is gone needs none. */
static void
hand_on(uint32_t events, void *arg)
{
	const struct relay *relay = arg;
	struct iovec piece = { (void *)&one_interrupt, sizeof(one_interrupt) };

	(void)events;
	if (relay->is_pipe)
		(void)!vmsplice(relay->far, &piece, 1, SPLICE_F_NONBLOCK);
	else
		(void)!send(relay->far, &one_interrupt, sizeof(one_interrupt),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
}

int
vhc_relay_create(struct loop *loop, int far, int *signal_fd, struct relay **out)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	struct stat st;
	int rc = -ENOMEM;

	*signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*signal_fd < 0)
		rc = -errno;
	if (!relay || *signal_fd < 0 || fstat(far, &st) < 0)
		goto err;
	relay->loop = loop;
	relay->far = far;
	relay->is_pipe = S_ISFIFO(st.st_mode);
	/* Each signal is an edge, so the eventfd need not be read. */
	rc = vhc_loop_watch(loop, *signal_fd, EPOLLIN | EPOLLET, hand_on, relay, &relay->watch);
	if (rc)
		goto err;
	*out = relay;
	return 0;

err:
	fd_close(signal_fd);
	fd_close(&far);
	free(relay);
	return rc;
}

void
vhc_relay_destroy(struct relay *relay)
{
	if (!relay)
		return;
	vhc_loop_unwatch(relay->loop, &relay->watch);
	fd_close(&relay->far);
	free(relay);
}
