/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.c - the configuration space, for front-ends that have none of their own.
 *
 * Knows:   that it is the class's, and that the driver can only read it.
 * Trusts:  the schema: offset and size lie within the payload.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>
#include <string.h>

/* What the class does not fill reads as zero: the driver's features say what counts. */
int
vhc_on_get_config(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint8_t space[VHOST_USER_CONFIG_MAX] = { 0 };
	struct vhost_user_config *config = &reply->payload.config;

	config->offset = msg->payload.config.offset;
	config->size = msg->payload.config.size;
	config->flags = msg->payload.config.flags;
	if (dev->cls->config)
		dev->cls->config(dev->state, dev->nr_data_rings, dev->mtu, space);
	memcpy(config->bytes, space + config->offset, config->size);
	reply->len = (uint32_t)offsetof(struct vhost_user_config, bytes) + config->size;
	return 0;
}

int
vhc_on_set_config(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)reply;
	return vhc_session_refuse(dev, -EACCES, "SET_CONFIG: %u bytes at offset %u: the"
				  " configuration of this device is read-only",
				  msg->payload.config.size, msg->payload.config.offset);
}
