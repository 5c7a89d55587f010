/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - a SCSI host with one target, whose units are images.
 *
 * Knows:   virtio 1.2 5.6; which ring is whose.
 * Trusts:  nothing of a driver.
 * Runs on: see each part.
 */
#ifndef SCSI_DEVICE_H
#define SCSI_DEVICE_H

#include <stdatomic.h>

#include "../disk/image.h"
#include "../disk/worker.h"
#include "command.h"

struct scsi_events;

struct scsi_disk {
	struct image *image;
	char serial[SCSI_SERIAL_MAX + 1];
	_Atomic uint16_t attention;	/* see struct scsi_unit */
};

struct scsi_device {
	struct scsi_disk disks[SCSI_UNITS_MAX];
	unsigned int nr_disks;
	uint16_t nr_queues;		/* for requests */
	unsigned int poll_us;

	struct workers workers;
	struct worker *control;
	struct scsi_events *events;
	atomic_bool is_ending;		/* whoever waits for a worker gives up */
};

/* request.c, on the worker of a request queue: memory for a request, and what to do with it. */
extern const size_t scsi_request_size;
void scsi_serve_request(struct request *request);

/* control.c, on the worker of the control queue. */
void scsi_serve_control(struct request *request);

/* events.c: tells the driver of changes, on a thread of its own. -errno, said on stderr. */
int scsi_events_start(struct vhc_queue *queue, struct scsi_events **events);
/* Any thread. Told once there is a buffer for it, however often it was called until then. */
void scsi_events_capacity_changed(struct scsi_events *events, unsigned int unit);
void scsi_events_stop(struct scsi_events *events);

#endif
