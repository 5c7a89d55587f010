/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names.c - feature words as text.
 *
 * Knows:   names of the bits every device shares, and whom to ask for the rest.
 * Trusts:  nothing to trust.
 * Runs on: any thread.
 */
#include "vhostcore_features.h"

#include <stdio.h>

#include "device.h"

static const char *const ring_names[64] = {
	[VIRTIO_F_NOTIFY_ON_EMPTY_BIT] = "NOTIFY_ON_EMPTY",
	[VHOST_F_LOG_ALL_BIT] = "LOG_ALL",
	[VIRTIO_F_ANY_LAYOUT_BIT] = "ANY_LAYOUT",
	[VIRTIO_F_INDIRECT_DESC_BIT] = "INDIRECT_DESC",
	[VIRTIO_F_EVENT_IDX_BIT] = "EVENT_IDX",
	[VHOST_USER_F_PROTOCOL_FEATURES_BIT] = "PROTOCOL_FEATURES",
	[VIRTIO_F_VERSION_1_BIT] = "VERSION_1",
	[VIRTIO_F_ACCESS_PLATFORM_BIT] = "ACCESS_PLATFORM",
	[VIRTIO_F_RING_PACKED_BIT] = "RING_PACKED",
	[VIRTIO_F_IN_ORDER_BIT] = "IN_ORDER",
	[VIRTIO_F_ORDER_PLATFORM_BIT] = "ORDER_PLATFORM",
};

static const char *const protocol_names[64] = {
	[VHOST_USER_PROTOCOL_F_MQ_BIT] = "MQ",
	[VHOST_USER_PROTOCOL_F_LOG_SHMFD_BIT] = "LOG_SHMFD",
	[VHOST_USER_PROTOCOL_F_RARP_BIT] = "RARP",
	[VHOST_USER_PROTOCOL_F_REPLY_ACK_BIT] = "REPLY_ACK",
	[VHOST_USER_PROTOCOL_F_MTU_BIT] = "MTU",
	[VHOST_USER_PROTOCOL_F_BACKEND_REQ_BIT] = "BACKEND_REQ",
	[VHOST_USER_PROTOCOL_F_PAGEFAULT_BIT] = "PAGEFAULT",
	[VHOST_USER_PROTOCOL_F_CONFIG_BIT] = "CONFIG",
	[VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD_BIT] = "BACKEND_SEND_FD",
	[VHOST_USER_PROTOCOL_F_HOST_NOTIFIER_BIT] = "HOST_NOTIFIER",
	[VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD_BIT] = "INFLIGHT_SHMFD",
	[VHOST_USER_PROTOCOL_F_RESET_DEVICE_BIT] = "RESET_DEVICE",
	[VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS_BIT] = "CONFIGURE_MEM_SLOTS",
	[VHOST_USER_PROTOCOL_F_STATUS_BIT] = "STATUS",
	[VHOST_USER_PROTOCOL_F_DEVICE_STATE_BIT] = "DEVICE_STATE",
};

static const char *
virtio_name(const struct vhc_class *cls, unsigned int bit)
{
	const char *name = ring_names[bit];

	return name ? name : cls->feature_name(bit);
}

/* `cls` NULL: protocol feature bits; else the bits of such a virtio device. */
static char *
bits_text(uint64_t bits, const struct vhc_class *cls, char *text, size_t size)
{
	size_t used = 0;

	if (size)
		text[0] = '\0';
	for (unsigned int bit = 0; bit < 64 && used < size; bit++) {
		const char *name = cls ? virtio_name(cls, bit) : protocol_names[bit];
		int len;

		if (!(bits & BIT64(bit)))
			continue;
		len = name ? snprintf(text + used, size - used, "%s%s", used ? " " : "", name) :
			     snprintf(text + used, size - used, "%sbit%u", used ? " " : "", bit);
		used += len > 0 ? (size_t)len : 0;
	}
	return text;
}

VHC_API char *
vhc_device_features_text(struct vhc_device *dev, uint64_t features, char *text, size_t size)
{
	return bits_text(features, dev->cls, text, size);
}

VHC_API char *
vhc_protocol_features_text(uint64_t protocol_features, char *text, size_t size)
{
	return bits_text(protocol_features, NULL, text, size);
}
