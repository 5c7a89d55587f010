/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * messages.c - the application's message handlers, and what every message tells us.
 *
 * Knows:   the layout in which handlers of this interface expect a message.
 * Trusts:  handlers with what they change; what the library cannot send it refuses itself.
 * Runs on: control thread.
 */
#include <errno.h>
#include <string.h>

#include "facade.h"

#define CONTEXT_PAYLOAD 632
#define CONTEXT_FDS 8

/* vhost-user: requests that name a ring in their first eight bits. */
#define REQUEST_SET_VRING_NUM 8
#define REQUEST_SET_VRING_ERR 14
#define REQUEST_SET_VRING_ENABLE 18
#define REQUEST_SET_PROTOCOL_FEATURES 16

/* Not to be changed: it is what programs were compiled with. */
struct context {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	uint8_t payload[CONTEXT_PAYLOAD];
	int fds[CONTEXT_FDS];
	int nr_fds;
} __attribute__((packed));

_Static_assert(offsetof(struct context, fds) == 644 && sizeof(struct context) == 680,
	       "as DPDK 22.11 has it");

/* ---- there and back ------------------------------------------------------------------------- */

static bool
fits(const struct vhc_message *message)
{
	return message->size <= CONTEXT_PAYLOAD && message->nr_fds <= CONTEXT_FDS;
}

static void
fill(struct context *context, const struct vhc_message *message)
{
	*context = (struct context){
		.request = message->request,
		.flags = message->flags,
		.size = message->size,
		.nr_fds = (int)message->nr_fds,
	};
	memcpy(context->payload, message->payload, message->size);
	for (unsigned int i = 0; i < CONTEXT_FDS; i++)
		context->fds[i] = i < message->nr_fds ? message->fds[i] : -1;
}

/* Who took the message took its descriptors; who refused it may have closed some. */
static void
take_fds(const struct context *context, struct vhc_message *message, bool all)
{
	for (unsigned int i = 0; i < message->nr_fds; i++)
		if (all || context->fds[i] < 0)
			message->fds[i] = -1;
}

static enum vhc_message_result
reply_with(struct facade_port *port, struct context *context, struct vhc_message *message)
{
	static int fds[CONTEXT_FDS];	/* one control thread */

	if (context->size > CONTEXT_PAYLOAD || context->nr_fds < 0 ||
	    context->nr_fds > CONTEXT_FDS) {
		FACADE_LOG(ERR, port->path, "request %u: the handler's reply has %u bytes and %d"
			   " descriptors; 632 and 8 are possible", message->request, context->size,
			   context->nr_fds);
		return VHC_MESSAGE_ERR;
	}
	memcpy(fds, context->fds, sizeof(fds));
	memcpy(message->payload, context->payload, context->size);
	message->size = context->size;
	message->fds = fds;
	message->nr_fds = (unsigned int)context->nr_fds;
	return VHC_MESSAGE_REPLY;
}

static int
run(struct facade_port *port, rte_vhost_msg_handle handle, struct vhc_message *message)
{
	struct context context;
	int result;

	if (!handle || !fits(message))
		return VHC_MESSAGE_NOT_HANDLED;
	fill(&context, message);
	vhc_facade_enter_callback();
	result = handle(port->vid, &context);
	vhc_facade_leave_callback();
	take_fds(&context, message, result == RTE_VHOST_MSG_RESULT_OK ||
		 result == RTE_VHOST_MSG_RESULT_REPLY);
	switch (result) {
	case RTE_VHOST_MSG_RESULT_OK:
		return VHC_MESSAGE_OK;
	case RTE_VHOST_MSG_RESULT_REPLY:
		return reply_with(port, &context, message);
	case RTE_VHOST_MSG_RESULT_NOT_HANDLED:
		memcpy(message->payload, context.payload, message->size);
		return VHC_MESSAGE_NOT_HANDLED;
	case RTE_VHOST_MSG_RESULT_ERR:
		return VHC_MESSAGE_ERR;
	}
	return -1;	/* the library says that it means nothing */
}

/* ---- hooks ---------------------------------------------------------------------------------- */

int
vhc_facade_message_before(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	if (port->is_refused)
		return VHC_MESSAGE_ERR;
	return run(port, port->extern_ops.pre_msg_handle, message);
}

static bool
names_ring(const struct vhc_message *message)
{
	return ((message->request >= REQUEST_SET_VRING_NUM &&
		 message->request <= REQUEST_SET_VRING_ERR) ||
		message->request == REQUEST_SET_VRING_ENABLE) && message->size > 0;
}

int
vhc_facade_message_after(struct vhc_device *dev, struct vhc_message *message, void *arg)
{
	struct facade_port *port = arg;

	(void)dev;
	if (names_ring(message))
		vhc_facade_note_ring(port, message->payload[0]);
	else if (message->request == REQUEST_SET_PROTOCOL_FEATURES)
		vhc_facade_note_device(port);
	return run(port, port->extern_ops.post_msg_handle, message);
}

/* ---- the application's side ----------------------------------------------------------------- */

FACADE_API int
rte_vhost_slave_config_change(int vid, bool need_reply)
{
	struct facade_port *port = facade_port_of(vid);

	return port ? vhc_device_config_changed(port->device, need_reply) : -ENODEV;
}

FACADE_API int
rte_vhost_extern_callback_register(int vid, struct rte_vhost_user_extern_ops const * const ops,
				   void *ctx)
{
	struct facade_port *port = facade_port_of(vid);

	(void)ctx;	/* handlers are not given it, as the interface has it */
	if (!port || !ops)
		return -1;
	port->extern_ops = *ops;
	return 0;
}
