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

#include "queue.h"

/* Is anything logged? What it says holds until the class's queue_relog(). */
bool vhc_queue_is_logging(const struct vhc_queue *q);

/* `nr` pieces of guest memory, each `more` bytes longer than its `len` says. */
void vhc_queue_log_run(struct vhc_queue *q, const uint64_t *guest, const uint16_t *len,
		       uint32_t more, uint16_t nr);

/* Bytes of guest memory, by where they are here. */
void vhc_queue_log_host(struct vhc_queue *q, const void *host, uint64_t len);

/* The used entries (packed: slots) that were published from index `from` on, and the index. */
void vhc_queue_log_entries(struct vhc_queue *q, uint16_t from, uint16_t nr);

#endif
