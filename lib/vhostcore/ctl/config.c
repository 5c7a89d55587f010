/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.c - the configuration space, for front-ends that have none of their own.
 *
 * Knows:   that it is the class's or the application's.
 * Trusts:  the schema: offset and size lie within the payload.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"

/*
 * What neither class nor application fills reads as zero: the driver's features say what counts.
 * A reply without payload says that there is nothing to be had.
 */
int
vhc_on_get_config(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	uint8_t space[VHOST_USER_CONFIG_MAX] = { 0 };
	struct vhost_user_config *config = &reply->payload.config;
	int rc = 0;

	config->offset = msg->payload.config.offset;
	config->size = msg->payload.config.size;
	config->flags = msg->payload.config.flags;
	if (dev->cls->config)
		dev->cls->config(dev->state, dev->nr_data_rings, dev->mtu, space);
	memcpy(config->bytes, space + config->offset, config->size);
	if (dev->ops.config_get)
		rc = dev->ops.config_get(dev, config->bytes, config->offset, config->size,
					 dev->ops_arg);
	if (rc)
		log_warn(dev->name, "GET_CONFIG: %u bytes at offset %u: refused by the device: %s",
			 config->size, config->offset, strerror(-rc));
	else
		reply->len = (uint32_t)offsetof(struct vhost_user_config, bytes) + config->size;
	return 0;
}

int
vhc_on_set_config(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_config *config = &msg->payload.config;
	bool is_migration = config->flags & VHOST_USER_CONFIG_MIGRATION;
	int rc;

	(void)reply;
	if (!dev->ops.config_set)
		return vhc_session_refuse(dev, -EACCES, "SET_CONFIG: %u bytes at offset %u: the"
					  " configuration of this device is read-only",
					  config->size, config->offset);
	rc = dev->ops.config_set(dev, config->bytes, config->offset, config->size, is_migration,
				 dev->ops_arg);
	if (rc == 0)
		return 0;
	return vhc_session_refuse(dev, rc, "SET_CONFIG: %u bytes at offset %u: refused by the"
				  " device: %s", config->size, config->offset, strerror(-rc));
}
