/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.c - what was written goes to the dirty log, if there is one.
 *
 * Knows:   what of a ring the device writes, and where the guest has it.
 * Trusts:  nothing of the addresses: what lies outside the log is ignored.
 * Runs on: any thread; the conclusions on the control thread, under the loop's lock.
 */
#include "dirty.h"

#include <errno.h>

#include "device.h"
#include "mem/find.h"
#include "vhostcore_memory.h"

/* ---- conclusions ---------------------------------------------------------------------------- */

static bool
is_logging(const struct vhc_device *dev)
{
	return dev->features & BIT64(VHOST_F_LOG_ALL_BIT);
}

/* What the front-end is told next is true of every burst that comes, and of none that was. */
static void
relog_queues(struct vhc_device *dev)
{
	if (!dev->cls->queue_relog)
		return;
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		struct vhc_queue *q = dev->queues[i];

		vhc_queue_pause(q);
		if (q->running && !q->is_control)
			dev->cls->queue_relog(q);
		vhc_queue_resume(q);
	}
}

void
vhc_device_update_log(struct vhc_device *dev)
{
	const struct dirty_map *was = dev->dirty.active;

	vhc_dirty_log_set(&dev->dirty, is_logging(dev));
	if (dev->dirty.active != was)
		relog_queues(dev);
}

int
vhc_device_set_log(struct vhc_device *dev, int fd, uint64_t size, uint64_t offset, char *reason)
{
	int rc = vhc_dirty_log_map(&dev->dirty, fd, size, offset, reason);

	if (rc)
		return rc;
	if (dev->dirty.active)
		relog_queues(dev);
	vhc_dirty_log_drop_old(&dev->dirty);
	return 0;
}

/* claim.log_guest is where a split ring's used part is; a packed one's event structure. */
static uint64_t
used_at(const struct vhc_queue *q, bool packed)
{
	gpa at = { q->claim.log_guest };

	/* With an IOMMU both are addresses for it. */
	if (packed && q->dev->iommu.iotlb)
		return q->claim.desc.v;
	if (packed && !vhc_map_user_to_guest(q->dev->map, q->claim.desc, &at))
		return QUEUE_NOT_LOGGED;
	return at.v;
}

/* A split ring has a flag for it, or an index. */
static uint64_t
event_at(const struct vhc_queue *q, bool packed)
{
	if (packed)
		return q->claim.log_guest;
	if (!(q->dev->features & BIT64(VIRTIO_F_EVENT_IDX_BIT)))
		return q->claim.log_guest + offsetof(struct virtq_used, flags);
	return q->claim.log_guest + offsetof(struct virtq_used, ring[q->claim.size]);
}

void
vhc_queue_update_log(struct vhc_queue *q)
{
	bool packed = q->dev->features & BIT64(VIRTIO_F_RING_PACKED_BIT);
	uint64_t used = q->is_logged ? used_at(q, packed) : QUEUE_NOT_LOGGED;
	uint64_t event = q->is_logged ? event_at(q, packed) : QUEUE_NOT_LOGGED;

	if (used == q->log_used_at && event == q->log_event_at)
		return;
	st_relaxed(&q->log_used_at, used);
	st_relaxed(&q->log_event_at, event);
	vhc_gate_fence();	/* [E] as in mem/dirty_log.c */
}

/* QEMU starts rings before it names the log, if the guest arrives while it is being moved again. */
bool
vhc_queue_awaits_log(const struct vhc_queue *q)
{
	return !q->running && q->is_logged && is_logging(q->dev) &&
	       !vhc_dirty_log_map_of(&q->dev->dirty);
}

/* ---- marks ---------------------------------------------------------------------------------- */

VHC_API void
vhc_device_log_write(struct vhc_device *dev, uint64_t guest_addr, uint64_t len)
{
	struct dirty_map *log = dirty_log_hold(&dev->dirty);

	if (!log)
		return;
	vhc_dirty_log_mark(log, (gpa){ guest_addr }, len);
	dirty_log_release(log);
}

void
vhc_device_log_host(struct vhc_device *dev, const struct map *map, const void *host, uint64_t len)
{
	struct dirty_map *log = dirty_log_hold(&dev->dirty);
	gpa at;

	if (!log)
		return;
	if (vhc_map_host_to_guest(map, host, &at))
		vhc_dirty_log_mark(log, at, len);
	dirty_log_release(log);
}

VHC_API struct dirty_map *
vhc_queue_log(const struct vhc_queue *q)
{
	return ld_acquire(&q->dev->dirty.active);
}

/* Guest memory by the address that the driver has for it: with an IOMMU, piece by piece. */
static void
touch_pieces(const struct vhc_queue *q, struct dirty_map *log, uint64_t at, uint64_t len)
{
	struct map_hint hint = { 0 };

	while (len) {
		struct span span = map_span(q->ring.writable, &hint, (gpa){ at }, len);
		gpa guest;

		if (!span.len)
			return;		/* nothing was written there */
		if (vhc_map_host_to_guest(q->ring.memory, span.ptr, &guest))
			dirty_log_touch(log, guest, span.len);
		at += span.len;
		len -= span.len;
	}
}

/* [E] Where to is read after the stores, like whether at all. */
static void
touch_at(const struct vhc_queue *q, struct dirty_map *log, const uint64_t *at, uint64_t offset,
	 uint64_t len)
{
	uint64_t start = ld_relaxed(at);

	if (start == QUEUE_NOT_LOGGED || offset > UINT64_MAX - start || !len)
		return;
	if (vhc_unlikely(q->ring.miss.is_on))
		touch_pieces(q, log, start + offset, len);
	else
		dirty_log_touch(log, (gpa){ start + offset }, len);
}

static void
log_at(struct vhc_queue *q, const uint64_t *at, uint64_t offset, uint64_t len)
{
	struct dirty_map *log = dirty_log_hold(&q->dev->dirty);	/* ... a full fence, too [B] */

	if (!log)
		return;
	touch_at(q, log, at, offset, len);
	dirty_log_release(log);
}

void
vhc_queue_log_used(struct vhc_queue *q, uint64_t offset, uint64_t len)
{
	log_at(q, &q->log_used_at, offset, len);
}

/* Entries [first, end) of the used part. */
static void
touch_slots(struct vhc_queue *q, struct dirty_map *log, uint32_t first, uint32_t end)
{
	bool packed = q->ring.kind == RING_PACKED;
	uint32_t len = packed ? sizeof(struct virtq_packed_desc) : sizeof(struct virtq_used_elem);
	uint32_t start = packed ? 0 : offsetof(struct virtq_used, ring);

	touch_at(q, log, &q->log_used_at, start + first * len, (end - first) * len);
}

VHC_API void
vhc_queue_touch_entries(struct vhc_queue *q, struct dirty_map *log, uint16_t from, uint16_t nr)
{
	uint32_t size = q->ring.size, first = from % size, end = first + nr;

	touch_slots(q, log, first, end < size ? end : size);
	if (end > size)
		touch_slots(q, log, 0, end - size);
	if (q->ring.kind == RING_SPLIT)
		touch_at(q, log, &q->log_used_at, offsetof(struct virtq_used, idx), sizeof(le16));
}

void
vhc_queue_log_entries(struct vhc_queue *q, uint16_t from, uint16_t nr)
{
	struct dirty_map *log = dirty_log_hold(&q->dev->dirty);

	if (!log)
		return;
	vhc_queue_touch_entries(q, log, from, nr);
	dirty_log_release(log);
}

/* A split ring with EVENT_IDX refuses kicks by writing nothing. */
void
vhc_queue_log_event(struct vhc_queue *q, bool on)
{
	if (on || !q->ring.event_idx || q->ring.kind == RING_PACKED)
		log_at(q, &q->log_event_at, 0, q->ring.kind == RING_PACKED ?
		       sizeof(struct virtq_event) : sizeof(le16));
}

VHC_API void
vhc_device_log_used(struct vhc_device *dev, uint16_t ring, uint64_t offset, uint64_t len)
{
	struct vhc_queue *q = ring < dev->nr_rings ? dev->queues[ring] : NULL;

	if (!q)
		return;
	if (!q->ring.miss.is_on) {
		vhc_queue_log_used(q, offset, len);
	} else if (vhc_queue_hold(q)) {	/* or the IOTLB could change under us */
		vhc_queue_log_used(q, offset, len);
		vhc_queue_release(q);
	}
}

VHC_API int
vhc_device_log(struct vhc_device *dev, void **base, uint64_t *size)
{
	const struct dirty_map *map;

	vhc_loop_lock(dev->loop);
	map = vhc_dirty_log_map_of(&dev->dirty);
	*base = map ? map->bits : NULL;
	*size = map ? map->size : 0;
	vhc_loop_unlock(dev->loop);
	return map ? 0 : -ENOENT;
}
