/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_ring.h - the split virtqueue as virtio 1.2 section 2.7 lays it out, in its spelling.
 *
 * Knows:   layout, flags, alignment.
 * Trusts:  nothing to trust: no code.
 * Runs on: everywhere.
 */
#ifndef VHC_SPEC_VIRTIO_RING_H
#define VHC_SPEC_VIRTIO_RING_H

#include <assert.h>
#include <stddef.h>

#include "le.h"

#define VIRTQ_SIZE_MAX			32768

/* struct virtq_desc.flags (2.7.5) */
#define VIRTQ_DESC_F_NEXT		1
#define VIRTQ_DESC_F_WRITE		2
#define VIRTQ_DESC_F_INDIRECT		4

#define VIRTQ_AVAIL_F_NO_INTERRUPT	1
#define VIRTQ_USED_F_NO_NOTIFY		1

/* 2.7.3 alignment of the three parts */
#define VIRTQ_DESC_ALIGN		16
#define VIRTQ_AVAIL_ALIGN		2
#define VIRTQ_USED_ALIGN		4

struct virtq_desc {
	le64 addr;
	le32 len;
	le16 flags;
	le16 next;
};

struct virtq_avail {
	le16 flags;
	le16 idx;
	le16 ring[];	/* followed by le16 used_event when VIRTIO_F_EVENT_IDX is negotiated */
};

struct virtq_used_elem {
	le32 id;
	le32 len;
};

struct virtq_used {
	le16 flags;
	le16 idx;
	struct virtq_used_elem ring[];	/* followed by le16 avail_event, as above */
};

static_assert(sizeof(struct virtq_desc) == 16, "2.7.5");
static_assert(offsetof(struct virtq_desc, flags) == 12, "2.7.5");
static_assert(offsetof(struct virtq_avail, ring) == 4, "2.7.6");
static_assert(sizeof(struct virtq_used_elem) == 8, "2.7.8");
static_assert(offsetof(struct virtq_used, ring) == 4, "2.7.8");

/* Bits of the 64-bit feature word that any device may have (6). */
#define VIRTIO_F_NOTIFY_ON_EMPTY_BIT	24
#define VIRTIO_F_ANY_LAYOUT_BIT		27
#define VIRTIO_F_INDIRECT_DESC_BIT	28
#define VIRTIO_F_EVENT_IDX_BIT		29
#define VIRTIO_F_VERSION_1_BIT		32
#define VIRTIO_F_ACCESS_PLATFORM_BIT	33
#define VIRTIO_F_RING_PACKED_BIT	34
#define VIRTIO_F_IN_ORDER_BIT		35
#define VIRTIO_F_ORDER_PLATFORM_BIT	36

/* Device status byte (2.1) */
#define VIRTIO_STATUS_ACKNOWLEDGE	1
#define VIRTIO_STATUS_DRIVER		2
#define VIRTIO_STATUS_DRIVER_OK		4
#define VIRTIO_STATUS_FEATURES_OK	8
#define VIRTIO_STATUS_DEVICE_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED		128

#endif
