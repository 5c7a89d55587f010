/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue.c - the life of one virtqueue: when it runs, and how it is stopped.
 *
 * Knows:   rings, gates, the class's burst.
 * Trusts:  ctl/ for judged values; the ring's contents never.
 * Runs on: control thread; the functions of vhostcore.h as they say.
 */
#include "queue.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "caller.h"
#include "control.h"
#include "ctl/relay.h"
#include "device.h"
#include "mem/node.h"
#include "near.h"
#include "remap.h"
#include "ring/inflight.h"
#include "ring/raw.h"
#include "ring/verbs.h"

int
vhc_queue_create(struct vhc_device *dev, uint16_t index, struct vhc_queue **out)
{
	struct vhc_queue *q = vhc_node_alloc(dev->cls->queue_len);

	if (!q)
		return -ENOMEM;
	vhc_gate_init(&q->gate);
	q->dev = dev;
	q->index = index;
	q->log_used_at = q->log_event_at = QUEUE_NOT_LOGGED;
	q->kick_fd = q->call_fd = q->err_fd = q->poll_fd = q->wake_fd = -1;
	q->ring.call_fd = q->ring.err_fd = -1;
	q->ring.faults = &q->faults;
	q->faults.last = RING_FAULT_NONE;
	q->poll_cpu = QUEUE_CPU_UNASKED;
	q->memory_node = -1;
	dev->cls->queue_init(q);
	*out = q;
	return 0;
}

void
vhc_queue_destroy(struct vhc_queue *q)
{
	if (!q)
		return;
	vhc_queue_stop(q);
	if (q->dev->cls->lends)
		q->dev->cls->lends->fini(q);
	vhc_inflight_destroy(q->inflight);
	vhc_caller_forget(q);
	vhc_region_end_loan(&q->loan);
	vhc_queue_forget(q);
	vhc_queue_close_fds(q);
	fd_close(&q->poll_fd);
	fd_close(&q->wake_fd);
	vhc_node_free(q, q->dev->cls->queue_len);
}

/* ---- the gate and its holders --------------------------------------------------------------- */

/*
 * As the poller in base/gate.h; but there may be many, so each pays for an atomic sum and a fence
 * [H] instead of letting membarrier() pay.
 */
bool
vhc_queue_hold(struct vhc_queue *q)
{
	add_then_fence(&q->nr_holders, 1);
	if (!ld_acquire(&q->gate.closed))
		return true;
	vhc_queue_release(q);
	return false;
}

void
vhc_queue_release(struct vhc_queue *q)
{
	sub_release(&q->nr_holders, 1);
}

/* From now on control owns the queue. */
static void
queue_close(struct vhc_queue *q)
{
	vhc_gate_close(&q->gate);
	while (ld_acquire(&q->nr_holders))	/* [H] */
		sched_yield();
}

void
vhc_device_close_queues(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		vhc_gate_shut(&dev->queues[i]->gate);
	vhc_gate_fence();	/* [G], [H] as in vhc_gate_close() */
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		vhc_gate_await(&dev->queues[i]->gate);
		queue_close(dev->queues[i]);
	}
}

/* ---- kicks ---------------------------------------------------------------------------------- */

/* Everything in the epoll instance is edge-triggered, so touching a readable one makes an edge. */
VHC_API void
vhc_queue_wake(struct vhc_queue *q)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (q->poll_fd >= 0)
		epoll_ctl(q->poll_fd, EPOLL_CTL_MOD, q->wake_fd, &event);
}

/* The kicks so far, for who looks at the ring after this, or will when it starts. */
static void
forget_kicks(struct vhc_queue *q)
{
	struct epoll_event edges[2];	/* kick_fd and wake_fd, no others */

	if (q->wants_kicks && q->poll_fd >= 0)
		epoll_wait(q->poll_fd, edges, VHC_ARRAY_LEN(edges), 0);
}

/* With the gate closed, or inside it. True: work is there already, new or to be done again. */
static bool
apply_kicks(struct vhc_queue *q)
{
	bool has_work;

	forget_kicks(q);
	has_work = (q->ring.is_raw ? vhc_raw_kicks : ring_kicks)(&q->ring, q->wants_kicks);
	/* No driver kicks for what it has out already. */
	if (q->wants_kicks && !q->ring.is_raw && !q->ring.broken)
		has_work |= !inflight_is_resubmitted(q->inflight);
	if (!q->ring.is_raw)
		vhc_queue_log_event(q, q->wants_kicks);
	if (!has_work)
		return false;
	vhc_queue_wake(q);
	return true;
}

/* ---- running -------------------------------------------------------------------------------- */

bool
vhc_queue_is_open(const struct vhc_queue *q)
{
	return q->running && !q->is_control && vhc_device_uses_ring(q->dev, q->index);
}

bool
vhc_queue_is_usable(const struct vhc_queue *q)
{
	return vhc_queue_is_open(q) && !q->draining;
}

/* The poller's again, if it is to have it. */
static void
open_gate(struct vhc_queue *q)
{
	const struct vhc_class_lends *lends = q->dev->cls->lends;

	if (!vhc_queue_is_open(q) || q->is_untranslated)
		return;
	vhc_gate_open(&q->gate);
	while (lends && lends->is_behind(q)) {
		queue_close(q);
		lends->catch_up(q);
		vhc_gate_open(&q->gate);
	}
}

void
vhc_queue_settle(struct vhc_queue *q)
{
	q->usable = vhc_queue_is_usable(q);
	if (vhc_queue_is_open(q))
		open_gate(q);
	else
		queue_close(q);
}

bool
vhc_queue_is_set_up(const struct vhc_queue *q)
{
	return q->dev->map && q->has_num && q->has_addr && q->started;
}

/* The index came before the size, or before it was known what kind of ring this is. */
static bool
base_fits(struct vhc_queue *q)
{
	uint16_t slot = q->base & 0x7fff;

	if (q->claim.kind == RING_SPLIT || slot < q->claim.size)
		return true;
	snprintf(q->obstacle, sizeof(q->obstacle),
		 "SET_VRING_BASE said slot %u of a ring of %u", slot, q->claim.size);
	return false;
}

/*
 * A region that contradicts itself breaks the ring, which is a state that is shown. False: there is
 * no starting at all.
 */
static bool
start_tracking(struct vhc_queue *q)
{
	int rc = vhc_device_track_inflight(q->dev, q);

	if (rc) {
		snprintf(q->obstacle, sizeof(q->obstacle), "%s", rc == -ENOMEM ? "out of memory" :
			 "the file of SET_INFLIGHT_FD has no room for a ring of this size or kind");
		return false;
	}
	if (!q->inflight)
		return true;
	if (vhc_inflight_recover(q->inflight, &q->ring, q->is_inflight_new) &&
	    q->inflight->nr_resubmit)
		log_notice(q->dev->name, "ring %u: %u requests that an earlier back-end took are "
			   "done again", q->index, q->inflight->nr_resubmit);
	q->is_inflight_new = false;
	return true;
}

static bool
set_up_ring(struct vhc_queue *q)
{
	if (vhc_ring_translate(&q->ring, &q->claim, q->dev->map, q->obstacle))
		return false;
	q->obstacle[0] = '\0';
	q->ring.miss.state = MISS_NONE;
	vhc_ring_start(&q->ring, q->base);
	return start_tracking(q);
}

static bool
queue_start(struct vhc_queue *q)
{
	struct vhc_device *dev = q->dev;

	q->claim.kind = dev->features & BIT64(VIRTIO_F_RING_PACKED_BIT) ? RING_PACKED : RING_SPLIT;
	q->claim.event_idx = dev->features & BIT64(VIRTIO_F_EVENT_IDX_BIT);
	q->claim.indirect = dev->features & BIT64(VIRTIO_F_INDIRECT_DESC_BIT);
	q->claim.in_order = dev->features & BIT64(VIRTIO_F_IN_ORDER_BIT);
	q->claim.is_raw = dev->raw_rings;
	q->claim.iotlb = dev->iommu.iotlb;
	q->claim.driver_only_sends = dev->cls->driver_only_sends &&
				     dev->cls->driver_only_sends(q->index);
	q->is_control = vhc_device_control_ring(dev) == q->index;
	if (!base_fits(q))
		return false;
	if (!set_up_ring(q)) {
		vhc_ring_forget_views(&q->ring);
		return false;
	}
	vhc_queue_find_place(q);
	if ((uint16_t)vhc_ring_base(&q->ring) != (uint16_t)q->base)
		log_info(dev->name,
			 "ring %u: the front-end said to go on at 0x%x, the ring itself says 0x%x",
			 q->index, q->base, vhc_ring_base(&q->ring));
	vhc_near_follow(q);
	q->running = true;
	q->base_is_said = false;
	if (q->is_control) {
		vhc_control_watch(q);
	} else {
		dev->cls->queue_start(q, dev->features);
		apply_kicks(q);
		vhc_ring_look_ahead(&q->ring);
		open_gate(q);
	}
	/* After a reconnect the driver may wait for an interrupt that was lost: one too many is
	 * fine. */
	if (q->call_fd >= 0)
		fd_signal(q->call_fd);
	return true;
}

/* The gate is closed. Afterwards the driver is not to be called any more. */
static void
end_run(struct vhc_queue *q)
{
	vhc_caller_flush(q);
	vhc_control_unwatch(q);
	if (q->ring.is_raw && !q->base_is_said)
		q->ring.avail = q->ring.used = vhc_raw_mark(&q->ring);
	q->base = vhc_ring_base(&q->ring);
	q->running = q->is_control = q->draining = q->is_untranslated = false;
	q->ring.miss.state = MISS_NONE;
	vhc_ring_forget_views(&q->ring);
	if (q->dev->cls->lends)
		q->dev->cls->lends->stop(q);
}

bool
vhc_queue_stop(struct vhc_queue *q)
{
	if (!q->running)
		return false;
	queue_close(q);
	end_run(q);
	return true;
}

/* ---- what the application holds ------------------------------------------------------------- */

uint32_t
vhc_queue_nr_held(const struct vhc_queue *q)
{
	const struct vhc_class_lends *lends = q->dev->cls->lends;

	return lends ? lends->nr_held(q) : 0;
}

static void
set_draining(struct vhc_queue *q, bool on)
{
	queue_close(q);
	q->draining = on;
	q->dev->cls->lends->drain(q, on);
	open_gate(q);
}

/*
 * How many are out is certain once none are handed out any more. What comes back after we began to
 * wait, the poller tells us of.
 */
bool
vhc_queue_wind_down(struct vhc_queue *q)
{
	bool began = q->running && !q->draining && q->dev->cls->lends;

	if (began)
		set_draining(q, true);
	return (vhc_queue_nr_held(q) == 0 && vhc_queue_stop(q)) || began;
}

/* ---- running, continued --------------------------------------------------------------------- */

bool
vhc_queue_is_wanted(const struct vhc_queue *q)
{
	return vhc_queue_is_set_up(q) && q->enabled && vhc_device_driver_ready(q->dev);
}

bool
vhc_queue_update(struct vhc_queue *q)
{
	bool wanted = vhc_queue_is_wanted(q);

	vhc_queue_update_log(q);
	if (!wanted) {
		q->obstacle[0] = '\0';	/* whatever it was, something else comes first */
		return q->running && vhc_queue_wind_down(q);
	}
	if (vhc_queue_awaits_log(q)) {
		snprintf(q->obstacle, sizeof(q->obstacle), "what is written to it must be logged,"
			 " and the front-end has named no log (SET_LOG_BASE)");
		return false;
	}
	if (!q->running)
		return vhc_queue_nr_held(q) == 0 && queue_start(q);
	if (!q->draining)
		return false;
	set_draining(q, false);
	return true;
}

/* Its memory is where it was or elsewhere; what it missed may be there now. */
static void
go_on(struct vhc_queue *q)
{
	bool was_lost = q->is_untranslated;
	bool has_news = vhc_ring_miss_recheck(&q->ring) || was_lost;

	q->is_untranslated = false;
	if (was_lost) {
		q->ring.miss.state = MISS_NONE;
		q->obstacle[0] = '\0';
	}
	if (q->dev->cls->lends)
		q->dev->cls->lends->remap(q);
	if (was_lost && !q->is_control)
		apply_kicks(q);		/* the wish may have changed meanwhile */
	vhc_ring_look_ahead(&q->ring);
	open_gate(q);
	if (has_news && q->is_control)
		vhc_control_look(q);
	else if (has_news)
		vhc_queue_wake(q);
}

void
vhc_queue_remap(struct vhc_queue *q)
{
	char reason[RING_REASON_LEN];
	int rc;

	if (!q->running || vhc_queue_has_changed_over(q))
		return;
	/* Bursts return 0 for as long as it takes to swap a few pointers, no longer. */
	queue_close(q);
	if (q->is_asked)
		q->dev->cls->queue_relog(q);	/* the real burst, if the other is still there */
	q->is_asked = false;
	q->next_map = NULL;
	rc = q->dev->map ? vhc_ring_translate(&q->ring, &q->claim, q->dev->map, reason) : -EFAULT;
	if (rc == 0) {
		go_on(q);
	} else if (rc == -EAGAIN) {
		/* For moments, as a rule: nobody is told that it stands still. */
		q->is_untranslated = true;
		vhc_ring_forget_views(&q->ring);
	} else {
		if (q->dev->map)
			memcpy(q->obstacle, reason, sizeof(reason));
		end_run(q);
	}
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/*
 * Edge-triggered, so that a kick is forgotten by harvesting the epoll instance. The kick descriptor
 * itself is never read: it shares its flags with the front-end, which could make the read block.
 */
static void
poll_fd_watch(struct vhc_queue *q)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (q->poll_fd >= 0 && q->kick_fd >= 0 &&
	    epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, q->kick_fd, &event) < 0)
		log_err(q->dev->name, "ring %u: cannot wait for kicks: %s", q->index,
			strerror(errno));
}

void
vhc_queue_set_kick(struct vhc_queue *q, int fd)
{
	if (q->poll_fd >= 0 && q->kick_fd >= 0)
		epoll_ctl(q->poll_fd, EPOLL_CTL_DEL, q->kick_fd, NULL);
	vhc_control_unwatch(q);
	fd_close(&q->kick_fd);
	q->kick_fd = fd;
	poll_fd_watch(q);
	if (q->is_control)
		vhc_control_watch(q);
}

/* The poller signals both from inside the gate, so they change only while it is closed. */
static void
swap_signal_fd(struct vhc_queue *q, int *own, int *borrowed, int fd)
{
	queue_close(q);
	fd_close(own);
	*own = *borrowed = fd;
	open_gate(q);
}

void
vhc_queue_set_call(struct vhc_queue *q, int fd, struct relay *relay)
{
	vhc_relay_destroy(q->call_relay);
	q->call_relay = relay;
	swap_signal_fd(q, &q->call_fd, &q->ring.call_fd, fd);
	/* The old descriptor may have got a signal that nobody will see: repeat it. */
	if (fd >= 0 && q->running)
		fd_signal(fd);
}

void
vhc_queue_set_err(struct vhc_queue *q, int fd)
{
	swap_signal_fd(q, &q->err_fd, &q->ring.err_fd, fd);
}

void
vhc_queue_forget(struct vhc_queue *q)
{
	vhc_assert(!q->running);
	vhc_queue_set_kick(q, -1);
	q->claim = (struct ring_claim){ 0 };
	q->has_num = q->has_addr = q->started = q->enabled = false;
	q->base = 0;
	q->is_logged = false;
	q->obstacle[0] = '\0';
}

void
vhc_queue_close_fds(struct vhc_queue *q)
{
	vhc_queue_set_call(q, -1, NULL);
	vhc_queue_set_err(q, -1);
}

/* ---- the application's side ----------------------------------------------------------------- */

VHC_API void
vhc_queue_pause(struct vhc_queue *q)
{
	vhc_loop_lock(q->dev->loop);
	queue_close(q);
}

VHC_API void
vhc_queue_resume(struct vhc_queue *q)
{
	open_gate(q);
	vhc_loop_unlock(q->dev->loop);
}

/*
 * While the ring is stopped the wish is remembered and applied when it starts. That needs the lock:
 * otherwise the ring could start between our look at the gate and our note.
 */
static bool
want_kicks_stopped(struct vhc_queue *q, bool on)
{
	bool has_work = false;

	vhc_queue_pause(q);
	q->wants_kicks = on;
	if (q->running && !q->is_control && !q->is_untranslated)
		has_work = apply_kicks(q);
	else
		forget_kicks(q);
	vhc_queue_resume(q);
	return has_work;
}

VHC_API bool
vhc_queue_want_kicks(struct vhc_queue *q, bool on)
{
	bool has_work;

	if (!gate_enter(&q->gate))
		return want_kicks_stopped(q, on);
	q->wants_kicks = on;
	has_work = apply_kicks(q);
	gate_leave(&q->gate);
	return has_work;
}

/* Only the ring is written: what the poller owns is read, and may be a moment old. */
VHC_API int
vhc_queue_try_kicks(struct vhc_queue *q, bool on)
{
	if (!vhc_queue_hold(q))
		return -EAGAIN;
	(q->ring.is_raw ? vhc_raw_kicks : ring_kicks)(&q->ring, on);
	if (!q->ring.is_raw)
		vhc_queue_log_event(q, on);
	vhc_queue_release(q);
	return 0;
}

static int
create_poll_fd(struct vhc_queue *q)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	q->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	q->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->poll_fd >= 0 && q->wake_fd >= 0 &&
	    epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, q->wake_fd, &event) == 0) {
		poll_fd_watch(q);
		return 0;
	}
	fd_close(&q->poll_fd);
	fd_close(&q->wake_fd);
	return -errno;
}

VHC_API int
vhc_queue_kick_fd(struct vhc_queue *q)
{
	int rc = 0;

	vhc_queue_pause(q);
	if (q->poll_fd < 0)
		rc = create_poll_fd(q);
	vhc_queue_resume(q);
	return rc ? rc : q->poll_fd;
}
