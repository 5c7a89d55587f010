/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop.h - the control thread: waits for descriptors and timers, and owns the control lock.
 *
 * Knows:   epoll, one lock, one-shot timers.
 * Trusts:  its callers: a handler must return soon, and unwatch a descriptor before closing it.
 * Runs on: its own thread; functions below on any thread that holds the lock.
 *
 * There is one a control thread, that is, one unless servers ask for more. All control state of a
 * server is guarded by its loop's lock. Every handler runs with it held, and every API call takes
 * it. Nobody takes a second loop's lock while holding one. The lock is recursive and first come,
 * first served: between two handlers the thread that has waited longest gets in.
 */
#ifndef VHC_CTL_LOOP_H
#define VHC_CTL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "../base/compiler.h"

struct loop;
struct appear;

typedef void (*loop_watch_fn)(uint32_t events, void *arg);
typedef void (*loop_timer_fn)(void *arg);

/*
 * Take a reference on the process's loop of this number, below VHC_CONTROL_THREADS_MAX; the first
 * one starts its thread. Without the lock.
 */
int vhc_loop_get(unsigned int nr, struct loop **loop) VHC_MUST_USE;

/* Drop one; the last one ends the thread. Not on the loop's thread, and without the lock. */
void vhc_loop_put(struct loop *loop);

void vhc_loop_lock(struct loop *loop);
void vhc_loop_unlock(struct loop *loop);

/* The caller runs on the loop's thread, that is, within a handler. */
bool vhc_loop_is_current(const struct loop *loop);

/* The caller holds the lock: nothing else happens before it lets go. */
bool vhc_loop_is_held(struct loop *loop);

/* For so many milliseconds one thread has held it now; 0: nobody does. Without the lock. */
unsigned int vhc_loop_held_ms(const struct loop *loop);

/*
 * Call `fn` whenever `fd` has one of `events` (EPOLLIN...; level-triggered). `*watch` gets an id,
 * never 0. Handlers may watch and unwatch whatever they like, themselves included; once
 * vhc_loop_unwatch() returns, `fn` is not called any more.
 */
int vhc_loop_watch(struct loop *loop, int fd, uint32_t events, loop_watch_fn fn, void *arg,
		   uint64_t *watch) VHC_MUST_USE;

/* Stop watching, before `fd` is closed; sets `*watch` to 0. Does nothing if it is 0. */
void vhc_loop_unwatch(struct loop *loop, uint64_t *watch);

/* Call `fn` once, `ms` milliseconds from now. `*timer` gets an id, never 0. */
int vhc_loop_timer(struct loop *loop, unsigned int ms, loop_timer_fn fn, void *arg,
		   uint64_t *timer) VHC_MUST_USE;

/* The timer does not fire any more, if it has not yet; sets `*timer` to 0. */
void vhc_loop_cancel(struct loop *loop, uint64_t *timer);

/* Where appear.c keeps what belongs to this loop; NULL at first, and again before the end. */
struct appear **vhc_loop_appear(struct loop *loop);

#endif
