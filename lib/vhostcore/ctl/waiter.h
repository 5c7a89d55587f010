/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * waiter.h - an application thread waits for a verdict that the control thread will have, or not.
 *
 * Knows:   nothing of what the verdict is about.
 * Trusts:  both sides to let go of it once.
 * Runs on: vhc_waiter_wait() on the thread that waits, without the loop's lock; the rest anywhere.
 *
 * It outlives whoever lets go first: a verdict may come too late, or the device be gone by then.
 */
#ifndef VHC_CTL_WAITER_H
#define VHC_CTL_WAITER_H

#include <stdbool.h>

#include "../base/compiler.h"

struct waiter;

/* One for two sides: who waits, and who tells. */
int vhc_waiter_create(struct waiter **waiter) VHC_MUST_USE;

/* The verdict, or -ETIMEDOUT after `ms`. Lets go of it. */
int vhc_waiter_wait(struct waiter *waiter, unsigned int ms);

/* The verdict is here. Lets go of it. */
void vhc_waiter_tell(struct waiter *waiter, int verdict);

/* The thread still waits. For who has not told it yet. */
bool vhc_waiter_is_waiting(struct waiter *waiter);

#endif
