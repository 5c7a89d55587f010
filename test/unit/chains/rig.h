/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rig.h - a queue of chains over a driver's ring, without a device, a socket or a thread.
 *
 * Knows:   chains.h, model/driver.h, ring/inflight.h.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread, which is poller and control.
 *
 * A back-end that crashed is one whose books are forgotten: chain_rig_abandon(). The ring, the
 * guest's memory and the in-flight region stay for the next, chain_rig_begin().
 */
#ifndef TEST_CHAINS_RIG_H
#define TEST_CHAINS_RIG_H

#include "chains.h"
#include "device.h"
#include "model/driver.h"
#include "ring/inflight.h"
#include "unit/check.h"

struct chain_rig {
	struct guest guest;
	struct driver driver;
	struct vhc_device device;
	struct chain_memory memory;
	struct chain_queue *cq;
	struct vhc_queue *q;		/* the same */
	bool indirect;
	uint8_t *region;		/* NULL: nothing is tracked */
	uint64_t region_len;
	uint32_t base;			/* what the front-end says, at first and ever after */
	int call;			/* eventfd */
};

/* A ring, and the first back-end on it. */
void chain_rig_open(struct chain_rig *rig, const struct driver_conf *conf, bool indirect,
		    bool is_tracked);

/* All is given back, nothing was counted. */
void chain_rig_close(struct chain_rig *rig);

/* The back-end is gone with all it knew. */
void chain_rig_abandon(struct chain_rig *rig);

/* Another one begins, in three steps; the last tells if it can make sense of the region. */
void chain_rig_prepare(struct chain_rig *rig);
bool chain_rig_recover(struct chain_rig *rig);

static inline bool
chain_rig_begin(struct chain_rig *rig)
{
	chain_rig_prepare(rig);
	return chain_rig_recover(rig);
}

/* Interrupts since the last time. */
uint64_t chain_rig_calls(struct chain_rig *rig);

uint64_t chain_rig_faults(const struct chain_rig *rig);

#endif
