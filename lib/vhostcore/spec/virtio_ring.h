/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_ring.h - the virtqueues as virtio 1.2 sections 2.7 and 2.8 lay them out, in its spelling.
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

/* 2.8: the packed virtqueue */
#define VIRTQ_DESC_F_AVAIL		(1 << 7)
#define VIRTQ_DESC_F_USED		(1 << 15)

/* 2.8.10.1 alignment of the event structures */
#define VIRTQ_EVENT_ALIGN		4

/* struct virtq_event.flags (2.8.14) */
#define RING_EVENT_FLAGS_ENABLE		0
#define RING_EVENT_FLAGS_DISABLE	1
#define RING_EVENT_FLAGS_DESC		2

struct virtq_packed_desc {
	le64 addr;
	le32 len;
	le16 id;
	le16 flags;
};

struct virtq_event {
	le16 desc;	/* bits 0-14 slot, bit 15 wrap counter */
	le16 flags;
};

#define VIRTQ_EVENT_WRAP_BIT		15

static_assert(sizeof(struct virtq_packed_desc) == 16, "2.8.13");
static_assert(offsetof(struct virtq_packed_desc, len) == 8, "2.8.13");
static_assert(offsetof(struct virtq_packed_desc, flags) == 14, "2.8.13");
static_assert(sizeof(struct virtq_event) == 4, "2.8.14");

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
#define VIRTIO_F_NOTIFICATION_DATA_BIT	38
#define VIRTIO_F_RING_RESET_BIT		40

/* Device status byte (2.1) */
#define VIRTIO_STATUS_ACKNOWLEDGE	1
#define VIRTIO_STATUS_DRIVER		2
#define VIRTIO_STATUS_DRIVER_OK		4
#define VIRTIO_STATUS_FEATURES_OK	8
#define VIRTIO_STATUS_DEVICE_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED		128

#endif
