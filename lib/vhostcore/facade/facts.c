/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * facts.c - what is known of a front-end, kept so that asking waits for nobody.
 *
 * Knows:   see facade.h, why.
 * Trusts:  the library's snapshots.
 * Runs on: noted under control's lock; asked for by anybody.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "facade.h"

#define FD_NONE (-1)
#define FD_UNSAID (-2)

/* ---- noting --------------------------------------------------------------------------------- */

void
vhc_facade_note_ring(struct facade_port *port, uint16_t ring)
{
	struct vhc_queue *q = facade_queue_of(port, ring);
	struct facade_ring_facts facts;
	struct vhc_queue_info info;

	if (!q)
		return;
	vhc_queue_info(q, &info);
	vhc_queue_memory(q, &facts.memory);
	facts.kick_fd = info.started ? facts.memory.kick_fd : FD_UNSAID;
	facts.call_fd = facts.memory.call_fd;
	if (facts.call_fd < 0 && !info.started)
		facts.call_fd = FD_UNSAID;
	pthread_mutex_lock(&port->facts_lock);
	port->ring_facts[ring] = facts;
	port->facts.nr_rings = RTE_MAX(port->facts.nr_rings, ring + 1);
	pthread_mutex_unlock(&port->facts_lock);
}

void
vhc_facade_note_device(struct facade_port *port)
{
	int numa_node = vhc_device_numa_node(port->device);
	struct vhc_device_info info;

	vhc_device_info(port->device, &info);
	pthread_mutex_lock(&port->facts_lock);
	port->facts.features = info.features;
	port->facts.protocol_features = info.protocol_features;
	port->facts.mtu = info.mtu;
	port->facts.is_running = port->runs;
	port->facts.numa_node = numa_node;
	pthread_mutex_unlock(&port->facts_lock);
}

void
vhc_facade_forget_facts(struct facade_port *port)
{
	pthread_mutex_lock(&port->facts_lock);
	port->facts = (struct facade_facts){ .numa_node = -1 };
	memset(port->ring_facts, 0, sizeof(port->ring_facts));
	for (unsigned int i = 0; i < FACADE_RINGS; i++)
		port->ring_facts[i].kick_fd = port->ring_facts[i].call_fd = FD_UNSAID;
	pthread_mutex_unlock(&port->facts_lock);
}

/* ---- asking --------------------------------------------------------------------------------- */

static struct facade_facts
facts_of(struct facade_port *port)
{
	struct facade_facts facts;

	/* In a callback we may have control's lock for the asking. */
	if (vhc_facade_in_callback())
		vhc_facade_note_device(port);
	pthread_mutex_lock(&port->facts_lock);
	facts = port->facts;
	pthread_mutex_unlock(&port->facts_lock);
	return facts;
}

uint16_t
vhc_facade_nr_rings(struct facade_port *port)
{
	uint16_t nr;

	pthread_mutex_lock(&port->facts_lock);
	nr = port->facts.nr_rings;
	pthread_mutex_unlock(&port->facts_lock);
	return nr;
}

FACADE_API int
rte_vhost_get_negotiated_features(int vid, uint64_t *features)
{
	struct facade_port *port = facade_port_of(vid);

	if (!port || !features)
		return -1;
	*features = facts_of(port).features;
	return 0;
}

FACADE_API int
rte_vhost_get_negotiated_protocol_features(int vid, uint64_t *protocol_features)
{
	struct facade_port *port = facade_port_of(vid);

	if (!port || !protocol_features)
		return -1;
	*protocol_features = facts_of(port).protocol_features;
	return 0;
}

FACADE_API int
rte_vhost_get_mtu(int vid, uint16_t *mtu)
{
	struct facade_port *port = facade_port_of(vid);
	struct facade_facts facts;

	if (!port || !mtu)
		return -ENODEV;
	facts = facts_of(port);
	if (!facts.is_running)
		return -EAGAIN;
	if (!(facts.features & BIT64(VIRTIO_NET_F_MTU)))
		return -ENOTSUP;
	*mtu = facts.mtu;
	return 0;
}

FACADE_API int
rte_vhost_get_numa_node(int vid)
{
	struct facade_port *port = facade_port_of(vid);

	return port ? facts_of(port).numa_node : -1;
}

FACADE_API uint16_t
rte_vhost_get_vring_num(int vid)
{
	struct facade_port *port = facade_port_of(vid);

	return port ? vhc_facade_nr_rings(port) : 0;
}

FACADE_API int
rte_vhost_get_ifname(int vid, char *buf, size_t len)
{
	const struct facade_port *port = facade_port_of(vid);
	size_t size;

	if (!port || !buf || !len)
		return -1;
	size = RTE_MIN(strlen(port->path), len - 1);
	memcpy(buf, port->path, size);
	buf[size] = '\0';
	return 0;
}

static void
fill_region(struct rte_vhost_mem_region *to, const struct vhc_memory_region *from)
{
	*to = (struct rte_vhost_mem_region){
		.guest_phys_addr = from->guest_addr,
		.guest_user_addr = from->user_addr,
		.host_user_addr = (uintptr_t)from->host,
		.size = from->size,
		.mmap_addr = from->mapping,
		.mmap_size = from->mapping_size,
		.fd = -1,
	};
}

/* The most a front-end can share. */
#define REGIONS_MAX 512

FACADE_API int
rte_vhost_get_mem_table(int vid, struct rte_vhost_memory **mem)
{
	struct facade_port *port = facade_port_of(vid);
	struct vhc_memory_region *regions;
	struct rte_vhost_memory *table;
	unsigned int nr;

	if (!port || !mem)
		return -1;
	regions = calloc(REGIONS_MAX, sizeof(*regions));
	table = malloc(sizeof(*table) + REGIONS_MAX * sizeof(table->regions[0]));
	nr = regions && table ? vhc_device_memory(port->device, regions, REGIONS_MAX) : 0;
	if (nr == 0 || nr > REGIONS_MAX) {
		free(regions);
		free(table);
		return -1;
	}
	table->nregions = nr;
	for (unsigned int i = 0; i < nr; i++)
		fill_region(&table->regions[i], &regions[i]);
	free(regions);
	*mem = table;
	return 0;
}

FACADE_API int
rte_vhost_get_vhost_vring(int vid, uint16_t vring_idx, struct rte_vhost_vring *vring)
{
	struct facade_port *port = facade_port_of(vid);
	struct facade_ring_facts facts;

	if (!port || !vring || vring_idx >= vhc_facade_nr_rings(port))
		return -1;
	if (vhc_facade_in_callback())
		vhc_facade_note_ring(port, vring_idx);
	pthread_mutex_lock(&port->facts_lock);
	facts = port->ring_facts[vring_idx];
	pthread_mutex_unlock(&port->facts_lock);
	*vring = (struct rte_vhost_vring){
		.desc = facts.memory.desc,
		.avail = facts.memory.driver,
		.used = facts.memory.device,
		.log_guest_addr = facts.memory.log_guest_addr,
		.callfd = facts.call_fd,
		.kickfd = facts.kick_fd,
		.size = facts.memory.size,
	};
	return 0;
}

FACADE_API int
rte_vhost_get_vring_base(int vid, uint16_t queue_id, uint16_t *last_avail_idx,
			 uint16_t *last_used_idx)
{
	struct facade_port *port = facade_port_of(vid);

	if (!port || !last_avail_idx || !last_used_idx || queue_id >= vhc_facade_nr_rings(port))
		return -1;
	vhc_queue_base(port->rings.queue[queue_id], last_avail_idx, last_used_idx);
	return 0;
}

FACADE_API int
rte_vhost_set_vring_base(int vid, uint16_t queue_id, uint16_t last_avail_idx,
			 uint16_t last_used_idx)
{
	struct facade_port *port = facade_port_of(vid);

	if (!port || queue_id >= vhc_facade_nr_rings(port))
		return -1;
	return vhc_queue_set_base(port->rings.queue[queue_id], last_avail_idx,
				  last_used_idx) ? -1 : 0;
}
