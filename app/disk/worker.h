/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker.h - a thread that serves one queue: takes requests, hands them on, gives them back.
 *
 * Polls while there is work and a moment longer, then sleeps until the driver kicks or an operation
 * is done.
 *
 * Knows:   queues of chains and I/O engines. Not what is in a request.
 * Trusts:  nothing of a guest.
 * Runs on: start and stop on the main thread; serve() and what it calls on the worker's own.
 */
#ifndef DISK_WORKER_H
#define DISK_WORKER_H

#include <stddef.h>

#include "io.h"
#include "vhostcore_ring.h"

struct worker;

/* A chain being served. The device's own part follows, worker_opts.request_size in all. */
struct request {
	struct worker *worker;
	struct vhc_chain *chain;
	struct iovec *cut;	/* see disk_request_slice() */
	struct request *next_free;
	struct io io;		/* .done is the device's to set */
};

struct worker_opts {
	struct vhc_queue *queue;
	size_t request_size;	/* of the structure that starts with struct request */
	/* Start on it. Sooner or later, here or in io.done(): disk_request_finish(). */
	void (*serve)(struct request *request);
	void *device;		/* whatever serve() needs */
	unsigned int depth;	/* operations that run at a time; 0: serve() starts none */
	unsigned int poll_us;	/* how long to go on polling when there is nothing */
};

/* -errno, said on stderr. */
int disk_worker_start(const struct worker_opts *opts, struct worker **worker);

/* Takes nothing more, waits for what runs, gives it back; then the thread is gone. */
void disk_worker_stop(struct worker *worker);

#define DISK_WORKERS_MAX 128

/* One for each queue of requests. Starts zeroed. */
struct workers {
	struct worker *all[DISK_WORKERS_MAX];
	uint16_t nr;
};

/*
 * `nr` that differ in the queue only, which are rings `first` and following of the device. -errno,
 * said on stderr: some may run, for disk_workers_stop().
 */
int disk_workers_start(struct workers *workers, struct worker_opts opts, struct vhc_device *dev,
		       uint16_t first, uint16_t nr);

void disk_workers_stop(struct workers *workers);

void *disk_worker_device(struct worker *worker);

/*
 * Any thread: has the driver back all that it had sent by now? Ask; later, the answer is yes once
 * there was a moment after the question when nothing was left. Not of a worker that is stopped.
 */
uint32_t disk_worker_ask_if_done(struct worker *worker);
bool disk_worker_was_done(struct worker *worker, uint32_t question);

/* The request that an operation belongs to. */
static inline struct request *
disk_request_of(struct io *io)
{
	return (struct request *)((char *)io - offsetof(struct request, io));
}

/* Start request->io, filled in. */
void disk_request_start_io(struct request *request);

/* The answer is written: `written` bytes of the writable part. The request is gone after that. */
void disk_request_finish(struct request *request, uint32_t written);

/*
 * Bytes [offset, offset + len) of spans as spans, for request->io: the same array where the cuts
 * fall between two of them, as they mostly do; else a copy, which goes with the request.
 *
 * @return false: no memory, or not so many bytes.
 */
bool disk_request_slice(struct request *request, const struct iovec *spans, uint32_t nr_spans,
			uint64_t offset, uint64_t len);

#endif
