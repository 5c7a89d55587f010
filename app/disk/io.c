/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io.c - operations on files through io_uring, on memory by copying.
 *
 * Knows:   io_uring(7), and its absence.
 * Trusts:  the kernel, to say how much it did.
 * Runs on: the thread that created the engine.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "say.h"

#define MANY_BYTES	(64u << 10)
#define ZEROES_LEN (64u << 10)	/* written at a time where the file cannot be told to have them */

struct io_engine {
	struct io_uring ring;
	bool has_ring;
	unsigned int depth;
	unsigned int nr_in_ring;
	unsigned int nr_running;	/* those that wait included */
	struct io *first_waiting;
	struct io *last_waiting;
};

/* ---- memory --------------------------------------------------------------------------------- */

static void
copy(const struct io *io)
{
	uint8_t *at = io->image->memory + io->offset;

	for (unsigned int i = 0; i < io->nr_spans; i++) {
		const struct iovec *span = &io->spans[i];

		if (io->kind == IO_READ)
			memcpy(span->iov_base, at, span->iov_len);
		else
			memcpy(at, span->iov_base, span->iov_len);
		at += span->iov_len;
	}
}

/*
 * Whole pages go back to the system and come again as zeros. Were they written instead, a disk that
 * is discarded before it is first used, as many are, would need all of its memory from then on.
 */
static void
clear(const struct io *io)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = (uintptr_t)io->image->memory + io->offset, end = start + io->len;
	uintptr_t from = (start + page - 1) & ~(page - 1), to = end & ~(page - 1);

	if (from >= to || madvise((void *)from, to - from, MADV_DONTNEED) < 0)
		from = to = end;
	memset((void *)start, 0, from - start);
	memset((void *)to, 0, end - to);
}

static void
do_in_memory(struct io *io)
{
	if (io->kind == IO_READ || io->kind == IO_WRITE)
		copy(io);
	else if (io->kind != IO_FLUSH)
		clear(io);
	io->done(io, 0);
}

/* ---- what is left of an operation ------------------------------------------------------------ */

/* The spans are the caller's: before they change they are copied. */
static struct iovec *
own_spans(struct io *io)
{
	if (!io->copied) {
		io->copied = malloc(io->nr_spans * sizeof(*io->copied));
		if (!io->copied)
			return NULL;
		memcpy(io->copied, io->spans, io->nr_spans * sizeof(*io->copied));
		io->spans = io->copied;
	}
	return io->copied + (io->spans - io->copied);
}

/* So much less is to be done. -ENOMEM. */
static int
go_on_after(struct io *io, uint64_t len)
{
	struct iovec *span = own_spans(io);

	if (!span)
		return -ENOMEM;
	for (; len >= span->iov_len; span++, io->nr_spans--)
		len -= span->iov_len;
	span->iov_base = (uint8_t *)span->iov_base + len;
	span->iov_len -= len;
	io->spans = span;
	return 0;
}

static bool
is_transfer(const struct io *io)
{
	return io->kind == IO_READ || io->kind == IO_WRITE;
}

/* Slow, and for who waits: only where the file system has no zeroes of its own. */
static int
write_zeroes(const struct io *io)
{
	static const uint8_t zeroes[ZEROES_LEN];
	uint64_t done = 0;

	while (done < io->len) {
		uint64_t left = io->len - done;
		size_t len = left < ZEROES_LEN ? (size_t)left : ZEROES_LEN;
		ssize_t part = pwrite(io->image->fd, zeroes, len, (off_t)(io->offset + done));

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return part ? -errno : -ENOSPC;
		done += (uint64_t)part;
	}
	return 0;
}

enum verdict { FINISHED, AGAIN };

static enum verdict
judge_transfer(struct io *io, int *result)
{
	if (*result == 0) {	/* the file has become shorter, or has no room */
		*result = io->kind == IO_READ ? -EIO : -ENOSPC;
		return FINISHED;
	}
	io->nr_done += (uint64_t)*result;
	if (io->nr_done < io->len) {
		*result = go_on_after(io, (uint64_t)*result);
		return *result ? FINISHED : AGAIN;
	}
	*result = 0;
	return FINISHED;
}

/* What the kernel says of it: an error, or how much it did. */
static enum verdict
judge(struct io *io, int *result)
{
	if (*result == -EINTR || *result == -EAGAIN)
		return AGAIN;
	if (is_transfer(io) && *result >= 0)
		return judge_transfer(io, result);
	if (*result == -EOPNOTSUPP && io->kind == IO_DISCARD)
		*result = 0;
	if (*result == -EOPNOTSUPP && io->kind == IO_WRITE_ZEROES)
		*result = write_zeroes(io);
	if (*result == 0 && io->kind == IO_WRITE_ZEROES && io->is_durable) {
		io->kind = IO_FLUSH;
		return AGAIN;
	}
	return FINISHED;
}

static void
finish(struct io *io, int result)
{
	free(io->copied);
	io->copied = NULL;
	io->done(io, result);
}

/* ---- one call after the other --------------------------------------------------------------- */

static int
write_flags(const struct io *io)
{
	return io->kind == IO_WRITE && io->is_durable ? RWF_DSYNC : 0;
}

static int
fallocate_mode(const struct io *io)
{
	if (io->kind == IO_WRITE_ZEROES && !io->may_unmap)
		return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
}

static int
nr_spans_at_once(const struct io *io)
{
	return (int)(io->nr_spans < IOV_MAX ? io->nr_spans : IOV_MAX);
}

static ssize_t
call(const struct io *io)
{
	off_t at = (off_t)(io->offset + io->nr_done);
	int fd = io->image->fd;

	if (io->kind == IO_READ)
		return preadv2(fd, io->spans, nr_spans_at_once(io), at, 0);
	if (io->kind == IO_WRITE)
		return pwritev2(fd, io->spans, nr_spans_at_once(io), at, write_flags(io));
	if (io->kind == IO_FLUSH)
		return fdatasync(fd);
	return fallocate(fd, fallocate_mode(io), at, (off_t)io->len);
}

static void
do_with_calls(struct io *io)
{
	enum verdict verdict;
	int result;

	do {
		ssize_t done = call(io);

		result = done < 0 ? -errno : (int)done;
		verdict = judge(io, &result);
	} while (verdict == AGAIN);
	finish(io, result);
}

/*
 * Copying to or from the page cache, where io_uring has a thread of the kernel's do it: to call is
 * faster, but for small pieces in memory (doc/performance.md). What waits for a disk is not here.
 */
static bool
is_better_called(const struct io *io)
{
	const struct image *image = io->image;

	if (image->is_in_memory)
		return is_transfer(io) && io->len >= MANY_BYTES;
	return io->kind == IO_WRITE && !io->is_durable && !image->is_block_device;
}

/* ---- io_uring ------------------------------------------------------------------------------- */

static void
prepare_transfer(struct io_uring_sqe *entry, const struct io *io)
{
	uint64_t at = io->offset + io->nr_done;
	const struct iovec *span = io->spans;
	bool is_read = io->kind == IO_READ;
	int fd = io->image->fd;

	if (io->nr_spans != 1 && is_read)
		io_uring_prep_readv(entry, fd, span, (unsigned int)nr_spans_at_once(io), at);
	else if (io->nr_spans != 1)
		io_uring_prep_writev(entry, fd, span, (unsigned int)nr_spans_at_once(io), at);
	else if (is_read)
		io_uring_prep_read(entry, fd, span->iov_base, (unsigned int)span->iov_len, at);
	else
		io_uring_prep_write(entry, fd, span->iov_base, (unsigned int)span->iov_len, at);
	entry->rw_flags = write_flags(io);
}

static void
prepare(struct io_uring_sqe *entry, struct io *io)
{
	int fd = io->image->fd;

	if (is_transfer(io))
		prepare_transfer(entry, io);
	else if (io->kind == IO_FLUSH)
		io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(entry, fd, fallocate_mode(io), (off_t)io->offset,
					(off_t)io->len);
	io_uring_sqe_set_data(entry, io);
}

static bool
put_in_ring(struct io_engine *engine, struct io *io)
{
	struct io_uring_sqe *entry;

	if (engine->nr_in_ring == engine->depth)
		return false;
	entry = io_uring_get_sqe(&engine->ring);
	if (!entry) {	/* it has room again once the kernel has seen what is in it */
		io_uring_submit(&engine->ring);
		entry = io_uring_get_sqe(&engine->ring);
	}
	if (!entry)
		return false;
	prepare(entry, io);
	engine->nr_in_ring++;
	return true;
}

static void
put_in_line(struct io_engine *engine, struct io *io)
{
	io->next = NULL;
	if (engine->first_waiting)
		engine->last_waiting->next = io;
	else
		engine->first_waiting = io;
	engine->last_waiting = io;
}

static void
start_waiting(struct io_engine *engine)
{
	while (engine->first_waiting && put_in_ring(engine, engine->first_waiting))
		engine->first_waiting = engine->first_waiting->next;
}

static void
queue(struct io_engine *engine, struct io *io)
{
	if (engine->first_waiting || !put_in_ring(engine, io))
		put_in_line(engine, io);
}

static void
take_completion(struct io_engine *engine, const struct io_uring_cqe *completion)
{
	struct io *io = io_uring_cqe_get_data(completion);
	int result = completion->res;

	engine->nr_in_ring--;
	if (judge(io, &result) == AGAIN) {
		queue(engine, io);
		return;
	}
	engine->nr_running--;
	finish(io, result);
}

/* ---- the engine ----------------------------------------------------------------------------- */

/* Newer kernels need not interrupt us for a completion, since we look. */
static int
open_ring(struct io_uring *ring, unsigned int depth)
{
	int rc = io_uring_queue_init(depth, ring, IORING_SETUP_COOP_TASKRUN |
				     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER);

	return rc == -EINVAL ? io_uring_queue_init(depth, ring, 0) : rc;
}

int
disk_io_create(unsigned int depth, struct io_engine **out)
{
	struct io_engine *engine = calloc(1, sizeof(*engine));
	int rc;

	if (!engine) {
		disk_say("no memory for an I/O engine");
		return -ENOMEM;
	}
	engine->depth = depth;
	rc = open_ring(&engine->ring, depth);
	engine->has_ring = rc == 0;
	if (rc)
		disk_say("io_uring cannot be had (%s): requests are done one after the other%s",
			 strerror(-rc), rc == -EPERM || rc == -ENOSYS ?
			 "; allow it in the container's seccomp profile, or with"
			 " sysctl kernel.io_uring_disabled=0" : "");
	*out = engine;
	return 0;
}

void
disk_io_destroy(struct io_engine *engine)
{
	if (engine->has_ring)
		io_uring_queue_exit(&engine->ring);
	free(engine);
}

void
disk_io_start(struct io_engine *engine, struct io *io)
{
	io->nr_done = 0;
	io->copied = NULL;
	if (is_transfer(io) && io->len == 0) {
		io->done(io, 0);
	} else if (io->image->memory) {
		do_in_memory(io);
	} else if (!engine->has_ring || is_better_called(io)) {
		do_with_calls(io);
	} else {
		engine->nr_running++;
		queue(engine, io);
	}
}

unsigned int
disk_io_poll(struct io_engine *engine)
{
	struct io_uring_cqe *completion;
	unsigned int nr = 0;

	if (!engine->nr_running)
		return 0;
	if (io_uring_sq_ready(&engine->ring))
		io_uring_submit(&engine->ring);
	while (io_uring_peek_cqe(&engine->ring, &completion) == 0) {
		const struct io_uring_cqe copy_of_it = { .user_data = completion->user_data,
							 .res = completion->res };

		io_uring_cqe_seen(&engine->ring, completion);
		take_completion(engine, &copy_of_it);
		nr++;
	}
	start_waiting(engine);
	return nr;
}

unsigned int
disk_io_nr_running(const struct io_engine *engine)
{
	return engine->nr_running;
}

int
disk_io_fd(const struct io_engine *engine)
{
	return engine->has_ring ? engine->ring.ring_fd : -1;
}

/* ---- what went wrong ------------------------------------------------------------------------ */

void
disk_io_explain(const struct io *io, int result)
{
	static const char *const verbs[] = {
		[IO_READ] = "read", [IO_WRITE] = "write", [IO_DISCARD] = "discard",
		[IO_WRITE_ZEROES] = "write zeroes to",
	};
	static _Atomic time_t last;
	const char *path = io->image->path ? io->image->path : "memory";
	time_t now = time(NULL);

	if (atomic_exchange(&last, now) == now)
		return;
	if (io->kind == IO_FLUSH)
		disk_say("%s: cannot flush: %s", path, strerror(-result));
	else
		disk_say("%s: cannot %s %llu bytes at offset %llu: %s", path, verbs[io->kind],
			 (unsigned long long)io->len, (unsigned long long)io->offset,
			 strerror(-result));
}
