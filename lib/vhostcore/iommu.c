/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iommu.c - see iommu.h.
 *
 * Knows:   that a table changes only while no burst is inside, and who waits for what.
 * Trusts:  mem/iotlb.h's judgement.
 * Runs on: control thread, under the loop's lock.
 */
#include "iommu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "control.h"
#include "device.h"
#include "vhostcore_memory.h"

#define ASK_AGAIN_MS	500
#define TICKS_TO_ASK	2	/* an answer has so many of these intervals */
#define ANSWERS_MAX	3	/* "yes", and nothing came: so often, and it is a "no" */

/* ---- asking --------------------------------------------------------------------------------- */

static void on_tick(void *arg);

static void
watch_time(struct vhc_device *dev)
{
	if (!dev->iommu.miss_timer && vhc_loop_timer(dev->loop, ASK_AGAIN_MS, on_tick, dev,
						     &dev->iommu.miss_timer))
		log_err(dev->name, "out of memory: an address is not asked for again");
}

static void
ask(struct vhc_queue *q)
{
	struct ring_miss *miss = &q->ring.miss;

	if (ld_acquire(&miss->state) != MISS_NOTED)	/* [I] */
		return;
	if (!q->running && !vhc_queue_is_wanted(q)) {
		miss->state = MISS_NONE;
		return;
	}
	miss->nr_ticks = 0;
	miss->nr_asked++;
	st_relaxed(&miss->state, MISS_ASKED);
	watch_time(q->dev);
	miss->question++;
	if (vhc_channel_ask_translation(q->dev, q->index, miss) == 0)
		q->dev->iommu.nr_misses++;
}

/* A look at what it lacks: it does not run, or its gate is closed. */
static void
complain(struct vhc_queue *q)
{
	const char *no_channel = q->dev->channel ? "" :
		", and has no way to ask for it (SET_BACKEND_REQ_FD)";
	char reason[RING_REASON_LEN];

	if (q->dev->map &&
	    vhc_ring_translate(&q->ring, &q->claim, q->dev->map, reason) == -EAGAIN)
		snprintf(q->obstacle, sizeof(q->obstacle), "%.180s%s", reason, no_channel);
	vhc_ring_forget_views(&q->ring);
}

static void
on_miss(uint32_t events, void *arg)
{
	struct vhc_device *dev = arg;

	(void)events;
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		ask(dev->queues[i]);
}

/* An answer may be lost, or never come: it is asked for again. True: something is missed. */
static bool
ask_again(struct vhc_queue *q)
{
	struct ring_miss *miss = &q->ring.miss;
	uint32_t state = ld_acquire(&miss->state);

	if (q->running ? q->is_untranslated : vhc_queue_is_wanted(q))
		complain(q);
	if (state == MISS_ASKED && ++miss->nr_ticks >= TICKS_TO_ASK) {
		st_relaxed(&miss->state, MISS_NOTED);
		ask(q);
	}
	return state == MISS_NOTED || state == MISS_ASKED;
}

static void
on_tick(void *arg)
{
	struct vhc_device *dev = arg;
	bool any = false;

	dev->iommu.miss_timer = 0;
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		any |= ask_again(dev->queues[i]);
	if (any)
		watch_time(dev);
	if (dev->session)	/* else nobody is there to be waited for */
		vhc_device_explain(dev);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* The poller, or who serves the commands, may look at the ring again. */
static void
wake(struct vhc_queue *q)
{
	if (q->is_control)
		vhc_control_look(q);
	else
		vhc_queue_wake(q);
}

/* The chain that needs it is given back. */
static void
give_up(struct vhc_queue *q, bool is_denied)
{
	struct device_iommu *iommu = &q->dev->iommu;
	struct ring_miss *miss = &q->ring.miss;

	iommu->nr_refused++;
	if (vhc_log_allows(&iommu->complaints, q->dev->name))
		log_warn(q->dev->name, "ring %u: 0x%" PRIx64 " %s", q->index, miss->iova,
			 is_denied ? "may be reached, but not so" : "is not translated");
	if (is_denied && vhc_log_allows(&iommu->failures, q->dev->name))
		vhc_channel_tell_access_fail(q->dev, miss->iova, miss->writes);
	st_release(&miss->state, MISS_REFUSED);	/* [I] */
	wake(q);
}

void
vhc_device_answered(struct vhc_device *dev, uint16_t ring, uint32_t question, bool refused)
{
	struct vhc_queue *q = dev->queues[ring];
	struct ring_miss *miss = &q->ring.miss;

	if (!dev->iommu.iotlb || ld_acquire(&miss->state) != MISS_ASKED ||
	    miss->question != question)
		return;		/* nobody waits for it any more */
	if (!q->running || q->is_untranslated) {
		if (refused)
			complain(q);
		return;
	}
	if (!refused && miss->nr_asked < ANSWERS_MAX) {
		/* What it sent on the other socket may be under way. */
		st_relaxed(&miss->state, MISS_NOTED);
		ask(q);
		return;
	}
	give_up(q, vhc_iotlb_permits(dev->iommu.iotlb, miss->iova,
				     miss->writes ? IOTLB_READ : IOTLB_WRITE));
}

/* ---- changes -------------------------------------------------------------------------------- */

static void
remap_queues(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		vhc_queue_remap(dev->queues[i]);
}

int
vhc_device_translate(struct vhc_device *dev, const struct iotlb_claim *claim, char *reason)
{
	struct iotlb *iotlb = dev->iommu.iotlb;
	int rc = vhc_iotlb_judge(iotlb, dev->map, claim, reason);

	dev->iommu.nr_updates++;
	if (rc == -ENOSPC && dev->channel) {
		/* What is needed is asked for again. */
		vhc_device_close_queues(dev);
		vhc_iotlb_clear(iotlb);
		remap_queues(dev);
		rc = vhc_iotlb_judge(iotlb, dev->map, claim, reason);
	}
	if (rc || vhc_iotlb_has(iotlb, dev->map, claim))
		return rc;
	vhc_device_close_queues(dev);
	vhc_iotlb_enter(iotlb, dev->map, claim);
	remap_queues(dev);
	return 0;
}

void
vhc_device_invalidate(struct vhc_device *dev, uint64_t iova, uint64_t size)
{
	dev->iommu.nr_invalidations++;
	if (!vhc_iotlb_touches(dev->iommu.iotlb, iova, size))
		return;
	vhc_device_close_queues(dev);
	vhc_iotlb_forget(dev->iommu.iotlb, iova, size);
	remap_queues(dev);
}

void
vhc_device_forget_translations(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->queues[i]->started || dev->queues[i]->running)
			return;
	if (dev->iommu.iotlb)
		vhc_iotlb_clear(dev->iommu.iotlb);
}

/* ---- on and off ----------------------------------------------------------------------------- */

static void
switch_off(struct vhc_device *dev)
{
	struct device_iommu *iommu = &dev->iommu;

	for (uint16_t i = 0; i < dev->nr_rings; i++)
		dev->queues[i]->ring.miss.state = MISS_NONE;
	vhc_loop_cancel(dev->loop, &iommu->miss_timer);
	vhc_loop_unwatch(dev->loop, &iommu->miss_watch);
	fd_close(&iommu->miss_fd);
	vhc_iotlb_destroy(iommu->iotlb);
	iommu->iotlb = NULL;
}

/* Each signal is an edge, so the eventfd need not be read. */
static int
switch_on(struct vhc_device *dev)
{
	struct device_iommu *iommu = &dev->iommu;
	int rc;

	iommu->iotlb = vhc_iotlb_create(IOTLB_ENTRIES_MAX);
	if (!iommu->iotlb)
		return -ENOMEM;
	iommu->miss_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = iommu->miss_fd < 0 ? -errno :
	     vhc_loop_watch(dev->loop, iommu->miss_fd, EPOLLIN | EPOLLET, on_miss, dev,
			    &iommu->miss_watch);
	if (rc) {
		switch_off(dev);
		return rc;
	}
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		dev->queues[i]->ring.miss.wake_fd = iommu->miss_fd;
	return 0;
}

int
vhc_device_set_iommu(struct vhc_device *dev, bool on)
{
	if (!on && dev->iommu.iotlb)
		switch_off(dev);
	return on && !dev->iommu.iotlb ? switch_on(dev) : 0;
}

/* ---- the application's side ----------------------------------------------------------------- */

VHC_API void
vhc_device_iommu(struct vhc_device *dev, struct vhc_iommu_info *info)
{
	const struct device_iommu *iommu = &dev->iommu;
	const struct iotlb *iotlb;

	vhc_loop_lock(dev->loop);
	iotlb = iommu->iotlb;
	*info = (struct vhc_iommu_info){
		.is_on = iotlb,
		.nr_readable = iotlb ? iotlb->readable->nr : 0,
		.nr_writable = iotlb ? iotlb->writable->nr : 0,
		.nr_misses = iommu->nr_misses,
		.nr_refused = iommu->nr_refused,
		.nr_updates = iommu->nr_updates,
		.nr_invalidations = iommu->nr_invalidations,
	};
	vhc_loop_unlock(dev->loop);
}
