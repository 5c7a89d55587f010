/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend.c - the channel on which requests go the other way.
 *
 * Knows:   that there is one. A network device has nothing to ask yet, so it is only kept.
 * Trusts:  nothing of the descriptor.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>

#include "../base/fd.h"
#include "relay.h"

int
vhc_on_set_backend_req_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)reply;
	/* User-mode Linux sends a pipe, in which nobody could answer; it wants that accepted. */
	if (!vhc_relay_fits(msg->fds[0]))
		return vhc_session_refuse(dev, -EINVAL, "SET_BACKEND_REQ_FD: the descriptor is"
					  " neither a socket nor a pipe to write to");
	fd_close(&dev->backend_fd);
	dev->backend_fd = vhc_msg_take_fd(msg, 0);
	return 0;
}
