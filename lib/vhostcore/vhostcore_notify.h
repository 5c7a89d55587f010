/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_notify.h - kicks and calls: how a queue's two sides wake each other.
 *
 * A driver *kicks* us when it has work, a polling thread *calls* the driver when it is done. A
 * thread that polls all the time needs none of this. Contexts are those of vhostcore.h.
 */
#ifndef VHOSTCORE_NOTIFY_H
#define VHOSTCORE_NOTIFY_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Ask the driver for kicks, or tell it that we poll. Remembered across front-ends.
 *
 * @return true if work is there already, so that no kick may come for it. vhc_queue_kick_fd() is
 *         readable in that case as well, so a caller that only sleeps on it loses nothing.
 * Context: the queue's polling thread.
 */
bool vhc_queue_want_kicks(struct vhc_queue *q, bool on);

/**
 * The same from another thread, or for who keeps the wish himself: it holds until the queue stops,
 * and whether work is there already nobody tells: look once more.
 *
 * @return 0; -EAGAIN the queue is stopped, or control is changing it.
 * Context: any thread; waits for nobody.
 */
int vhc_queue_try_kicks(struct vhc_queue *q, bool on);

/**
 * A descriptor that becomes readable when the driver kicks this queue. It stays the same while
 * front-ends come and go; do not read from it: vhc_queue_want_kicks() clears it.
 * Any thread. -errno if none could be made.
 */
int vhc_queue_kick_fd(struct vhc_queue *q);

/** Where the driver will write when it has work for us. */
struct vhc_queue_monitor {
	const volatile void *addr;	/**< `size` bytes in the driver's memory */
	uint8_t size;
	uint64_t mask;			/**< of the bytes there, loaded as one number */
	uint64_t value;
	bool wakes_if_equal; /**< there is work if they are `value`; false: if they are not */
};

/**
 * What to watch - with UMONITOR and UMWAIT, say - instead of polling a queue that is empty.
 *
 * The address may be read, and written with what was read, until the next call for this queue, or
 * until its server is destroyed: also when the driver's memory has gone meanwhile. Then nothing is
 * ever written there, so the wait must have an end of its own.
 *
 * @return 0; -EAGAIN: the queue is not running, or broken: ask again later; -ENOTSUP: its ring
 * lies in pieces (a guest with an IOMMU), and cannot be watched.
 * Context: the queue's polling thread; waits for control once for each ring.
 */
int vhc_queue_monitor(struct vhc_queue *q, struct vhc_queue_monitor *monitor);

/**
 * Who interrupts the driver when it wants to hear of used buffers: with @p us 0 the queue's polling
 * thread, at once, as it is at first; otherwise a thread of the library's, @p us microseconds after
 * the previous time at the earliest. That takes the system call off the polling thread, makes one
 * interrupt of many, and delays them: by up to twice @p us, and by what the scheduler adds. The
 * thread may run where the caller of this function may.
 *
 * @return 0; -EINVAL @p us is more than 10000; -errno: the thread could not be started.
 * Context: any thread, also while the queue is polled.
 */
int vhc_queue_defer_calls(struct vhc_queue *q, unsigned int us);

#ifdef __cplusplus
}
#endif

#endif
