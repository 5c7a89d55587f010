/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hooks.c - messages as the application's hooks see them, before and after the library.
 *
 * Knows:   vhostcore_message.h.
 * Trusts:  nothing of what a hook leaves behind that would break the conversation: answers that
 *          make no sense end it, by name.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>

#include "../vhostcore_message.h"

_Static_assert(sizeof(union vhost_user_payload) >= VHC_MESSAGE_PAYLOAD_MAX, "room for payload");
_Static_assert(VHOST_USER_MEM_TABLE_REGIONS >= VHC_MESSAGE_FDS_MAX, "room for descriptors");

static int
check_reply(struct vhc_device *dev, const struct msg *msg, const struct vhc_message *message,
	    struct hook_verdict *verdict)
{
	verdict->is_broken = message->size > VHC_MESSAGE_PAYLOAD_MAX ||
			     message->nr_fds > VHC_MESSAGE_FDS_MAX;
	if (!verdict->is_broken)
		return 0;
	return vhc_session_refuse(dev, -EPROTO, "%s: the application's reply has %u bytes and %u"
				  " descriptors; %d and %d are possible",
				  vhc_schema_name(msg->request), message->size, message->nr_fds,
				  VHC_MESSAGE_PAYLOAD_MAX, VHC_MESSAGE_FDS_MAX);
}

static int
judge(struct vhc_device *dev, const struct schema_entry *entry, const struct msg *msg,
      struct vhc_message *message, int result, struct hook_verdict *verdict)
{
	const char *name = vhc_schema_name(msg->request);

	switch (result) {
	case VHC_MESSAGE_NOT_HANDLED:
		return 0;
	case VHC_MESSAGE_OK:
		verdict->is_handled = true;
		verdict->is_broken = entry && entry->reply == REPLY_BODY;
		if (!verdict->is_broken)
			return 0;
		return vhc_session_refuse(dev, -EPROTO, "%s: the application handled it and gave no"
					  " reply; the front-end waits for one", name);
	case VHC_MESSAGE_REPLY:
		verdict->is_handled = true;
		verdict->has_reply = true;
		return check_reply(dev, msg, message, verdict);
	case VHC_MESSAGE_ERR:
		verdict->is_handled = true;
		return vhc_session_refuse(dev, -EINVAL, "%s: refused by the application", name);
	}
	verdict->is_broken = true;
	return vhc_session_refuse(dev, -EPROTO, "%s: the application answered %d, which means"
				  " nothing", name, result);
}

/* Incoming descriptors are not to be sent back: a hook with some to send names its own. */
static void
keep_reply(const struct msg *msg, const struct vhc_message *message, struct hook_verdict *verdict)
{
	verdict->size = message->size;
	verdict->payload = message->payload;
	verdict->fds = message->fds;
	verdict->nr_fds = message->fds == msg->fds ? 0 : message->nr_fds;
}

static int
run(struct vhc_device *dev, vhc_message_hook_t hook, const struct schema_entry *entry,
    struct msg *msg, struct vhc_message *message, struct hook_verdict *verdict)
{
	int rc = judge(dev, entry, msg, message, hook(dev, message, dev->ops_arg), verdict);

	if (rc == 0 && verdict->has_reply)
		keep_reply(msg, message, verdict);
	return rc;
}

int
vhc_hook_before(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
		struct hook_verdict *verdict)
{
	struct vhc_message message = {
		.request = msg->request, .flags = msg->flags, .size = msg->size,
		.payload = (uint8_t *)&msg->payload, .fds = msg->fds, .nr_fds = msg->nr_fds,
	};

	if (!dev->ops.message_before)
		return 0;
	return run(dev, dev->ops.message_before, entry, msg, &message, verdict);
}

int
vhc_hook_after(struct vhc_device *dev, const struct schema_entry *entry, struct msg *msg,
	       struct reply *reply, struct hook_verdict *verdict)
{
	bool has_body = entry && entry->reply == REPLY_BODY;
	struct vhc_message message = {
		.request = msg->request, .flags = msg->flags,
		.size = has_body ? reply->len : msg->size,
		.payload = has_body ? (uint8_t *)&reply->payload : (uint8_t *)&msg->payload,
		.fds = msg->fds, .nr_fds = msg->nr_fds,
	};

	if (!dev->ops.message_after)
		return 0;
	/* The library has a reply already: "done" changes nothing about it. */
	return run(dev, dev->ops.message_after, NULL, msg, &message, verdict);
}
