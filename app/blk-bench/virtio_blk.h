/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_blk.h - a disk's requests and configuration as virtio 1.2 section 5.2 lays them out: what
 * a driver that reads and writes needs of it.
 */
#ifndef VHOSTX_BLK_BENCH_VIRTIO_BLK_H
#define VHOSTX_BLK_BENCH_VIRTIO_BLK_H

#include "spec/le.h"

#define VIRTIO_BLK_F_RO_BIT	5
#define VIRTIO_BLK_F_FLUSH_BIT	9

#define VIRTIO_BLK_T_IN		0
#define VIRTIO_BLK_T_OUT	1

#define VIRTIO_BLK_S_OK		0

#define VIRTIO_BLK_SECTOR	512u

struct virtio_blk_req_header {
	le32 type;
	le32 reserved;
	le64 sector;
};

/* The beginning of the configuration space. */
struct virtio_blk_config {
	le64 capacity;		/* sectors */
	le32 size_max;
	le32 seg_max;
	uint8_t geometry[4];
	le32 blk_size;
};

#endif
