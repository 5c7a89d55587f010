/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_packed.h - the driver's half of a packed ring.
 *
 * Knows:   virtio 1.2 section 2.8, from the other side; driver.h.
 * Trusts:  as driver.h.
 * Runs on: the test's thread.
 *
 * What is posted lies in the ring with flags that make it neither available nor used; publish
 * turns them, the first descriptor's last.
 */
#ifndef TEST_MODEL_GUEST_PACKED_H
#define TEST_MODEL_GUEST_PACKED_H

#include "driver.h"

extern const struct driver_half guest_packed_half;

/* `n` slots on from a place in the ring, `n` at most its size. */
struct ring_mark guest_packed_after(const struct driver *d, struct ring_mark at, uint32_t n);

/* A place in the encoding of the event structures and of SET_VRING_BASE. */
uint16_t guest_packed_encode(struct ring_mark at);

#endif
