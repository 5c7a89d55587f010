/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * paths.h - the path table's lock, for who changes a port.
 *
 * Knows:   facade.h.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#ifndef VHC_FACADE_PATHS_H
#define VHC_FACADE_PATHS_H

#include <time.h>

#include "facade.h"

/* For moments; unlocking tells who waits that something changed. */
void vhc_facade_lock_paths(void);
void vhc_facade_unlock_paths(void);

/* Locked: until something changed, or `until` (NULL: for ever). False: it took too long. */
bool vhc_facade_wait_paths(const struct timespec *until);

#endif
