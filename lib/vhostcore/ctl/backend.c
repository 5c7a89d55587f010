/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend.c - the channel on which requests go the other way.
 *
 * Knows:   what we ask a front-end, and which answers are due.
 * Trusts:  nothing of the far end: it may not read, not answer, or answer what nobody asked. That
 *          costs it the channel; the conversation goes on.
 * Runs on: control thread, under the loop's lock; the functions of vhostcore_message.h anywhere.
 *
 * Nobody waits here but an application thread that asked to. The front-end may need the main
 * conversation to answer (QEMU fetches the configuration before it acknowledges its change), so the
 * control thread must not.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/fd.h"
#include "../base/log.h"
#include "../vhostcore_message.h"
#include "relay.h"
#include "waiter.h"

#define ANSWER_MS	5000
#define ANSWERS_DUE_MAX	512	/* one for every ring, and as much again */
#define ANSWERS_PER_TURN 32

/* A request that the front-end was asked to acknowledge. */
struct question {
	uint32_t request;
	uint16_t ring;		/* or VHC_NO_RING */
	uint32_t number;	/* of an address to translate: ring_miss.question */
	struct waiter *waiter;	/* NULL: a refusal is only logged */
};

struct channel {
	struct vhc_device *dev;
	int sock;
	uint64_t watch;		/* 0: nobody can answer there, so nothing is asked */
	struct frame_reader reader;
	struct log_limit complaints;
	unsigned int nr_due;
	struct question due[ANSWERS_DUE_MAX];	/* answers come in the order of the questions */
};

static const char *
name_of(uint32_t request)
{
	static const char *const names[] = {
		[VHOST_USER_BACKEND_IOTLB_MSG] = "BACKEND_IOTLB_MSG",
		[VHOST_USER_BACKEND_CONFIG_CHANGE_MSG] = "BACKEND_CONFIG_CHANGE_MSG",
		[VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG] = "BACKEND_VRING_HOST_NOTIFIER_MSG",
	};

	return names[request];
}

/* ---- answers -------------------------------------------------------------------------------- */

static void
conclude(struct channel *c, const struct question *q, bool refused)
{
	if (q->waiter)
		vhc_waiter_tell(q->waiter, refused ? -EPROTO : 0);
	if (q->request == VHOST_USER_BACKEND_IOTLB_MSG) {
		vhc_device_answered(c->dev, q->ring, q->number, refused);
		return;
	}
	if (!refused || !vhc_log_allows(&c->complaints, c->dev->name))
		return;
	if (q->ring == VHC_NO_RING)
		log_warn(c->dev->name, "the front-end refused %s", name_of(q->request));
	else
		log_warn(c->dev->name, "the front-end refused %s for ring %u",
			 name_of(q->request), q->ring);
}

/* 0, or -EPROTO and `reason`: such an answer makes all that follow meaningless. */
static int
take_answer(struct channel *c, char *reason)
{
	const struct msg *msg = &c->reader.msg;
	struct question q = c->due[0];

	if (c->nr_due == 0)
		snprintf(reason, FRAME_REASON_LEN, "an answer that nobody asked for");
	else if (msg->request != q.request)
		snprintf(reason, FRAME_REASON_LEN, "an answer to request %u, and one to %s was due",
			 msg->request, name_of(q.request));
	else if (msg->size != sizeof(msg->payload.u64) || msg->nr_fds)
		snprintf(reason, FRAME_REASON_LEN, "an answer to %s of %u bytes and %u descriptors,"
			 " the protocol says 8 and 0", name_of(q.request), msg->size, msg->nr_fds);
	else {
		memmove(c->due, c->due + 1, --c->nr_due * sizeof(c->due[0]));
		conclude(c, &q, msg->payload.u64 != 0);
		return 0;
	}
	return -EPROTO;
}

/* False: there is nothing more to read now, or for ever. */
static bool
read_answer(struct channel *c)
{
	struct vhc_device *dev = c->dev;
	char reason[FRAME_REASON_LEN];

	switch (vhc_frame_read(&c->reader, c->sock, reason)) {
	case FRAME_AGAIN:
		return false;
	case FRAME_READY:
		if (take_answer(c, reason) == 0)
			return true;
		break;
	case FRAME_EOF:
		log_info(dev->name, "the front-end closed the channel for our requests");
		vhc_channel_destroy(dev);
		return false;
	case FRAME_BAD:
		break;
	}
	log_warn(dev->name, "the channel for our requests is closed: %s", reason);
	vhc_channel_destroy(dev);
	return false;
}

/* What is left after a turn makes the next one. */
static void
on_answers(uint32_t events, void *arg)
{
	struct channel *c = arg;

	(void)events;
	for (int i = 0; i < ANSWERS_PER_TURN; i++)
		if (!read_answer(c))
			return;
}

/* ---- its life ------------------------------------------------------------------------------- */

/*
 * Can the front-end answer on it? User-mode Linux sends a pipe, and wants that accepted and kept:
 * it would take the end of the stream for something to read.
 */
static bool
is_two_way(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && domain == AF_UNIX &&
	       type == SOCK_STREAM;
}

/* Takes over the socket, also on failure. */
static int
channel_create(struct vhc_device *dev, int sock)
{
	struct channel *c = calloc(1, sizeof(*c));
	int rc = c ? 0 : -ENOMEM;

	if (c) {
		c->dev = dev;
		c->sock = sock;
		c->reader.of_replies = true;
		if (is_two_way(sock))
			rc = vhc_loop_watch(dev->loop, sock, EPOLLIN, on_answers, c, &c->watch);
	}
	if (rc) {
		free(c);
		fd_close(&sock);
		return rc;
	}
	dev->channel = c;
	return 0;
}

void
vhc_channel_destroy(struct vhc_device *dev)
{
	struct channel *c = dev->channel;

	if (!c)
		return;
	dev->channel = NULL;
	vhc_loop_unwatch(dev->loop, &c->watch);
	for (unsigned int i = 0; i < c->nr_due; i++)
		if (c->due[i].waiter)
			vhc_waiter_tell(c->due[i].waiter, -ENOTCONN);
	vhc_frame_reader_reset(&c->reader);
	fd_close(&c->sock);
	free(c);
}

int
vhc_on_set_backend_req_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	int rc;

	(void)reply;
	if (!vhc_relay_fits(msg->fds[0]))
		return vhc_session_refuse(dev, -EINVAL, "SET_BACKEND_REQ_FD: the descriptor is"
					  " neither a socket nor a pipe to write to");
	vhc_channel_destroy(dev);
	rc = channel_create(dev, vhc_msg_take_fd(msg, 0));
	return rc ? vhc_session_refuse(dev, rc, "SET_BACKEND_REQ_FD: the channel cannot be"
				       " watched: %s", strerror(-rc)) : 0;
}

/* ---- questions ------------------------------------------------------------------------------ */

static bool
has_protocol(const struct vhc_device *dev, unsigned int bit)
{
	return dev->protocol_features & BIT64(bit);
}

/* Nobody reads there any more, or it is nothing that can be sent. */
static int
cannot_send(struct channel *c, uint32_t request, int err)
{
	struct vhc_device *dev = c->dev;

	if (vhc_log_allows(&c->complaints, dev->name))
		log_warn(dev->name, "%s cannot be sent: %s", name_of(request),
			 err == -EAGAIN ? "the front-end does not read our requests" :
					  strerror(-err));
	if (err != -EPIPE && err != -ECONNRESET && err != -ENOTCONN)
		return err;
	vhc_channel_destroy(dev);
	return -ENOTCONN;
}

/* Send, and note what answer is due. On failure the waiter stays the caller's. */
static int
ask(struct vhc_device *dev, const struct question *q, bool needs_reply, const void *payload,
    uint32_t size, int fd)
{
	struct channel *c = dev->channel;
	int rc;

	if (!c || !c->watch)
		return -ENOTCONN;
	needs_reply = needs_reply && has_protocol(dev, VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT);
	if (needs_reply && c->nr_due == ANSWERS_DUE_MAX)
		return cannot_send(c, q->request, -EAGAIN);
	rc = vhc_frame_request(c->sock, q->request, needs_reply, payload, size, &fd, fd >= 0);
	if (rc)
		return cannot_send(c, q->request, rc);
	log_debug(dev->name, "%s was sent", name_of(q->request));
	if (needs_reply)
		c->due[c->nr_due++] = *q;
	return 0;
}

static bool
someone_waits(const struct channel *c)
{
	for (unsigned int i = 0; i < c->nr_due; i++)
		if (c->due[i].waiter && vhc_waiter_is_waiting(c->due[i].waiter))
			return true;
	return false;
}

/* `waiter`: receives one to wait for; NULL: no answer is wanted. */
static int
tell_config_changed(struct vhc_device *dev, struct waiter **waiter)
{
	struct question q = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, .ring = VHC_NO_RING,
	};
	int rc;

	if (!dev->channel || !dev->channel->watch)
		return -ENOTCONN;
	if (!has_protocol(dev, VHOST_USER_PROTOCOL_F_CONFIG_BIT) ||
	    (waiter && !has_protocol(dev, VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT)))
		return -ENOTSUP;
	if (!waiter)
		return ask(dev, &q, false, NULL, 0, -1);
	if (someone_waits(dev->channel))
		return -EBUSY;
	rc = vhc_waiter_create(waiter);
	if (rc)
		return rc;
	q.waiter = *waiter;
	rc = ask(dev, &q, true, NULL, 0, -1);
	if (rc) {
		/* Both sides are ours. */
		vhc_waiter_tell(*waiter, rc);
		vhc_waiter_wait(*waiter, 0);
	}
	return rc;
}

VHC_API int
vhc_device_config_changed(struct vhc_device *dev, bool wait)
{
	struct waiter *waiter;
	int rc;

	/* Also not where a callback runs on the thread that called vhc_server_start(). */
	if (wait && (vhc_loop_is_current(dev->loop) || vhc_loop_is_held(dev->loop)))
		return -EDEADLK;
	vhc_loop_lock(dev->loop);
	rc = tell_config_changed(dev, wait ? &waiter : NULL);
	vhc_loop_unlock(dev->loop);
	return rc || !wait ? rc : vhc_waiter_wait(waiter, ANSWER_MS);
}

/* ---- addresses ------------------------------------------------------------------------------ */

int
vhc_channel_ask_translation(struct vhc_device *dev, uint16_t ring, const struct ring_miss *miss)
{
	const struct question q = {
		.request = VHOST_USER_BACKEND_IOTLB_MSG, .ring = ring, .number = miss->question,
	};
	const struct vhost_iotlb_msg raw = {
		.iova = miss->iova, .perm = miss->writes ? VHOST_ACCESS_WO : VHOST_ACCESS_RO,
		.type = VHOST_IOTLB_MISS,
	};
	/* Who never answers is asked all the same: what counts is what it tells us. */
	bool is_patient = dev->channel && dev->channel->nr_due < ANSWERS_DUE_MAX / 2;

	return ask(dev, &q, is_patient, &raw, sizeof(raw), -1);
}

void
vhc_channel_tell_access_fail(struct vhc_device *dev, uint64_t iova, bool writes)
{
	const struct question q = { .request = VHOST_USER_BACKEND_IOTLB_MSG };
	const struct vhost_iotlb_msg failure = {
		.iova = iova, .perm = writes ? VHOST_ACCESS_WO : VHOST_ACCESS_RO,
		.type = VHOST_IOTLB_ACCESS_FAIL,
	};

	(void)ask(dev, &q, false, &failure, sizeof(failure), -1);	/* it is only news */
}

/* ---- where drivers kick --------------------------------------------------------------------- */

static int
tell_host_notifier(struct vhc_device *dev, uint16_t ring, int fd, uint64_t offset, uint64_t size)
{
	const struct question q = {
		.request = VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG, .ring = ring,
	};
	const struct vhost_user_vring_area area = {
		.u64 = ring | (fd < 0 ? VHOST_USER_VRING_NOFD_MASK : 0u),
		.size = fd < 0 ? 0 : size,
		.offset = fd < 0 ? 0 : offset,
	};

	if (!vhc_device_has_ring(dev, ring) || ring > VHOST_USER_VRING_IDX_MASK)
		return -EINVAL;
	if (!dev->session)
		return -ENOTCONN;
	if (!(dev->features & BIT64(VIRTIO_F_VERSION_1_BIT)) ||
	    !has_protocol(dev, VHOST_USER_PROTOCOL_F_HOST_NOTIFIER_BIT) ||
	    !has_protocol(dev, VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD_BIT))
		return -ENOTSUP;
	return ask(dev, &q, true, &area, sizeof(area), fd);
}

VHC_API int
vhc_device_host_notifier(struct vhc_device *dev, uint16_t ring, int fd, uint64_t offset,
			 uint64_t size)
{
	int rc;

	vhc_loop_lock(dev->loop);
	rc = tell_host_notifier(dev, ring, fd, offset, size);
	vhc_loop_unlock(dev->loop);
	return rc;
}
