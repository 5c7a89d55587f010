/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timers.h - deadlines in a heap: the earliest is at hand, thousands of others cost it nothing.
 *
 * Knows:   numbers to compare; no clock.
 * Trusts:  its owner, the loop.
 * Runs on: with the loop's lock held.
 */
#ifndef VHC_CTL_TIMERS_H
#define VHC_CTL_TIMERS_H

#include <stdbool.h>

#include "slots.h"

struct timer {
	struct slot slot;
	uint32_t place;		/* in the heap */
	uint64_t deadline;
	void (*fn)(void *arg);
	void *arg;
};

struct timers {
	struct slots slots;	/* of struct timer */
	uint32_t *heap;		/* indices of slots; none is later than the two below it */
	uint32_t nr;
	uint32_t room;
};

void vhc_timers_init(struct timers *timers);
void vhc_timers_fini(struct timers *timers);

/* 0 or -ENOMEM. `*id` is never 0. */
int vhc_timers_add(struct timers *timers, uint64_t deadline, void (*fn)(void *arg), void *arg,
		   uint64_t *id) VHC_MUST_USE;

/* Nothing happens if it is gone already. */
void vhc_timers_remove(struct timers *timers, uint64_t id);

/* The earliest, NULL: there is none. */
struct timer *vhc_timers_first(const struct timers *timers);

/* Take that one out. */
void vhc_timers_pop(struct timers *timers);

#endif
