/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * vdpa_driver.h - vDPA devices, as their drivers see them.
 */
#ifndef _VDPA_DRIVER_H_
#define _VDPA_DRIVER_H_

#include <stdbool.h>
#include <sys/queue.h>

#include <rte_compat.h>
#include <rte_os.h>

#include "rte_vhost.h"
#include "rte_vdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

/** For rte_vhost_host_notifier_ctrl(): all rings. */
#define RTE_VHOST_QUEUE_ALL UINT16_MAX

/** Those up to set_features must be there, but dev_cleanup. Called on the control thread. */
struct rte_vdpa_dev_ops {
	int (*get_queue_num)(struct rte_vdpa_device *dev, uint32_t *queue_num);
	int (*get_features)(struct rte_vdpa_device *dev, uint64_t *features);
	int (*get_protocol_features)(struct rte_vdpa_device *dev, uint64_t *protocol_features);
	int (*dev_conf)(int vid);	/**< begin: the guest is ready */
	int (*dev_close)(int vid);	/**< let go of rings and memory */
	int (*dev_cleanup)(int vid);	/**< the connection is gone */
	int (*set_vring_state)(int vid, int vring, int state);
	int (*set_features)(int vid);
	int (*migration_done)(int vid);	/**< announce the guest */
	int (*get_vfio_group_fd)(int vid);
	int (*get_vfio_device_fd)(int vid);
	int (*get_notify_area)(int vid, int qid, uint64_t *offset, uint64_t *size);
	int (*get_stats_names)(struct rte_vdpa_device *dev,
			       struct rte_vdpa_stat_name *stats_names, unsigned int size);
	int (*get_stats)(struct rte_vdpa_device *dev, int qid, struct rte_vdpa_stat *stats,
			 unsigned int n);
	int (*reset_stats)(struct rte_vdpa_device *dev, int qid);
	int (*get_config)(int vid, uint8_t *config, uint32_t size);
	int (*set_config)(int vid, uint8_t *config, uint32_t offset, uint32_t size,
			  uint32_t flags);
	int (*get_dev_type)(struct rte_vdpa_device *dev, uint32_t *type);
};

struct rte_vdpa_device {
	RTE_TAILQ_ENTRY(rte_vdpa_device) next;
	struct rte_device *device;
	struct rte_vdpa_dev_ops *ops;
	uint32_t type;			/**< RTE_VHOST_VDPA_DEVICE_TYPE_* */
};

/** @return NULL: a mandatory operation is missing, the name is taken, or there is no memory. */
__rte_internal
struct rte_vdpa_device *rte_vdpa_register_device(struct rte_device *rte_dev,
						 struct rte_vdpa_dev_ops *ops);

/** No path may have it still. @return 0; -1 it is not registered. */
__rte_internal
int rte_vdpa_unregister_device(struct rte_vdpa_device *dev);

/**
 * Let the guest kick a ring at the device's notify area.
 *
 * @return 0; -ENODEV; -ENOTSUP no area, or the front-end cannot; -EINVAL no such ring; -EFAULT.
 */
__rte_internal
int rte_vhost_host_notifier_ctrl(int vid, uint16_t qid, bool enable);

__rte_internal
int rte_vdpa_relay_vring_used(int vid, uint16_t qid, void *vring_m);

#ifdef __cplusplus
}
#endif

#endif
