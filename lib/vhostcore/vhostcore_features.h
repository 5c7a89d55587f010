/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vhostcore_features.h - what a server offers to front-ends, said before one comes.
 */
#ifndef VHOSTCORE_FEATURES_H
#define VHOSTCORE_FEATURES_H

#include "vhostcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Virtio feature bits that a class (NULL: none) with so many rings offers, the transport's too. */
uint64_t vhc_class_features(const struct vhc_class *cls, uint16_t nr_rings);

/**
 * The feature bit of guests whose IOMMU decides what the device may reach (ACCESS_PLATFORM). A
 * network device is given it in vhc_server_opts.features_on; with requests as buffers
 * (vhostcore_ring.h) it cannot be offered, because those outlive what the guest permits.
 */
#define VHC_FEATURE_ACCESS_PLATFORM UINT64_C(0x200000000)

/**
 * Offer exactly these virtio feature bits from now on, or more, or fewer of them. Enabling a bit
 * that neither the class nor vhc_server_opts.features_on nor vhc_server_set_features() had is
 * refused.
 *
 * @return 0; -EBUSY a front-end has agreed on features; -EINVAL a bit that cannot be offered.
 * Context: any thread.
 */
int vhc_server_set_features(struct vhc_server *server, uint64_t features);
int vhc_server_enable_features(struct vhc_server *server, uint64_t features);
int vhc_server_disable_features(struct vhc_server *server, uint64_t features);

/** The bits offered now. */
uint64_t vhc_server_features(struct vhc_server *server);

/**
 * The same for protocol feature bits. Any may be set: those that the library does not know are the
 * application's, whose message hooks serve them.
 */
int vhc_server_set_protocol_features(struct vhc_server *server, uint64_t features);
uint64_t vhc_server_protocol_features(struct vhc_server *server);

/**
 * Names of the bits set in @p features, space-separated, into @p text ("MRG_RXBUF VERSION_1 ...").
 * Unnamed bits appear as "bitN". Returns @p text.
 */
char *vhc_device_features_text(struct vhc_device *dev, uint64_t features, char *text, size_t size);

/** The same for protocol features. */
char *vhc_protocol_features_text(uint64_t protocol_features, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
