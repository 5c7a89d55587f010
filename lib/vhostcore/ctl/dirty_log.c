/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_log.c - where a front-end that moves the guest wants to read what we wrote meanwhile.
 *
 * Knows:   that LOG_ALL says whether anything is logged, and each ring's address where.
 * Trusts:  nothing of size and offset: mem/dirty_log.h judges.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

/*
 * The front-end unmaps its old log when it has the answer, so nothing may be marked there by then.
 * QEMU reads an answer of any size; rust-vmm wants what it sent.
 */
int
vhc_on_set_log_base(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_log *raw = &msg->payload.log;
	char reason[DIRTY_LOG_REASON_LEN];
	int rc = vhc_device_set_log(dev, msg->fds[0], raw->size, raw->offset, reason);

	if (rc)
		return vhc_session_refuse(dev, rc, "SET_LOG_BASE: %s", reason);
	reply->payload.log = *raw;
	reply->len = sizeof(*raw);
	return 0;
}

/*
 * A descriptor to signal whenever something was marked. Nobody sends it: a log is harvested, not
 * waited for. It is closed, as its signals would cost a system call for each mark.
 */
int
vhc_on_set_log_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)dev;
	(void)msg;
	(void)reply;
	return 0;
}
