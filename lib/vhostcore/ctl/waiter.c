/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * waiter.c - see waiter.h.
 *
 * Knows:   pthreads.
 * Trusts:  its two sides.
 * Runs on: see waiter.h.
 */
#include "waiter.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct waiter {
	pthread_mutex_t lock;	/* guards the rest */
	pthread_cond_t told;
	bool has_verdict;
	bool has_left;		/* the thread */
	bool is_let_go;		/* one side did: the other one frees */
	int verdict;
};

int
vhc_waiter_create(struct waiter **out)
{
	struct waiter *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return -ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->told, &attr);
	pthread_condattr_destroy(&attr);
	*out = w;
	return 0;
}

/* With the lock, which is not held afterwards. */
static void
let_go(struct waiter *w)
{
	bool is_last = w->is_let_go;

	w->is_let_go = true;
	pthread_mutex_unlock(&w->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&w->told);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct timespec
from_now(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

int
vhc_waiter_wait(struct waiter *w, unsigned int ms)
{
	struct timespec end = from_now(ms);
	int verdict, rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->has_verdict && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&w->told, &w->lock, &end);
	verdict = w->has_verdict ? w->verdict : -ETIMEDOUT;
	w->has_left = true;
	let_go(w);
	return verdict;
}

void
vhc_waiter_tell(struct waiter *w, int verdict)
{
	pthread_mutex_lock(&w->lock);
	w->verdict = verdict;
	w->has_verdict = true;
	pthread_cond_signal(&w->told);
	let_go(w);
}

bool
vhc_waiter_is_waiting(struct waiter *w)
{
	bool is_waiting;

	pthread_mutex_lock(&w->lock);
	is_waiting = !w->has_left;
	pthread_mutex_unlock(&w->lock);
	return is_waiting;
}
