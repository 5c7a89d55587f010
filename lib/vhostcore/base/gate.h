/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.h - the handshake between the one poller of a queue and the control thread.
 *
 * Knows:   one poller, one controller.
 * Trusts:  the application to run at most one burst per queue at a time.
 * Runs on: gate_enter/leave on the polling lcore; gate_close/open on the control thread.
 *
 * The poller pays two plain stores and one load a burst. The classic store-load race (poller: set
 * `inside`, read `closed`; controller: set `closed`, read `inside`) needs a full fence on both
 * sides; the controller issues it on behalf of every running thread with membarrier(2), so the
 * poller needs none.
 */
#ifndef VHC_BASE_GATE_H
#define VHC_BASE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "order.h"

struct gate {
	uint8_t inside;		/* owner: poller */
	uint8_t closed;		/* owner: control */
};

/* False: the gate is closed, nothing of the queue may be touched, do not call gate_leave(). */
static VHC_HOT bool
gate_enter(struct gate *g)
{
	st_relaxed(&g->inside, 1);
	fence_compiler();	/* [G] pairs with membarrier() in gate_close() */
	/* [O] sees what control wrote before gate_open() */
	if (vhc_likely(!ld_acquire(&g->closed)))
		return true;
	st_release(&g->inside, 0);
	return false;
}

/* Everything the burst did is visible before the controller sees the poller outside. */
static VHC_HOT void
gate_leave(struct gate *g)
{
	st_release(&g->inside, 0);	/* [L] pairs with the acquire in gate_close() */
}

/* Start closed: a queue is opened when its ring is ready. */
void vhc_gate_init(struct gate *g);

/*
 * Close, and return once no burst is inside: from then on the controller owns the queue.
 * Idempotent. Blocks for as long as one burst takes.
 */
void vhc_gate_close(struct gate *g);

/*
 * The same in steps, for many gates at once: shut each, vhc_gate_fence(), await each. Only the
 * fence costs something.
 */
void vhc_gate_shut(struct gate *g);
void vhc_gate_await(struct gate *g);

/* Hand the queue back to the poller. */
void vhc_gate_open(struct gate *g);

/*
 * Every thread of the process has passed a full fence when this returns. What a thread did before
 * it looked at something that the caller wrote before this is visible now, or it saw the new value.
 */
void vhc_gate_fence(void);

/* Register for membarrier(2). Call once before the first gate is used. 0 or -errno. */
int vhc_gate_setup(void) VHC_MUST_USE;

#endif
