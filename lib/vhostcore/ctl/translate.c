/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * translate.c - the front-end says what the guest's IOMMU permits, and what no longer.
 *
 * Knows:   the two kinds of messages.
 * Trusts:  nothing: mem/iotlb.h judges.
 * Runs on: control thread, under the loop's lock.
 *
 * Both are complete when they are answered: a guest that takes a page away uses it for something
 * else as soon as it hears so.
 */
#include "session.h"

#include <errno.h>

static int
update(struct vhc_device *dev, const struct vhost_iotlb_msg *raw)
{
	const struct iotlb_claim claim = {
		.iova = raw->iova, .size = raw->size, .user = { raw->uaddr }, .access = raw->perm,
	};
	char reason[IOTLB_REASON_LEN];
	int rc = vhc_device_translate(dev, &claim, reason);

	return rc ? vhc_session_refuse(dev, rc, "IOTLB_MSG: %s", reason) : 0;
}

int
vhc_on_iotlb_msg(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_iotlb_msg *raw = &msg->payload.iotlb;

	(void)reply;
	if (!dev->iommu.iotlb)
		return vhc_session_refuse(dev, -EPROTO,
					  "IOTLB_MSG: ACCESS_PLATFORM was not agreed on");
	if (raw->type == VHOST_IOTLB_UPDATE)
		return update(dev, raw);
	if (raw->type != VHOST_IOTLB_INVALIDATE)
		return vhc_session_refuse(dev, -EINVAL, "IOTLB_MSG: type %u is neither 2 (update)"
					  " nor 3 (invalidate)", raw->type);
	if (!raw->size)
		return vhc_session_refuse(dev, -EINVAL, "IOTLB_MSG: an invalidation of 0 bytes");
	vhc_device_invalidate(dev, raw->iova, raw->size);
	return 0;
}
