/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * caller.h - a thread that interrupts drivers, so that pollers need not make the system call.
 *
 * Knows:   queues.
 * Trusts:  pollers to say that a call is due only after they have published.
 * Runs on: its own thread, at most one a process; see the functions.
 */
#ifndef VHC_CALLER_H
#define VHC_CALLER_H

#include "queue.h"

/* Whoever owns the queue, or holds it: make the call that is due, if one is. */
void vhc_caller_flush(struct vhc_queue *q);

/* Control, which owns the queue: the thread has nothing to do with it any more, and may end. */
void vhc_caller_forget(struct vhc_queue *q);

#endif
