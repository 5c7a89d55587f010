/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setup.h - from what the front-end said of a ring to a ring that can be polled.
 *
 * Knows:   sizes and alignments of the ring's parts.
 * Trusts:  nothing of the addresses.
 * Runs on: control thread, with the queue's gate closed.
 */
#ifndef VHC_RING_SETUP_H
#define VHC_RING_SETUP_H

#include "ring.h"

/* What the messages said; user addresses, as they came. */
struct ring_claim {
	uint16_t size;
	uva desc;
	uva avail;
	uva used;
	enum ring_kind kind;	/* below: negotiated features that change how the ring is read */
	bool event_idx;
	bool indirect;
	bool in_order;
	bool is_raw;		/* the application works the ring itself */
	bool driver_only_sends;	/* the class knows: its buffers are only read */
	const struct iotlb *iotlb;	/* all addresses are the IOMMU's; NULL: there is none */
	uint64_t log_guest;	/* where the used part is for the dirty log; 0: not logged */
};

#define RING_REASON_LEN 256

struct iotlb;
struct vhc_queue_monitor;

/*
 * Translate the three parts into `r` and keep its indices. 0, or -errno and a sentence:
 * -EFAULT a part is in no memory region, -EINVAL misaligned, -EAGAIN the IOTLB lacks an address,
 * which is noted in r->miss.
 */
int vhc_ring_translate(struct ring *r, const struct ring_claim *claim, const struct map *map,
		       char *reason) VHC_MUST_USE;

/*
 * What the addresses in it mean is in this map from now on. Its own parts stay where they are. Not
 * with an IOMMU.
 */
void vhc_ring_use_map(struct ring *r, const struct map *map);

/* The ring stands still, and is translated anew before it goes on. */
void vhc_ring_forget_views(struct ring *r);

/*
 * Begin a life of a translated ring. `base` is what SET_VRING_BASE said, in its encoding.
 *
 * Split: the used index found in the ring itself counts. We use chains in order, so both are the
 * same number, and where a front-end says another (0 after it reconnected, or the driver's own
 * index) the ring is right: what lies between was never given back.
 * Packed: the ring does not tell, so `base` counts; its used half is the same as its available
 * half, because nothing is left unused when a ring stops. But a ring nobody used yet begins with
 * wrap counter 1 (virtio 1.2 2.8.1), also where User-mode Linux says a bare 0.
 */
void vhc_ring_start(struct ring *r, uint32_t base);

/* Where a stopped ring would go on, in the encoding of GET_VRING_BASE. */
uint32_t vhc_ring_base(const struct ring *r);

/* Where, and what, the driver will write when it makes the next chain available. */
void vhc_ring_monitor(const struct ring *r, struct vhc_queue_monitor *monitor);

/* Chains (packed: descriptors) made available and not taken; an estimate while it is polled. */
uint16_t vhc_ring_nr_available(const struct ring *r);

#endif
