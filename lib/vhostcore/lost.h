/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lost.h - devices whose memory may be taken away by the front-end it belongs to.
 *
 * Knows:   devices.
 * Trusts:  mem/guard.h to notice.
 * Runs on: with the loop's lock held.
 */
#ifndef VHC_LOST_H
#define VHC_LOST_H

#include "base/compiler.h"

struct vhc_device;

/* When memory of this device is lost, drop its front-end and say so. 0 or -errno. */
int vhc_losses_watch(struct vhc_device *dev) VHC_MUST_USE;

/* No more. Does nothing if it was not watched. */
void vhc_losses_unwatch(struct vhc_device *dev);

#endif
