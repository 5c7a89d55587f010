/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - the guest's memory, for applications that look at it themselves.
 *
 * Knows:   maps, the guard.
 * Trusts:  nothing of addresses it is asked for: they may be the guest's.
 * Runs on: any thread, under the loop's lock.
 */
#include "vhostcore_memory.h"

#include "device.h"
#include "mem/find.h"
#include "mem/guard.h"
#include "mem/node.h"

VHC_API unsigned int
vhc_device_memory(struct vhc_device *dev, struct vhc_memory_region *regions, unsigned int max)
{
	unsigned int nr;

	vhc_loop_lock(dev->loop);
	nr = dev->map ? dev->map->nr : 0;
	for (unsigned int i = 0; i < nr && i < max; i++) {
		const struct region *region = dev->map->slots[i].region;

		regions[i] = (struct vhc_memory_region){
			.guest_addr = region->claim.guest.v,
			.user_addr = region->claim.user.v,
			.size = region->claim.size,
			.host = region->host,
			.mapping = region->mapping,
			.mapping_size = region->mapping_len,
		};
	}
	vhc_loop_unlock(dev->loop);
	return nr;
}

VHC_API void *
vhc_device_guest_pointer(struct vhc_device *dev, uint64_t guest_addr, uint64_t *len)
{
	struct map_hint hint = { 0 };
	struct span span = { NULL, 0 };

	vhc_loop_lock(dev->loop);
	if (dev->map && *len)
		span = map_span(dev->map, &hint, (gpa){ guest_addr }, *len);
	vhc_loop_unlock(dev->loop);
	*len = span.len;
	return span.len ? span.ptr : NULL;
}

/* Some memory that the device will use all the time, or NULL. */
static const void *
representative(const struct vhc_device *dev)
{
	if (dev->queues[0]->running)
		return dev->queues[0]->ring.g_desc;
	return dev->map && dev->map->nr ? dev->map->slots[0].region->host : NULL;
}

VHC_API int
vhc_device_numa_node(struct vhc_device *dev)
{
	const void *at;
	int node = -1;

	vhc_loop_lock(dev->loop);
	at = representative(dev);
	if (at)
		node = vhc_machine->of_memory(at);
	vhc_loop_unlock(dev->loop);
	return node;
}

VHC_API int
vhc_sigbus_guard(bool on)
{
	return vhc_guard_set(on);
}

VHC_API bool
vhc_sigbus_mend(const void *addr)
{
	return vhc_guard_mend(addr);
}
