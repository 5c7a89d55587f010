/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.c - the file in which requests are noted while they are worked on: made, and adopted.
 *
 * Knows:   how the file is divided among the queues. What is in a piece, ring/inflight.h knows.
 * Trusts:  nothing: numbers, the file's size and what is in it are judged.
 * Runs on: control thread, under the loop's lock.
 *
 * The front-end keeps the file while back-ends come and go. A file we make is therefore not kept
 * here: it comes back with SET_INFLIGHT_FD.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../base/range.h"
#include "../ring/inflight.h"

/* What other back-ends align the pieces to as well. */
#define PIECE_ALIGN 64

static enum ring_kind
kind_of(const struct vhc_device *dev)
{
	return dev->features & BIT64(VIRTIO_F_RING_PACKED_BIT) ? RING_PACKED : RING_SPLIT;
}

static uint64_t
piece_len(enum ring_kind kind, uint16_t queue_size)
{
	return range_align_up(vhc_inflight_len(kind, queue_size), PIECE_ALIGN);
}

static int
check_numbers(struct vhc_device *dev, const char *request,
	      const struct vhost_user_inflight *raw)
{
	if (raw->num_queues == 0 || raw->num_queues > dev->nr_rings)
		return vhc_session_refuse(dev, -EINVAL, "%s: %u queues; this port has 1 to %u",
					  request, raw->num_queues, dev->nr_rings);
	if (raw->queue_size == 0 || raw->queue_size > VIRTQ_SIZE_MAX)
		return vhc_session_refuse(dev, -EINVAL, "%s: queues of %u entries; 1 to %d are"
					  " possible", request, raw->queue_size, VIRTQ_SIZE_MAX);
	return 0;
}

/* Asked before the features, there is room for either layout. */
int
vhc_on_get_inflight_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_inflight *raw = &msg->payload.inflight;
	enum ring_kind kind = dev->has_features ? kind_of(dev) : RING_PACKED;
	struct vhost_user_inflight *made = &reply->payload.inflight;
	int rc = check_numbers(dev, "GET_INFLIGHT_FD", raw);

	if (rc)
		return rc;
	*made = (struct vhost_user_inflight){
		.mmap_size = raw->num_queues * piece_len(kind, raw->queue_size),
		.num_queues = raw->num_queues,
		.queue_size = raw->queue_size,
	};
	rc = vhc_file_create("vhost-inflight", made->mmap_size, &reply->fd);
	if (rc)
		return vhc_session_refuse(dev, rc, "GET_INFLIGHT_FD: a file of %" PRIu64
					  " bytes cannot be made: %s", made->mmap_size,
					  strerror(-rc));
	reply->nr_fds = 1;
	reply->len = sizeof(*made);
	return 0;
}

/* Rings whose size is known already must fit; SET_VRING_NUM judges those that come later. */
static int
check_rings(struct vhc_device *dev, const struct vhost_user_inflight *raw)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		const struct vhc_queue *q = dev->queues[i];

		if (q->running)
			return vhc_session_refuse(dev, -EBUSY, "SET_INFLIGHT_FD: ring %u is"
						  " running; the front-end must stop it with"
						  " GET_VRING_BASE first", i);
		if (i < raw->num_queues && q->has_num && q->claim.size > raw->queue_size)
			return vhc_session_refuse(dev, -EINVAL, "SET_INFLIGHT_FD: queues of %u"
						  " entries, but ring %u has %u", raw->queue_size,
						  i, q->claim.size);
	}
	return 0;
}

static int
map_file(struct vhc_device *dev, const struct vhost_user_inflight *raw, int fd,
	 struct file_view *view)
{
	uint64_t need = raw->num_queues * piece_len(kind_of(dev), raw->queue_size);
	int rc = -EINVAL;

	/* The region's members are loaded and stored whole. */
	if (raw->mmap_offset % sizeof(uint64_t))
		return vhc_session_refuse(dev, rc, "SET_INFLIGHT_FD: offset %" PRIu64 " is not"
					  " aligned to 8 bytes", raw->mmap_offset);
	if (raw->mmap_size >= need)
		rc = vhc_file_map(fd, raw->mmap_offset, need, view);
	if (rc == 0)
		return 0;
	if (rc == -EINVAL || rc == -EOVERFLOW)
		return vhc_session_refuse(dev, rc, "SET_INFLIGHT_FD: %" PRIu64 " bytes at offset %"
					  PRIu64 " of its file are no room for %u queues of %u"
					  " entries, %" PRIu64 " bytes", raw->mmap_size,
					  raw->mmap_offset, raw->num_queues, raw->queue_size, need);
	return vhc_session_refuse(dev, rc, "SET_INFLIGHT_FD: the file cannot be mapped: %s",
				  strerror(-rc));
}

/* Named here rather than when the ring starts, for who made the file differently. */
static int
check_pieces(struct vhc_device *dev, const struct device_inflight *inflight)
{
	for (uint16_t i = 0; i < inflight->num_queues; i++) {
		const void *g_piece = inflight->view.host +
				      i * piece_len(kind_of(dev), inflight->queue_size);
		uint16_t nr;

		if (!vhc_inflight_is_used(g_piece, &nr) || nr == inflight->queue_size)
			continue;
		return vhc_session_refuse(dev, -EINVAL, "SET_INFLIGHT_FD: queues of %u entries, but"
					  " what is noted of ring %u has %u",
					  inflight->queue_size, i, nr);
	}
	return 0;
}

/* Who sends it again replaces it, also with the same. */
int
vhc_on_set_inflight_fd(struct vhc_device *dev, struct msg *msg, struct reply *reply)
{
	const struct vhost_user_inflight *raw = &msg->payload.inflight;
	struct device_inflight inflight = {
		.num_queues = raw->num_queues, .queue_size = raw->queue_size,
	};
	int rc = check_numbers(dev, "SET_INFLIGHT_FD", raw);

	(void)reply;
	if (rc == 0)
		rc = check_rings(dev, raw);
	if (rc == 0)
		rc = map_file(dev, raw, msg->fds[0], &inflight.view);
	if (rc == 0)
		rc = check_pieces(dev, &inflight);
	if (rc) {
		vhc_file_unmap(&inflight.view);
		return rc;
	}
	vhc_device_drop_inflight(dev);
	dev->inflight = inflight;
	for (uint16_t i = 0; i < inflight.num_queues; i++)
		dev->queues[i]->is_inflight_new = true;
	return 0;
}

/* ---- for the queues ------------------------------------------------------------------------- */

void
vhc_device_drop_inflight(struct vhc_device *dev)
{
	for (uint16_t i = 0; i < dev->nr_rings; i++) {
		vhc_inflight_destroy(dev->queues[i]->inflight);
		dev->queues[i]->inflight = NULL;
		dev->queues[i]->is_inflight_new = false;
	}
	vhc_file_unmap(&dev->inflight.view);
	dev->inflight = (struct device_inflight){ 0 };
}

int
vhc_device_track_inflight(struct vhc_device *dev, struct vhc_queue *q)
{
	const struct device_inflight *inflight = &dev->inflight;
	uint64_t len = piece_len(q->claim.kind, inflight->queue_size);

	vhc_inflight_destroy(q->inflight);
	q->inflight = NULL;
	/* Commands are served one by one, and nothing of them is noted. */
	if (!inflight->view.host || q->index >= inflight->num_queues || q->is_control)
		return 0;
	/* The layout may have changed since the file came. */
	if (q->claim.size > inflight->queue_size || inflight->num_queues * len > inflight->view.len)
		return -EINVAL;
	return vhc_inflight_create(q->claim.kind, inflight->view.host + q->index * len,
				   inflight->queue_size, &q->inflight);
}
