/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - one conversation with one front-end: read, check, dispatch, reply.
 *
 * Knows:   frames, the schema, the dispatch table; the rule when to answer lives here only.
 * Trusts:  nothing of the front-end.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_CTL_SESSION_H
#define VHC_CTL_SESSION_H

#include "../device.h"
#include "../wire/frame.h"
#include "../wire/schema.h"

/* A front-end that sent part of a message has so long for the rest. */
#define SESSION_SILENCE_MS 5000

struct state_transfer;

struct session {
	struct vhc_device *dev;
	int sock;
	uint64_t watch;
	uint64_t silence_timer;
	bool has_spoken;		/* a whole message has come */
	struct frame_reader reader;
	struct state_transfer *transfer; /* of the device's state, the last one; NULL: none */
	bool has_loaded_state;		/* what the driver commanded came that way */
	const struct schema_entry *parked; /* what the message waits for is not over; else NULL */
	char reason[FRAME_REASON_LEN];	/* of the refusal being handled */
};

/* A handler's answer with a body; `len` 0: none. */
struct reply {
	union vhost_user_payload payload;
	uint32_t len;
	int fd;			/* goes along, and is closed here, if nr_fds is 1 */
	unsigned int nr_fds;
};

/* What the application's hooks made of a message; the reply stays where the hook has it. */
struct hook_verdict {
	bool is_handled;
	bool has_reply;
	bool is_broken;		/* it makes no sense: the conversation is over */
	uint32_t size;
	const uint8_t *payload;
	const int *fds;
	unsigned int nr_fds;
};

/*
 * hooks.c: run them, if there are any. `entry` is NULL for a request that only the application may
 * know. 0, or -errno with the session's reason set.
 */
int vhc_hook_before(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
		    struct hook_verdict *verdict) VHC_MUST_USE;
int vhc_hook_after(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
		   struct reply *reply, struct hook_verdict *verdict) VHC_MUST_USE;

/* Begin. Takes over the socket, also on failure. */
int vhc_session_create(struct vhc_device *dev, int sock, struct session **session) VHC_MUST_USE;

/* End: closes the socket. The device has forgotten us, or is about to. */
void vhc_session_destroy(struct session *session);

/* Handle what has arrived. May end the session through vhc_device_detach(). */
void vhc_session_poll(struct session *session);

/*
 * Something that a handler may have waited for is over. Such a handler answers -EINPROGRESS, and is
 * called again, with the same message, until it answers something else; no further message is read
 * until then. May end the session through vhc_device_detach().
 */
void vhc_session_resume(struct session *session);

/* Why a handler refuses; returns `err`, for `return refuse(dev, -EINVAL, ...)`. */
int vhc_session_refuse(struct vhc_device *dev, int err, const char *format, ...) VHC_PRINTF(3, 4);

/* ---- dispatch.c ----------------------------------------------------------------------------- */

/*
 * Run the handler of a message that passed the schema. 0, or -errno with the session's reason set.
 */
int vhc_dispatch(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
		 struct reply *reply) VHC_MUST_USE;

/*
 * Handlers, by file. Each gets a message whose size and descriptors suit its request, takes the
 * descriptors it keeps, and answers 0, what vhc_session_refuse() returned, or -EINPROGRESS.
 */
typedef int (*handler_fn)(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* features.c */
int vhc_on_get_features(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_features(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_get_protocol_features(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_protocol_features(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_owner(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_reset_owner(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_reset_device(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_get_queue_num(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_status(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_get_status(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_mtu(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* memory.c */
int vhc_on_set_mem_table(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_get_max_mem_slots(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_add_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_rem_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* postcopy.c; the last is the handler of `vhc_memory_ack` */
int vhc_on_postcopy_advise(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_postcopy_listen(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_postcopy_end(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_memory_ack(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* dirty_log.c */
int vhc_on_set_log_base(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_log_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* device_state.c; what is under way ends, without an answer */
int vhc_on_set_device_state_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_check_device_state(struct vhc_device *dev, struct msg *msg, struct reply *reply);
void vhc_state_transfer_destroy(struct state_transfer *transfer);

/* vring.c */
int vhc_on_set_vring_num(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_addr(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_base(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_get_vring_base(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_kick(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_call(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_err(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_vring_enable(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* inflight.c */
int vhc_on_get_inflight_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_inflight_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* announce.c */
int vhc_on_send_rarp(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* config.c */
int vhc_on_get_config(struct vhc_device *dev, struct msg *msg, struct reply *reply);
int vhc_on_set_config(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* translate.c */
int vhc_on_iotlb_msg(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* backend.c */
int vhc_on_set_backend_req_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply);

/* Close the channel for our requests, if there is one; whoever waits for an answer hears of it. */
void vhc_channel_destroy(struct vhc_device *dev);

#endif
