/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * first.c - be asked before net_vhost, whose name ours begins with.
 *
 * Knows:   EAL gives a device to the first driver in its list whose name the device's begins with;
 *          in which order plug-ins of a folder are loaded is left to the file system.
 * Trusts:  the list to be what <sys/queue.h> makes.
 * Runs on: the thread that loads the plug-in.
 */
#include <string.h>

#include <bus_vdev_driver.h>

#include "vhostpmd.h"

/*
 * NULL: it is the first. What is before the first is the list's head, whose second half points at
 * the end of the list and not at itself.
 */
static struct rte_vdev_driver *
driver_before(const struct rte_vdev_driver *driver)
{
	struct rte_vdev_driver *before =
		container_of(driver->next.tqe_prev, struct rte_vdev_driver, next.tqe_next);

	return *before->next.tqe_prev == before ? before : NULL;
}

static bool
is_prefix(const char *prefix, const char *name)
{
	return prefix && name && strncmp(prefix, name, strlen(prefix)) == 0;
}

static bool
takes_devices_of(const struct rte_vdev_driver *other, const struct rte_vdev_driver *driver)
{
	return is_prefix(other->driver.name, driver->driver.name) ||
	       is_prefix(other->driver.alias, driver->driver.alias);
}

/* Registered again, another driver is behind us. */
void
vhostx_step_in_front(const struct rte_vdev_driver *driver)
{
	struct rte_vdev_driver *next;

	for (struct rte_vdev_driver *other = driver_before(driver); other; other = next) {
		next = driver_before(other);
		if (!takes_devices_of(other, driver))
			continue;
		rte_vdev_unregister(other);
		rte_vdev_register(other);
	}
}
