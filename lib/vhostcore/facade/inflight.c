/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.c - requests in flight, for who works rings.
 *
 * Knows:   the library's notes, which are in the region as the specification has it.
 * Trusts:  nothing in the region: the library judges it.
 * Runs on: any thread, one a ring; waits for nobody.
 *
 * An application keeps the list of what is to be done again until destroy_device; it is made when
 * it is asked for, once a run of the ring.
 */
#include <errno.h>
#include <stdlib.h>

#include "facade.h"

_Static_assert(sizeof(struct rte_vhost_inflight_desc_split) == 16 &&
	       sizeof(struct rte_vhost_inflight_info_split) == 16 &&
	       sizeof(struct rte_vhost_inflight_desc_packed) == 32 &&
	       sizeof(struct rte_vhost_inflight_info_packed) == 32, "as the specification has it");

/* ---- the list ------------------------------------------------------------------------------- */

void
vhc_facade_forget_resubmit(struct facade_port *port, uint16_t ring)
{
	struct rte_vhost_resubmit_info *info = port->resubmit[ring];

	port->resubmit[ring] = NULL;
	if (info)
		free(info->resubmit_list);
	free(info);
}

/* Applications of this interface begin at the end of the list. */
static struct rte_vhost_resubmit_info *
resubmit_create(const struct vhc_queue_inflight *inflight)
{
	struct rte_vhost_resubmit_info *info = calloc(1, sizeof(*info));
	uint16_t nr = inflight->nr_resubmit;

	if (!info)
		return NULL;
	info->resubmit_list = calloc(nr + 1u, sizeof(*info->resubmit_list));
	if (!info->resubmit_list) {
		free(info);
		return NULL;
	}
	for (uint16_t i = 0; i < nr; i++)
		info->resubmit_list[nr - 1 - i] = (struct rte_vhost_resubmit_desc){
			.index = inflight->resubmit[i].index,
			.counter = inflight->resubmit[i].counter,
		};
	info->resubmit_num = nr;
	return info;
}

FACADE_API int
rte_vhost_get_vhost_ring_inflight(int vid, uint16_t vring_idx,
				  struct rte_vhost_ring_inflight *vring)
{
	struct facade_port *port = facade_port_of(vid);
	struct vhc_queue *q = facade_queue_of(port, vring_idx);
	struct vhc_queue_inflight inflight;

	if (!q || !vring || vhc_queue_inflight(q, &inflight) != 0)
		return -1;
	if (!port->resubmit[vring_idx])
		port->resubmit[vring_idx] = resubmit_create(&inflight);
	if (!port->resubmit[vring_idx])
		return -1;
	vring->inflight_split = inflight.region;
	vring->resubmit_inflight = port->resubmit[vring_idx];
	return 0;
}

/* ---- notes ---------------------------------------------------------------------------------- */

enum note { NOTE_NOT_WANTED, NOTE_WRONG, NOTE_IT };

/* What to do about a note on a ring that should be packed, or split. */
static enum note
judge(struct facade_port *port, uint16_t ring, bool packed)
{
	uint64_t features, protocol_features;

	if (!port)
		return NOTE_WRONG;
	pthread_mutex_lock(&port->facts_lock);
	features = port->facts.features;
	protocol_features = port->facts.protocol_features;
	pthread_mutex_unlock(&port->facts_lock);
	if (!(protocol_features & BIT64(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)))
		return NOTE_NOT_WANTED;
	if (ring >= FACADE_RINGS || (bool)(features & BIT64(VIRTIO_F_RING_PACKED)) != packed)
		return NOTE_WRONG;
	return NOTE_IT;
}

static int
refusal(enum note note)
{
	return note == NOTE_NOT_WANTED ? 0 : -1;
}

static int
set(int vid, uint16_t ring, uint16_t head, uint16_t last, uint16_t *entry, bool packed)
{
	struct facade_port *port = facade_port_of(vid);
	enum note note = judge(port, ring, packed);

	if (note != NOTE_IT)
		return refusal(note);
	return vhc_queue_inflight_set(port->rings.queue[ring], head, last, entry) ? -1 : 0;
}

static int
used(int vid, uint16_t ring, uint16_t entry, bool packed)
{
	struct facade_port *port = facade_port_of(vid);
	enum note note = judge(port, ring, packed);

	if (note != NOTE_IT)
		return refusal(note);
	return vhc_queue_inflight_used(port->rings.queue[ring], entry) ? -1 : 0;
}

static int
clear(int vid, uint16_t ring, uint16_t entry, uint16_t used_idx, bool packed)
{
	struct facade_port *port = facade_port_of(vid);
	enum note note = judge(port, ring, packed);

	if (note != NOTE_IT)
		return refusal(note);
	return vhc_queue_inflight_clear(port->rings.queue[ring], entry, used_idx) ? -1 : 0;
}

FACADE_API int
rte_vhost_set_inflight_desc_split(int vid, uint16_t vring_idx, uint16_t idx)
{
	return set(vid, vring_idx, idx, idx, NULL, false);
}

FACADE_API int
rte_vhost_set_inflight_desc_packed(int vid, uint16_t vring_idx, uint16_t head, uint16_t last,
				   uint16_t *inflight_entry)
{
	return inflight_entry ? set(vid, vring_idx, head, last, inflight_entry, true) : -1;
}

FACADE_API int
rte_vhost_set_last_inflight_io_split(int vid, uint16_t vring_idx, uint16_t idx)
{
	return used(vid, vring_idx, idx, false);
}

FACADE_API int
rte_vhost_set_last_inflight_io_packed(int vid, uint16_t vring_idx, uint16_t head)
{
	return used(vid, vring_idx, head, true);
}

FACADE_API int
rte_vhost_clr_inflight_desc_split(int vid, uint16_t vring_idx, uint16_t last_used_idx,
				  uint16_t idx)
{
	return clear(vid, vring_idx, idx, last_used_idx, false);
}

FACADE_API int
rte_vhost_clr_inflight_desc_packed(int vid, uint16_t vring_idx, uint16_t head)
{
	return clear(vid, vring_idx, head, 0, true);
}

FACADE_API int
rte_vhost_get_vring_base_from_inflight(int vid, uint16_t queue_id, uint16_t *last_avail_idx,
				       uint16_t *last_used_idx)
{
	struct vhc_queue *q = facade_queue_of(facade_port_of(vid), queue_id);
	struct vhc_queue_inflight inflight;

	if (!q || !last_avail_idx || !last_used_idx ||
	    vhc_queue_inflight(q, &inflight) != 0 || !inflight.packed)
		return -1;
	*last_avail_idx = *last_used_idx = inflight.used;
	return 0;
}
