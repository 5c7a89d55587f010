/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_queue.h - what is known of one queue; comes with vhostcore.h.
 */
#ifndef VHOSTCORE_QUEUE_H
#define VHOSTCORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vhc_queue;

struct vhc_queue_info {
	uint16_t index;
	uint16_t size;		/**< descriptors; 0: not set yet */
	bool started; /**< the front-end sent a kick descriptor and did not stop the ring */
	bool enabled;
	bool running;		/**< bursts move packets, or commands are served */
	bool control;		/**< it carries commands now: bursts return 0 */
	bool broken;		/**< stopped because the guest broke the rules; see @p last_fault */
	bool packed;		/**< layout of the ring: packed, or split */
	bool event_idx;
	bool indirect;
	bool in_order;
	uint16_t avail_idx;	/**< next available entry to take */
	uint16_t used_idx;	/**< next used entry to publish */
	const char *last_fault;	/**< name of the latest guest fault, or NULL */
};

/** Snapshot of a queue. Any thread; waits for the control thread. */
void vhc_queue_info(struct vhc_queue *q, struct vhc_queue_info *info);

/** Number of ways a guest can break the rules; each has a name and a counter a queue. */
unsigned int vhc_nr_faults(void);

/** Stable lower-case name of fault @p fault, e.g. "desc_unmapped". */
const char *vhc_fault_name(unsigned int fault);

/** One sentence on fault @p fault. */
const char *vhc_fault_text(unsigned int fault);

/** How often fault @p fault happened on this queue since the device was created. Any thread. */
uint64_t vhc_queue_faults(const struct vhc_queue *q, unsigned int fault);

/** How full a ring is, in chains; a packed one in descriptors. */
struct vhc_queue_fill {
	uint16_t size;
	uint16_t available;	/**< made available by the driver, not taken by a burst yet */
};

/**
 * A snapshot of it, while the driver goes on adding.
 *
 * @return false, and zeros, while the queue is not running or control is changing it.
 * Context: any thread; waits for nobody.
 */
bool vhc_queue_fill(struct vhc_queue *q, struct vhc_queue_fill *fill);

#ifdef __cplusplus
}
#endif

#endif
