/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offer.c - the feature bits a server offers to front-ends.
 *
 * Knows:   that an offer holds from before a front-end agrees until it is gone.
 * Trusts:  the application: bits that neither class nor library has are its own to serve.
 * Runs on: any thread, under the loop's lock.
 */
#include "vhostcore_features.h"
#include "vhostcore_memory.h"

#include <errno.h>

#include "base/log.h"
#include "device.h"

/* A public header does not name bits. */
_Static_assert(VHC_FEATURE_ACCESS_PLATFORM == BIT64(VIRTIO_F_ACCESS_PLATFORM_BIT), "IOMMU");
_Static_assert(VHC_FEATURE_LOG_ALL == BIT64(VHOST_F_LOG_ALL_BIT), "LOG_ALL");

VHC_API uint64_t
vhc_class_features(const struct vhc_class *cls, uint16_t nr_rings)
{
	return (cls ? cls->features(nr_rings) : 0) | DEVICE_TRANSPORT_FEATURES;
}

/* What the network class does not have nobody can add: it works the rings. */
static int
offer(struct vhc_device *dev, uint64_t features)
{
	char names[128];

	if (dev->session && dev->has_features)
		return -EBUSY;
	if (features & ~dev->offerable) {
		log_err(dev->name, "feature %s cannot be offered: this device has it not",
			vhc_device_features_text(dev, features & ~dev->offerable, names,
						 sizeof(names)));
		return -EINVAL;
	}
	dev->offered = features;
	return 0;
}

VHC_API int
vhc_server_set_features(struct vhc_server *server, uint64_t features)
{
	struct vhc_device *dev = vhc_server_device(server);
	int rc;

	vhc_loop_lock(dev->loop);
	if (dev->cls == &vhc_chain_class && !dev->has_features)
		dev->offerable |= dev->has_chains ? features & ~VHC_FEATURE_ACCESS_PLATFORM :
						    features;
	rc = offer(dev, features);
	vhc_loop_unlock(dev->loop);
	return rc;
}

VHC_API int
vhc_server_enable_features(struct vhc_server *server, uint64_t features)
{
	struct vhc_device *dev = vhc_server_device(server);
	int rc;

	vhc_loop_lock(dev->loop);
	rc = offer(dev, dev->offered | features);
	vhc_loop_unlock(dev->loop);
	return rc;
}

VHC_API int
vhc_server_disable_features(struct vhc_server *server, uint64_t features)
{
	struct vhc_device *dev = vhc_server_device(server);
	int rc;

	vhc_loop_lock(dev->loop);
	rc = offer(dev, dev->offered & ~features);
	vhc_loop_unlock(dev->loop);
	return rc;
}

VHC_API uint64_t
vhc_server_features(struct vhc_server *server)
{
	struct vhc_device *dev = vhc_server_device(server);
	uint64_t features;

	vhc_loop_lock(dev->loop);
	features = dev->offered;
	vhc_loop_unlock(dev->loop);
	return features;
}

VHC_API int
vhc_server_set_protocol_features(struct vhc_server *server, uint64_t features)
{
	struct vhc_device *dev = vhc_server_device(server);
	int rc = 0;

	vhc_loop_lock(dev->loop);
	if (dev->session && dev->has_features)
		rc = -EBUSY;
	else
		dev->protocol_offered = features;
	vhc_loop_unlock(dev->loop);
	return rc;
}

VHC_API uint64_t
vhc_server_protocol_features(struct vhc_server *server)
{
	struct vhc_device *dev = vhc_server_device(server);
	uint64_t features;

	vhc_loop_lock(dev->loop);
	features = dev->protocol_offered;
	vhc_loop_unlock(dev->loop);
	return features;
}
