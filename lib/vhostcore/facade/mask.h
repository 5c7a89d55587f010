/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mask.h - a path with a vDPA device: what that leaves of an offer.
 *
 * Knows:   vdpa_driver.h.
 * Trusts:  the driver.
 * Runs on: any thread.
 */
#ifndef VHC_FACADE_MASK_H
#define VHC_FACADE_MASK_H

#include <stdint.h>

struct rte_vdpa_device;

/* Keep the bits that the device has as well, of either; no device changes nothing. 0 or -1. */
int vhc_facade_vdpa_mask(struct rte_vdpa_device *dev, uint64_t *features,
			 uint64_t *protocol_features);

#endif
