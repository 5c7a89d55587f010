/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa.c - the hardware there is, by name, and what it can.
 *
 * Knows:   drivers' functions.
 * Trusts:  drivers: they are part of the program.
 * Runs on: any thread.
 */
#include "vdpa.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* All that are registered. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vhc_vdpa *registry;

/* ---- the registry --------------------------------------------------------------------------- */

static bool
is_usable(const char *name, const struct vhc_vdpa_ops *ops)
{
	return name && *name && strlen(name) < VHC_VDPA_NAME_LEN && ops && ops->nr_rings &&
	       ops->features && ops->protocol_features && ops->dev_conf && ops->dev_close &&
	       ops->set_vring_state && ops->set_features;
}

/* Where a device hangs in the list, or the end of it. With the lock. */
static struct vhc_vdpa **
link_of_name(const char *name)
{
	struct vhc_vdpa **link = &registry;

	while (*link && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	return link;
}

VHC_API int
vhc_vdpa_register(const char *name, const struct vhc_vdpa_ops *ops, void *arg,
		  struct vhc_vdpa **out)
{
	struct vhc_vdpa *vdpa, **link;

	if (!is_usable(name, ops))
		return -EINVAL;
	vdpa = calloc(1, sizeof(*vdpa));
	if (!vdpa)
		return -ENOMEM;
	strcpy(vdpa->name, name);
	vdpa->ops = ops;
	vdpa->arg = arg;
	pthread_mutex_lock(&registry_lock);
	link = link_of_name(name);
	if (*link) {
		free(vdpa);
		vdpa = NULL;
	} else {
		*link = vdpa;
	}
	pthread_mutex_unlock(&registry_lock);
	if (!vdpa)
		return -EEXIST;
	*out = vdpa;
	return 0;
}

VHC_API int
vhc_vdpa_unregister(struct vhc_vdpa *vdpa)
{
	int rc = -EBUSY;

	pthread_mutex_lock(&registry_lock);
	if (!vdpa->is_taken) {
		*link_of_name(vdpa->name) = vdpa->next;
		rc = 0;
	}
	pthread_mutex_unlock(&registry_lock);
	if (rc == 0)
		free(vdpa);
	return rc;
}

VHC_API struct vhc_vdpa *
vhc_vdpa_find(const char *name)
{
	struct vhc_vdpa *vdpa;

	pthread_mutex_lock(&registry_lock);
	vdpa = *link_of_name(name);
	pthread_mutex_unlock(&registry_lock);
	return vdpa;
}

int
vhc_vdpa_take(struct vhc_vdpa *vdpa)
{
	bool was_taken;

	pthread_mutex_lock(&registry_lock);
	was_taken = vdpa->is_taken;
	vdpa->is_taken = true;
	pthread_mutex_unlock(&registry_lock);
	return was_taken ? -EBUSY : 0;
}

void
vhc_vdpa_untake(struct vhc_vdpa *vdpa)
{
	pthread_mutex_lock(&registry_lock);
	vdpa->is_taken = false;
	pthread_mutex_unlock(&registry_lock);
}

/* ---- what it is ----------------------------------------------------------------------------- */

VHC_API const char *
vhc_vdpa_name(const struct vhc_vdpa *vdpa)
{
	return vdpa->name;
}

VHC_API void *
vhc_vdpa_arg(const struct vhc_vdpa *vdpa)
{
	return vdpa->arg;
}

VHC_API int
vhc_vdpa_nr_rings(struct vhc_vdpa *vdpa, uint16_t *nr)
{
	return vdpa->ops->nr_rings(vdpa->arg, nr);
}

VHC_API int
vhc_vdpa_features(struct vhc_vdpa *vdpa, uint64_t *features)
{
	return vdpa->ops->features(vdpa->arg, features);
}

VHC_API int
vhc_vdpa_protocol_features(struct vhc_vdpa *vdpa, uint64_t *features)
{
	return vdpa->ops->protocol_features(vdpa->arg, features);
}

VHC_API int
vhc_vdpa_device_type(struct vhc_vdpa *vdpa, uint32_t *type)
{
	*type = VHC_VDPA_TYPE_NET;
	return vdpa->ops->device_type ? vdpa->ops->device_type(vdpa->arg, type) : 0;
}

VHC_API int
vhc_vdpa_stats_names(struct vhc_vdpa *vdpa, struct vhc_vdpa_stat_name *names, unsigned int max)
{
	if (!names && max)
		return -EINVAL;
	return vdpa->ops->stats_names ? vdpa->ops->stats_names(vdpa->arg, names, max) : -ENOTSUP;
}

VHC_API int
vhc_vdpa_stats(struct vhc_vdpa *vdpa, uint16_t ring, struct vhc_vdpa_stat *stats, unsigned int max)
{
	if (!stats || !max)
		return -EINVAL;
	return vdpa->ops->stats ? vdpa->ops->stats(vdpa->arg, ring, stats, max) : -ENOTSUP;
}

VHC_API int
vhc_vdpa_stats_reset(struct vhc_vdpa *vdpa, uint16_t ring)
{
	return vdpa->ops->stats_reset ? vdpa->ops->stats_reset(vdpa->arg, ring) : -ENOTSUP;
}
