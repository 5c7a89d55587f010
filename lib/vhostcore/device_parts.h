/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_parts.h - what a device keeps of an in-flight file, and of memory that is yet to come.
 *
 * Knows:   files, maps.
 * Trusts:  see device.h.
 * Runs on: control thread, under the loop's lock.
 */
#ifndef VHC_DEVICE_PARTS_H
#define VHC_DEVICE_PARTS_H

#include "mem/file.h"

struct map;
struct page_source;
struct vhc_device;

/* Where requests are noted while they are worked on: a piece of a file for each queue. */
struct device_inflight {
	struct file_view view;		/* nothing: they are not */
	uint16_t num_queues;
	uint16_t queue_size;
};

/* Memory that comes page by page (postcopy.h). */
struct device_postcopy {
	struct page_source *source;	/* NULL: no POSTCOPY_ADVISE came */
	bool is_listening;
	bool owes_ack;		/* the front-end, for our answers to requests about memory ... */
	struct map *next;	/* ... and what is used when it comes; NULL: what is used now */
	struct vhc_device *next_watched;
	bool is_late;		/* it left control waiting; written by the watcher */
};

#endif
