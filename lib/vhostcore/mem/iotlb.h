/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iotlb.h - what a guest's IOMMU lets the device reach, as far as the front-end has told us.
 *
 * Knows:   regions; that the front-end names memory by its own addresses.
 * Trusts:  nothing of addresses, sizes and permissions.
 * Runs on: changed by control while no burst is inside; find.h searches it on the polling lcore.
 *
 * Two tables of the same shape as the guest's memory: what may be read, and what may be written.
 * A ring points its bursts to the one for the direction of its packets, so they need not know that
 * there is an IOMMU, and permissions cost nothing. The tables never move while they exist.
 */
#ifndef VHC_MEM_IOTLB_H
#define VHC_MEM_IOTLB_H

#include "map.h"

/* Most entries of each table. Neighbours that may be one are one. */
#define IOTLB_ENTRIES_MAX 65536

#define IOTLB_REASON_LEN 256

enum iotlb_access {
	IOTLB_READ = 1,		/* as in the protocol */
	IOTLB_WRITE = 2,
	IOTLB_BOTH = 3,
};

struct iotlb {
	struct map *readable;
	struct map *writable;
	unsigned int most;	/* IOTLB_ENTRIES_MAX, or fewer for a test */
};

/* What the front-end says: what is at `iova` for the device is at `user` for the front-end. */
struct iotlb_claim {
	uint64_t iova;
	uint64_t size;
	uva user;
	uint8_t access;
};

/* NULL: out of memory. Pages are touched as entries come. */
struct iotlb *vhc_iotlb_create(unsigned int most);
void vhc_iotlb_destroy(struct iotlb *t);

/*
 * May this be entered? 0; -EINVAL it makes no sense; -EFAULT it is not the guest's memory, with a
 * sentence in `reason`; -ENOSPC there is no room for it. Changes nothing.
 */
int vhc_iotlb_judge(const struct iotlb *t, const struct map *memory,
		    const struct iotlb_claim *claim, char *reason) VHC_MUST_USE;

/* Enter what was judged to be fine. It replaces what was there. */
void vhc_iotlb_enter(struct iotlb *t, const struct map *memory, const struct iotlb_claim *claim);

/* Is exactly this entered already? */
bool vhc_iotlb_has(const struct iotlb *t, const struct map *memory,
		   const struct iotlb_claim *claim);

/* Forget these addresses, exactly. A size that goes beyond the last address ends there. */
void vhc_iotlb_forget(struct iotlb *t, uint64_t iova, uint64_t size);

/* Is anything of that range entered? */
bool vhc_iotlb_touches(const struct iotlb *t, uint64_t iova, uint64_t size);

/* Forget what is in a region that `memory` (NULL: none) has no longer. */
void vhc_iotlb_keep(struct iotlb *t, const struct map *memory);

void vhc_iotlb_clear(struct iotlb *t);

/* Is this address entered for all of `access`? */
bool vhc_iotlb_permits(const struct iotlb *t, uint64_t iova, uint8_t access);

/*
 * As much of [iova, iova + want) as is in one piece here, for all of `access`; len 0: not even the
 * first byte is entered.
 */
struct span vhc_iotlb_span(const struct iotlb *t, uint64_t iova, uint64_t want, uint8_t access);

#endif
