/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_ring.h - rings for applications that work them themselves.
 *
 * A server without a class (vhc_server_opts.cls NULL, raw_rings) leaves its rings to the
 * application: here is where they are, how far they are, and how to signal.
 */
#ifndef VHOSTCORE_RING_H
#define VHOSTCORE_RING_H

#include "vhostcore.h"
#include "vhostcore_notify.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the rings themselves ------------------------------------------------------------------- */

/** Where a ring lies, and its descriptors: for raw_rings devices, hardware, facades. */
struct vhc_queue_memory {
	void *desc;		/**< descriptors */
	void *driver;		/**< split: available ring; packed: the driver's event area */
	void *device;		/**< split: used ring; packed: the device's event area */
	uint64_t log_guest_addr; /**< of the used part, for the dirty log; 0: none */
	uint16_t size;		/**< entries */
	bool packed;
	int kick_fd;		/**< the front-end's; -1: none. Both stay the library's */
	int call_fd;
};

/**
 * Where the ring is. Holds until queue_changed says that it stopped; the callback returns only
 * after that is safe for you.
 *
 * @return 0; -EAGAIN the queue is not running: only descriptors and size are set then.
 * Context: any thread; waits for control.
 */
int vhc_queue_memory(struct vhc_queue *q, struct vhc_queue_memory *memory);

/**
 * Next entry to take, and next to use. A packed ring's have the wrap counter in bit 15. Of a queue
 * that is stopped: where it would go on.
 *
 * Context: any thread; waits for control.
 */
void vhc_queue_base(struct vhc_queue *q, uint16_t *avail, uint16_t *used);

/**
 * Say where a raw ring stands: what GET_VRING_BASE answers. Call it in queue_changed(false).
 *
 * @return 0; -EINVAL an index outside the ring; -EPERM the library works this ring itself.
 * Context: any thread; waits for control.
 */
int vhc_queue_set_base(struct vhc_queue *q, uint16_t avail, uint16_t used);

/**
 * Raw rings: used entries are written, interrupt the driver if it wants to be.
 *
 * @return 0, also if it does not; -EAGAIN control is changing the queue; -ENODEV it is stopped.
 * Context: any thread; never waits.
 */
int vhc_queue_call(struct vhc_queue *q);

/** Tell the front-end that this ring is beyond help (SET_VRING_ERR). 0; -ENODEV. Any thread. */
int vhc_queue_signal_error(struct vhc_queue *q);

#ifdef __cplusplus
}
#endif

#endif
