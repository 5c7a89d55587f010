/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap.h - queues go over to another memory table; with no burst turned away, if it can be helped.
 *
 * Knows:   queues, maps.
 * Trusts:  a poller that polls to come again soon; one that does not has nothing to lose.
 * Runs on: control thread, under the loop's lock.
 *
 * What runs is a burst of ours in the real one's place: the poller itself takes the new map with
 * it, between two bursts, and goes on. Control waits a moment for that. Who does not poll has the
 * gate closed instead.
 */
#ifndef VHC_REMAP_H
#define VHC_REMAP_H

#include <stdbool.h>

struct vhc_device;
struct vhc_queue;

/* Ask the pollers of all queues whose rings stay where they are in dev->map, and wait for them. */
void vhc_pollers_change_over(struct vhc_device *dev);

/* Asked and done? One who was asked in vain counts as slow. */
bool vhc_queue_has_changed_over(struct vhc_queue *q);

#endif
