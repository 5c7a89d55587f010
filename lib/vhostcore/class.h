/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * class.h - what a kind of device adds to the engine. ctl/ and net/ meet here and nowhere else.
 *
 * Knows:   queues.
 * Trusts:  the class: it is part of the program.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_CLASS_H
#define VHC_CLASS_H

#include "queue.h"

struct vhc_class {
	const char *name;
	size_t queue_len; /* of the class's queue struct, which begins with struct vhc_queue */
	uint16_t nr_vital_rings; /* rings 0...n-1 must run before the device does */

	/* Virtio feature bits a device with so many rings offers, transport bits aside. */
	uint64_t (*features)(uint16_t nr_rings);

	/* Name of a feature bit of this kind of device, or NULL. */
	const char *(*feature_name)(unsigned int bit);

	/* Prepare a zeroed queue. */
	void (*queue_init)(struct vhc_queue *q);

	/* Choose q->burst for what was negotiated. The gate is closed, the ring is ready. */
	void (*queue_start)(struct vhc_queue *q, uint64_t features);

	/*
	 * The guest is here now: tell the network of this address, once. NULL: if that has not
	 * happened yet, it must not any more. Not there: the class has no network.
	 */
	void (*announce)(struct vhc_device *dev, const uint8_t *mac);
};

#endif
