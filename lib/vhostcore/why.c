/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * why.c - why is my link down? The first unmet condition, as a sentence.
 *
 * Knows:   everything a device has recorded.
 * Trusts:  the recorded values; it only reads.
 * Runs on: control thread, or under the loop's lock.
 *
 * The order of the tests is the order in which a front-end sets a device up, so the first that
 * fails is what it is waiting for, or what it got wrong.
 */
#include "device.h"

#include <stdarg.h>
#include <stdio.h>

#include "server.h"

VHC_API const char *
vhc_stage_name(enum vhc_stage stage)
{
	static const char *const names[] = {
		[VHC_STAGE_LISTENING] = "listening",
		[VHC_STAGE_CONNECTED] = "connected",
		[VHC_STAGE_FEATURES] = "features",
		[VHC_STAGE_MEMORY] = "memory",
		[VHC_STAGE_RINGS] = "rings",
		[VHC_STAGE_ENABLED] = "enabled",
		[VHC_STAGE_RUNNING] = "running",
	};

	return (unsigned int)stage < VHC_ARRAY_LEN(names) ? names[stage] : "?";
}

static enum vhc_stage VHC_PRINTF(3, 4)
say(char *why, enum vhc_stage stage, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, VHC_WHY_LEN, format, args);
	va_end(args);
	return stage;
}

static enum vhc_stage
why_no_front_end(const struct vhc_device *dev, char *why)
{
	char waiting[VHC_WHY_LEN];

	vhc_server_why(dev->server, waiting);
	if (!dev->last_refusal[0])
		return say(why, VHC_STAGE_LISTENING, "%s", waiting);
	/* What went wrong matters more than what we wait for, if not both fit. */
	return say(why, VHC_STAGE_LISTENING, "the last front-end was dropped: %s; now %s",
		   dev->last_refusal, waiting);
}

static unsigned int
nr_set_up(const struct vhc_device *dev)
{
	unsigned int nr = 0;

	for (uint16_t i = 0; i < dev->nr_data_rings; i++)
		nr += vhc_queue_is_set_up(dev->queues[i]) && !dev->queues[i]->obstacle[0];
	return nr;
}

/* What the vital ring `q` still lacks. */
static enum vhc_stage
why_ring(const struct vhc_device *dev, const struct vhc_queue *q, char *why)
{
	unsigned int nr = nr_set_up(dev);
	enum vhc_stage stage = nr ? VHC_STAGE_RINGS : VHC_STAGE_MEMORY;
	const char *lacks = !q->has_num ? "a size (SET_VRING_NUM)" :
			    !q->has_addr ? "its addresses (SET_VRING_ADDR)" :
			    "a start (SET_VRING_KICK)";

	if (q->obstacle[0])
		return say(why, stage, "ring %u: %s", q->index, q->obstacle);
	return say(why, stage,
		   "%u of %u rings are set up; ring %u still lacks %s: is the driver in "
		   "the guest loaded and its interface up?",
		   nr, dev->nr_data_rings, q->index, lacks);
}

static bool
is_untouched(const struct vhc_device *dev)
{
	if (!dev->cls->posts_at_start)
		return false;
	for (uint16_t i = 0; i < dev->nr_vital_rings; i++)
		if (!vhc_queue_is_untouched(dev->queues[i]))
			return false;
	return true;
}

static enum vhc_stage
why_running(const struct vhc_device *dev, char *why)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		const struct vhc_queue *q = dev->queues[i];

		if (q->running && ld_relaxed(&q->ring.broken))
			return say(why, VHC_STAGE_RUNNING,
				   "running, but ring %u is stopped: %s; reload "
				   "the driver in the guest to set it up anew",
				   i, vhc_fault_text(ld_relaxed(&q->faults.last)));
	}
	/* In postcopy, to look into a ring may mean to sleep. */
	if (!dev->settle_timer && !dev->postcopy.is_listening && is_untouched(dev))
		return say(why, VHC_STAGE_RUNNING,
			   "running, but the guest has posted no buffers: bring its interface up; "
			   "if it is up, its memory is not shared with us: add share=on to QEMU's "
			   "-object memory-backend-...");
	if (dev->postcopy.is_listening)
		return say(why, VHC_STAGE_RUNNING, "running, while pages of the guest's memory are"
			   " still to come (postcopy)");
	return say(why, VHC_STAGE_RUNNING, "running");
}

static bool
is_ready(const struct vhc_queue *q)
{
	return vhc_queue_is_set_up(q) && !q->obstacle[0];
}

/* The first ring that the device cannot run without and that is not set up, or NULL. */
static const struct vhc_queue *
ring_to_set_up(const struct vhc_device *dev)
{
	bool any = false;

	for (uint16_t i = 0; i < dev->nr_data_rings; i++) {
		if (vhc_device_needs_ring(dev, i) && !is_ready(dev->queues[i]))
			return dev->queues[i];
		any = any || is_ready(dev->queues[i]);
	}
	return any ? NULL : dev->queues[0];
}

/* One that cannot stop, or start again, before the application has given back what it took. */
static const struct vhc_queue *
ring_with_held(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_data_rings; i++) {
		const struct vhc_queue *q = dev->queues[i];

		if ((q->draining || !q->running) && vhc_queue_nr_held(q))
			return q;
	}
	return NULL;
}

static const struct vhc_queue *
ring_to_enable(const struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_data_rings; i++)
		if (vhc_device_needs_ring(dev, i) && !dev->queues[i]->enabled)
			return dev->queues[i];
	return NULL;
}

/* What is missing next, with a front-end there. */
static enum vhc_stage
why_next(const struct vhc_device *dev, char *why)
{
	const struct vhc_queue *q;

	if (!dev->has_features)
		return say(why, VHC_STAGE_CONNECTED,
			   "process %d is connected and has not agreed on "
			   "features yet: is the driver in the guest loaded?",
			   (int)dev->peer);
	if (dev->postcopy.owes_ack)
		return say(why, VHC_STAGE_FEATURES, "postcopy: we have the guest's memory, and the"
			   " front-end has not acknowledged where");
	if (!dev->map)
		return say(why, VHC_STAGE_FEATURES,
			   "features are agreed on, but the front-end has not shared the guest's "
			   "memory; if it does not soon, give QEMU -object memory-backend-memfd,"
			   "id=mem,size=...,share=on -numa node,memdev=mem");
	q = ring_with_held(dev);
	if (q)
		return say(why, VHC_STAGE_RINGS, "ring %u: waiting for %u requests that the"
			   " application still holds", q->index, vhc_queue_nr_held(q));
	q = ring_to_set_up(dev);
	if (q)
		return why_ring(dev, q, why);
	q = ring_to_enable(dev);
	if (q)
		return say(why, VHC_STAGE_RINGS, "ring %u is set up but not enabled: the "
			   "front-end has not sent SET_VRING_ENABLE 1 for it", q->index);
	if (!vhc_device_driver_ready(dev))
		return say(why, VHC_STAGE_ENABLED,
			   "the driver in the guest is not ready: its status "
			   "0x%02x lacks DRIVER_OK",
			   dev->status);
	return why_running(dev, why);
}

enum vhc_stage
vhc_device_why(const struct vhc_device *dev, char *why)
{
	enum vhc_stage stage;

	if (!dev->session)
		return why_no_front_end(dev, why);
	stage = why_next(dev, why);
	if (stage == VHC_STAGE_RUNNING || !dev->last_refusal[0])
		return stage;
	/* It goes on after a refusal it was told of; but that is what it waits for. */
	return say(why, stage, "refused: %s", dev->last_refusal);
}
