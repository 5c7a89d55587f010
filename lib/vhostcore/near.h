/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * near.h - queues near the guest's memory, and a word to who polls far from it.
 *
 * Knows:   queues, NUMA nodes.
 * Trusts:  nothing of the guest's: only where its pages lie is asked.
 * Runs on: control thread.
 */
#ifndef VHC_NEAR_H
#define VHC_NEAR_H

#include "device.h"

/* The gate is closed, the ring translated: move the queue to the node where the ring lies. */
void vhc_near_follow(struct vhc_queue *q);

/*
 * Warn, once a front-end, if a queue is polled on another node than the guest's memory lies on.
 * True: some queue's poller is not known yet, look again.
 */
bool vhc_near_judge_pollers(struct vhc_device *dev);

#endif
