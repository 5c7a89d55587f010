/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.c - the controller's side of the gate.
 *
 * Knows:   membarrier(2).
 * Trusts:  the application to leave every burst it enters.
 * Runs on: control thread.
 */
#include "gate.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
membarrier(int command)
{
	return syscall(__NR_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

int
vhc_gate_setup(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void
vhc_gate_init(struct gate *g)
{
	g->inside = 0;
	g->closed = 1;
}

void
vhc_gate_fence(void)
{
	int rc = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);

	vhc_assert(rc == 0);	/* registered in vhc_gate_setup(); cannot fail after that */
	(void)rc;
}

void
vhc_gate_shut(struct gate *g)
{
	st_relaxed(&g->closed, 1);
}

/* [L] The poller may share this core: yield rather than spin. */
void
vhc_gate_await(struct gate *g)
{
	while (ld_acquire(&g->inside))
		sched_yield();
}

void
vhc_gate_close(struct gate *g)
{
	if (g->closed)
		return;
	vhc_gate_shut(g);
	/* [G] After this, a poller either sees `closed`, or its `inside` is visible to us. */
	vhc_gate_fence();
	vhc_gate_await(g);
}

void
vhc_gate_open(struct gate *g)
{
	st_release(&g->closed, 0);	/* [O] */
}
