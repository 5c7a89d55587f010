/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - the device's side of one virtqueue.
 *
 * Knows:   what both ring layouts have in common.
 * Trusts:  nothing behind a g_ pointer: the guest changes it while we look.
 * Runs on: polling lcore inside the queue's gate; control thread while the gate is closed.
 *
 * Seven verbs, the same for every layout (split.h):
 *   ready    how many chains the driver has made available and we have not taken
 *   take     the next chain: copied, checked, translated
 *   untake   as if the last `n` had never been taken
 *   give     stage one used entry
 *   publish  make all staged entries visible, and say whether the driver wants an interrupt
 *   kicks    ask for, or refuse, kicks
 *   call     interrupt the driver
 */
#ifndef VHC_RING_RING_H
#define VHC_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "../mem/find.h"
#include "../spec/virtio_ring.h"
#include "fault.h"

enum take {
	TAKE_EMPTY,	/* nothing available, or the ring is broken */
	TAKE_OK,	/* the chain is proven */
	TAKE_BAD,	/* counted; only the id holds: give it back with length 0 */
};

/* Counters outlive rings: they belong to the queue. Written by the poller only. */
struct ring_faults {
	uint64_t count[RING_NR_FAULTS];
	uint32_t last;		/* enum ring_fault, or RING_FAULT_NONE */
};

/*
 * The order is by cache line: with the gate and the burst function before it in struct vhc_queue,
 * everything up to `map` is one line, and an empty poll touches no other.
 */
struct ring {
	const struct virtq_desc *g_desc;
	const struct virtq_avail *g_avail;
	struct virtq_used *g_used;
	uint16_t size;			/* power of two */
	uint16_t avail_idx;		/* next entry to take, free running */
	uint16_t used_idx;		/* next entry to publish, free running */
	uint16_t nr_staged;		/* used entries written behind used_idx */
	uint16_t signalled_idx;		/* used_idx when the driver was last interrupted */
	bool signalled_valid;		/* ... and whether that was in this ring's life */
	bool event_idx;
	bool indirect;
	bool broken;
	const struct map *map;

	struct map_hint hint;
	struct map_hint table_hint;	/* indirect tables lie elsewhere than packets */
	int call_fd;			/* -1: the driver polls. Borrowed from the control side */
	int err_fd;			/* likewise */
	struct ring_faults *faults;
};

#endif
