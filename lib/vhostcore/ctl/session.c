/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - the conversation, and the only place where the ack rule is written.
 *
 * Knows:   frames, the schema, the dispatch table.
 * Trusts:  nothing of the front-end.
 * Runs on: control thread, under the loop's lock.
 *
 * The ack rule: a request with a reply of its own gets that reply. Any other gets a u64, 0 or 1,
 * if it asked for one (NEED_REPLY), and nothing if not. What fails and has no way to say so ends
 * the conversation.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/fd.h"
#include "../base/log.h"

/* Messages handled before other sockets get their turn. */
#define MESSAGES_PER_TURN 32

static void on_readable(uint32_t events, void *arg);

int
vhc_session_refuse(struct vhc_device *dev, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(dev->session->reason, sizeof(dev->session->reason), format, args);
	va_end(args);
	return err;
}

/* ---- one message ---------------------------------------------------------------------------- */

static int
send_ack(struct session *s, const struct msg *msg, bool failed)
{
	uint64_t result = failed;

	return vhc_frame_reply(s->sock, msg->request, &result, sizeof(result), NULL, 0);
}

/* 0: the conversation goes on. */
static int
answer(struct session *s, const struct schema_entry *entry, const struct msg *msg,
       const struct reply *reply, const struct hook_verdict *hook, int rc)
{
	bool has_body = (entry && entry->reply == REPLY_BODY) || reply->len;
	bool needs_ack = msg->flags & VHOST_USER_NEED_REPLY_MASK;
	int sent = 0;

	if (rc == 0 && hook->has_reply)
		sent = vhc_frame_reply(s->sock, msg->request, hook->payload, hook->size, hook->fds,
				       hook->nr_fds);
	else if (rc == 0 && has_body)
		sent = vhc_frame_reply(s->sock, msg->request, &reply->payload, reply->len,
				       &reply->fd, reply->nr_fds);
	else if (!has_body && needs_ack)
		sent = send_ack(s, msg, rc != 0);
	else if (rc)
		return rc;
	if (sent)
		snprintf(s->reason, sizeof(s->reason), "the reply to %s cannot be sent: %s",
			 vhc_schema_name(msg->request), strerror(-sent));
	return sent;
}

static int
watch_socket(struct session *s, uint32_t events)
{
	int rc;

	vhc_loop_unwatch(s->dev->loop, &s->watch);
	rc = vhc_loop_watch(s->dev->loop, s->sock, events, on_readable, s, &s->watch);
	if (rc)
		snprintf(s->reason, sizeof(s->reason), "its socket cannot be watched: %s",
			 strerror(-rc));
	return rc;
}

static int
carry_on(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
	 struct reply *reply, struct hook_verdict *hook)
{
	int rc = entry ? vhc_dispatch(dev, entry, msg, reply) : 0;

	if (rc == 0)
		rc = vhc_hook_after(dev, entry, msg, reply, hook);
	if (rc == 0 && !entry && !hook->is_handled)
		rc = vhc_session_refuse(dev, -EOPNOTSUPP, "request %u is not one we know",
					msg->request);
	return rc;
}

/* The application may handle what it likes, and what we do not know, before us or after. */
static int
carry_out(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
	  struct reply *reply, struct hook_verdict *hook)
{
	int rc = vhc_hook_before(dev, entry, msg, hook);

	return rc || hook->is_handled ? rc : carry_on(dev, entry, msg, reply, hook);
}

/* Read no further message until this one is answered; but notice if the front-end goes. */
static int
park(struct session *s, const struct schema_entry *entry)
{
	s->parked = entry;
	return watch_socket(s, 0);
}

/* 0: the conversation goes on; else s->reason says why it ends. */
static int
conclude(struct session *s, const struct schema_entry *entry, struct reply *reply,
	 const struct hook_verdict *hook, int rc)
{
	struct msg *msg = &s->reader.msg;

	if (rc == -EINPROGRESS) {
		vhc_device_update(s->dev);
		return park(s, entry);
	}
	vhc_msg_close_fds(msg);
	if (rc) {
		log_warn(s->dev->name, "refused: %s", s->reason);
		vhc_device_refused(s->dev, s->reason);
	}
	/* An ack says that the effects are complete, so they must be. */
	vhc_device_update(s->dev);
	rc = hook->is_broken ? rc : answer(s, entry, msg, reply, hook, rc);
	if (reply->nr_fds)
		fd_close(&reply->fd);
	return rc;
}

/*
 * In postcopy, a front-end acknowledges what we answered to a request about memory; it says so,
 * too, if it had nothing to request.
 */
static bool
is_memory_ack(const struct vhc_device *dev, const struct msg *msg)
{
	bool may_come = dev->postcopy.owes_ack ||
			(dev->postcopy.is_listening && msg->request == VHOST_USER_NONE);

	return may_come && vhc_schema_is_memory_ack(msg);
}

static int
check(struct session *s, const struct schema_entry **entry)
{
	*entry = &vhc_memory_ack;
	return is_memory_ack(s->dev, &s->reader.msg) ? 0 :
	       vhc_frame_check(&s->reader.msg, entry, s->reason);
}

/* 0: the conversation goes on; else s->reason says why it ends. */
static int
handle_message(struct session *s)
{
	const struct schema_entry *entry = NULL;
	struct msg *msg = &s->reader.msg;
	struct vhc_device *dev = s->dev;
	struct hook_verdict hook = { 0 };
	struct reply reply = { 0 };
	int rc;

	/* One that only connects may be looking whether anybody listens. */
	if (!s->has_spoken)
		dev->nr_connects++;
	s->has_spoken = true;
	log_debug(dev->name, "%s, %u bytes, %u descriptors", vhc_schema_name(msg->request),
		  msg->size, msg->nr_fds);
	rc = check(s, &entry);
	if (rc == 0 || rc == -EOPNOTSUPP)
		rc = carry_out(dev, entry, msg, &reply, &hook);
	return conclude(s, entry, &reply, &hook, rc);
}

/* ---- the conversation ----------------------------------------------------------------------- */

static void
on_silence(void *arg)
{
	struct session *s = arg;
	const struct msg *msg = &s->reader.msg;

	s->silence_timer = 0;
	snprintf(s->reason, sizeof(s->reason),
		 "it sent part of a message (%s) and then nothing for "
		 "%d s",
		 s->reader.nr_have >= sizeof(struct vhost_user_header)
			 ? vhc_schema_name(msg->request)
			 : "not even a header",
		 SESSION_SILENCE_MS / 1000);
	log_warn(s->dev->name, "dropped: %s", s->reason);
	vhc_device_detach(s->dev, s->reason);
}

/* The timer runs exactly while the front-end owes us bytes. */
static void
watch_silence(struct session *s)
{
	bool owes = vhc_frame_is_partial(&s->reader);

	if (!owes)
		vhc_loop_cancel(s->dev->loop, &s->silence_timer);
	else if (!s->silence_timer &&
		 vhc_loop_timer(s->dev->loop, SESSION_SILENCE_MS, on_silence, s, &s->silence_timer))
		log_err(s->dev->name, "out of memory: cannot watch over a half-sent message");
}

/*
 * QEMU, whose guest agreed with an earlier back-end on more than is offered now, does not say so:
 * it asks, prints the missing bits to its own user, and goes.
 */
static const char *
how_it_ended(const struct vhc_device *dev)
{
	if (!dev->is_owned || dev->has_features)
		return "the front-end disconnected";
	return "the front-end disconnected before it agreed on features; if it does so again and"
	       " again, its guest's driver uses some that this port does not offer: give the port"
	       " the options it had when that driver started (QEMU prints which are missing)";
}

static void
end_disconnected(struct session *s)
{
	vhc_log(s->has_spoken ? VHC_LOG_NOTICE : VHC_LOG_INFO, s->dev->name, "%s",
		how_it_ended(s->dev));
	vhc_device_detach(s->dev, NULL);
}

static void
end_if_gone(struct session *s)
{
	struct pollfd p = { .fd = s->sock };

	if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)))
		end_disconnected(s);
}

void
vhc_session_resume(struct session *s)
{
	const struct schema_entry *entry = s->parked;
	struct hook_verdict hook = { 0 };
	struct reply reply = { 0 };
	int rc;

	if (!entry)
		return;
	s->parked = NULL;
	rc = carry_on(s->dev, entry, &s->reader.msg, &reply, &hook);
	rc = conclude(s, entry, &reply, &hook, rc);
	if (rc == 0 && !s->parked)
		rc = watch_socket(s, EPOLLIN);
	if (rc)
		vhc_device_detach(s->dev, s->reason);
}

void
vhc_session_poll(struct session *s)
{
	struct vhc_device *dev = s->dev;

	if (s->parked) {
		end_if_gone(s);
		return;
	}
	for (int i = 0; i < MESSAGES_PER_TURN && !s->parked; i++) {
		switch (vhc_frame_read(&s->reader, s->sock, s->reason)) {
		case FRAME_AGAIN:
			watch_silence(s);
			return;
		case FRAME_READY:
			/* A message is whole: silence counts anew from here. */
			vhc_loop_cancel(dev->loop, &s->silence_timer);
			if (handle_message(s) == 0)
				continue;
			break;
		case FRAME_EOF:
			end_disconnected(s);
			return;
		case FRAME_BAD:
			log_warn(dev->name, "dropped: %s", s->reason);
			break;
		}
		vhc_device_detach(dev, s->reason);
		return;
	}
}

static void
on_readable(uint32_t events, void *arg)
{
	(void)events;	/* a hang-up is read as the end of the stream */
	vhc_session_poll(arg);
}

int
vhc_session_create(struct vhc_device *dev, int sock, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : -ENOMEM;

	if (s) {
		s->dev = dev;
		s->sock = sock;
		rc = watch_socket(s, EPOLLIN);
	}
	if (rc) {
		free(s);
		fd_close(&sock);
		return rc;
	}
	*out = s;
	return 0;
}

void
vhc_session_destroy(struct session *s)
{
	vhc_loop_unwatch(s->dev->loop, &s->watch);
	vhc_loop_cancel(s->dev->loop, &s->silence_timer);
	vhc_state_transfer_destroy(s->transfer);
	vhc_frame_reader_reset(&s->reader);
	/* Somebody else may have it open as well, an application that gave it to us for one. */
	shutdown(s->sock, SHUT_RDWR);
	fd_close(&s->sock);
	free(s);
}
