/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame.h - one vhost-user message in, one out.
 *
 * Knows:   the message header; payload only as bytes of a bounded length.
 * Trusts:  nothing of what arrives. Whether size and descriptors suit the request, schema.h judges.
 * Runs on: control thread. Never blocks: a peer that sends half a message delays nobody.
 */
#ifndef VHC_WIRE_FRAME_H
#define VHC_WIRE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/compiler.h"
#include "../spec/vhost_user.h"

#define FRAME_REASON_LEN 256

/* A message. Owns its descriptors: those nobody took are closed by vhc_msg_close_fds(). */
struct msg {
	uint32_t request;
	uint32_t flags;
	uint32_t size;		/* bytes of payload that arrived; the rest of it is zero */
	union vhost_user_payload payload;
	int fds[VHOST_USER_MEM_TABLE_REGIONS];
	unsigned int nr_fds;
};

/* Close what nobody took. Idempotent. */
void vhc_msg_close_fds(struct msg *msg);

/* Take over descriptor `i`; -1 if there is none or it was taken before. */
int vhc_msg_take_fd(struct msg *msg, unsigned int i);

/* Puts one message after the other together as bytes arrive. Starts zeroed but for the last. */
struct frame_reader {
	struct msg msg;			/* complete after FRAME_READY, until the next read; what
					 * the header says is in it as soon as that is here */
	struct vhost_user_header raw_header;
	uint32_t nr_have;		/* bytes of header and payload so far */
	bool is_ready;
	bool of_replies;		/* the peer answers us, and says nothing else */
};

enum frame_result {
	FRAME_AGAIN,	/* nothing more to read now */
	FRAME_READY,	/* reader->msg is complete; more may be waiting */
	FRAME_EOF,	/* the peer is gone, and left between two messages */
	FRAME_BAD,	/* the stream is of no use any more; `reason` says why */
};

/*
 * Read on. Closes the descriptors that are left of the previous message. `reason` has
 * FRAME_REASON_LEN bytes and is written for FRAME_BAD only.
 */
enum frame_result vhc_frame_read(struct frame_reader *reader, int sock, char *reason) VHC_MUST_USE;

/* Part of a message is here and the rest is not: the peer owes us bytes. */
bool vhc_frame_is_partial(const struct frame_reader *reader);

/* Forget what was read and close its descriptors. */
void vhc_frame_reader_reset(struct frame_reader *reader);

/*
 * Ask something. As vhc_frame_reply(), but what does not fit (-EAGAIN) leaves the connection as it
 * was: a request is too short to go in parts.
 */
int vhc_frame_request(int sock, uint32_t request, bool needs_reply, const void *payload,
		      uint32_t size, const int *fds, unsigned int nr_fds) VHC_MUST_USE;

/*
 * Answer `request`. The descriptors stay the caller's. -EAGAIN: the peer does not read its replies;
 * after any error the connection is of no use any more.
 */
int vhc_frame_reply(int sock, uint32_t request, const void *payload, uint32_t size, const int *fds,
		    unsigned int nr_fds) VHC_MUST_USE;

#endif
