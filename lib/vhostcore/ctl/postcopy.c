/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * postcopy.c - the guest is about to run here before its memory is here, and then it all is.
 *
 * Knows:   the order in which the front-end has to say so. What it says of memory: memory.c.
 * Trusts:  nothing of that order.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>
#include <string.h>

#include "../postcopy.h"

/* QEMU asks once a queue pair, and then waits for answers to a table that it sent only once. */
int
vhc_on_postcopy_advise(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	char reason[REGION_REASON_LEN];
	int fd;

	(void)msg;
	if (dev->postcopy.source)
		return vhc_session_refuse(dev, -EALREADY, "POSTCOPY_ADVISE: it came before; a"
					  " guest's device with more than one queue pair cannot be"
					  " moved by postcopy, QEMU has no way to: give it one, or"
					  " move the guest without postcopy");
	fd = vhc_postcopy_advise(dev, reason);
	if (fd < 0)
		return vhc_session_refuse(dev, fd, "POSTCOPY_ADVISE: %s",
					  dev->postcopy.source ? strerror(-fd) : reason);
	reply->fd = fd;
	reply->nr_fds = 1;
	return 0;
}

int
vhc_on_postcopy_listen(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	int rc;

	(void)msg;
	(void)reply;
	if (!dev->postcopy.source)
		return vhc_session_refuse(dev, -EPROTO, "POSTCOPY_LISTEN: POSTCOPY_ADVISE must"
					  " come before it");
	if (dev->postcopy.is_listening)
		return vhc_session_refuse(dev, -EALREADY, "POSTCOPY_LISTEN: it came before");
	if (dev->map)
		return vhc_session_refuse(dev, -EBUSY, "POSTCOPY_LISTEN: memory is shared already;"
					  " it must be shared after this, or we would not wait for"
					  " its pages");
	rc = vhc_postcopy_listen(dev);
	return rc ? vhc_session_refuse(dev, rc, "POSTCOPY_LISTEN: no thread to watch over it: %s",
				       strerror(-rc)) : 0;
}

/* It has a number for an answer, whether or not one was asked for. */
int
vhc_on_postcopy_end(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)msg;
	if (!dev->postcopy.is_listening)
		return vhc_session_refuse(dev, -EPROTO, "POSTCOPY_END: POSTCOPY_LISTEN must come"
					  " before it");
	vhc_postcopy_end(dev);
	reply->len = sizeof(reply->payload.u64);
	return 0;
}

/*
 * QEMU's answer to our answer: it knows now where we have the memory. With nothing new to say it
 * says so as request 0.
 */
int
vhc_on_memory_ack(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)reply;
	if (msg->payload.u64)
		return vhc_session_refuse(dev, -EPROTO, "%s: the front-end cannot bring pages to"
					  " where we have the guest's memory, it says",
					  vhc_memory_ack.name);
	vhc_postcopy_acknowledged(dev);
	return 0;
}
