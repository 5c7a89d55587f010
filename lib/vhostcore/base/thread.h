/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.h - a thread of the library's own.
 *
 * Knows:   pthreads.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#ifndef VHC_BASE_THREAD_H
#define VHC_BASE_THREAD_H

#include <pthread.h>

#include "compiler.h"

/*
 * One no signal of the application lands on; SIGBUS is about what it does itself. `name` has at
 * most 15 bytes. 0 or -errno.
 */
int vhc_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg)
	VHC_MUST_USE;

#endif
