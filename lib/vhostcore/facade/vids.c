/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vids.c - small numbers for connected front-ends.
 *
 * Knows:   that a port is freed only after its vid.
 * Trusts:  nothing to trust.
 * Runs on: given and taken back under control's lock; looked up by anybody.
 */
#include "facade.h"

_Atomic(struct facade_port *) vhc_facade_vids[RTE_MAX_VHOST_DEVICE];

/* The lowest that is free; -1: none. */
int
vhc_facade_vid_get(struct facade_port *port)
{
	for (int vid = 0; vid < RTE_MAX_VHOST_DEVICE; vid++) {
		if (atomic_load_explicit(&vhc_facade_vids[vid], memory_order_relaxed))
			continue;
		atomic_store_explicit(&vhc_facade_vids[vid], port, memory_order_release);
		return vid;
	}
	return -1;
}

void
vhc_facade_vid_put(int vid)
{
	atomic_store_explicit(&vhc_facade_vids[vid], NULL, memory_order_release);
}
