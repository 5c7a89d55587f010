/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vhost_path.h - sockets and what they offer; part of rte_vhost.h.
 *
 * All return 0, or -1 for a path that is NULL or not registered, a NULL pointer, and what is said
 * of each. Any thread.
 */
#ifndef _RTE_VHOST_PATH_H_
#define _RTE_VHOST_PATH_H_

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Begin with a socket path of at most 107 bytes. Nothing is on the file system yet.
 *
 * @param flags RTE_VHOST_USER_*
 * @return -1 as well: registered already, 1024 paths, or a flag that is not served here.
 */
int rte_vhost_driver_register(const char *path, uint64_t flags);

/**
 * Drop the front-end, remove the socket file, forget the path. destroy_device and
 * destroy_connection are called before it returns, on the calling thread.
 *
 * @return -1 as well: called from a callback.
 */
int rte_vhost_driver_unregister(const char *path);

/** Set the callbacks; @p ops must stay where it is. Before the start. */
int rte_vhost_driver_callback_register(const char *path,
				       struct rte_vhost_device_ops const * const ops);

/**
 * Listen, or connect in the background.
 *
 * @return -1 as well: no callbacks, started already, or the socket cannot be made (in the log). If
 *         a callback of another path runs for long and may be waiting for the caller, success is
 *         returned before it is known.
 */
int rte_vhost_driver_start(const char *path);

/**
 * Offer exactly these virtio features; the rings are the application's then, the built-in network
 * device is off and its bursts return 0. Before the start.
 */
int rte_vhost_driver_set_features(const char *path, uint64_t features);

/** Offer more. @return -1 as well: not a subset of what the device supports, or too late. */
int rte_vhost_driver_enable_features(const char *path, uint64_t features);

/** Offer fewer. @return -1 as well: features are agreed on already. */
int rte_vhost_driver_disable_features(const char *path, uint64_t features);

/** What is offered; with a vDPA device, what it has too. */
int rte_vhost_driver_get_features(const char *path, uint64_t *features);

/** Protocol features, those of the application's message handlers included. Before the start. */
int rte_vhost_driver_set_protocol_features(const char *path, uint64_t protocol_features);
int rte_vhost_driver_get_protocol_features(const char *path, uint64_t *protocol_features);

/** Queue pairs at most: 128, or what the vDPA device has. */
int rte_vhost_driver_get_queue_num(const char *path, uint32_t *queue_num);

/** Let a vDPA device work the rings. Before the start. */
int rte_vhost_driver_attach_vdpa_device(const char *path, struct rte_vdpa_device *dev);
int rte_vhost_driver_detach_vdpa_device(const char *path);

/** @return NULL: none is attached. */
struct rte_vdpa_device *rte_vhost_driver_get_vdpa_device(const char *path);

/** RTE_VHOST_VDPA_DEVICE_TYPE_*. @return -1 as well: none is attached. */
__rte_experimental
int rte_vhost_driver_get_vdpa_dev_type(const char *path, uint32_t *type);

#ifdef __cplusplus
}
#endif

#endif
