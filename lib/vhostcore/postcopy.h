/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * postcopy.h - a guest that runs here already while pages of its memory are still elsewhere.
 *
 * Knows:   the device, sources of pages.
 * Trusts:  nothing of the front-end: pages may be late, or never come.
 * Runs on: control thread, under the loop's lock.
 *
 * The front-end says ADVISE (we open a userfaultfd and give it a copy), LISTEN, the memory - which
 * it acknowledges when it knows where we have it -, and END once all pages have come. Between,
 * whoever touches a page that is missing sleeps until the front-end has brought it: bursts, which
 * is inherent, and the control thread. A thread of its own watches that one. Where the front-end
 * leaves it waiting for too long, or is gone, the device's memory is given up and all go on.
 */
#ifndef VHC_POSTCOPY_H
#define VHC_POSTCOPY_H

#include "device.h"

/* The control thread waits so long for a page, and not longer: others need it, too. */
#define POSTCOPY_PATIENCE_MS 5000

/* Can this kernel, and this process, do it? 0, or -errno and a sentence in `reason`. */
int vhc_postcopy_probe(bool by_program_only, char *reason) VHC_MUST_USE;

/* A descriptor to send, or -errno and a sentence in `reason` (REGION_REASON_LEN bytes). */
int vhc_postcopy_advise(struct vhc_device *dev, char *reason) VHC_MUST_USE;

/* From now on memory that is shared comes page by page. 0 or -errno. */
int vhc_postcopy_listen(struct vhc_device *dev) VHC_MUST_USE;

/* Regions that the front-end will be told the addresses of; takes over the reference. */
void vhc_postcopy_propose(struct vhc_device *dev, struct map *map);

/* It knows them: use what was proposed. */
void vhc_postcopy_acknowledged(struct vhc_device *dev);

/* All pages have come. */
void vhc_postcopy_end(struct vhc_device *dev);

/* The front-end goes: nobody waits for a page any more, and nothing is written to its memory. */
void vhc_postcopy_abandon(struct vhc_device *dev);

/* What the device has, or will once that is acknowledged. NULL: nothing. */
struct map *vhc_postcopy_latest_map(const struct vhc_device *dev);

#endif
