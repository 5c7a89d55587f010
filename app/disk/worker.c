/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker.c - the loop of a queue's thread, and the requests in it.
 *
 * Knows:   queues of chains, I/O engines.
 * Trusts:  nothing of a guest: not how many requests it has out, nor how they are cut.
 * Runs on: the worker's thread; start and stop on the main one.
 */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "say.h"
#include "vhostcore_notify.h"

#define BURST 32
#define RETRY_MS 100	/* a kernel short of memory may not have taken what it was offered */

struct worker {
	struct worker_opts opts;
	struct io_engine *engine;	/* NULL: serve() starts no operations */
	struct request *free;
	bool has_finished;		/* something to publish */
	unsigned int nr_requests;	/* taken and not finished */

	pthread_t thread;
	sem_t is_set_up;
	int set_up_error;
	int wake_fd;
	int kick_fd;			/* the same for ever; to ask for it stops the queue */
	atomic_bool is_ending;
	_Atomic uint32_t nr_asked;	/* see disk_worker_ask_if_done() */
	_Atomic uint32_t nr_answered;	/* so many of these questions: yes */
};

/* ---- requests ------------------------------------------------------------------------------- */

static struct request *
request_get(struct worker *worker)
{
	struct request *request = worker->free;

	if (!request)
		return calloc(1, worker->opts.request_size);
	worker->free = request->next_free;
	return request;
}

static void
request_put(struct worker *worker, struct request *request)
{
	free(request->cut);
	request->cut = NULL;
	request->next_free = worker->free;
	worker->free = request;
}

void
disk_request_finish(struct request *request, uint32_t written)
{
	struct worker *worker = request->worker;

	vhc_queue_give(worker->opts.queue, request->chain, written);
	worker->has_finished = true;
	worker->nr_requests--;
	request_put(worker, request);
}

void
disk_request_start_io(struct request *request)
{
	disk_io_start(request->worker->engine, &request->io);
}

/* ---- pieces of a chain ---------------------------------------------------------------------- */

struct place {
	uint32_t span;
	uint64_t inside;	/* bytes before it in that span */
};

/* Of byte `offset`; one that is an end may be the end of a span: `inside` is its length then. */
static bool
find_place(const struct iovec *spans, uint32_t nr_spans, uint64_t offset, bool is_end,
	   struct place *place)
{
	for (uint32_t i = 0; i < nr_spans; i++) {
		uint64_t len = spans[i].iov_len;

		if (offset < len || (is_end && offset == len)) {
			*place = (struct place){ .span = i, .inside = offset };
			return true;
		}
		offset -= len;
	}
	return false;
}

static bool
copy_spans(struct request *request, const struct iovec *spans, struct place first,
	   struct place last)
{
	uint32_t nr = last.span - first.span + 1;
	struct iovec *cut = malloc(nr * sizeof(*cut));

	if (!cut)
		return false;
	memcpy(cut, &spans[first.span], nr * sizeof(*cut));
	cut[nr - 1].iov_len = last.inside;
	cut[0].iov_base = (uint8_t *)cut[0].iov_base + first.inside;
	cut[0].iov_len -= first.inside;
	request->cut = cut;
	request->io.spans = cut;
	return true;
}

bool
disk_request_slice(struct request *request, const struct iovec *spans, uint32_t nr_spans,
		   uint64_t offset, uint64_t len)
{
	struct place first, last;

	request->io.len = len;
	request->io.nr_spans = 0;
	if (len == 0)
		return true;
	if (!find_place(spans, nr_spans, offset, false, &first) ||
	    !find_place(spans, nr_spans, offset + len, true, &last))
		return false;
	request->io.nr_spans = last.span - first.span + 1;
	request->io.spans = &spans[first.span];
	if (first.inside == 0 && last.inside == spans[last.span].iov_len)
		return true;
	return copy_spans(request, spans, first, last);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* No memory for a request: the driver gets it back as one that was not understood. */
static void
serve_one(struct worker *worker, struct vhc_chain *chain)
{
	struct request *request = request_get(worker);

	if (!request) {
		vhc_queue_give(worker->opts.queue, chain, 0);
		worker->has_finished = true;
		return;
	}
	request->worker = worker;
	request->chain = chain;
	worker->nr_requests++;
	worker->opts.serve(request);
}

static unsigned int
take_and_serve(struct worker *worker)
{
	struct vhc_chain *chains[BURST];
	uint16_t nr = vhc_queue_take(worker->opts.queue, chains, BURST);

	for (uint16_t i = 0; i < nr; i++)
		serve_one(worker, chains[i]);
	return nr;
}

static unsigned int
poll_engine(struct worker *worker)
{
	unsigned int nr = worker->engine ? disk_io_poll(worker->engine) : 0;

	if (worker->has_finished)
		vhc_queue_publish(worker->opts.queue);
	worker->has_finished = false;
	return nr;
}

static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool
is_working(const struct worker *worker)
{
	return worker->engine && disk_io_nr_running(worker->engine);
}

/* Until the driver kicks, an operation is done, somebody asks, or it is time to end. */
static void
rest(struct worker *worker)
{
	eventfd_t nr_wakes;
	struct pollfd fds[] = {
		{ worker->wake_fd, POLLIN, 0 },
		{ worker->kick_fd, POLLIN, 0 },
		{ worker->engine ? disk_io_fd(worker->engine) : -1, POLLIN, 0 },
	};

	if (!vhc_queue_want_kicks(worker->opts.queue, true))
		poll(fds, sizeof(fds) / sizeof(fds[0]), is_working(worker) ? RETRY_MS : -1);
	if (fds[0].revents)
		eventfd_read(worker->wake_fd, &nr_wakes);
	vhc_queue_want_kicks(worker->opts.queue, false);
}

/* Some operations the kernel does in threads of its own: they may need this very core. */
static void
idle(struct worker *worker, uint64_t *since)
{
	uint64_t now = now_us();

	if (!*since)
		*since = now;
	if (now - *since >= worker->opts.poll_us) {
		rest(worker);
		*since = 0;
	} else if (is_working(worker)) {
		sched_yield();
	}
}

/* What was taken after the question was asked, and published before this, is what it is about. */
static void
answer(struct worker *worker, uint32_t nr_asked, unsigned int nr_taken)
{
	if (nr_taken == 0 && worker->nr_requests == 0)
		atomic_store_explicit(&worker->nr_answered, nr_asked, memory_order_release);
}

static void
run(struct worker *worker)
{
	uint64_t idle_since = 0;

	while (!atomic_load_explicit(&worker->is_ending, memory_order_relaxed)) {
		uint32_t nr_asked = atomic_load_explicit(&worker->nr_asked, memory_order_acquire);
		unsigned int nr = take_and_serve(worker), nr_done = poll_engine(worker);

		answer(worker, nr_asked, nr);
		if (nr + nr_done)
			idle_since = 0;
		else
			idle(worker, &idle_since);
	}
}

static void
finish_what_runs(struct worker *worker)
{
	struct pollfd fd = { .events = POLLIN };

	if (!worker->engine)
		return;
	fd.fd = disk_io_fd(worker->engine);
	while (disk_io_nr_running(worker->engine))
		if (!poll_engine(worker))
			poll(&fd, 1, RETRY_MS);
}

/* An engine belongs to the thread that creates it. */
static void *
worker_main(void *arg)
{
	struct worker *worker = arg;

	if (worker->opts.depth)
		worker->set_up_error = disk_io_create(worker->opts.depth, &worker->engine);
	sem_post(&worker->is_set_up);
	if (worker->set_up_error)
		return NULL;
	run(worker);
	finish_what_runs(worker);
	if (worker->engine)
		disk_io_destroy(worker->engine);
	return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------- */

static void
worker_free(struct worker *worker)
{
	while (worker->free) {
		struct request *request = worker->free;

		worker->free = request->next_free;
		free(request);
	}
	sem_destroy(&worker->is_set_up);
	close(worker->wake_fd);
	free(worker);
}

static int
start_thread(struct worker *worker)
{
	int rc;

	worker->kick_fd = vhc_queue_kick_fd(worker->opts.queue);
	if (worker->kick_fd < 0)
		return worker->kick_fd;
	rc = -pthread_create(&worker->thread, NULL, worker_main, worker);
	if (rc)
		return rc;
	sem_wait(&worker->is_set_up);
	if (worker->set_up_error)
		pthread_join(worker->thread, NULL);
	return worker->set_up_error;
}

int
disk_worker_start(const struct worker_opts *opts, struct worker **out)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int rc;

	if (!worker) {
		disk_say("no memory for a thread of a queue");
		return -ENOMEM;
	}
	worker->opts = *opts;
	worker->wake_fd = eventfd(0, EFD_CLOEXEC);
	sem_init(&worker->is_set_up, 0, 0);
	rc = worker->wake_fd < 0 ? -errno : start_thread(worker);
	if (rc) {
		disk_say("cannot start a thread for a queue: %s", strerror(-rc));
		worker_free(worker);
		return rc;
	}
	*out = worker;
	return 0;
}

static void
ask_to_end(struct worker *worker)
{
	atomic_store(&worker->is_ending, true);
	eventfd_write(worker->wake_fd, 1);
}

void
disk_worker_stop(struct worker *worker)
{
	ask_to_end(worker);
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}

int
disk_workers_start(struct workers *workers, struct worker_opts opts, struct vhc_device *dev,
		   uint16_t first, uint16_t nr)
{
	int rc = 0;

	while (rc == 0 && workers->nr < nr) {
		opts.queue = vhc_device_queue(dev, (uint16_t)(first + workers->nr));
		rc = disk_worker_start(&opts, &workers->all[workers->nr]);
		if (rc == 0)
			workers->nr++;
	}
	return rc;
}

/* All are asked before the first is waited for: the kernel takes its time to close an engine. */
void
disk_workers_stop(struct workers *workers)
{
	for (uint16_t i = 0; i < workers->nr; i++)
		ask_to_end(workers->all[i]);
	while (workers->nr)
		disk_worker_stop(workers->all[--workers->nr]);
}

uint32_t
disk_worker_ask_if_done(struct worker *worker)
{
	uint32_t question = atomic_fetch_add(&worker->nr_asked, 1) + 1;

	eventfd_write(worker->wake_fd, 1);
	return question;
}

bool
disk_worker_was_done(struct worker *worker, uint32_t question)
{
	uint32_t nr_answered = atomic_load_explicit(&worker->nr_answered, memory_order_acquire);

	return (int32_t)(nr_answered - question) >= 0;
}

void *
disk_worker_device(struct worker *worker)
{
	return worker->opts.device;
}
