/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw.h - notifications of a ring that the application works itself.
 *
 * Knows:   that how far the ring is stands in the ring only: our own marks do not move.
 * Trusts:  nothing behind a g_ pointer. What a wrong value costs is one notification.
 * Runs on: any thread that holds the queue; control thread.
 */
#ifndef VHC_RING_RAW_H
#define VHC_RING_RAW_H

#include "ring.h"

/* Ask for, or refuse, kicks. True: asked; what came meanwhile the application must look for. */
bool vhc_raw_kicks(struct ring *r, bool on);

/* Used entries were written: does the driver want to hear of them? */
bool vhc_raw_wants_call(struct ring *r);

/* Where a split ring stands by what is used; a packed one does not tell. */
struct ring_mark vhc_raw_mark(const struct ring *r);

/* Split: made available and not used yet; 0 of a packed ring. */
uint16_t vhc_raw_nr_available(const struct ring *r);

#endif
