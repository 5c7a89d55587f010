/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame.c - cut the byte stream into messages, and put replies onto it.
 *
 * Knows:   the message header.
 * Trusts:  nothing of what arrives.
 * Runs on: control thread.
 */
#include "frame.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/fd.h"
#include "schema.h"
#include "sock.h"

#define HEADER_LEN ((uint32_t)sizeof(struct vhost_user_header))

/* What one receive can bring is what a message can hold. */
static_assert(SOCK_FDS_MAX == VHOST_USER_MEM_TABLE_REGIONS, "descriptors of one message");

static enum frame_result VHC_PRINTF(3, 4)
bad(struct frame_reader *reader, char *reason, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, FRAME_REASON_LEN, format, args);
	va_end(args);
	vhc_frame_reader_reset(reader);
	return FRAME_BAD;
}

void
vhc_msg_close_fds(struct msg *msg)
{
	for (unsigned int i = 0; i < msg->nr_fds; i++)
		fd_close(&msg->fds[i]);
	msg->nr_fds = 0;
}

int
vhc_msg_take_fd(struct msg *msg, unsigned int i)
{
	return i < msg->nr_fds ? fd_take(&msg->fds[i]) : -1;
}

void
vhc_frame_reader_reset(struct frame_reader *reader)
{
	bool of_replies = reader->of_replies;

	vhc_msg_close_fds(&reader->msg);
	memset(reader, 0, sizeof(*reader));
	reader->of_replies = of_replies;
}

bool
vhc_frame_is_partial(const struct frame_reader *reader)
{
	return reader->nr_have > 0 && !reader->is_ready;
}

static bool
is_complete(const struct frame_reader *reader)
{
	return reader->nr_have >= HEADER_LEN && reader->nr_have - HEADER_LEN == reader->msg.size;
}

/* Requests to the front-end have numbers of their own, and their sender knows the names. */
static const char *
name_of(const struct frame_reader *reader, uint32_t request)
{
	return reader->of_replies ? "an answer" : vhc_schema_name(request);
}

/* The raw header is complete: judge it before a byte of payload is read. */
static const char *
check_header(const struct frame_reader *reader)
{
	const struct vhost_user_header *raw = &reader->raw_header;
	bool is_reply = raw->flags & VHOST_USER_REPLY_MASK;

	if ((raw->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return "the protocol version is not 1";
	if (!is_reply && reader->of_replies)
		return "it is not marked as a reply, and nothing else may come here";
	if (is_reply && !reader->of_replies)
		return "it is marked as a reply, and we asked nothing";
	if (raw->size > sizeof(union vhost_user_payload))
		return "its payload is larger than any we know";
	return NULL;
}

/*
 * Receive what is missing of the header, then of the payload, never both at once: a read that went
 * beyond this message could pick up the next one's descriptors.
 */
static ssize_t
receive_more(struct frame_reader *reader, int sock, int *fds, unsigned int *nr_fds)
{
	uint32_t have = reader->nr_have;

	if (have < HEADER_LEN)
		return vhc_sock_receive(sock, (uint8_t *)&reader->raw_header + have,
					HEADER_LEN - have, fds, nr_fds);
	have -= HEADER_LEN;
	return vhc_sock_receive(sock, (uint8_t *)&reader->msg.payload + have,
				reader->msg.size - have, fds, nr_fds);
}

/* No bytes came: nothing yet, the peer left, or the stream broke. */
static enum frame_result
no_bytes(struct frame_reader *reader, ssize_t n, char *reason)
{
	char text[FD_ERROR_LEN];

	if (n == -EAGAIN || n == -EWOULDBLOCK)
		return FRAME_AGAIN;
	if (n == -EMSGSIZE)
		return bad(reader, reason, "a message with more than %d descriptors", SOCK_FDS_MAX);
	if (n == -EMFILE)
		return bad(reader, reason, "its descriptors cannot be taken: %s",
			   vhc_fd_error_text(-EMFILE, text));
	/* A reset is how the end of a killed process looks when it left replies unread. */
	if ((n == 0 || n == -ECONNRESET) && !vhc_frame_is_partial(reader))
		return FRAME_EOF;
	if (n == 0 || n == -ECONNRESET)
		return bad(reader, reason, "the connection ended %u bytes into %s", reader->nr_have,
			   reader->nr_have < HEADER_LEN ? "a message" :
			   name_of(reader, reader->msg.request));
	return bad(reader, reason, "cannot read from the socket: %s", strerror((int)-n));
}

/* Descriptors travel with the first byte of a message (vhost-user, "Communication"). */
static bool
keep_fds(struct frame_reader *reader, const int *fds, unsigned int nr_fds)
{
	struct msg *msg = &reader->msg;

	if (nr_fds == 0)
		return true;
	if (reader->nr_have == 0) {
		memcpy(msg->fds, fds, nr_fds * sizeof(fds[0]));
		msg->nr_fds = nr_fds;
		return true;
	}
	for (unsigned int i = 0; i < nr_fds; i++)
		close(fds[i]);
	return false;
}

/* 0 once the raw header has been judged and what it says is in the message. */
static int
take_header(struct frame_reader *reader, char *reason)
{
	const struct vhost_user_header *raw = &reader->raw_header;
	const char *why = check_header(reader);

	if (why) {
		snprintf(reason, FRAME_REASON_LEN, "%s (%u), flags 0x%x, %u bytes of payload: %s",
			 name_of(reader, raw->request), raw->request, raw->flags, raw->size, why);
		return -EPROTO;
	}
	reader->msg.request = raw->request;
	reader->msg.flags = raw->flags;
	reader->msg.size = raw->size;
	return 0;
}

enum frame_result
vhc_frame_read(struct frame_reader *reader, int sock, char *reason)
{
	if (reader->is_ready)
		vhc_frame_reader_reset(reader);
	for (;;) {
		int fds[SOCK_FDS_MAX];
		unsigned int nr_fds;
		ssize_t n = receive_more(reader, sock, fds, &nr_fds);

		if (n <= 0)
			return no_bytes(reader, n, reason);
		if (!keep_fds(reader, fds, nr_fds))
			return bad(reader, reason, "descriptors came in the middle of a message");
		reader->nr_have += (uint32_t)n;
		if (reader->nr_have == HEADER_LEN && take_header(reader, reason)) {
			vhc_frame_reader_reset(reader);
			return FRAME_BAD;
		}
		if (is_complete(reader)) {
			reader->is_ready = true;
			return FRAME_READY;
		}
	}
}

static int
send_frame(int sock, const struct vhost_user_header *head, const void *payload, const int *fds,
	   unsigned int nr_fds)
{
	struct vhost_user_header header = *head;
	struct iovec parts[] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = header.size },
	};

	return vhc_sock_send(sock, parts, VHC_ARRAY_LEN(parts), fds, nr_fds);
}

int
vhc_frame_request(int sock, uint32_t request, bool needs_reply, const void *payload, uint32_t size,
		  const int *fds, unsigned int nr_fds)
{
	const struct vhost_user_header header = {
		.request = request,
		.flags = VHOST_USER_VERSION | (needs_reply ? VHOST_USER_NEED_REPLY_MASK : 0),
		.size = size,
	};

	return send_frame(sock, &header, payload, fds, nr_fds);
}

int
vhc_frame_reply(int sock, uint32_t request, const void *payload, uint32_t size, const int *fds,
		unsigned int nr_fds)
{
	const struct vhost_user_header header = {
		.request = request,
		.flags = VHOST_USER_VERSION | VHOST_USER_REPLY_MASK,
		.size = size,
	};

	return send_frame(sock, &header, payload, fds, nr_fds);
}
