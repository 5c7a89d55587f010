/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.h - a dirty log of a rig, and the truth to compare it with: pages that were written.
 *
 * Knows:   net_rig.h; page protection.
 * Trusts:  nothing to trust: what goes wrong ends the test.
 * Runs on: the test's thread.
 *
 * While watched, the library's mapping of the guest's memory may be read only. Its first write to
 * a page faults, is noted, and goes on. What that says needs neither the library nor a model of it.
 */
#ifndef TEST_MODEL_WATCH_H
#define TEST_MODEL_WATCH_H

#include "net_rig.h"

/* Bytes of a bitmap for all of the guest's memory. */
#define WATCH_SIZE_ALL	(GUEST_FAR_END_AT / 4096 / 8)

struct watch {
	struct net_rig *rig;
	int fd;
	uint8_t *file;		/* our view of the whole file */
	uint8_t *model;		/* what is to be there */
	uint64_t file_len;
	uint64_t size;		/* of the bitmap in it */
	uint64_t offset;
	bool rings;		/* used parts are logged, too */
};

/* A file for a bitmap of `size` bytes at `offset`. Not yet the device's. */
void watch_open(struct watch *w, struct net_rig *rig, uint64_t size, uint64_t offset, bool rings);
void watch_close(struct watch *w);

/* What a front-end's SET_LOG_BASE, SET_VRING_ADDR and SET_FEATURES would lead to. */
void watch_switch(struct watch *w, bool on);

/* Empty the bitmap; from here on pages are noted. */
void watch_begin(struct watch *w);

/* The bitmap has exactly those that were written since, if `on`, or none. */
void watch_end(struct watch *w, bool on);

#endif
