/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa.c - the list of vDPA devices, and what an application asks of one.
 *
 * Knows:   vdpa_driver.h.
 * Trusts:  drivers.
 * Runs on: any thread.
 */
#include "mask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <dev_driver.h>
#include <rte_class.h>
#include <vdpa_driver.h>

#include "facade.h"

TAILQ_HEAD(device_list, rte_vdpa_device);

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct device_list devices = TAILQ_HEAD_INITIALIZER(devices);

/* ---- the list ------------------------------------------------------------------------------- */

/* Needs the lock. */
static struct rte_vdpa_device *
find(const char *name)
{
	struct rte_vdpa_device *dev;

	TAILQ_FOREACH(dev, &devices, next)
		if (strcmp(dev->device->name, name) == 0)
			return dev;
	return NULL;
}

FACADE_API struct rte_vdpa_device *
rte_vdpa_find_device_by_name(const char *name)
{
	struct rte_vdpa_device *dev;

	if (!name)
		return NULL;
	pthread_mutex_lock(&list_lock);
	dev = find(name);
	pthread_mutex_unlock(&list_lock);
	return dev;
}

static bool
is_complete(const struct rte_vdpa_dev_ops *ops)
{
	return ops->get_queue_num && ops->get_features && ops->get_protocol_features &&
	       ops->dev_conf && ops->dev_close && ops->set_vring_state && ops->set_features;
}

static struct rte_vdpa_device *
device_create(struct rte_device *rte_dev, struct rte_vdpa_dev_ops *ops)
{
	struct rte_vdpa_device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->device = rte_dev;
	dev->ops = ops;
	dev->type = RTE_VHOST_VDPA_DEVICE_TYPE_NET;
	if (!ops->get_dev_type || ops->get_dev_type(dev, &dev->type) == 0)
		return dev;
	free(dev);
	return NULL;
}

FACADE_API struct rte_vdpa_device *
rte_vdpa_register_device(struct rte_device *rte_dev, struct rte_vdpa_dev_ops *ops)
{
	struct rte_vdpa_device *dev;
	bool is_taken;

	if (!rte_dev || !ops || !is_complete(ops))
		return NULL;
	dev = device_create(rte_dev, ops);
	if (!dev)
		return NULL;
	pthread_mutex_lock(&list_lock);
	is_taken = find(rte_dev->name);
	if (!is_taken)
		TAILQ_INSERT_TAIL(&devices, dev, next);
	pthread_mutex_unlock(&list_lock);
	if (!is_taken)
		return dev;
	free(dev);
	return NULL;
}

FACADE_API int
rte_vdpa_unregister_device(struct rte_vdpa_device *dev)
{
	struct rte_vdpa_device *found;

	pthread_mutex_lock(&list_lock);
	TAILQ_FOREACH(found, &devices, next)
		if (found == dev)
			break;
	if (found)
		TAILQ_REMOVE(&devices, dev, next);
	pthread_mutex_unlock(&list_lock);
	free(found);
	return found ? 0 : -1;
}

/* For RTE_DEV_FOREACH("class=vdpa"). */
static void *
iterate(const void *start, const char *words, const struct rte_dev_iterator *it)
{
	const struct rte_vdpa_device *last = start;
	struct rte_vdpa_device *dev;

	(void)words;
	pthread_mutex_lock(&list_lock);
	dev = last ? TAILQ_NEXT(last, next) : TAILQ_FIRST(&devices);
	while (dev && dev->device != it->device)
		dev = TAILQ_NEXT(dev, next);
	pthread_mutex_unlock(&list_lock);
	return dev;
}

static struct rte_class vdpa_class = {
	.dev_iterate = iterate,
};

RTE_REGISTER_CLASS(vdpa, vdpa_class);

/* ---- one device ----------------------------------------------------------------------------- */

FACADE_API struct rte_device *
rte_vdpa_get_rte_device(struct rte_vdpa_device *vdpa_dev)
{
	return vdpa_dev ? vdpa_dev->device : NULL;
}

FACADE_API int
rte_vdpa_get_queue_num(struct rte_vdpa_device *dev, uint32_t *queue_num)
{
	return dev && queue_num ? dev->ops->get_queue_num(dev, queue_num) : -1;
}

FACADE_API int
rte_vdpa_get_features(struct rte_vdpa_device *dev, uint64_t *features)
{
	return dev && features ? dev->ops->get_features(dev, features) : -1;
}

FACADE_API int
rte_vdpa_get_protocol_features(struct rte_vdpa_device *dev, uint64_t *features)
{
	return dev && features ? dev->ops->get_protocol_features(dev, features) : -1;
}

FACADE_API int
rte_vdpa_get_stats_names(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *stats_names,
			 unsigned int size)
{
	if (!dev)
		return -EINVAL;
	if (!dev->ops->get_stats_names)
		return -ENOTSUP;
	return dev->ops->get_stats_names(dev, stats_names, size);
}

FACADE_API int
rte_vdpa_get_stats(struct rte_vdpa_device *dev, uint16_t qid, struct rte_vdpa_stat *stats,
		   unsigned int n)
{
	if (!dev || !stats || !n)
		return -EINVAL;
	return dev->ops->get_stats ? dev->ops->get_stats(dev, qid, stats, n) : -ENOTSUP;
}

FACADE_API int
rte_vdpa_reset_stats(struct rte_vdpa_device *dev, uint16_t qid)
{
	if (!dev)
		return -EINVAL;
	return dev->ops->reset_stats ? dev->ops->reset_stats(dev, qid) : -ENOTSUP;
}

int
vhc_facade_vdpa_mask(struct rte_vdpa_device *dev, uint64_t *features, uint64_t *protocol_features)
{
	uint64_t bits;

	if (!dev)
		return 0;
	if (features) {
		if (rte_vdpa_get_features(dev, &bits) < 0)
			return -1;
		*features &= bits;
	}
	if (protocol_features) {
		if (rte_vdpa_get_protocol_features(dev, &bits) < 0)
			return -1;
		*protocol_features &= bits;
	}
	return 0;
}
