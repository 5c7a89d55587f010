/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - a virtio device: what ctl/ learns about it, and what follows from that.
 *
 * Knows:   queues, memory maps, its class, its server; no messages.
 * Trusts:  ctl/ to have judged every value it stores here.
 * Runs on: control thread, or any thread that holds the loop's lock.
 *
 * Message handlers only record what the front-end said. vhc_device_update() then draws the
 * conclusions, for every queue and for the device, in one place.
 */
#ifndef VHC_DEVICE_H
#define VHC_DEVICE_H

#include <sys/types.h>

#include "class.h"
#include "ctl/loop.h"
#include "device_parts.h"
#include "iommu.h"
#include "mem/dirty_log.h"
#include "spec/vhost_user.h"
#include "vhostcore_features.h"

#define BIT64(n) (UINT64_C(1) << (n))

struct channel;
struct session;
struct vdpa_binding;

struct vhc_device {
	/* fixed */
	char name[64];
	char path[108];
	enum vhc_role role;
	const struct vhc_class *cls;
	struct vhc_server *server;
	struct loop *loop;
	struct vhc_device *next_watched, **link_watched; /* lost.c; no link: not watched */
	struct vhc_device_ops ops;
	struct vdpa_binding *vdpa;	/* hardware that serves rings; NULL: none */
	void *ops_arg;
	uint64_t offerable;		/* virtio feature bits, transport bits included ... */
	uint64_t offered;		/* ... and those of them that front-ends are offered */
	uint64_t protocol_offered;
	uint16_t nr_vital_rings;	/* as in struct vhc_class */
	bool raw_rings;			/* the application works them itself */
	bool has_chains;		/* it takes requests from us */
	uint16_t nr_data_rings;
	uint16_t nr_rings;		/* and perhaps one for commands behind them */
	struct vhc_queue **queues;

	/* the front-end's; gone with it */
	struct session *session;	/* NULL: none is connected */
	pid_t peer;
	uint64_t features;		/* agreed on */
	bool has_features;
	bool is_owned;			/* SET_OWNER came */
	uint64_t protocol_features;	/* agreed on */
	void *state;			/* what the class keeps of the driver */
	struct map *map;		/* NULL: no memory shared yet */
	struct device_postcopy postcopy;
	struct device_inflight inflight;
	struct dirty_log dirty;		/* bitmap of its own, marked by any thread */
	struct device_iommu iommu;
	uint8_t status;
	bool passes_driver_ok;		/* it has said once that the driver was ready */
	uint16_t mtu;
	struct channel *channel;	/* for requests of ours; NULL: it gave none */

	/* conclusions */
	bool running;			/* what the application was told last */
	int done_fd;			/* pollers tell that what they had is back; -1: none do */
	uint64_t done_watch;
	uint64_t settle_timer;		/* runs for a while after `running` became true */
	bool is_far_told;		/* that its queues are polled on another NUMA node */
	enum vhc_stage stage;
	char why[VHC_WHY_LEN];
	char last_refusal[VHC_WHY_LEN];	/* what the front-end last got wrong, or "" */
	uint64_t nr_connects;
};

/* Protocol feature bits we offer, whatever the class. */
#define DEVICE_PROTOCOL_FEATURES \
	(BIT64(VHOST_USER_PROTOCOL_F_MQ_BIT) | BIT64(VHOST_USER_PROTOCOL_F_RARP_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_MTU_BIT) | BIT64(VHOST_USER_PROTOCOL_F_BACKEND_REQ_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_HOST_NOTIFIER_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_RESET_DEVICE_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS_BIT) | \
	 BIT64(VHOST_USER_PROTOCOL_F_STATUS_BIT))

/* Bits the ring and the transport take care of, whatever the class. */
#define DEVICE_TRANSPORT_FEATURES \
	(BIT64(VIRTIO_F_VERSION_1_BIT) | BIT64(VIRTIO_F_ANY_LAYOUT_BIT) | \
	 BIT64(VIRTIO_F_INDIRECT_DESC_BIT) | BIT64(VIRTIO_F_EVENT_IDX_BIT) | \
	 BIT64(VIRTIO_F_RING_PACKED_BIT) | BIT64(VIRTIO_F_IN_ORDER_BIT) | \
	 BIT64(VHOST_USER_F_PROTOCOL_FEATURES_BIT))

int vhc_device_create(const struct vhc_server_opts *opts, struct vhc_server *server,
		      struct loop *loop, struct vhc_device **dev) VHC_MUST_USE;
void vhc_device_destroy(struct vhc_device *dev);

/* ---- front-ends: for server.c --------------------------------------------------------------- */

/* Hand over a connected socket; closed by us, also on failure. */
int vhc_device_attach(struct vhc_device *dev, int sock, pid_t peer) VHC_MUST_USE;
bool vhc_device_is_attached(const struct vhc_device *dev);

/* Drop the front-end and all it brought. Calls vhc_server_detached(). */
void vhc_device_detach(struct vhc_device *dev, const char *reason);

/* Handle what has arrived; may notice that the front-end is gone. */
void vhc_device_poll_socket(struct vhc_device *dev);

/* ---- conclusions: for ctl/ ------------------------------------------------------------------ */

/* Start and stop queues as what is known now demands; tell the application; explain. */
void vhc_device_update(struct vhc_device *dev);

/* Work out stage and sentence anew; log them if they changed. */
void vhc_device_explain(struct vhc_device *dev);

/* The front-end got something wrong: the best answer to "why" until the device runs. */
void vhc_device_refused(struct vhc_device *dev, const char *reason);

/* Publish a map to every queue; takes over the reference. Queues keep running where they can. */
void vhc_device_set_map(struct vhc_device *dev, struct map *map);

/* Forget the in-flight file. No queue runs. */
void vhc_device_drop_inflight(struct vhc_device *dev);

/* Books for the queue's piece of it, if there is one: q->inflight. 0 or -errno. */
int vhc_device_track_inflight(struct vhc_device *dev, struct vhc_queue *q) VHC_MUST_USE;

/* Back to power-on, except for the connection, memory and protocol features. */
void vhc_device_reset(struct vhc_device *dev);

/* Another driver begins: nothing that the one before commanded holds any more. */
void vhc_device_forget_commands(struct vhc_device *dev);

/* Index of the ring that carries commands, or VHC_NO_RING where none was agreed on. */
uint16_t vhc_device_control_ring(const struct vhc_device *dev);

/* Is there a ring of this number? The control ring is there once it was agreed on. */
bool vhc_device_has_ring(const struct vhc_device *dev, uint32_t index);

/* Does the driver use this data ring? All of them, unless it commanded otherwise. */
bool vhc_device_uses_ring(const struct vhc_device *dev, uint16_t index);

/* Must this data ring run before the device does? */
bool vhc_device_needs_ring(const struct vhc_device *dev, uint16_t index);

/* Is the driver ready, as far as the front-end tells us? */
bool vhc_device_driver_ready(const struct vhc_device *dev);

/* The conclusions themselves (why.c): the stage, and one sentence. */
enum vhc_stage vhc_device_why(const struct vhc_device *dev, char *why);

/* ---- one queue (queue.c) -------------------------------------------------------------------- */

int vhc_queue_create(struct vhc_device *dev, uint16_t index, struct vhc_queue **q) VHC_MUST_USE;
void vhc_queue_destroy(struct vhc_queue *q);

/* Run if everything is there, else do not. True if that changed. */
bool vhc_queue_update(struct vhc_queue *q);

/* Of a packed ring that starts: is it where the front-end says? If not, go on where it is. */
void vhc_queue_find_place(struct vhc_queue *q);

/* Chains that the application has, of a ring that runs or ran. */
uint32_t vhc_queue_nr_held(const struct vhc_queue *q);

/* Stop as soon as they are back: at once, if it has none. True if anything changed. */
bool vhc_queue_wind_down(struct vhc_queue *q);

/* Stop, whatever is there. True if it was running. */
bool vhc_queue_stop(struct vhc_queue *q);

/* Switch to the device's new map. A queue whose ring is not in it stops. */
void vhc_queue_remap(struct vhc_queue *q);

/* Running, and open to its poller, or to an application that works it itself. */
bool vhc_queue_is_open(const struct vhc_queue *q);

/* ... and more than that: there may be something to take. */
bool vhc_queue_is_usable(const struct vhc_queue *q);

/* Open or close the gate accordingly, and note it. */
void vhc_queue_settle(struct vhc_queue *q);

/*
 * Take ownership of a descriptor; -1 means none. The old one is closed. `relay` hands on what is
 * signalled on `fd`; NULL: `fd` is the front-end's own.
 */
void vhc_queue_set_kick(struct vhc_queue *q, int fd);
void vhc_queue_set_call(struct vhc_queue *q, int fd, struct relay *relay);
void vhc_queue_set_err(struct vhc_queue *q, int fd);

/*
 * Forget what the front-end said of the ring; `enabled` as well. Stopped before. The call and error
 * descriptors stay: some front-ends send them once a connection.
 */
void vhc_queue_forget(struct vhc_queue *q);

/* Close those, too. */
void vhc_queue_close_fds(struct vhc_queue *q);

/* Running, and the driver has not made a single buffer available yet. */
bool vhc_queue_is_untouched(const struct vhc_queue *q);

/* Set up as far as messages go: everything but enabling and the driver. */
bool vhc_queue_is_set_up(const struct vhc_queue *q);

/* ---- hardware (hardware.c) ------------------------------------------------------------------ */

/* vhc_server_create() for who names a vDPA device: translated into one that names none. */
int vhc_vdpa_create_server(const struct vhc_server_opts *opts,
			   struct vhc_server **server) VHC_MUST_USE;

/* The device is gone; so is its hold on the hardware. NULL is fine. */
void vhc_vdpa_unbind(struct vdpa_binding *binding);

/* ---- what a migration must know of (dirty.c) ------------------------------------------------ */

#define QUEUE_NOT_LOGGED UINT64_MAX

/* Log if that was agreed on and there is somewhere to; every thread knows when this returns. */
void vhc_device_update_log(struct vhc_device *dev);

/* As vhc_dirty_log_map(), and no mark is being made in the old bitmap when this returns. */
int vhc_device_set_log(struct vhc_device *dev, int fd, uint64_t size, uint64_t offset,
		       char *reason) VHC_MUST_USE;
void vhc_queue_update_log(struct vhc_queue *q);

/* A ring whose used part is to be logged must not run before there is a log. */
bool vhc_queue_awaits_log(const struct vhc_queue *q);

/*
 * Mark what was written, as vhc_device_log_write() does: [host, host + len), which lies in one
 * region of `map`; bytes of the used part (packed: descriptors); where we said whether to kick, or
 * when. Any thread, which has `map` or the queue in hand.
 */
void vhc_device_log_host(struct vhc_device *dev, const struct map *map, const void *host,
			 uint64_t len);
void vhc_queue_log_used(struct vhc_queue *q, uint64_t offset, uint64_t len);
void vhc_queue_log_event(struct vhc_queue *q, bool on);

#endif
