/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fd.h - owned file descriptors: -1 means "none", closing is idempotent.
 *
 * Knows:   POSIX descriptors.
 * Trusts:  nothing about what a descriptor refers to.
 * Runs on: control thread; fd_signal() on any thread.
 */
#ifndef VHC_BASE_FD_H
#define VHC_BASE_FD_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "compiler.h"

#define FD_ERROR_LEN 176

/* Close what *fd owns, if anything. Keeps errno, so that error paths may call it freely. */
static inline void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* Move ownership out of *fd. */
static inline int
fd_take(int *fd)
{
	int owned = *fd;

	*fd = -1;
	return owned;
}

/*
 * Add one to an eventfd. The descriptor is non-blocking: a counter the peer left saturated returns
 * -EAGAIN, and then the peer already has a wake-up pending.
 */
static inline int
fd_signal(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -errno;
}

/*
 * Why no descriptor could be had (-errno), into `text` (FD_ERROR_LEN bytes): where a limit is
 * reached, which one and how to raise it. Returns `text`.
 */
const char *vhc_fd_error_text(int err, char *text);

#endif
