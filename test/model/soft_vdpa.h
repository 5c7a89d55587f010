/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * soft_vdpa.h - a vDPA device without hardware: a thread that serves rings as hardware would.
 *
 * Knows:   vhostcore_vdpa.h and the layout of a split ring; nothing else of the library.
 * Trusts:  the guest to be an honest one: it is for tests.
 * Runs on: a thread of its own; the control thread programs it.
 *
 * A network device in loopback: what the guest sends with ring 2i+1 it receives from ring 2i.
 * Without buffers to receive into, packets wait. It reaches memory by guest address only, as DMA.
 */
#ifndef TEST_MODEL_SOFT_VDPA_H
#define TEST_MODEL_SOFT_VDPA_H

#include "vhostcore_vdpa.h"

#define SOFT_VDPA_RINGS_MAX 8
#define SOFT_VDPA_CONFIG_LEN 64
#define SOFT_VDPA_PAGE 4096

/* What it has been told so far. */
struct soft_vdpa_seen {
	unsigned int nr_conf;
	unsigned int nr_close;
	unsigned int nr_state_changes;
	unsigned int nr_migrations;
	uint64_t features;	/* as set_features said last */
	uint32_t rings_on;	/* a bit a ring */
	int notify_rc;		/* of vhc_vdpa_notify_host(), when it was configured */
};

struct soft_vdpa;

/* Register one. NULL: the name is taken. */
struct soft_vdpa *soft_vdpa_create(const char *name, uint16_t nr_rings);

/* After its server is gone. */
void soft_vdpa_destroy(struct soft_vdpa *soft);

struct vhc_vdpa *soft_vdpa_device(struct soft_vdpa *soft);
void soft_vdpa_look(struct soft_vdpa *soft, struct soft_vdpa_seen *seen);

/* From now on dev_conf fails with `rc`, until it is 0. */
void soft_vdpa_refuse(struct soft_vdpa *soft, int rc);

#endif
