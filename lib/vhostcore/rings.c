/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rings.c - rings for who works them himself: where they are, how far they are, signals.
 *
 * Knows:   queues, rings.
 * Trusts:  the application with what it says of a ring it works; indices are judged all the same.
 * Runs on: any thread.
 */
#include "vhostcore_ring.h"

#include <errno.h>

#include "base/fd.h"
#include "device.h"
#include "ring/raw.h"

#define BASE_WRAP_BIT 15
#define BASE_INDEX_MASK 0x7fffu

/* ---- where ---------------------------------------------------------------------------------- */

VHC_API int
vhc_queue_memory(struct vhc_queue *q, struct vhc_queue_memory *memory)
{
	struct ring *r = &q->ring;
	int rc = -EAGAIN;

	vhc_loop_lock(q->dev->loop);
	*memory = (struct vhc_queue_memory){
		.size = q->claim.size,
		.packed = q->claim.kind == RING_PACKED,
		.log_guest_addr = q->claim.log_guest,
		.kick_fd = q->kick_fd,
		.call_fd = q->call_fd,
	};
	if (q->running) {
		memory->desc = r->g_packed;
		memory->driver = (void *)(uintptr_t)r->g_avail;
		memory->device = r->g_used;
		rc = 0;
	}
	vhc_loop_unlock(q->dev->loop);
	return rc;
}

/* ---- how far -------------------------------------------------------------------------------- */

static uint16_t
mark_bits(const struct ring *r, struct ring_mark mark)
{
	if (r->kind == RING_SPLIT)
		return mark.idx;
	return (uint16_t)(mark.idx | mark.wrap << BASE_WRAP_BIT);
}

VHC_API void
vhc_queue_base(struct vhc_queue *q, uint16_t *avail, uint16_t *used)
{
	vhc_loop_lock(q->dev->loop);
	if (q->running) {
		*avail = mark_bits(&q->ring, q->ring.avail);
		*used = mark_bits(&q->ring, q->ring.used);
	} else {
		*avail = (uint16_t)q->base;
		*used = q->claim.kind == RING_PACKED ? (uint16_t)(q->base >> 16) : *avail;
	}
	vhc_loop_unlock(q->dev->loop);
}

static struct ring_mark
mark_of(const struct vhc_queue *q, uint16_t bits)
{
	if (q->claim.kind == RING_SPLIT)
		return (struct ring_mark){ .idx = bits };
	return (struct ring_mark){ .idx = bits & BASE_INDEX_MASK, .wrap = bits >> BASE_WRAP_BIT };
}

static int
set_base(struct vhc_queue *q, uint16_t avail, uint16_t used)
{
	bool packed = q->claim.kind == RING_PACKED;

	if (!q->dev->raw_rings)
		return -EPERM;
	if (packed && ((avail & BASE_INDEX_MASK) >= q->claim.size ||
		       (used & BASE_INDEX_MASK) >= q->claim.size))
		return -EINVAL;
	q->ring.avail = mark_of(q, avail);
	q->ring.used = mark_of(q, used);
	q->base_is_said = true;
	q->base = packed ? avail | (uint32_t)used << 16 : avail;
	return 0;
}

VHC_API int
vhc_queue_set_base(struct vhc_queue *q, uint16_t avail, uint16_t used)
{
	int rc;

	vhc_loop_lock(q->dev->loop);
	rc = set_base(q, avail, used);
	vhc_loop_unlock(q->dev->loop);
	return rc;
}

/* ---- signals -------------------------------------------------------------------------------- */

/* With the queue held. Who has bursts or chains calls when it publishes: here, once more. */
static int
call_held(struct vhc_queue *q)
{
	int rc;

	if (q->ring.is_raw && !vhc_raw_wants_call(&q->ring))
		return 0;
	rc = q->ring.call_fd >= 0 ? fd_signal(q->ring.call_fd) : 0;
	/* The driver has not seen the one before yet, so it will see this too. */
	return rc == -EAGAIN ? 0 : rc;
}

VHC_API int
vhc_queue_call(struct vhc_queue *q)
{
	int rc;

	if (!vhc_queue_hold(q))
		return ld_relaxed(&q->running) ? -EAGAIN : -ENODEV;
	rc = call_held(q);
	vhc_queue_release(q);
	return rc;
}

VHC_API int
vhc_queue_signal_error(struct vhc_queue *q)
{
	int rc = -ENODEV;

	if (!vhc_queue_hold(q))
		return rc;
	if (q->ring.err_fd >= 0)
		rc = fd_signal(q->ring.err_fd);
	vhc_queue_release(q);
	return rc == -EAGAIN ? 0 : rc;
}
