/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vring.c - one ring: size, addresses, index, descriptors, enable.
 *
 * Knows:   queues. Only records; vhc_device_update() starts and stops.
 * Trusts:  the ring index, which dispatch.c judged; nothing else.
 * Runs on: control thread, under the loop's lock.
 *
 * Front-ends send these in any order, some before features and memory.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/fd.h"
#include "relay.h"

static struct vhc_queue *
queue_by_state(struct vhc_device *dev, const struct msg *msg)
{
	return dev->queues[msg->payload.state.index];
}

static struct vhc_queue *
queue_by_u64(struct vhc_device *dev, const struct msg *msg)
{
	return dev->queues[msg->payload.u64 & VHOST_USER_VRING_IDX_MASK];
}

int
vhc_on_set_vring_num(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint32_t num = msg->payload.state.num;
	struct vhc_queue *q = queue_by_state(dev, msg);

	(void)reply;
	/* virtio 1.2 2.7, 2.8.10.1. A split ring is judged once more when it starts. */
	if (num == 0 || num > VIRTQ_SIZE_MAX)
		return vhc_session_refuse(
			dev, -EINVAL, "SET_VRING_NUM: ring %u of %u entries; 1 to %d are possible",
			q->index, num, VIRTQ_SIZE_MAX);
	if (dev->has_features && !(dev->features & BIT64(VIRTIO_F_RING_PACKED_BIT)) &&
	    (num & (num - 1)))
		return vhc_session_refuse(
			dev, -EINVAL,
			"SET_VRING_NUM: ring %u of %u entries; a split ring has a "
			"power of two",
			q->index, num);
	if (dev->inflight.view.host && q->index < dev->inflight.num_queues &&
	    num > dev->inflight.queue_size)
		return vhc_session_refuse(
			dev, -EINVAL,
			"SET_VRING_NUM: ring %u of %u entries, but SET_INFLIGHT_FD said %u",
			q->index, num, dev->inflight.queue_size);
	q->claim.size = (uint16_t)num;
	q->has_num = true;
	return 0;
}

/* May come before the memory it lies in: translated when the ring starts. */
int
vhc_on_set_vring_addr(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_vring_addr *raw = &msg->payload.addr;
	struct vhc_queue *q = queue_by_state(dev, msg);
	struct ring_claim *claim = &q->claim;
	bool same = claim->desc.v == raw->desc_user_addr &&
		    claim->avail.v == raw->avail_user_addr && claim->used.v == raw->used_user_addr;

	(void)reply;
	if (raw->flags & ~(1u << VHOST_VRING_F_LOG_BIT))
		return vhc_session_refuse(dev, -EINVAL,
					  "SET_VRING_ADDR: ring %u: unknown flags 0x%x", q->index,
					  raw->flags);
	if (q->draining && !same)
		return -EINPROGRESS;
	if (q->running && !same)
		return vhc_session_refuse(
			dev, -EBUSY,
			"SET_VRING_ADDR: ring %u is running and cannot "
			"move; the front-end must stop it with GET_VRING_BASE first",
			q->index);
	claim->desc.v = raw->desc_user_addr;
	claim->avail.v = raw->avail_user_addr;
	claim->used.v = raw->used_user_addr;
	q->is_logged = raw->flags & (1u << VHOST_VRING_F_LOG_BIT);
	claim->log_guest = q->is_logged ? raw->log_guest_addr : 0;
	q->has_addr = true;
	q->obstacle[0] = '\0';
	return 0;
}

int
vhc_on_set_vring_base(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint32_t num = msg->payload.state.num;
	struct vhc_queue *q = queue_by_state(dev, msg);

	(void)reply;
	/* A packed ring uses all 32 bits, a split one 16. */
	if (num > UINT16_MAX && dev->has_features &&
	    !(dev->features & BIT64(VIRTIO_F_RING_PACKED_BIT)))
		return vhc_session_refuse(
			dev, -EINVAL, "SET_VRING_BASE: ring %u: index 0x%x has more than 16 bits",
			q->index, num);
	q->base = num;
	return 0;
}

/*
 * Stops this ring alone. When the answer is out we touch neither ring nor buffers. Addresses are
 * forgotten, so that a guest that reboots with fewer rings does not run on old ones.
 */
int
vhc_on_get_vring_base(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	struct vhc_queue *q = queue_by_state(dev, msg);

	if (q->running)
		dev->session->has_loaded_state = false;	/* that driver is over */
	vhc_queue_set_kick(q, -1);
	q->started = false;
	vhc_queue_wind_down(q);
	if (q->running)
		return -EINPROGRESS;	/* no request may be lost: see vhc_session_resume() */
	q->has_addr = false;
	q->obstacle[0] = '\0';
	/* Who works the ring himself says where it stands when he hears of it. */
	vhc_device_update(dev);
	vhc_device_forget_translations(dev);
	reply->payload.state.index = q->index;
	reply->payload.state.num = q->base;
	reply->len = sizeof(reply->payload.state);
	return 0;
}

/* -1 and 0: the message says that there is none. */
static int
take_eventfd(struct vhc_device *dev, const char *request, struct msg *msg, int *fd)
{
	struct stat st;
	int flags;

	*fd = -1;
	if (msg->payload.u64 & VHOST_USER_VRING_NOFD_MASK)
		return 0;
	/*
	 * An eventfd is an anonymous inode, which has no type. Signalling a pipe or a socket in its
	 * place could kill us with SIGPIPE, a file would grow.
	 */
	if (fstat(msg->fds[0], &st) < 0 || (st.st_mode & S_IFMT) != 0)
		return vhc_session_refuse(dev, -EINVAL,
					  "%s: ring %" PRIu64 ": the descriptor is no eventfd",
					  request, msg->payload.u64 & VHOST_USER_VRING_IDX_MASK);
	flags = fcntl(msg->fds[0], F_GETFL);
	if (flags < 0 || fcntl(msg->fds[0], F_SETFL, flags | O_NONBLOCK) < 0)
		return vhc_session_refuse(dev, -errno,
					  "%s: the descriptor cannot be made non-blocking",
					  request);
	*fd = vhc_msg_take_fd(msg, 0);
	return 0;
}

/* In practice this starts a ring: after a migration no further kick need come. */
int
vhc_on_set_vring_kick(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	struct vhc_queue *q = queue_by_u64(dev, msg);
	int fd, rc = take_eventfd(dev, "SET_VRING_KICK", msg, &fd);

	(void)reply;
	if (rc)
		return rc;
	vhc_queue_set_kick(q, fd);
	q->started = true;
	q->obstacle[0] = '\0';
	return 0;
}

/* User-mode Linux wants its interrupts in a pipe. */
static int
take_relayed(struct vhc_device *dev, struct msg *msg)
{
	char text[FD_ERROR_LEN];
	struct relay *relay;
	int fd, rc = vhc_relay_create(dev->loop, vhc_msg_take_fd(msg, 0), &fd, &relay);

	if (rc)
		return vhc_session_refuse(dev, rc, "SET_VRING_CALL: the pipe or socket cannot be"
					  " served: %s", vhc_fd_error_text(rc, text));
	vhc_queue_set_call(queue_by_u64(dev, msg), fd, relay);
	return 0;
}

int
vhc_on_set_vring_call(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	int fd, rc;

	(void)reply;
	if (msg->nr_fds && vhc_relay_fits(msg->fds[0]))
		return take_relayed(dev, msg);
	rc = take_eventfd(dev, "SET_VRING_CALL", msg, &fd);
	if (rc == 0)
		vhc_queue_set_call(queue_by_u64(dev, msg), fd, NULL);
	return rc;
}

int
vhc_on_set_vring_err(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	int fd, rc = take_eventfd(dev, "SET_VRING_ERR", msg, &fd);

	(void)reply;
	if (rc == 0)
		vhc_queue_set_err(queue_by_u64(dev, msg), fd);
	return rc;
}

/* Legal at any time, also for a ring that is not set up; tracked all the same. */
int
vhc_on_set_vring_enable(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint32_t on = msg->payload.state.num;
	struct vhc_queue *q = queue_by_state(dev, msg);

	(void)reply;
	if (on > 1)
		return vhc_session_refuse(dev, -EINVAL,
					  "SET_VRING_ENABLE: ring %u: %u is neither 0 nor 1",
					  q->index, on);
	q->enabled = on;
	return 0;
}
