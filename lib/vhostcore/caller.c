/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * caller.c - interrupt drivers later, on a thread of our own.
 *
 * Knows:   queues that want it, clocks.
 * Trusts:  nothing it could be wrong about: one call too many is harmless, and none is lost.
 * Runs on: its own thread; vhc_queue_call_later() on pollers, the rest on control and application
 *          threads.
 *
 * A poller leaves a mark in its queue; the thread looks at all queues once an interval and makes
 * the calls. What was published until then shares one call. While there is nothing to do the
 * thread sleeps, and a poller wakes it: one system call for the first of many.
 *
 * Locks are taken in this order: the loop's, life_lock, caller.lock. The thread itself takes only
 * the last, so that whoever has the others may wait for it.
 */
#include "caller.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/thread.h"
#include "ring/verbs.h"

#define NS_PER_US	UINT64_C(1000)
#define NS_PER_S	UINT64_C(1000000000)
#define US_MAX		10000
#define NS_BEFORE_SLEEP	(2000 * NS_PER_US)

/* One at a time lists and forgets queues, starts and ends the thread. */
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	pthread_mutex_t lock;	/* guards the next two; the thread holds it as it goes round */
	struct vhc_queue *first;
	bool is_ending;
	uint32_t is_asleep;	/* set by the thread, cleared by who wakes it */
	int wake_fd;
	pthread_t thread;
} caller = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1 };

/* ---- the mark ------------------------------------------------------------------------------- */

/*
 * Publishing ended with a fence [N]: if an older mark is still there, the thread takes it after
 * what was published now. Otherwise the fence [S] sees that either we notice the thread asleep, or
 * it notices the mark before it sleeps.
 */
VHC_API void
vhc_queue_call_later(struct vhc_queue *q)
{
	if (ld_relaxed(&q->duty.is_due))
		return;
	st_release(&q->duty.is_due, 1);
	fence_full();
	if (ld_relaxed(&caller.is_asleep) && exchange(&caller.is_asleep, 0))
		fd_signal(caller.wake_fd);
}

void
vhc_caller_flush(struct vhc_queue *q)
{
	int rc;

	if (!ld_relaxed(&q->duty.is_due))
		return;
	exchange(&q->duty.is_due, 0);	/* first: what comes from now on is another call */
	rc = ring_call(&q->ring);
	if (rc == 0 || rc == -EAGAIN)
		st_relaxed(&q->duty.nr_made, q->duty.nr_made + 1);
	else if (rc != -EBADF)
		st_relaxed(&q->duty.nr_failed, q->duty.nr_failed + 1);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* A queue that control has in hand is called by control, or at the next round. */
static void
call_if_time(struct vhc_queue *q, uint64_t now)
{
	if (now < q->duty.not_before || !vhc_queue_hold(q))
		return;
	q->duty.not_before = now + q->duty.interval;
	vhc_caller_flush(q);
	vhc_queue_release(q);
}

/* Needs the lock. True: there was a mark; *interval becomes the shortest there is. */
static bool
go_round(uint64_t now, uint64_t *interval)
{
	bool found = false;

	*interval = US_MAX * NS_PER_US;
	for (struct vhc_queue *q = caller.first; q; q = q->duty.next) {
		if (q->duty.interval < *interval)
			*interval = q->duty.interval;
		if (!ld_relaxed(&q->duty.is_due))
			continue;
		found = true;
		call_if_time(q, now);
	}
	return found;
}

/* A mark that comes while we fall asleep is seen by us, or its poller sees us asleep [S]. */
static void
sleep_until_woken(void)
{
	uint64_t interval, count;
	bool found;

	st_relaxed(&caller.is_asleep, 1);
	fence_full();
	pthread_mutex_lock(&caller.lock);
	found = caller.is_ending || go_round(now_ns(), &interval);
	pthread_mutex_unlock(&caller.lock);
	if (!found && read(caller.wake_fd, &count, sizeof(count)) < 0)
		vhc_assert(errno == EINTR);
	st_relaxed(&caller.is_asleep, 0);
}

static void *
run(void *arg)
{
	uint64_t last_found = now_ns();

	(void)arg;
	prctl(PR_SET_TIMERSLACK, 1000ul);	/* nanoseconds; 50 000 would double short sleeps */
	for (;;) {
		uint64_t now = now_ns(), interval;
		struct timespec pause;
		bool found, is_ending;

		pthread_mutex_lock(&caller.lock);
		is_ending = caller.is_ending;
		found = go_round(now, &interval);
		pthread_mutex_unlock(&caller.lock);
		if (is_ending)
			return NULL;
		if (found)
			last_found = now;
		if (now - last_found < NS_BEFORE_SLEEP) {
			pause = (struct timespec){ .tv_nsec = (long)interval };
			clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
			continue;
		}
		sleep_until_woken();
		last_found = now_ns();
	}
}

/* ---- its life ------------------------------------------------------------------------------- */

static int
start_thread(void)
{
	int rc;

	caller.wake_fd = eventfd(0, EFD_CLOEXEC);
	if (caller.wake_fd < 0)
		return -errno;
	caller.is_ending = false;
	rc = vhc_thread_start(&caller.thread, "vhostcore-call", run, NULL);
	if (rc)
		fd_close(&caller.wake_fd);
	return rc;
}

static void
end_thread(void)
{
	pthread_mutex_lock(&caller.lock);
	caller.is_ending = true;
	pthread_mutex_unlock(&caller.lock);
	fd_signal(caller.wake_fd);
	pthread_join(caller.thread, NULL);
	fd_close(&caller.wake_fd);
}

/* Needs life_lock; a queue already listed only changes its interval. */
static int
list(struct vhc_queue *q, uint64_t interval)
{
	int rc = caller.first ? 0 : start_thread();

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&caller.lock);
	q->duty.interval = interval;
	if (!q->duty.link) {
		q->duty.next = caller.first;
		q->duty.link = &caller.first;
		if (caller.first)
			caller.first->duty.link = &q->duty.next;
		caller.first = q;
	}
	pthread_mutex_unlock(&caller.lock);
	return 0;
}

/* Needs life_lock, and the queue. */
static void
unlist(struct vhc_queue *q)
{
	pthread_mutex_lock(&caller.lock);
	if (q->duty.link) {
		*q->duty.link = q->duty.next;
		if (q->duty.next)
			q->duty.next->duty.link = q->duty.link;
		q->duty.link = NULL;
	}
	pthread_mutex_unlock(&caller.lock);
	q->duty.interval = 0;
	vhc_caller_flush(q);
	if (!caller.first && caller.wake_fd >= 0)
		end_thread();
}

void
vhc_caller_forget(struct vhc_queue *q)
{
	pthread_mutex_lock(&life_lock);
	unlist(q);
	pthread_mutex_unlock(&life_lock);
}

VHC_API int
vhc_queue_defer_calls(struct vhc_queue *q, unsigned int us)
{
	int rc = 0;

	if (us > US_MAX)
		return -EINVAL;
	vhc_queue_pause(q);
	pthread_mutex_lock(&life_lock);
	if (us > 0)
		rc = list(q, us * NS_PER_US);
	else
		unlist(q);
	pthread_mutex_unlock(&life_lock);
	vhc_queue_resume(q);
	return rc;
}
