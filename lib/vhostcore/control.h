/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - the ring on which the driver sends commands.
 *
 * Knows:   queues, the loop.
 * Trusts:  nothing in the ring.
 * Runs on: control thread, under the loop's lock.
 *
 * Its gate is never opened: the control thread is the one that polls it. So a poller that tries
 * gets 0 packets, as from any ring that does not run.
 */
#ifndef VHC_CONTROL_H
#define VHC_CONTROL_H

#include "queue.h"

/* Listen for kicks, and look what is there already. The queue runs; again with a new descriptor. */
void vhc_control_watch(struct vhc_queue *q);

/* Look whether there is something to do now. */
void vhc_control_look(struct vhc_queue *q);

/* Stop that, before the kick descriptor is closed or the ring goes. */
void vhc_control_unwatch(struct vhc_queue *q);

#endif
