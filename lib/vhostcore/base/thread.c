/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.c - see thread.h.
 *
 * Knows:   pthreads, signal masks: a thread has its maker's.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#define _GNU_SOURCE 1	/* pthread_setname_np() */

#include "thread.h"

#include <signal.h>

int
vhc_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_setname_np(*thread, name);
	return -rc;
}
