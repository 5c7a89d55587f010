/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_ring.h - rings for who writes a device: requests as buffers, whatever the layout.
 *
 * A server without a class (vhc_server_opts.cls NULL) has queues of *chains*. A chain is one
 * request of the driver: bytes to read, then bytes to write. Take some, work on them for as long
 * as you like and in any order, give each back, publish. Split or packed ring, indirect tables,
 * IN_ORDER, EVENT_IDX, in-flight tracking and dirty logging happen inside.
 *
 *	while ((n = vhc_queue_take(q, chains, 32)) > 0) {
 *		for (i = 0; i < n; i++)
 *			vhc_queue_give(q, chains[i], serve(chains[i]));
 *		vhc_queue_publish(q);
 *	}
 *
 * Contexts: take, give and publish belong to the queue's one polling thread, as bursts do. They
 * never block, and never log.
 *
 * A queue that stops gives nothing more. Chains that were taken stay valid, memory included, until
 * they are given back, or their server is destroyed: give and publish them as ever. While the
 * front-end waits for the ring to stop (GET_VRING_BASE), or has only disabled it, the driver still
 * gets them, and the front-end is answered when the last one is back. After a front-end that
 * vanished, or a reset, they are dropped, and the ring does not start again before the last one is
 * back; vhc_device_info.why says so. Dropped requests come again, marked as resubmitted, where the
 * front-end tracks what is in flight.
 */
#ifndef VHOSTCORE_RING_H
#define VHOSTCORE_RING_H

#include <sys/uio.h>

#include "vhostcore.h"
#include "vhostcore_notify.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A request. Yours from take to give; the memory it points to changes while you look. */
struct vhc_chain {
	const struct iovec *readable;	/**< what the driver sends, in order */
	const struct iovec *writable;	/**< room for the answer, in order */
	uint32_t nr_readable;
	uint32_t nr_writable;
	uint32_t readable_len;		/**< bytes, all together */
	uint32_t writable_len;
	uint16_t id;			/**< of the chain in its ring */
	bool is_resubmitted;		/**< a back-end before us took it and never gave it back */
	void *user;			/**< the application's; NULL at first */
};

/**
 * Take up to @p n requests, oldest first. What breaks the rules is counted (vhc_queue_faults())
 * and given back unused; it never reaches you.
 *
 * @return How many; fewer than @p n: there are no more now, or no memory to hold them.
 */
uint16_t vhc_queue_take(struct vhc_queue *q, struct vhc_chain **chains, uint16_t n);

/**
 * Give a request back; @p written bytes of its writable part, from the start, are the answer. More
 * than there is room for is an error of yours (assert).
 */
void vhc_queue_give(struct vhc_queue *q, struct vhc_chain *chain, uint32_t written);

/** What was given becomes the driver's, who is interrupted if it wants to be. */
void vhc_queue_publish(struct vhc_queue *q);

/** Requests taken and not given back. Any thread. */
uint16_t vhc_queue_nr_taken(const struct vhc_queue *q);

/** Copy bytes out of the readable part, from @p offset. @return bytes copied, fewer at its end. */
uint32_t vhc_chain_read(const struct vhc_chain *chain, uint32_t offset, void *to, uint32_t len);

/** Copy bytes into the writable part, at @p offset. @return as above. */
uint32_t vhc_chain_write(struct vhc_chain *chain, uint32_t offset, const void *from, uint32_t len);

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
 * @return 1 it was; 0 it does not want to be; -EAGAIN control is changing the queue; -ENODEV it
 *         is stopped.
 * Context: any thread; never waits.
 */
int vhc_queue_call(struct vhc_queue *q);

/** Tell the front-end that this ring is beyond help (SET_VRING_ERR). 0; -ENODEV. Any thread. */
int vhc_queue_signal_error(struct vhc_queue *q);

/* ---- the in-flight region ------------------------------------------------------------------- */

/*
 * For raw_rings devices only: chains do all of this inside. A front-end with INFLIGHT_SHMFD gives a
 * file in which each queue notes what it has taken, so that whoever comes after us can go on. A
 * request is noted when it is taken (set), when it is about to be used (used), and when the driver
 * has been told (clear); in this order, one request after the other:
 *
 *	vhc_queue_inflight_set(q, head, last, &entry);
 *	... work; write the used entry, but do not move the ring's index (packed: flags) ...
 *	vhc_queue_inflight_used(q, entry);
 *	... move it ...
 *	vhc_queue_inflight_clear(q, entry, used_idx);
 *
 * All of it holds between queue_changed(true) and the end of queue_changed(false), on one thread at
 * a time, and waits for nobody.
 */

/** A request that an earlier back-end took and did not give back. */
struct vhc_inflight_entry {
	uint16_t index;		/**< split: its first descriptor; packed: its entry in the region */
	uint64_t counter;	/**< rises in the order in which they were taken */
};

/** What is known of a queue's piece of the file. */
struct vhc_queue_inflight {
	void *region;		/**< laid out as the specification says, for the ring's kind */
	uint64_t region_len;
	uint16_t size;		/**< entries in it */
	bool packed;
	const struct vhc_inflight_entry *resubmit;	/**< to be done again, oldest first */
	uint16_t nr_resubmit;
	uint16_t used;		/**< where the ring stands by these notes; packed: wrap in bit 15 */
};

/** @return 0; -ENOENT the front-end tracks nothing for this queue; -EINVAL no raw_rings device. */
int vhc_queue_inflight(struct vhc_queue *q, struct vhc_queue_inflight *inflight);

/**
 * Note as taken the chain whose first descriptor is @p head. Split: a descriptor number, @p last
 * means nothing, and the entry is @p head. Packed: slots @p head to @p last of the ring.
 *
 * @param entry Receives its entry in the region, for the next two functions. May be NULL.
 * @return 0; -EINVAL a place outside the ring, or more chains than it holds; -ENOENT.
 */
int vhc_queue_inflight_set(struct vhc_queue *q, uint16_t head, uint16_t last, uint16_t *entry);

/** Note that it is about to be used. @return as above. */
int vhc_queue_inflight_used(struct vhc_queue *q, uint16_t entry);

/**
 * Note that all requests noted as used are the driver's again.
 *
 * @param used_idx The ring's used index, of a split ring; else 0.
 * @return         as above.
 */
int vhc_queue_inflight_clear(struct vhc_queue *q, uint16_t entry, uint16_t used_idx);

#ifdef __cplusplus
}
#endif

#endif
