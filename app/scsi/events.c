/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events.c - tell the driver what has changed, as soon as it has a buffer for that.
 *
 * Buffers stay in the ring until there is something to say: a front-end that stops the ring has to
 * wait for nobody. What there is to say is a bit a unit, so that nothing is ever lost, and no event
 * has to say that others were.
 *
 * Knows:   virtio 1.2 5.6.6.3.
 * Trusts:  no buffer to be long enough.
 * Runs on: a thread of its own, which sleeps; it is the event queue's polling thread.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../disk/say.h"
#include "device.h"
#include "vhostcore_notify.h"

struct scsi_events {
	struct vhc_queue *queue;
	_Atomic uint32_t changed;	/* units whose capacity the driver has not heard of */
	uint32_t untold;		/* ... which the thread knows of */
	atomic_bool is_ending;
	int wake_fd;
	int kick_fd;			/* the queue's, for ever */
	pthread_t thread;
};

_Static_assert(SCSI_UNITS_MAX <= 32, "a bit each");

/* A buffer too short for it goes back empty, and the next one is tried. */
static bool
tell(struct scsi_events *events, struct vhc_chain *chain, unsigned int unit)
{
	struct virtio_scsi_event event = {
		.event = htole32(VIRTIO_SCSI_T_PARAM_CHANGE),
		.reason = htole32(SCSI_CAPACITY_HAS_CHANGED >> 8 |
				  (SCSI_CAPACITY_HAS_CHANGED & 0xff) << 8),
	};
	bool fits = chain->writable_len >= sizeof(event);

	lun_encode((uint16_t)unit, event.lun);
	vhc_queue_give(events->queue, chain,
		       fits ? vhc_chain_write(chain, 0, &event, sizeof(event)) : 0);
	return fits;
}

static void
tell_what_fits(struct scsi_events *events)
{
	struct vhc_chain *chain;
	bool has_given = false;

	events->untold |= atomic_exchange(&events->changed, 0);
	while (events->untold && vhc_queue_take(events->queue, &chain, 1)) {
		unsigned int unit = (unsigned int)__builtin_ctz(events->untold);

		if (tell(events, chain, unit))
			events->untold &= ~(1u << unit);
		has_given = true;
	}
	if (has_given)
		vhc_queue_publish(events->queue);
}

/* Until something changes, or there is a buffer for what has. */
static void
rest(struct scsi_events *events)
{
	bool waits = events->untold;
	struct pollfd fds[] = {
		{ events->wake_fd, POLLIN, 0 },
		{ waits ? events->kick_fd : -1, POLLIN, 0 },
	};
	eventfd_t nr_wakes;

	if (!waits || !vhc_queue_want_kicks(events->queue, true))
		poll(fds, 2, -1);
	if (fds[0].revents)
		eventfd_read(events->wake_fd, &nr_wakes);
	vhc_queue_want_kicks(events->queue, false);
}

static void *
events_main(void *arg)
{
	struct scsi_events *events = arg;

	while (!atomic_load(&events->is_ending)) {
		tell_what_fits(events);
		rest(events);
	}
	return NULL;
}

/* ---- from other threads --------------------------------------------------------------------- */

static int
start_thread(struct scsi_events *events)
{
	events->kick_fd = vhc_queue_kick_fd(events->queue);
	if (events->kick_fd < 0)
		return events->kick_fd;
	return -pthread_create(&events->thread, NULL, events_main, events);
}

int
scsi_events_start(struct vhc_queue *queue, struct scsi_events **out)
{
	struct scsi_events *events = calloc(1, sizeof(*events));
	int rc;

	if (!events) {
		disk_say("no memory for a thread for events");
		return -ENOMEM;
	}
	events->queue = queue;
	events->wake_fd = eventfd(0, EFD_CLOEXEC);
	rc = events->wake_fd < 0 ? -errno : start_thread(events);
	if (rc) {
		disk_say("cannot start a thread for events: %s", strerror(-rc));
		if (events->wake_fd >= 0)
			close(events->wake_fd);
		free(events);
		return rc;
	}
	*out = events;
	return 0;
}

void
scsi_events_capacity_changed(struct scsi_events *events, unsigned int unit)
{
	atomic_fetch_or(&events->changed, 1u << unit);
	eventfd_write(events->wake_fd, 1);
}

void
scsi_events_stop(struct scsi_events *events)
{
	atomic_store(&events->is_ending, true);
	eventfd_write(events->wake_fd, 1);
	pthread_join(events->thread, NULL);
	close(events->wake_fd);
	free(events);
}
