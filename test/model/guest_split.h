/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_split.h - the driver's half of a split ring.
 *
 * Knows:   virtio 1.2 section 2.7, from the other side; driver.h.
 * Trusts:  as driver.h.
 * Runs on: the test's thread.
 */
#ifndef TEST_MODEL_GUEST_SPLIT_H
#define TEST_MODEL_GUEST_SPLIT_H

#include "driver.h"

extern const struct driver_half guest_split_half;

/* Put any number on the available ring. */
void guest_split_make_available(struct driver *d, uint16_t id);

#endif
