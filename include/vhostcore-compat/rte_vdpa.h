/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * rte_vdpa.h - vDPA devices, as an application sees them.
 *
 * Return what the driver does; -1 for a NULL device, the counters -EINVAL, and -ENOTSUP where the
 * driver has none. Any thread.
 */
#ifndef _RTE_VDPA_H_
#define _RTE_VDPA_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RTE_VDPA_STATS_NAME_SIZE 64

struct rte_device;
struct rte_vdpa_device;

struct rte_vdpa_stat {
	uint64_t id;
	uint64_t value;
};

struct rte_vdpa_stat_name {
	char name[RTE_VDPA_STATS_NAME_SIZE];
};

/** @return NULL: no vDPA device has the name of that device. */
struct rte_vdpa_device *rte_vdpa_find_device_by_name(const char *name);
struct rte_device *rte_vdpa_get_rte_device(struct rte_vdpa_device *vdpa_dev);

/** Queue pairs. */
int rte_vdpa_get_queue_num(struct rte_vdpa_device *dev, uint32_t *queue_num);
int rte_vdpa_get_features(struct rte_vdpa_device *dev, uint64_t *features);
int rte_vdpa_get_protocol_features(struct rte_vdpa_device *dev, uint64_t *features);

/**
 * For drivers: copy what is new in a used ring of ours, a struct vring, into the guest's, and log
 * it.
 *
 * @return entries copied; -1: a packed ring, one that does not run, or an entry that cannot be.
 */
int rte_vdpa_relay_vring_used(int vid, uint16_t qid, void *vring_m);

int rte_vdpa_get_stats_names(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *stats_names,
			     unsigned int size);
int rte_vdpa_get_stats(struct rte_vdpa_device *dev, uint16_t qid, struct rte_vdpa_stat *stats,
		       unsigned int n);
int rte_vdpa_reset_stats(struct rte_vdpa_device *dev, uint16_t qid);

#ifdef __cplusplus
}
#endif

#endif
