/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdpa.h - a vDPA device, for who binds it to a server.
 *
 * Knows:   drivers' functions.
 * Trusts:  drivers: they are part of the program.
 * Runs on: any thread.
 */
#ifndef VHC_VDPA_H
#define VHC_VDPA_H

#include <stdbool.h>

#include "base/compiler.h"
#include "vhostcore_vdpa.h"

struct vhc_vdpa {
	char name[VHC_VDPA_NAME_LEN];
	const struct vhc_vdpa_ops *ops;
	void *arg;
	struct vhc_vdpa *next;
	bool is_taken;		/* by a server */
};

/* For one server at a time. -EBUSY: another one has it. */
int vhc_vdpa_take(struct vhc_vdpa *vdpa) VHC_MUST_USE;
void vhc_vdpa_untake(struct vhc_vdpa *vdpa);

#endif
