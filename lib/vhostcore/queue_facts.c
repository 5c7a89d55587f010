/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue_facts.c - what may be asked of a virtqueue: how it is, how full, where to watch it.
 *
 * Knows:   queues and rings.
 * Trusts:  nothing of the ring's contents.
 * Runs on: any thread, as vhostcore.h and vhostcore_notify.h say.
 */
#include <errno.h>

#include "device.h"
#include "ring/verbs.h"
#include "vhostcore_notify.h"

bool
vhc_queue_is_untouched(const struct vhc_queue *q)
{
	const struct ring *r = &q->ring;

	return q->running && !q->is_untranslated && r->avail.idx == 0 &&
	       r->avail.wrap == (r->kind == RING_PACKED) && vhc_ring_nr_available(r) == 0;
}

VHC_API void
vhc_queue_info(struct vhc_queue *q, struct vhc_queue_info *info)
{
	uint32_t last = ld_relaxed(&q->faults.last);

	vhc_loop_lock(q->dev->loop);
	*info = (struct vhc_queue_info){
		.index = q->index,
		.size = q->claim.size,
		.started = q->started,
		.enabled = q->enabled,
		.running = q->is_control || vhc_queue_is_usable(q),
		.control = q->is_control,
		.broken = q->running && ld_relaxed(&q->ring.broken),
		.event_idx = q->running && q->ring.event_idx,
		.indirect = q->running && q->ring.indirect,
		.packed = q->claim.kind == RING_PACKED,
		.in_order = q->running && q->ring.in_order,
		.avail_idx = q->running ? ld_relaxed(&q->ring.avail.idx) : (uint16_t)q->base,
		.used_idx = ld_relaxed(&q->ring.used.idx),
		.last_fault = vhc_fault_name(last),
	};
	vhc_loop_unlock(q->dev->loop);
}

VHC_API uint64_t
vhc_queue_faults(const struct vhc_queue *q, unsigned int fault)
{
	return fault < RING_NR_FAULTS ? ld_relaxed(&q->faults.count[fault]) : 0;
}

VHC_API bool
vhc_queue_fill(struct vhc_queue *q, struct vhc_queue_fill *fill)
{
	*fill = (struct vhc_queue_fill){ 0 };
	if (!vhc_queue_hold(q))
		return false;
	fill->size = q->ring.size;
	fill->available = vhc_ring_nr_available(&q->ring);
	vhc_queue_release(q);
	return true;
}

/* Such a mapping goes with the ring, and cannot be lent. */
static bool
is_in_pieces(const struct ring *r)
{
	return r->views[0].mapping || r->views[1].mapping;
}

/* With the queue in hand. All that the address may be later is lent at once: any slot. */
static int
monitor_and_lend(struct vhc_queue *q, struct vhc_queue_monitor *monitor)
{
	const struct ring *r = &q->ring;

	if (!q->running || q->is_untranslated || r->broken || is_in_pieces(r))
		return -EAGAIN;
	vhc_ring_monitor(r, monitor);
	if (r->kind == RING_PACKED)
		vhc_region_lend(&q->loan, r->g_packed, r->size * sizeof(*r->g_packed));
	else
		vhc_region_lend(&q->loan, r->g_avail, sizeof(*r->g_avail));
	return 0;
}

/* The loan is the poller's to change: it is not asleep on the address if it asks for it again. */
VHC_API int
vhc_queue_monitor(struct vhc_queue *q, struct vhc_queue_monitor *monitor)
{
	const volatile uint8_t *addr;
	int rc;

	if (!vhc_queue_hold(q))
		return -EAGAIN;
	vhc_ring_monitor(&q->ring, monitor);
	rc = q->ring.broken ? -EAGAIN : is_in_pieces(&q->ring) ? -ENOTSUP : 0;
	vhc_queue_release(q);
	addr = monitor->addr;
	if (rc != 0 || (addr >= q->loan.start && addr < q->loan.end))
		return rc;
	vhc_queue_pause(q);
	rc = monitor_and_lend(q, monitor);
	vhc_queue_resume(q);
	return rc;
}
