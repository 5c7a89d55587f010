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
	struct region *known = vhc_map_region_of(dev->map, &claim, fd);
	char reason[REGION_REASON_LEN];
	int rc;

	if (known) {
		vhc_region_ref(known);
		*region = known;
		return 0;
	}
	rc = vhc_region_map(&claim, fd, region, reason);
	return rc ? vhc_session_refuse(dev, rc, "%s: %s", request, reason) : 0;
}

static int
refuse_map(struct vhc_device *dev, const char *request, int rc)
{
	const char *why = rc == -EEXIST ? "two regions overlap" :
			  rc == -ENOSPC ? "more than 509 regions" : "out of memory";

	return vhc_session_refuse(dev, rc, "%s: %s", request, why);
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

	(void)reply;
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
			vhc_device_set_map(dev, map);
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

/*
 * A front-end may send the same region once for each queue pair: the second time changes nothing.
 */
int
vhc_on_add_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_region *raw = &msg->payload.mem_reg.region;
	struct region_claim claim = claim_of(raw);
	struct region *region;
	struct map *map;
	int rc;

	(void)reply;
	if (vhc_map_region_of(dev->map, &claim, msg->fds[0]))
		return 0;
	rc = region_get(dev, "ADD_MEM_REG", raw, msg->fds[0], &region);
	if (rc)
		return rc;
	rc = vhc_map_add(dev->map, region, &map);
	vhc_region_unref(region);
	if (rc)
		return refuse_map(dev, "ADD_MEM_REG", rc);
	vhc_device_set_map(dev, map);
	return 0;
}

/* For the same reason a region that is not there any more was removed by an earlier message. */
int
vhc_on_rem_mem_reg(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	struct region_claim claim = claim_of(&msg->payload.mem_reg.region);
	int slot = vhc_map_slot_of(dev->map, &claim);
	struct map *map;
	int rc;

	(void)reply;
	if (slot < 0)
		return 0;
	rc = vhc_map_remove(dev->map, (unsigned int)slot, &map);
	if (rc)
		return refuse_map(dev, "REM_MEM_REG", rc);
	vhc_device_set_map(dev, map);
	return 0;
}
