/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io.h - asynchronous work on an image: a queue's thread starts it, goes on, and is told later.
 *
 * Files go through io_uring, or one call after the other where that is faster, or io_uring is
 * forbidden; memory is copied at once. An operation is complete or it has failed: what the kernel
 * did by halves is gone on with inside.
 *
 * Knows:   images and io_uring. Not what the bytes are for.
 * Trusts:  its caller for sectors inside the image; not the file to be as long as it was, nor the
 *          memory of a guest to be there still.
 * Runs on: one thread an engine: the one that created it.
 */
#ifndef DISK_IO_H
#define DISK_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct image;
struct io_engine;

enum io_kind {
	IO_READ,
	IO_WRITE,
	IO_FLUSH,		/* what was written before is durable after */
	IO_DISCARD,		/* nobody needs the bytes; what is there later is undefined */
	IO_WRITE_ZEROES,	/* they are zeros; space is given back if may_unmap */
};

/* One operation; part of the caller's own structure, and his again in done(). */
struct io {
	struct image *image;
	enum io_kind kind;
	bool is_durable;	/* write, zeroes: durable when done */
	bool may_unmap;		/* zeroes */
	uint64_t offset;	/* bytes, from the start of the image */
	uint64_t len;		/* bytes; of reads and writes: what the spans hold */
	const struct iovec *spans;	/* reads, writes; to stay until done() */
	unsigned int nr_spans;
	void (*done)(struct io *io, int result);	/* 0 or -errno; may run inside io_start() */

	/* The engine's. */
	uint64_t nr_done;
	struct iovec *copied;	/* spans of our own, after a short transfer */
	struct io *next;
};

/* -errno, said on stderr. `depth` operations run at a time, what is more waits. */
int disk_io_create(unsigned int depth, struct io_engine **engine);

/* Nothing may be running. */
void disk_io_destroy(struct io_engine *engine);

void disk_io_start(struct io_engine *engine, struct io *io);

/* Hand over what was started, and call done() of what is finished. @return how many. */
unsigned int disk_io_poll(struct io_engine *engine);

/* One line on stderr about an operation that failed; of many, one a second. */
void disk_io_explain(const struct io *io, int result);

/* Started and not done. */
unsigned int disk_io_nr_running(const struct io_engine *engine);

/* Readable when disk_io_poll() has something to say; -1: there is never anything to wait for. */
int disk_io_fd(const struct io_engine *engine);

#endif
