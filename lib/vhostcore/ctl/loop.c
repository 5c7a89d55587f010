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
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../base/fd.h"
#include "../base/order.h"
#include "../base/thread.h"
#include "../vhostcore_loop.h"
#include "slots.h"
#include "timers.h"

#define EVENTS_PER_WAIT	64
#define NEVER		UINT64_MAX

struct watch {
	struct slot slot;
	int fd;
	loop_watch_fn fn;
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
	struct slots watches;	/* of struct watch */
	struct timers timers;	/* CLOCK_MONOTONIC, nanoseconds */
	uint64_t armed;		/* when timer_fd becomes readable, or before */
	struct appear *appear;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The loops of the process. Never take this lock while holding a loop's. */
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct loop *loop;
	unsigned int nr_refs;
} process[VHC_CONTROL_THREADS_MAX];

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

int
vhc_loop_watch(struct loop *loop, int fd, uint32_t events, loop_watch_fn fn, void *arg,
	       uint64_t *watch)
{
	struct epoll_event event = { .events = events };
	uint64_t id;
	struct watch *w = vhc_slot_take(&loop->watches, &id);

	if (!w)
		return -ENOMEM;
	event.data.u64 = id;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int rc = -errno;

		vhc_slot_give(&loop->watches, w);
		return rc;
	}
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	*watch = id;
	return 0;
}

void
vhc_loop_unwatch(struct loop *loop, uint64_t *watch)
{
	struct watch *w = vhc_slot_find(&loop->watches, *watch);
	int rc;

	if (*watch == 0)
		return;
	vhc_assert(w);
	*watch = 0;
	rc = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	vhc_assert(rc == 0);	/* the caller closed the descriptor too early */
	(void)rc;
	vhc_slot_give(&loop->watches, w);
}

/* ---- timers --------------------------------------------------------------------------------- */

/*
 * Make timer_fd readable at the earliest deadline. If that has moved away, it is so once too early,
 * which costs less than to say so each time.
 */
static void
arm(struct loop *loop)
{
	const struct timer *t = vhc_timers_first(&loop->timers);
	struct itimerspec when = { 0 };
	int rc;

	if (!t || t->deadline >= loop->armed)
		return;
	loop->armed = t->deadline;
	when.it_value.tv_sec = (time_t)(t->deadline / 1000000000u);
	when.it_value.tv_nsec = (long)(t->deadline % 1000000000u);
	rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	vhc_assert(rc == 0);
	(void)rc;
}

int
vhc_loop_timer(struct loop *loop, unsigned int ms, loop_timer_fn fn, void *arg, uint64_t *timer)
{
	int rc = vhc_timers_add(&loop->timers, now_ns() + (uint64_t)ms * 1000000u, fn, arg, timer);

	if (rc == 0)
		arm(loop);
	return rc;
}

/* One that has fired is gone already: its owner may still hold the id. */
void
vhc_loop_cancel(struct loop *loop, uint64_t *timer)
{
	vhc_timers_remove(&loop->timers, *timer);
	*timer = 0;
}

/* Run one timer that is due at `now`. False: there is none. */
static bool
run_timer(struct loop *loop, uint64_t now)
{
	const struct timer *t;
	bool is_due;

	vhc_loop_lock(loop);
	t = vhc_timers_first(&loop->timers);
	is_due = t && t->deadline <= now;
	if (is_due) {
		loop_timer_fn fn = t->fn;
		void *arg = t->arg;

		vhc_timers_pop(&loop->timers);
		fn(arg);
	} else {
		arm(loop);
	}
	vhc_loop_unlock(loop);
	return is_due;
}

struct appear **
vhc_loop_appear(struct loop *loop)
{
	return &loop->appear;
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
	loop->armed = NEVER;
	if (read(loop->timer_fd, &nr_expired, sizeof(nr_expired)) < 0)
		vhc_assert(errno == EAGAIN);
}

/* The watch may have gone since epoll_wait() returned, its owner freed: look it up now. */
static void
dispatch(struct loop *loop, const struct epoll_event *event)
{
	struct watch *w;

	vhc_loop_lock(loop);
	w = vhc_slot_find(&loop->watches, event->data.u64);
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
start_thread(struct loop *loop, unsigned int nr)
{
	char name[16] = "vhostcore";

	if (nr)
		snprintf(name, sizeof(name), "vhostcore-%u", nr % VHC_CONTROL_THREADS_MAX);
	return vhc_thread_start(&loop->thread, name, run, loop);
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
	free(loop->watches.each);
	vhc_timers_fini(&loop->timers);
	free(loop);
}

static int
loop_create(unsigned int nr, bool is_driven, struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->is_driven = is_driven;
	loop->armed = NEVER;
	loop->watches.size = sizeof(struct watch);
	vhc_timers_init(&loop->timers);
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
	rc = is_driven ? 0 : start_thread(loop, nr);
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

/* Needs process_lock. */
static int
take_ref(unsigned int nr, bool is_driven, struct loop **loop)
{
	int rc = process[nr].loop ? 0 : loop_create(nr, is_driven, &process[nr].loop);

	if (rc)
		return rc;
	process[nr].nr_refs++;
	*loop = process[nr].loop;
	return 0;
}

int
vhc_loop_get(unsigned int nr, struct loop **loop)
{
	int rc;

	vhc_assert(nr < VHC_CONTROL_THREADS_MAX);
	pthread_mutex_lock(&process_lock);
	rc = take_ref(nr, false, loop);
	pthread_mutex_unlock(&process_lock);
	return rc;
}

void
vhc_loop_put(struct loop *loop)
{
	unsigned int nr = 0;

	vhc_assert(!vhc_loop_is_current(loop));
	pthread_mutex_lock(&process_lock);
	while (process[nr].loop != loop)
		nr++;
	vhc_assert(process[nr].nr_refs > 0);
	if (--process[nr].nr_refs == 0) {
		process[nr].loop = NULL;
		loop_destroy(loop);
	}
	pthread_mutex_unlock(&process_lock);
}

/* ---- driven by the application -------------------------------------------------------------- */

/* It holds a reference, so that there is one loop for all of its servers. */
VHC_API int
vhc_loop_take_over(int *fd)
{
	struct loop *loop;
	int rc = -EBUSY;

	pthread_mutex_lock(&process_lock);
	if (!process[0].loop)
		rc = take_ref(0, true, &loop);
	if (rc == 0)
		*fd = loop->epoll_fd;
	pthread_mutex_unlock(&process_lock);
	return rc;
}

VHC_API int
vhc_loop_dispatch(void)
{
	struct loop *loop = process[0].loop;
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
	vhc_assert(process[0].loop && process[0].loop->is_driven && process[0].nr_refs == 1);
	vhc_loop_put(process[0].loop);
}
