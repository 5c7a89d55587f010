/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hardware.c - hardware that serves rings itself, as one more application of raw rings.
 *
 * Knows:   the public interface: a device with hardware is one whose callbacks program it.
 * Trusts:  drivers: they are part of the program.
 * Runs on: control thread; the functions of vhostcore_vdpa.h as they say.
 *
 * Nothing else in the library asks whether there is hardware.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device.h"
#include "dirty.h"
#include "ring/mediated.h"
#include "vdpa.h"
#include "vhostcore_features.h"
#include "vhostcore_message.h"

/* What no hardware can offer over vhost-user: we translate no addresses, kicks carry no data. */
#define NOT_OF_THIS_TRANSPORT \
	(BIT64(VIRTIO_F_ACCESS_PLATFORM_BIT) | BIT64(VIRTIO_F_NOTIFICATION_DATA_BIT) | \
	 BIT64(VIRTIO_F_RING_RESET_BIT))

#define NET_VITAL_RINGS 2

/* A device and its hardware. */
struct vdpa_binding {
	struct vhc_vdpa *vdpa;
	struct vhc_device_ops app;
	void *app_arg;
	bool is_complete;	/* every ring that must run does */
	bool is_configured;	/* the hardware serves them */
	bool is_closing;	/* ... and is just being told to stop */
	bool has_served[UINT8_MAX + 1];	/* rings, since it was configured; their memory is there */
};

VHC_API struct vhc_vdpa *
vhc_device_vdpa(const struct vhc_device *dev)
{
	return dev->vdpa ? dev->vdpa->vdpa : NULL;
}

/* ---- what it is to do ----------------------------------------------------------------------- */

static void
configure(struct vdpa_binding *b, struct vhc_device *dev)
{
	int rc;

	for (uint16_t i = 0; i < dev->nr_rings; i++)
		b->has_served[i] = dev->queues[i]->running;
	rc = b->vdpa->ops->dev_conf(dev, b->vdpa->arg);
	b->is_configured = rc == 0;
	if (rc)
		log_err(dev->name, "the vDPA device %s cannot serve this guest: %s", b->vdpa->name,
			strerror(-rc));
}

static void
let_go(struct vdpa_binding *b, struct vhc_device *dev)
{
	if (!b->is_configured)
		return;
	b->is_configured = false;
	b->is_closing = true;
	b->vdpa->ops->dev_close(dev, b->vdpa->arg);
	b->is_closing = false;
}

static void
set_vring_state(struct vdpa_binding *b, struct vhc_device *dev, uint16_t ring, bool on)
{
	int rc;

	b->has_served[ring] |= on;
	rc = b->vdpa->ops->set_vring_state(dev, ring, on, b->vdpa->arg);
	if (rc)
		log_err(dev->name, "ring %u: the vDPA device %s cannot %s it: %s", ring,
			b->vdpa->name, on ? "serve" : "leave", strerror(-rc));
}

/* Disabled, and otherwise as it was: the front-end will enable it again. */
static bool
is_only_disabled(const struct vhc_device *dev, uint16_t ring)
{
	const struct vhc_queue *q = dev->queues[ring];

	return vhc_queue_is_set_up(q) && !q->enabled;
}

/*
 * The first ring that is stopped for good ends it for all: front-ends stop them one after the
 * other, and ask of each where it stands, so the hardware must have stopped before the first
 * answer.
 */
static void
on_queue_changed(struct vhc_device *dev, uint16_t ring, bool usable, void *arg)
{
	struct vdpa_binding *b = arg;

	if (usable && !b->is_configured && b->is_complete)
		configure(b, dev);
	else if (b->is_configured && (usable || is_only_disabled(dev, ring)))
		set_vring_state(b, dev, ring, usable);
	else if (!usable)
		let_go(b, dev);
	if (b->app.queue_changed)
		b->app.queue_changed(dev, ring, usable, b->app_arg);
}

static void
on_running(struct vhc_device *dev, bool running, void *arg)
{
	struct vdpa_binding *b = arg;

	b->is_complete = running;
	if (!running)
		let_go(b, dev);
	else if (!b->is_configured)
		configure(b, dev);
	if (b->app.running)
		b->app.running(dev, running, b->app_arg);
}

static void
on_features_changed(struct vhc_device *dev, uint64_t features, void *arg)
{
	struct vdpa_binding *b = arg;
	int rc = 0;

	if (b->is_configured)
		rc = b->vdpa->ops->set_features(dev, features, b->vdpa->arg);
	if (rc)
		log_err(dev->name, "the vDPA device %s cannot take features as they are now: %s",
			b->vdpa->name, strerror(-rc));
	if (b->app.features_changed)
		b->app.features_changed(dev, features, b->app_arg);
}

static int
on_message_after(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	struct vdpa_binding *b = arg;

	if (message->request == VHOST_USER_SEND_RARP && b->vdpa->ops->migration_done)
		b->vdpa->ops->migration_done(dev, b->vdpa->arg);
	return b->app.message_after ? b->app.message_after(dev, message, b->app_arg) :
				      VHC_MESSAGE_NOT_HANDLED;
}

static int
on_config_get(struct vhc_device *dev, uint8_t *bytes, uint32_t offset, uint32_t len, void *arg)
{
	struct vdpa_binding *b = arg;

	return b->vdpa->ops->config_get ?
		       b->vdpa->ops->config_get(dev, bytes, offset, len, b->vdpa->arg) :
		       b->app.config_get(dev, bytes, offset, len, b->app_arg);
}

static int
on_config_set(struct vhc_device *dev, const uint8_t *bytes, uint32_t offset, uint32_t len,
	      bool is_migration, void *arg)
{
	struct vdpa_binding *b = arg;

	return b->vdpa->ops->config_set ?
		       b->vdpa->ops->config_set(dev, bytes, offset, len, is_migration,
						b->vdpa->arg) :
		       b->app.config_set(dev, bytes, offset, len, is_migration, b->app_arg);
}

/* ---- callbacks that are only the application's ---------------------------------------------- */

static void
on_mtu_changed(struct vhc_device *dev, uint16_t mtu, void *arg)
{
	struct vdpa_binding *b = arg;

	b->app.mtu_changed(dev, mtu, b->app_arg);
}

static void
on_connected(struct vhc_device *dev, bool connected, void *arg)
{
	struct vdpa_binding *b = arg;

	b->app.connected(dev, connected, b->app_arg);
}

static int
on_message_before(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	struct vdpa_binding *b = arg;

	return b->app.message_before(dev, message, b->app_arg);
}

/* A callback that nobody would hear of is not there. */
static struct vhc_device_ops
ops_of(const struct vdpa_binding *b)
{
	const struct vhc_vdpa_ops *hw = b->vdpa->ops;

	return (struct vhc_device_ops){
		.running = on_running,
		.queue_changed = on_queue_changed,
		.mtu_changed = b->app.mtu_changed ? on_mtu_changed : NULL,
		.connected = b->app.connected ? on_connected : NULL,
		.features_changed = on_features_changed,
		.config_get = hw->config_get || b->app.config_get ? on_config_get : NULL,
		.config_set = hw->config_set || b->app.config_set ? on_config_set : NULL,
		.message_before = b->app.message_before ? on_message_before : NULL,
		.message_after = on_message_after,
	};
}

/* ---- servers -------------------------------------------------------------------------------- */

static int
refuse(const struct vhc_server_opts *opts, int err, const char *why)
{
	log_err(opts->name, "vDPA device %s: %s", opts->vdpa->name, why);
	return err;
}

static int
check_opts(const struct vhc_server_opts *opts)
{
	if (opts->cls || opts->features_on)
		return refuse(opts, -EINVAL, "it serves the rings, so no class and no features are"
			      " to be named besides");
	return 0;
}

/* What the driver tells of the hardware, into options that need none. */
static int
translate_opts(const struct vhc_server_opts *given, struct vhc_server_opts *opts)
{
	uint64_t features = 0;
	uint32_t type;
	uint16_t nr = 0;
	int rc = vhc_vdpa_nr_rings(given->vdpa, &nr);

	if (rc == 0)
		rc = vhc_vdpa_features(given->vdpa, &features);
	if (rc == 0)
		rc = vhc_vdpa_device_type(given->vdpa, &type);
	if (rc)
		return refuse(given, rc, "it does not say what it can");
	if (given->nr_rings > nr)
		return refuse(given, -EINVAL, "it has fewer rings than were asked for");
	features = (features & ~NOT_OF_THIS_TRANSPORT) | BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT);
	*opts = *given;
	opts->vdpa = NULL;
	opts->raw_rings = true;
	opts->features_on = features;
	opts->features_off = given->features_off | ~features;
	opts->nr_rings = given->nr_rings ? given->nr_rings : nr;
	if (opts->nr_vital_rings == 0 && type == VHC_VDPA_TYPE_NET)
		opts->nr_vital_rings = opts->nr_rings < NET_VITAL_RINGS ? opts->nr_rings :
									  NET_VITAL_RINGS;
	return 0;
}

/* What the application may yet enable is bounded by the hardware, too. */
static int
bound_offers(struct vhc_device *dev, struct vhc_vdpa *vdpa, uint64_t features)
{
	uint64_t protocol = 0;
	int rc = vhc_vdpa_protocol_features(vdpa, &protocol);

	dev->offerable &= features;
	dev->protocol_offered &= protocol;
	return rc;
}

static int
create_bound(const struct vhc_server_opts *given, struct vdpa_binding *b,
	     struct vhc_server **server)
{
	struct vhc_device_ops ops = ops_of(b);
	struct vhc_server_opts opts;
	struct vhc_device *dev;
	int rc = translate_opts(given, &opts);

	if (rc)
		return rc;
	opts.ops = &ops;
	opts.ops_arg = b;
	rc = vhc_server_create(&opts, server);
	if (rc)
		return rc;
	/* Nobody can connect before it is started. */
	dev = vhc_server_device(*server);
	rc = bound_offers(dev, b->vdpa, opts.features_on);
	if (rc) {
		vhc_server_destroy(*server);
		return refuse(given, rc, "it does not say what it can");
	}
	dev->vdpa = b;
	return 0;
}

int
vhc_vdpa_create_server(const struct vhc_server_opts *given, struct vhc_server **server)
{
	struct vdpa_binding *b;
	int rc = check_opts(given);

	if (rc)
		return rc;
	if (vhc_vdpa_take(given->vdpa))
		return refuse(given, -EBUSY, "another server has it");
	b = calloc(1, sizeof(*b));
	rc = b ? 0 : -ENOMEM;
	if (b) {
		b->vdpa = given->vdpa;
		b->app_arg = given->ops_arg;
		if (given->ops)
			b->app = *given->ops;
		rc = create_bound(given, b, server);
	}
	if (rc) {
		vhc_vdpa_untake(given->vdpa);
		free(b);
	}
	return rc;
}

void
vhc_vdpa_unbind(struct vdpa_binding *b)
{
	if (!b)
		return;
	vhc_vdpa_untake(b->vdpa);
	free(b);
}

/* ---- what drivers ask for ------------------------------------------------------------------- */

static int
notify_host(struct vhc_device *dev, uint16_t ring, bool on)
{
	const struct vhc_vdpa *vdpa = dev->vdpa->vdpa;
	struct vhc_vdpa_area area = { .fd = -1 };
	int rc = -ENOTSUP;

	if (!on)
		return vhc_device_host_notifier(dev, ring, -1, 0, 0);
	if (vdpa->ops->notify_area)
		rc = vdpa->ops->notify_area(dev, ring, &area, vdpa->arg);
	return rc ? rc : vhc_device_host_notifier(dev, ring, area.fd, area.offset, area.size);
}

static int
notify_host_of_all(struct vhc_device *dev, bool on)
{
	int rc = 0;

	for (uint16_t i = 0; i < dev->nr_rings && rc == 0; i++)
		if (dev->queues[i]->running)
			rc = notify_host(dev, i, on);
	return rc;
}

VHC_API int
vhc_vdpa_notify_host(struct vhc_device *dev, uint16_t ring, bool on)
{
	int rc;

	if (!dev->vdpa)
		return -ENOTSUP;
	vhc_loop_lock(dev->loop);
	rc = ring == VHC_NO_RING ? notify_host_of_all(dev, on) : notify_host(dev, ring, on);
	vhc_loop_unlock(dev->loop);
	return rc;
}

/* What was stored is marked after it is visible, from the first entry to the index. */
static void
log_relayed(struct vhc_queue *q, uint16_t first)
{
	uint16_t end = ld_relaxed(&q->ring.used.idx);

	if (first == end)
		return;
	vhc_queue_log_entries(q, first, (uint16_t)(end - first));
}

static int
relay_used(struct vhc_queue *q, const void *used)
{
	uint16_t first;
	int rc;

	if (q->ring.kind != RING_SPLIT)
		return -ENOTSUP;
	rc = vhc_ring_relay_used(&q->ring, used, &q->dev->dirty, &first);
	log_relayed(q, first);
	return rc;
}

/*
 * While the hardware is told to stop, control owns the ring, and we run on its behalf. What memory
 * a ring had before that we do not know.
 */
static bool
is_ours_to_drain(const struct vhc_queue *q)
{
	const struct vdpa_binding *b = q->dev->vdpa;

	return vhc_loop_is_held(q->dev->loop) && b->is_closing && b->has_served[q->index];
}

VHC_API int
vhc_vdpa_relay_used(struct vhc_device *dev, uint16_t ring, const void *used)
{
	struct vhc_queue *q = ring < dev->nr_rings ? dev->queues[ring] : NULL;
	int rc;

	if (!q || !dev->vdpa)
		return -EINVAL;
	if (!vhc_queue_hold(q)) {
		if (is_ours_to_drain(q))
			return relay_used(q, used);
		return ld_relaxed(&q->running) ? -EAGAIN : -ENODEV;
	}
	rc = relay_used(q, used);
	vhc_queue_release(q);
	return rc;
}
