/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blk.h - a virtio block device on an image.
 *
 * Knows:   virtio 1.2 5.2, whose structures linux/virtio_blk.h has.
 * Trusts:  nothing of a driver.
 * Runs on: requests on the workers' threads; configuration on the control thread.
 */
#ifndef BLK_BLK_H
#define BLK_BLK_H

#include <linux/virtio_blk.h>

#include "../disk/image.h"
#include "../disk/worker.h"

/* What a request may ask for at once. The library takes longer chains; drivers keep to this. */
#define BLK_SEGMENTS_MAX	126u	/* with header and status: the usual ring of 128 */
#define BLK_DISCARD_SECTORS_MAX	((2u << 30) >> SECTOR_SHIFT)
#define BLK_ZEROES_SECTORS_MAX	((64u << 20) >> SECTOR_SHIFT)

struct blk {
	struct image *image;
	struct vhc_device *dev;
	struct workers workers;
	uint16_t nr_queues;
	unsigned int poll_us;
	char serial[VIRTIO_BLK_ID_BYTES];	/* no final NUL if it is that long */

	uint64_t features;		/* agreed on; control thread only */
	bool has_write_cache;		/* what the driver wishes; as above */
	atomic_bool is_write_through;	/* what follows from both, for the workers */
};

/* On a worker: what to do with a request. */
void blk_serve(struct request *request);

#endif
