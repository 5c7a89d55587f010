/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - the guest's memory: whole tables, single regions.
 *
 * Knows:   regions and maps. Every change builds a new map; the old one serves until then.
 * Trusts:  nothing: region.h and map.h judge.
 * Runs on: control thread, under the loop's lock.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>

#include "../postcopy.h"

static struct region_claim
claim_of(const struct vhost_user_region *raw)
{
	return (struct region_claim){
		.guest = { raw->guest_phys_addr },
		.user = { raw->userspace_addr },
		.size = raw->memory_size,
		.file_offset = raw->mmap_offset,
	};
}

/* A region with a reference for the caller: one we have already, or a new mapping. */
static int
region_get(struct vhc_device *dev, const char *request, const struct vhost_user_region *raw, int fd,
	   struct region **region)
{
	struct region_claim claim = claim_of(raw);
	struct region *known = vhc_map_region_of(vhc_postcopy_latest_map(dev), &claim, fd);
	char reason[REGION_REASON_LEN];
	int rc;

	if (known) {
		vhc_region_ref(known);
		*region = known;
		return 0;
	}
	rc = vhc_region_await(&claim, fd, dev->postcopy.is_listening ? dev->postcopy.source : NULL,
			      region, reason);
	return rc ? vhc_session_refuse(dev, rc, "%s: %s", request, reason) : 0;
}

static int
refuse_map(struct vhc_device *dev, const char *request, int rc)
{
	const char *why = rc == -EEXIST ? "two regions overlap" :
			  rc == -ENOSPC ? "more than 509 regions" : "out of memory";

	return vhc_session_refuse(dev, rc, "%s: %s", request, why);
}

/* At once; in postcopy, when the front-end knows where the regions are. */
static void
use_map(struct vhc_device *dev, struct map *map)
{
	if (dev->postcopy.is_listening)
		vhc_postcopy_propose(dev, map);
	else
		vhc_device_set_map(dev, map);
}

/* What it was told is all that it gets; where the regions are is said in place of its addresses. */
static void
tell_addresses(struct vhc_device *dev, struct vhost_user_region *raw,
	       struct region *const *regions, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		raw[i].userspace_addr = (uintptr_t)regions[i]->host;
	dev->postcopy.owes_ack = true;
}

/* On failure the old table stays in force. */
int
vhc_on_set_mem_table(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_mem_table *table = &msg->payload.mem_table;
	struct region *regions[VHOST_USER_MEM_TABLE_REGIONS];
	struct map *map;
	unsigned int nr = 0;
	int rc = 0;

	while (nr < table->nregions) {
		rc = region_get(dev, "SET_MEM_TABLE", &table->regions[nr], msg->fds[nr],
				&regions[nr]);
		if (rc)
			break;
		nr++;
	}
	if (rc == 0) {
		rc = vhc_map_create(regions, nr, &map);
		if (rc)
			refuse_map(dev, "SET_MEM_TABLE", rc);
		else
			use_map(dev, map);
	}
	if (rc == 0 && dev->postcopy.is_listening) {
		reply->payload.mem_table = *table;
		reply->len = msg->size;
		tell_addresses(dev, reply->payload.mem_table.regions, regions, nr);
	}
	/* A map holds its regions itself. */
	while (nr)
		vhc_region_unref(regions[--nr]);
	return rc;
}

int
vhc_on_get_max_mem_slots(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	(void)dev;
	(void)msg;
	reply->payload.u64 = MAP_REGIONS_MAX;
	reply->len = sizeof(reply->payload.u64);
	return 0;
}

/* The region is held by who calls. */
static int
add_region(struct vhc_device *dev, struct region *region)
{
	const struct map *old = vhc_postcopy_latest_map(dev);
	int slot = vhc_map_slot_of(old, &region->claim), rc;
	struct map *map;

	if (slot >= 0 && old->slots[slot].region == region)
		return 0;
	rc = vhc_map_add(old, region, &map);
	if (rc)
		return refuse_map(dev, "ADD_MEM_REG", rc);
	use_map(dev, map);
	return 0;
}

/*
 * A front-end may send the same region once for each queue pair: the second time changes nothing.
 */
int
vhc_on_add_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_region *raw = &msg->payload.mem_reg.region;
	struct region *region;
	int rc = region_get(dev, "ADD_MEM_REG", raw, msg->fds[0], &region);

	if (rc)
		return rc;
	rc = add_region(dev, region);
	if (rc == 0 && dev->postcopy.is_listening) {
		reply->payload.mem_reg = msg->payload.mem_reg;
		reply->len = sizeof(reply->payload.mem_reg);
		tell_addresses(dev, &reply->payload.mem_reg.region, &region, 1);
	}
	vhc_region_unref(region);
	return rc;
}

static int
remove_region(struct vhc_device *dev, const struct map *old, const struct region_claim *claim,
	      void (*use)(struct vhc_device *, struct map *))
{
	int slot = vhc_map_slot_of(old, claim);
	struct map *map;
	int rc;

	if (slot < 0)
		return 0;
	rc = vhc_map_remove(old, (unsigned int)slot, &map);
	if (rc)
		return refuse_map(dev, "REM_MEM_REG", rc);
	use(dev, map);
	return 0;
}

/* For the same reason a region that is not there any more was removed by an earlier message. */
int
vhc_on_rem_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	struct region_claim claim = claim_of(&msg->payload.mem_reg.region);
	int rc;

	(void)reply;
	/* It is acknowledged as if we had answered it. */
	dev->postcopy.owes_ack = dev->postcopy.is_listening;
	rc = remove_region(dev, dev->postcopy.next, &claim, vhc_postcopy_propose);
	return rc ? rc : remove_region(dev, dev->map, &claim, vhc_device_set_map);
}
