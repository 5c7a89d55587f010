/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - the device's side of one virtqueue.
 *
 * Knows:   what both ring layouts have in common.
 * Trusts:  nothing behind a g_ pointer: the guest changes it while we look.
 * Runs on: polling lcore inside the queue's gate; control thread while the gate is closed.
 *
 * verbs.h has what can be done with a ring; split.h and packed.h do it, each in its layout.
 */
#ifndef VHC_RING_RING_H
#define VHC_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "../mem/find.h"
#include "../mem/view.h"
#include "../spec/virtio_ring.h"
#include "fault.h"
#include "miss.h"

enum ring_kind {
	RING_SPLIT,
	RING_PACKED,
};

#define RING_PARTS 3	/* descriptors, what the driver writes, what we write */

/* How a look at the ring can tell that nothing is new. */
enum ring_idle {
	RING_IDLE_NEVER,	/* it cannot */
	RING_IDLE_SPLIT,
	RING_IDLE_PACKED,
};

enum take {
	TAKE_EMPTY,	/* nothing available yet, or the ring is broken */
	TAKE_OK,	/* the chain is proven */
	TAKE_BAD,	/* counted; only id and slots hold: give it back with length 0 */
};

/* Counters outlive rings: they belong to the queue. Written by the poller only. */
struct ring_faults {
	uint64_t count[RING_NR_FAULTS];
	uint32_t last;		/* enum ring_fault, or RING_FAULT_NONE */
};

/* Where the next chain is taken. Split: free running, no wrap counter; packed: a slot. */
struct ring_mark {
	uint16_t idx;
	bool wrap;
};

/*
 * The order is by cache line: with the gate and the burst function before it in struct vhc_queue,
 * everything up to `map` is one line, and an empty poll touches no other of ours.
 */
struct ring {
	union {
		const struct virtq_desc *g_desc;
		struct virtq_packed_desc *g_packed;
	};
	union {
		const struct virtq_avail *g_avail;
		const struct virtq_event *g_driver_event;
	};
	union {
		struct virtq_used *g_used;
		struct virtq_event *g_device_event;
	};
	uint16_t size;			/* split: a power of two */
	struct ring_mark avail;		/* next entry to take */
	struct ring_mark used;		/* next entry to publish */
	uint16_t nr_staged;		/* entries (packed: slots) written behind `used` */
	uint16_t avail_seen;		/* split: avail->idx when last looked at */
	bool event_idx;
	bool broken;
	const struct map *map;		/* where packets lie */

	struct map_hint hint;
	struct map_hint table_hint;	/* indirect tables lie elsewhere than packets */
	struct map_hint back_hint;	/* for the way back, by what is marked as written */
	uint64_t staged_head;		/* packed: the first staged entry, withheld until publish */
	struct ring_faults *faults;
	int call_fd;			/* -1: the driver polls. Borrowed from the control side */
	int err_fd;			/* likewise */
	struct ring_mark signalled;	/* `used` when the driver was last interrupted */
	bool signalled_valid;		/* ... and whether that was in this ring's life */
	bool indirect;
	bool in_order;
	bool is_raw;			/* the application works it: our marks stand still */
	bool driver_only_sends;		/* what the class knows: nothing in it is for us to write */
	enum ring_kind kind;

	/*
	 * What may be read and what may be written: `map` is one of them. Without an IOMMU all of
	 * them are the guest's memory.
	 */
	const struct map *readable;
	const struct map *writable;
	const struct map *memory;	/* the guest's memory */
	struct map_hint other_hint;	/* of descriptors that go against the ring's direction */
	struct ring_miss miss;
	struct view views[RING_PARTS];	/* of parts that lie in pieces */
};

#endif
