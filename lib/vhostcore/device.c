/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c - a device's life: front-ends come and go, queues and counters stay.
 *
 * Knows:   its class, queues, the session with the front-end.
 * Trusts:  ctl/ for judged values.
 * Runs on: control thread, or under the loop's lock; the functions of vhostcore.h anywhere.
 */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/order.h"
#include "ctl/session.h"
#include "lost.h"
#include "near.h"
#include "postcopy.h"
#include "remap.h"
#include "server.h"
#include "vhostcore_features.h"

#define DEVICE_SETTLE_MS 3000
#define DEVICE_POLLERS_MS 10000	/* until we look again who polls */

/* A message names a ring with eight bits. */
static bool
has_room_for_control(const struct vhc_server_opts *opts)
{
	return opts->cls && opts->cls->control_ring &&
	       opts->nr_rings <= VHOST_USER_VRING_IDX_MASK;
}

static int
create_queues(struct vhc_device *dev)
{
	dev->state = calloc(1, dev->cls->state_len + 1);
	dev->queues = calloc(dev->nr_rings, sizeof(*dev->queues));
	if (!dev->state || !dev->queues)
		return -ENOMEM;
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		int rc = vhc_queue_create(dev, i, &dev->queues[i]);

		if (rc)
			return rc;
	}
	return 0;
}

/* Something that a queue had lent is back, and somebody waits for it. */
static void
on_back(uint32_t events, void *arg)
{
	struct vhc_device *dev = arg;

	(void)events;
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		dev->cls->lends->look(dev->queues[i]);
	vhc_device_update(dev);
	if (dev->session)
		vhc_session_resume(dev->session);
}

/* Each signal is an edge, so the eventfd need not be read. */
static int
watch_pollers(struct vhc_device *dev)
{
	if (!dev->cls->lends)
		return 0;
	dev->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dev->done_fd < 0)
		return -errno;
	return vhc_loop_watch(dev->loop, dev->done_fd, EPOLLIN | EPOLLET, on_back, dev,
			      &dev->done_watch);
}

int
vhc_device_create(const struct vhc_server_opts *opts, struct vhc_server *server, struct loop *loop,
		  struct vhc_device **out)
{
	struct vhc_device *dev = calloc(1, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	snprintf(dev->name, sizeof(dev->name), "%s", opts->name);
	snprintf(dev->path, sizeof(dev->path), "%s", opts->path);
	dev->role = opts->role;
	dev->cls = opts->cls ? opts->cls : &vhc_chain_class;
	dev->server = server;
	dev->loop = loop;
	if (opts->ops)
		dev->ops = *opts->ops;
	dev->ops_arg = opts->ops_arg;
	dev->nr_data_rings = opts->nr_rings;
	dev->nr_rings = opts->nr_rings + has_room_for_control(opts);
	dev->offerable = vhc_class_features(opts->cls, opts->nr_rings) | opts->features_on;
	dev->has_chains = !opts->cls && !opts->raw_rings && !opts->vdpa;
	if (dev->cls->marks_writes && !opts->raw_rings && !opts->vdpa)
		dev->offerable |= BIT64(VHOST_F_LOG_ALL_BIT);
	dev->offered = dev->offerable & ~opts->features_off;
	dev->protocol_offered = DEVICE_PROTOCOL_FEATURES;
	if (dev->offerable & BIT64(VHOST_F_LOG_ALL_BIT))
		dev->protocol_offered |= BIT64(VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT);
	if ((dev->cls->state_save || (dev->ops.state_save && dev->ops.state_load)) && !opts->vdpa)
		dev->protocol_offered |= BIT64(VHOST_USER_PROTOCOL_F_DEVICE_STATE_BIT);
	if (dev->ops.config_get)
		dev->protocol_offered |= BIT64(VHOST_USER_PROTOCOL_F_CONFIG_BIT);
	dev->nr_vital_rings = opts->nr_vital_rings ? opts->nr_vital_rings :
						     dev->cls->nr_vital_rings;
	if (opts->postcopy)
		dev->protocol_offered |= BIT64(VHOST_USER_PROTOCOL_F_PAGEFAULT_BIT);
	if (!opts->cls || opts->inflight)
		dev->protocol_offered |= BIT64(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD_BIT);
	dev->raw_rings = opts->raw_rings;
	dev->done_fd = -1;
	rc = vhc_losses_watch(dev);
	if (rc == 0)
		rc = create_queues(dev);
	if (rc == 0)
		rc = watch_pollers(dev);
	if (rc) {
		vhc_device_destroy(dev);
		return rc;
	}
	*out = dev;
	return 0;
}

void
vhc_device_destroy(struct vhc_device *dev)
{
	if (dev->session)
		vhc_device_detach(dev, "the port is being removed");
	for (uint16_t i = 0; dev->queues && i < dev->nr_rings; i++)
		if (dev->queues[i])
			vhc_queue_stop(dev->queues[i]);
	vhc_device_set_iommu(dev, false);
	for (uint16_t i = 0; dev->queues && i < dev->nr_rings; i++)
		vhc_queue_destroy(dev->queues[i]);
	vhc_losses_unwatch(dev);
	vhc_loop_unwatch(dev->loop, &dev->done_watch);
	fd_close(&dev->done_fd);
	vhc_vdpa_unbind(dev->vdpa);
	free(dev->queues);
	free(dev->state);
	free(dev);
}

/* ---- front-ends ----------------------------------------------------------------------------- */

int
vhc_device_attach(struct vhc_device *dev, int sock, pid_t peer)
{
	int rc = vhc_session_create(dev, sock, &dev->session);

	if (rc)
		return rc;
	dev->peer = peer;
	dev->last_refusal[0] = '\0';
	dev->is_far_told = false;
	vhc_device_explain(dev);
	if (dev->ops.connected)
		dev->ops.connected(dev, true, dev->ops_arg);
	return 0;
}

bool
vhc_device_is_attached(const struct vhc_device *dev)
{
	return dev->session;
}

void
vhc_device_poll_socket(struct vhc_device *dev)
{
	vhc_session_poll(dev->session);
}

/* Tell the application what became usable, or is so no longer. */
static void
tell_queues(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		struct vhc_queue *q = dev->queues[i];

		if (q->usable == vhc_queue_is_usable(q))
			continue;
		vhc_queue_settle(q);
		if (dev->ops.queue_changed)
			dev->ops.queue_changed(dev, i, q->usable, dev->ops_arg);
	}
}

static void look_later(struct vhc_device *dev, uint64_t ms);

static void
on_settled(void *arg)
{
	struct vhc_device *dev = arg;

	dev->settle_timer = 0;
	vhc_device_explain(dev);
	if (vhc_near_judge_pollers(dev))
		look_later(dev, DEVICE_POLLERS_MS);
}

static void
look_later(struct vhc_device *dev, uint64_t ms)
{
	if (vhc_loop_timer(dev->loop, ms, on_settled, dev, &dev->settle_timer))
		log_err(dev->name, "out of memory: cannot watch over the guest's start");
}

/* Give the guest time to bring its interface up before we wonder why it does not. */
static void
watch_settling(struct vhc_device *dev)
{
	vhc_loop_cancel(dev->loop, &dev->settle_timer);
	if (dev->running)
		look_later(dev, DEVICE_SETTLE_MS);
}

/* Every ring it needs runs, and there is one at least. */
static bool
is_complete(const struct vhc_device *dev)
{
	bool any = false;

	for (uint16_t i = 0; i < dev->nr_data_rings; i++) {
		bool runs = dev->queues[i]->running && !dev->queues[i]->draining;

		if (vhc_device_needs_ring(dev, i) && !runs)
			return false;
		any = any || runs;
	}
	return any;
}

static void
tell_device(struct vhc_device *dev)
{
	bool running = is_complete(dev);

	if (running == dev->running)
		return;
	dev->running = running;
	if (running)
		dev->last_refusal[0] = '\0';
	watch_settling(dev);
	if (dev->ops.running)
		dev->ops.running(dev, running, dev->ops_arg);
}

void
vhc_device_refused(struct vhc_device *dev, const char *reason)
{
	snprintf(dev->last_refusal, sizeof(dev->last_refusal), "%s", reason);
}

static void
tell(struct vhc_device *dev)
{
	tell_queues(dev);
	tell_device(dev);
}

void
vhc_device_update(struct vhc_device *dev)
{
	vhc_device_update_log(dev);
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		vhc_queue_update(dev->queues[i]);
	tell(dev);
	vhc_device_explain(dev);
}

void
vhc_device_reset(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		vhc_queue_stop(dev->queues[i]);
		vhc_queue_forget(dev->queues[i]);
	}
	if (dev->cls->announce)
		dev->cls->announce(dev, NULL);
	vhc_device_forget_commands(dev);
	dev->features = 0;
	dev->has_features = false;
	vhc_device_set_iommu(dev, false);	/* this cannot fail */
	dev->status = 0;
	dev->passes_driver_ok = false;
	/* Who works rings himself must know before any of their memory goes. */
	tell(dev);
	vhc_device_drop_inflight(dev);
}

void
vhc_device_forget_commands(struct vhc_device *dev)
{
	memset(dev->state, 0, dev->cls->state_len);
}

static const char *
dropped_as_late(struct vhc_device *dev)
{
	const char *reason = "in postcopy, the front-end did not bring a page of the guest's memory"
			     " within 5 s, and the control thread, which needed it, serves other"
			     " ports, too";

	log_warn(dev->name, "dropped: %s", reason);
	return reason;
}

void
vhc_device_detach(struct vhc_device *dev, const char *reason)
{
	if (!dev->session)
		return;
	if (ld_relaxed(&dev->postcopy.is_late))
		reason = dropped_as_late(dev);
	/* The reason may live in the session. */
	vhc_device_refused(dev, reason ? reason : "");
	vhc_postcopy_abandon(dev);
	vhc_session_destroy(dev->session);
	dev->session = NULL;
	vhc_device_reset(dev);
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		vhc_queue_close_fds(dev->queues[i]);
	vhc_device_set_map(dev, NULL);
	dev->is_owned = false;
	dev->protocol_features = 0;
	dev->mtu = 0;
	dev->peer = 0;
	vhc_channel_destroy(dev);
	vhc_device_update(dev);
	vhc_dirty_log_unmap(&dev->dirty);
	if (dev->ops.connected)
		dev->ops.connected(dev, false, dev->ops_arg);
	vhc_server_detached(dev->server);
}

/* ---- conclusions ---------------------------------------------------------------------------- */

uint16_t
vhc_device_control_ring(const struct vhc_device *dev)
{
	uint16_t index;

	if (!dev->cls->control_ring || !dev->has_features)
		return VHC_NO_RING;
	index = dev->cls->control_ring(dev->features, dev->nr_data_rings);
	return index < dev->nr_rings ? index : VHC_NO_RING;
}

bool
vhc_device_has_ring(const struct vhc_device *dev, uint32_t index)
{
	return index < dev->nr_data_rings ||
	       (index < dev->nr_rings && index == vhc_device_control_ring(dev));
}

/*
 * A front-end that serves the commands itself may still agree on the feature; it says with
 * SET_VRING_ENABLE which rings are used. Only a control ring that runs here tells otherwise.
 */
bool
vhc_device_uses_ring(const struct vhc_device *dev, uint16_t index)
{
	uint16_t control = vhc_device_control_ring(dev);

	if (control == VHC_NO_RING || !dev->queues[control]->running)
		return true;
	return dev->cls->ring_in_use(dev->state, index);
}

bool
vhc_device_needs_ring(const struct vhc_device *dev, uint16_t index)
{
	const struct vhc_queue *q = dev->queues[index];

	if (dev->nr_vital_rings)
		return index < dev->nr_vital_rings;
	return q->has_addr || q->started;
}

/*
 * QEMU's common code for small devices (rng, gpio, i2c, ...) agrees on STATUS and passes on all of
 * it but DRIVER_OK. Front-ends enable the rings of devices other than network ones when the driver
 * is ready, not earlier; so that counts until DRIVER_OK was said once.
 */
bool
vhc_device_driver_ready(const struct vhc_device *dev)
{
	if (!dev->has_features)
		return false;
	if (!(dev->protocol_features & BIT64(VHOST_USER_PROTOCOL_F_STATUS_BIT)))
		return true;
	if (dev->has_chains && !dev->passes_driver_ok)
		return true;
	return dev->status & VIRTIO_STATUS_DRIVER_OK;
}

/*
 * Steps of a set-up that goes well are for the curious; arriving, and losing what was there, are
 * news. Someone who connects only to see whether we listen is neither.
 */
static bool
is_news(const struct vhc_device *dev, enum vhc_stage stage)
{
	return stage == VHC_STAGE_RUNNING || !dev->why[0] ||
	       (stage < dev->stage && dev->stage > VHC_STAGE_CONNECTED);
}

void
vhc_device_explain(struct vhc_device *dev)
{
	char why[VHC_WHY_LEN];
	enum vhc_stage stage = vhc_device_why(dev, why);

	if (stage > dev->stage && dev->last_refusal[0]) {
		/* It found another way. */
		dev->last_refusal[0] = '\0';
		stage = vhc_device_why(dev, why);
	}
	if (stage == dev->stage && strcmp(why, dev->why) == 0)
		return;
	vhc_log(is_news(dev, stage) ? VHC_LOG_NOTICE : VHC_LOG_INFO, dev->name, "%s: %s",
		vhc_stage_name(stage), why);
	dev->stage = stage;
	memcpy(dev->why, why, sizeof(dev->why));
}

void
vhc_device_set_map(struct vhc_device *dev, struct map *map)
{
	struct map *old = dev->map;

	dev->map = map;
	if (dev->iommu.iotlb) {
		vhc_device_close_queues(dev);
		vhc_iotlb_keep(dev->iommu.iotlb, map);
	} else if (!dev->raw_rings) {
		vhc_pollers_change_over(dev);
	}
	for (uint16_t i = 0; i < dev->nr_rings; i++)
		if (dev->raw_rings)
			vhc_queue_stop(dev->queues[i]);	/* update starts it again */
		else
			vhc_queue_remap(dev->queues[i]);
	/* Rings that lost their memory, or whose user knows the old table, are let go of now. */
	tell(dev);
	vhc_map_unref(old);	/* no burst is on it any more */
}

/* ---- the application's side ----------------------------------------------------------------- */

VHC_API void
vhc_device_info(struct vhc_device *dev, struct vhc_device_info *info)
{
	vhc_loop_lock(dev->loop);
	vhc_device_explain(dev);
	*info = (struct vhc_device_info){
		.role = dev->role,
		.stage = dev->stage,
		.features = dev->features,
		.offered = dev->offered,
		.protocol_features = dev->protocol_features,
		.mtu = dev->mtu,
		.nr_rings = dev->nr_data_rings,
		.control_ring = vhc_device_control_ring(dev),
		.nr_regions = (uint16_t)(dev->map ? dev->map->nr : 0),
		.status = dev->status,
		.nr_connects = dev->nr_connects,
	};
	memcpy(info->name, dev->name, sizeof(info->name));
	memcpy(info->why, dev->why, sizeof(info->why));
	memcpy(info->path, dev->path, sizeof(info->path));
	vhc_loop_unlock(dev->loop);
}

VHC_API struct vhc_queue *
vhc_device_queue(struct vhc_device *dev, uint16_t index)
{
	return index < dev->nr_rings ? dev->queues[index] : NULL;
}

VHC_API void
vhc_class_state(struct vhc_device *dev, void *copy)
{
	vhc_loop_lock(dev->loop);
	memcpy(copy, dev->state, dev->cls->state_len);
	vhc_loop_unlock(dev->loop);
}
