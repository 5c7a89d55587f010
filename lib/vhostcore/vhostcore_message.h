/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_message.h - vhost-user messages for who has requests of their own.
 *
 * A hook (vhc_device_ops.message_before, .message_after) sees each message of the front-end, those
 * that the library does not know included. `before` runs first and may handle it, which ends it
 * there; `after` runs once the library has handled it, and may change the reply; or instead of the
 * library, where that does not know the request. Sizes and descriptors of requests that the library
 * knows have been checked by then; of others nothing has.
 *
 * Context: control thread. A hook may call what callbacks may (vhostcore.h), and must not block.
 */
#ifndef VHOSTCORE_MESSAGE_H
#define VHOSTCORE_MESSAGE_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a hook did with a message. Any other number ends the connection. */
enum vhc_message_result {
	VHC_MESSAGE_NOT_HANDLED,	/**< go on as if there were no hook */
	VHC_MESSAGE_OK,			/**< done; acknowledge it if that was asked for */
	VHC_MESSAGE_REPLY,		/**< done; send what is in the message now */
	VHC_MESSAGE_ERR,		/**< refuse it */
};

/** Most bytes of payload, in and out. */
#define VHC_MESSAGE_PAYLOAD_MAX 1024
/** Most descriptors with a message. */
#define VHC_MESSAGE_FDS_MAX 32

struct vhc_message {
	uint32_t request;	/**< as in the vhost-user specification */
	uint32_t flags;		/**< of the header; NEED_REPLY is 8 */
	uint32_t size;		/**< bytes of payload: what came, or the reply's */
	uint8_t *payload;	/**< room for VHC_MESSAGE_PAYLOAD_MAX */
	/**
	 * Descriptors that came. Who keeps one sets its place to -1; what is left the library
	 * closes. To send some with VHC_MESSAGE_REPLY, point it to them; they stay yours.
	 */
	int *fds;
	unsigned int nr_fds;
};

#ifdef __cplusplus
}
#endif

#endif
