/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iommu.h - a guest with an IOMMU: what its front-end translates for us, and what we ask of it.
 *
 * Knows:   the IOTLB, queues and what they miss.
 * Trusts:  nothing of what the front-end says: mem/iotlb.h judges.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_IOMMU_H
#define VHC_IOMMU_H

#include "base/compiler.h"
#include "base/log.h"
#include "mem/iotlb.h"
#include "ring/miss.h"

struct vhc_device;
struct vhc_queue;

struct device_iommu {
	struct iotlb *iotlb;	/* NULL: none was agreed on, addresses are guest physical ones */
	int miss_fd;		/* pollers tell that they miss something */
	uint64_t miss_watch;
	uint64_t miss_timer;	/* to ask again */
	struct log_limit complaints;
	struct log_limit failures;	/* accesses not permitted, told to the front-end */

	/* since the device was made */
	uint64_t nr_misses;
	uint64_t nr_refused;
	uint64_t nr_updates;
	uint64_t nr_invalidations;
};

/* ACCESS_PLATFORM was agreed on, or not. No ring runs. 0 or -errno. */
int vhc_device_set_iommu(struct vhc_device *dev, bool on);

/* What the front-end said of some addresses. 0, or -errno and a sentence; bursts go on with it. */
int vhc_device_translate(struct vhc_device *dev, const struct iotlb_claim *claim,
			 char *reason) VHC_MUST_USE;

/* When this returns no burst uses these addresses any more. */
void vhc_device_invalidate(struct vhc_device *dev, uint64_t iova, uint64_t size);

/* Nobody tells us of changes while no ring is started: then all is forgotten. */
void vhc_device_forget_translations(struct vhc_device *dev);

/* The front-end has answered a question that we asked for this ring. */
void vhc_device_answered(struct vhc_device *dev, uint16_t ring, uint32_t question, bool refused);

/* ---- queue.c -------------------------------------------------------------------------------- */

/* No burst is inside any queue when this returns. They go on when each is remapped. */
void vhc_device_close_queues(struct vhc_device *dev);

/* All that its running needs has been said. */
bool vhc_queue_is_wanted(const struct vhc_queue *q);

/* ctl/backend.c: ask; tell of an access that was not permitted. 0 or -errno. */
int vhc_channel_ask_translation(struct vhc_device *dev, uint16_t ring,
				const struct ring_miss *miss) VHC_MUST_USE;
void vhc_channel_tell_access_fail(struct vhc_device *dev, uint64_t iova, bool writes);

#endif
