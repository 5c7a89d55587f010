/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mediated.h - used entries that hardware wrote elsewhere, on their way to the guest.
 *
 * Knows:   the split layout.
 * Trusts:  neither the hardware's entries nor the guest's descriptors: both are judged as copies.
 * Runs on: the one thread that relays this ring, which holds the queue; or control.
 */
#ifndef VHC_RING_MEDIATED_H
#define VHC_RING_MEDIATED_H

#include "../mem/dirty_log.h"
#include "ring.h"

/*
 * Mark the buffers of what is new in `hw`, then publish it in the ring. Returns how many entries;
 * the first of them was `*first`. -EPROTO: the index went too far, or an entry names no descriptor.
 */
int vhc_ring_relay_used(struct ring *r, const struct virtq_used *hw, struct dirty_log *dirty,
			uint16_t *first) VHC_MUST_USE;

#endif
