/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * below.c - see below.h. Through io_uring or call by call, whichever is used.
 *
 * Knows:   what app/disk/io.c calls.
 * Trusts:  the test.
 * Runs on: the threads of the program.
 */
#include "below.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static struct below own;
struct below *below = &own;

__attribute__((constructor)) static void
share(void)
{
	const char *path = getenv("BELOW");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (!path)
		return;
	if (fd < 0)
		abort();
	below = mmap(NULL, sizeof(*below), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (below == MAP_FAILED)
		abort();
}

static void *
next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

static void
count(int is_transfer, int is_durable, int is_flush)
{
	below->nr_transfers += is_transfer;
	below->nr_durable += is_durable;
	below->nr_flushes += is_flush;
}

/* ---- io_uring ------------------------------------------------------------------------------- */

int
io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	int (*real)(unsigned int, struct io_uring *, unsigned int) = next("io_uring_queue_init");

	return below->no_ring ? -EPERM : real(entries, ring, flags);
}

static void
spoil(struct io_uring_sqe *entry)
{
	int is_single = entry->opcode == IORING_OP_READ || entry->opcode == IORING_OP_WRITE;
	int is_list = entry->opcode == IORING_OP_READV || entry->opcode == IORING_OP_WRITEV;

	count(is_single || is_list, (is_single || is_list) && entry->rw_flags & RWF_DSYNC,
	      entry->opcode == IORING_OP_FSYNC);
	if (below->fail)
		entry->fd = -1;
	if (below->part && is_single && entry->len > below->part)
		entry->len = below->part;
	if (below->part && is_list)
		entry->len = 1;
}

int
io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *) = next("io_uring_submit");

	if (below->hold)
		return -EAGAIN;
	for (unsigned int i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++)
		spoil(&ring->sq.sqes[i & *ring->sq.kring_mask]);
	return real(ring);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* 0: go on. */
static int
refuse(void)
{
	while (below->hold)
		usleep(500);
	errno = EIO;
	return below->fail ? -1 : 0;
}

typedef ssize_t (*transfer_t)(int, const struct iovec *, int, off_t, int);

static ssize_t
transfer(transfer_t real, int fd, const struct iovec *spans, int nr, off_t at, int flags)
{
	struct iovec first = spans[0];

	count(1, flags & RWF_DSYNC ? 1 : 0, 0);
	if (refuse())
		return -1;
	if (!below->part)
		return real(fd, spans, nr, at, flags);
	if (first.iov_len > below->part)
		first.iov_len = below->part;
	return real(fd, &first, 1, at, flags);
}

ssize_t
preadv2(int fd, const struct iovec *spans, int nr, off_t at, int flags)
{
	return transfer(next("preadv2"), fd, spans, nr, at, flags);
}

ssize_t
pwritev2(int fd, const struct iovec *spans, int nr, off_t at, int flags)
{
	return transfer(next("pwritev2"), fd, spans, nr, at, flags);
}

int
fdatasync(int fd)
{
	int (*real)(int) = next("fdatasync");

	count(0, 0, 1);
	return refuse() ? -1 : real(fd);
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
	int (*real)(int, int, off_t, off_t) = next("fallocate");

	return refuse() ? -1 : real(fd, mode, at, len);
}
