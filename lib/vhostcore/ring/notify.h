/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify.h - the arithmetic of "tell me when the index passes this".
 *
 * Knows:   virtio 1.2 section 2.7.10.
 * Trusts:  any value: the worst a wrong one does is one interrupt too many or too few.
 * Runs on: polling lcore.
 */
#ifndef VHC_RING_NOTIFY_H
#define VHC_RING_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* The step from `old` to `new` passed entry `event`. All free running. */
static inline bool
notify_is_due(uint16_t event, uint16_t new_idx, uint16_t old_idx)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old_idx);
}

#endif
