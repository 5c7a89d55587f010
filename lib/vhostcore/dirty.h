/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.h - what a queue wrote to its guest, marked for a front-end that moves it.
 *
 * Knows:   queues, whose device has the log.
 * Trusts:  nothing of the addresses: what lies outside the log is ignored.
 * Runs on: the poller inside the queue's gate; control while it is closed.
 *
 * Mark after the store: the front-end takes a mark away before it reads the page. And before the
 * gate is left: when it has stopped the ring, it reads for the last time.
 */
#ifndef VHC_DIRTY_H
#define VHC_DIRTY_H

#include "mem/dirty_log.h"
#include "queue.h"

/* The device's bitmap, NULL: nothing is logged. It holds until the class's queue_relog(). */
struct dirty_map *vhc_queue_log(const struct vhc_queue *q);

/*
 * The used entries (packed: slots) that were published from index `from` on, and the index. There
 * must be a full fence between those and this, as ring_publish() is one [B].
 */
void vhc_queue_touch_entries(struct vhc_queue *q, struct dirty_map *log, uint16_t from,
			     uint16_t nr);

/* The same for who does not know whether anything is logged, and needs no fence. */
void vhc_queue_log_entries(struct vhc_queue *q, uint16_t from, uint16_t nr);

#endif
