/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.c - the control thread, or the application's thread in its place.
 *
 * Knows:   epoll, timerfd, pthreads.
 * Trusts:  its callers, see loop.h.
 * Runs on: its own thread; see loop.h.
 */
#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../base/fd.h"
#include "../base/order.h"
#include "../base/thread.h"
#include "../vhostcore_loop.h"

#define EVENTS_PER_WAIT	64
#define FIRST_SLOTS	16

/*
 * An id is the slot's generation above its index. A generation is odd while the slot is in use, so
 * an id is never 0, and an id of a former use of the slot is recognised.
 */
#define ID_SLOT(id)		((uint32_t)(id))
#define ID_GENERATION(id)	((uint32_t)((id) >> 32))

struct watch {
	uint32_t generation;
	int fd;
	loop_watch_fn fn;
	void *arg;
};

struct timer {
	uint32_t generation;
	uint64_t deadline;	/* CLOCK_MONOTONIC, nanoseconds */
	loop_timer_fn fn;
	void *arg;
};

/* A recursive lock that serves its waiters in the order they came. */
struct turn_lock {
	pthread_mutex_t mutex;	/* guards the members below; held for moments only */
	pthread_cond_t next;
	uint64_t ticket_given;
	uint64_t ticket_served;
	pthread_t owner;	/* valid while depth > 0 */
	unsigned int depth;
	uint64_t held_since;	/* nanoseconds; 0: by nobody. Read by anyone */
};

struct loop {
	struct turn_lock lock;
	pthread_t thread;	/* ours, or the application's that dispatches now */
	bool is_driven;		/* by the application: we have no thread */
	bool is_dispatching;	/* written by that thread */
	int epoll_fd;
	int timer_fd;
	int stop_fd;

	/* Below: guarded by the lock. */
	bool is_stopping;
	uint64_t timer_watch;
	uint64_t stop_watch;
	struct watch *watches;
	uint32_t nr_watch_slots;
	struct timer *timers;
	uint32_t nr_timer_slots;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The one loop of the process. Never take this lock while holding the loop's. */
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop *process_loop;
static unsigned int process_refs;

/* ---- the lock ------------------------------------------------------------------------------- */

static bool
is_owner(const struct turn_lock *l)
{
	return l->depth > 0 && pthread_equal(l->owner, pthread_self());
}

void
vhc_loop_lock(struct loop *loop)
{
	struct turn_lock *l = &loop->lock;

	pthread_mutex_lock(&l->mutex);
	if (!is_owner(l)) {
		uint64_t ticket = l->ticket_given++;

		while (ticket != l->ticket_served)
			pthread_cond_wait(&l->next, &l->mutex);
		l->owner = pthread_self();
		st_relaxed(&l->held_since, now_ns());
	}
	l->depth++;
	pthread_mutex_unlock(&l->mutex);
}

void
vhc_loop_unlock(struct loop *loop)
{
	struct turn_lock *l = &loop->lock;

	pthread_mutex_lock(&l->mutex);
	vhc_assert(is_owner(l));
	if (--l->depth == 0) {
		l->ticket_served++;
		st_relaxed(&l->held_since, 0);
		pthread_cond_broadcast(&l->next);
	}
	pthread_mutex_unlock(&l->mutex);
}

unsigned int
vhc_loop_held_ms(const struct loop *loop)
{
	uint64_t since = ld_relaxed(&loop->lock.held_since), now = now_ns();

	return since && since < now ? (unsigned int)((now - since) / 1000000u) : 0;
}

bool
vhc_loop_is_current(const struct loop *loop)
{
	if (loop->is_driven && !ld_relaxed(&loop->is_dispatching))
		return false;
	return pthread_equal(loop->thread, pthread_self());
}

bool
vhc_loop_is_held(struct loop *loop)
{
	bool is_held;

	pthread_mutex_lock(&loop->lock.mutex);
	is_held = is_owner(&loop->lock);
	pthread_mutex_unlock(&loop->lock.mutex);
	return is_held;
}

/* ---- watches -------------------------------------------------------------------------------- */

/* Twice as many slots, the new ones zeroed. */
static void *
grow(void *slots, uint32_t *nr, size_t slot_size)
{
	uint32_t more = *nr ? *nr * 2 : FIRST_SLOTS;
	uint8_t *grown = realloc(slots, more * slot_size);

	if (!grown)
		return NULL;
	memset(grown + *nr * slot_size, 0, (more - *nr) * slot_size);
	*nr = more;
	return grown;
}

static struct watch *
find_watch(const struct loop *loop, uint64_t id)
{
	uint32_t slot = ID_SLOT(id);

	if (slot >= loop->nr_watch_slots || loop->watches[slot].generation != ID_GENERATION(id))
		return NULL;
	return &loop->watches[slot];
}

static int
free_watch_slot(struct loop *loop, uint32_t *slot)
{
	struct watch *grown;

	for (*slot = 0; *slot < loop->nr_watch_slots; (*slot)++)
		if (!(loop->watches[*slot].generation & 1))
			return 0;
	grown = grow(loop->watches, &loop->nr_watch_slots, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	loop->watches = grown;
	return 0;
}

int
vhc_loop_watch(struct loop *loop, int fd, uint32_t events, loop_watch_fn fn, void *arg,
	       uint64_t *watch)
{
	struct epoll_event event = { .events = events };
	struct watch *w;
	uint32_t slot;
	int rc = free_watch_slot(loop, &slot);

	if (rc)
		return rc;
	w = &loop->watches[slot];
	event.data.u64 = (uint64_t)(w->generation + 1) << 32 | slot;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	*w = (struct watch){ .generation = w->generation + 1, .fd = fd, .fn = fn, .arg = arg };
	*watch = event.data.u64;
	return 0;
}

void
vhc_loop_unwatch(struct loop *loop, uint64_t *watch)
{
	struct watch *w = find_watch(loop, *watch);
	int rc;

	if (*watch == 0)
		return;
	vhc_assert(w);
	*watch = 0;
	rc = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	vhc_assert(rc == 0);	/* the caller closed the descriptor too early */
	(void)rc;
	w->generation++;
}

/* ---- timers --------------------------------------------------------------------------------- */

/* Timers are few, one or two a device: a scan is as good as a heap, and cannot go wrong. */
static struct timer *
earliest_timer(const struct loop *loop)
{
	struct timer *first = NULL;

	for (uint32_t i = 0; i < loop->nr_timer_slots; i++) {
		struct timer *t = &loop->timers[i];

		if ((t->generation & 1) && (!first || t->deadline < first->deadline))
			first = t;
	}
	return first;
}

/* Make timer_fd readable at the earliest deadline, or never. */
static void
arm(struct loop *loop)
{
	const struct timer *t = earliest_timer(loop);
	struct itimerspec when = { 0 };
	int rc;

	if (t) {
		when.it_value.tv_sec = (time_t)(t->deadline / 1000000000u);
		when.it_value.tv_nsec = (long)(t->deadline % 1000000000u);
	}
	rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	vhc_assert(rc == 0);
	(void)rc;
}

int
vhc_loop_timer(struct loop *loop, unsigned int ms, loop_timer_fn fn, void *arg, uint64_t *timer)
{
	uint32_t slot = 0;
	struct timer *t;

	while (slot < loop->nr_timer_slots && (loop->timers[slot].generation & 1))
		slot++;
	if (slot == loop->nr_timer_slots) {
		t = grow(loop->timers, &loop->nr_timer_slots, sizeof(*t));
		if (!t)
			return -ENOMEM;
		loop->timers = t;
	}
	t = &loop->timers[slot];
	*t = (struct timer){
		.generation = t->generation + 1,
		.deadline = now_ns() + (uint64_t)ms * 1000000u,
		.fn = fn,
		.arg = arg,
	};
	*timer = (uint64_t)t->generation << 32 | slot;
	arm(loop);
	return 0;
}

void
vhc_loop_cancel(struct loop *loop, uint64_t *timer)
{
	uint32_t slot = ID_SLOT(*timer);

	/* One that has fired is gone already: its owner may still hold the id. */
	if (*timer && slot < loop->nr_timer_slots &&
	    loop->timers[slot].generation == ID_GENERATION(*timer)) {
		loop->timers[slot].generation++;
		arm(loop);
	}
	*timer = 0;
}

/* Run one timer that is due at `now`. False: there is none. */
static bool
run_timer(struct loop *loop, uint64_t now)
{
	struct timer *t;
	bool is_due;

	vhc_loop_lock(loop);
	t = earliest_timer(loop);
	is_due = t && t->deadline <= now;
	if (is_due) {
		loop_timer_fn fn = t->fn;
		void *arg = t->arg;

		t->generation++;
		fn(arg);
	} else {
		arm(loop);
	}
	vhc_loop_unlock(loop);
	return is_due;
}

/* Timers that handlers set meanwhile are due after `now`: this ends. */
static void
run_timers(struct loop *loop)
{
	uint64_t now = now_ns();

	while (run_timer(loop, now))
		;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void
on_stop(uint32_t events, void *arg)
{
	struct loop *loop = arg;

	(void)events;
	loop->is_stopping = true;
}

/* Only ends the wait: run_timers() follows every wait, and arms the descriptor anew. */
static void
on_timer_fd(uint32_t events, void *arg)
{
	struct loop *loop = arg;
	uint64_t nr_expired;

	(void)events;
	if (read(loop->timer_fd, &nr_expired, sizeof(nr_expired)) < 0)
		vhc_assert(errno == EAGAIN);
}

/* The watch may have gone since epoll_wait() returned, its owner freed: look it up now. */
static void
dispatch(struct loop *loop, const struct epoll_event *event)
{
	struct watch *w;

	vhc_loop_lock(loop);
	w = find_watch(loop, event->data.u64);
	if (w)
		w->fn(event->events, w->arg);
	vhc_loop_unlock(loop);
}

/* How many events it were; -1: a signal came first. */
static int
turn(struct loop *loop, int timeout)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	int nr = epoll_wait(loop->epoll_fd, events, EVENTS_PER_WAIT, timeout);

	vhc_assert(nr >= 0 || errno == EINTR);
	for (int i = 0; i < nr; i++)
		dispatch(loop, &events[i]);
	run_timers(loop);
	return nr;
}

static void *
run(void *arg)
{
	struct loop *loop = arg;

	while (!loop->is_stopping)	/* written on this thread only */
		turn(loop, -1);
	return NULL;
}

static int
open_fds(struct loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->stop_fd < 0 ? -errno : 0;
}

static void
loop_free(struct loop *loop)
{
	fd_close(&loop->epoll_fd);
	fd_close(&loop->timer_fd);
	fd_close(&loop->stop_fd);
	pthread_cond_destroy(&loop->lock.next);
	pthread_mutex_destroy(&loop->lock.mutex);
	free(loop->watches);
	free(loop->timers);
	free(loop);
}

static int
loop_create(bool is_driven, struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->is_driven = is_driven;
	pthread_mutex_init(&loop->lock.mutex, NULL);
	pthread_cond_init(&loop->lock.next, NULL);
	rc = open_fds(loop);
	if (rc)
		goto err;
	rc = vhc_loop_watch(loop, loop->stop_fd, EPOLLIN, on_stop, loop, &loop->stop_watch);
	if (rc)
		goto err;
	rc = vhc_loop_watch(loop, loop->timer_fd, EPOLLIN, on_timer_fd, loop, &loop->timer_watch);
	if (rc)
		goto err;
	rc = is_driven ? 0 : vhc_thread_start(&loop->thread, "vhostcore", run, loop);
	if (rc)
		goto err;
	*out = loop;
	return 0;

err:
	loop_free(loop);
	return rc;
}

static void
stop_thread(struct loop *loop)
{
	int rc = fd_signal(loop->stop_fd);

	vhc_assert(rc == 0);
	rc = pthread_join(loop->thread, NULL);
	vhc_assert(rc == 0);
	(void)rc;
}

static void
loop_destroy(struct loop *loop)
{
	if (!loop->is_driven)
		stop_thread(loop);
	loop_free(loop);
}

int
vhc_loop_get(struct loop **loop)
{
	int rc = 0;

	pthread_mutex_lock(&process_lock);
	if (!process_loop)
		rc = loop_create(false, &process_loop);
	if (rc == 0) {
		process_refs++;
		*loop = process_loop;
	}
	pthread_mutex_unlock(&process_lock);
	return rc;
}

void
vhc_loop_put(struct loop *loop)
{
	vhc_assert(!vhc_loop_is_current(loop));
	pthread_mutex_lock(&process_lock);
	vhc_assert(loop == process_loop && process_refs > 0);
	if (--process_refs == 0) {
		process_loop = NULL;
		loop_destroy(loop);
	}
	pthread_mutex_unlock(&process_lock);
}

/* ---- driven by the application -------------------------------------------------------------- */

/* It holds a reference, so that there is one loop for all of its servers. */
VHC_API int
vhc_loop_take_over(int *fd)
{
	int rc = -EBUSY;

	pthread_mutex_lock(&process_lock);
	if (!process_loop)
		rc = loop_create(true, &process_loop);
	if (rc == 0) {
		process_refs++;
		*fd = process_loop->epoll_fd;
	}
	pthread_mutex_unlock(&process_lock);
	return rc;
}

VHC_API int
vhc_loop_dispatch(void)
{
	struct loop *loop = process_loop;
	int nr;

	vhc_assert(loop && loop->is_driven);
	loop->thread = pthread_self();
	st_relaxed(&loop->is_dispatching, true);
	nr = turn(loop, 0);
	st_relaxed(&loop->is_dispatching, false);
	return nr < 0 ? 0 : nr;
}

VHC_API void
vhc_loop_release(void)
{
	vhc_assert(process_loop && process_loop->is_driven && process_refs == 1);
	vhc_loop_put(process_loop);
}
