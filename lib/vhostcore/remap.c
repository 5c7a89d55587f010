/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remap.c - see remap.h.
 *
 * Knows:   queues, rings, maps.
 * Trusts:  see remap.h.
 * Runs on: control thread, under the loop's lock; change_over() on the poller, inside the gate.
 */
#include "remap.h"

#include <sched.h>
#include <time.h>

#include "device.h"

/*
 * A poller comes again within microseconds, but others may have its core just now. One that did not
 * come the last time may not poll at all, and is not waited for as long.
 */
#define PATIENCE_NS	20000000
#define PATIENCE_SLOW_NS 500000

/* ---- the poller's side ---------------------------------------------------------------------- */

static uint16_t
change_over(struct vhc_queue *q, void **items, uint16_t n)
{
	fence_full();	/* [M] what control wrote before it put us here */
	vhc_ring_use_map(&q->ring, ld_relaxed(&q->next_map));
	q->dev->cls->queue_relog(q);	/* chooses the real burst */
	st_release(&q->next_map, NULL);	/* [M] the old map is not looked at any more */
	return q->burst(q, items, n);
}

/* ---- control's ------------------------------------------------------------------------------ */

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool
stays_in_place(const struct vhc_queue *q)
{
	char reason[RING_REASON_LEN];
	struct ring ring;

	return vhc_ring_translate(&ring, &q->claim, q->dev->map, reason) == 0 &&
	       ring.g_desc == q->ring.g_desc && ring.g_avail == q->ring.g_avail &&
	       ring.g_used == q->ring.g_used && ring.size == q->ring.size;
}

/*
 * An empty poll must get here as well. In this order: once the poller has found the burst, all that
 * it writes is later than what we wrote.
 */
static void
ask(struct vhc_queue *q)
{
	st_relaxed(&q->next_map, q->dev->map);
	st_relaxed(&q->idle, RING_IDLE_NEVER);
	st_release(&q->burst, change_over);	/* [M] */
	q->is_asked = true;
}

static bool
is_awaited(const struct vhc_device *dev, uint64_t waited)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		const struct vhc_queue *q = dev->queues[i];

		if (q->is_asked && ld_acquire(&q->next_map) &&
		    waited < (q->is_slow ? PATIENCE_SLOW_NS : PATIENCE_NS))
			return true;
	}
	return false;
}

void
vhc_pollers_change_over(struct vhc_device *dev)
{
	uint64_t begin = now_ns();

	if (!dev->map || !dev->cls->queue_relog)
		return;
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (vhc_queue_is_open(dev->queues[i]) && stays_in_place(dev->queues[i]))
			ask(dev->queues[i]);
	while (is_awaited(dev, now_ns() - begin))
		sched_yield();
}

bool
vhc_queue_has_changed_over(struct vhc_queue *q)
{
	bool is_done = q->is_asked && !ld_acquire(&q->next_map);	/* [M] */

	q->is_slow = q->is_asked && !is_done;
	if (is_done)
		q->is_asked = false;
	return is_done;
}
