/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setup.c - translate and start rings.
 *
 * Knows:   virtio 1.2 section 2.7: sizes and alignments.
 * Trusts:  nothing of the addresses.
 * Runs on: control thread, with the queue's gate closed.
 */
#include "setup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "../mem/guest.h"

struct part {
	const char *name;
	uva at;
	uint64_t len;
	uint64_t align;
};

/* One region must hold the whole part: rings are reached by pointer, never piecewise. */
static void *
translate_part(const struct part *part, const struct map *map, char *reason)
{
	struct span span;

	if (part->at.v % part->align) {
		snprintf(reason, RING_REASON_LEN,
			 "%s ring address 0x%" PRIx64 " is not aligned to %" PRIu64, part->name,
			 part->at.v, part->align);
		errno = EINVAL;
		return NULL;
	}
	span = vhc_map_user_span(map, part->at, part->len);
	if (!span.ptr) {
		snprintf(reason, RING_REASON_LEN,
			 "%s ring address 0x%" PRIx64 " (%" PRIu64 " bytes) lies in no memory "
			 "region the front-end shares: all of the guest's memory must be shared "
			 "(QEMU: share=on, virtio-user: --single-file-segments)",
			 part->name, part->at.v, part->len);
		errno = EFAULT;
	}
	return span.ptr;
}

/* 2.7.6, 2.7.8: the trailing event fields are only there, and only touched, with EVENT_IDX. */
int
vhc_ring_translate(struct ring *r, const struct ring_claim *claim, const struct map *map,
		   char *reason)
{
	uint64_t n = claim->size, event = claim->event_idx ? sizeof(le16) : 0;
	const struct part desc = { "descriptor", claim->desc, n * sizeof(struct virtq_desc),
				   VIRTQ_DESC_ALIGN };
	const struct part avail = { "available", claim->avail,
				    sizeof(struct virtq_avail) + n * sizeof(le16) + event,
				    VIRTQ_AVAIL_ALIGN };
	const struct part used = { "used", claim->used,
				   sizeof(struct virtq_used) + n * sizeof(struct virtq_used_elem) +
					   event,
				   VIRTQ_USED_ALIGN };
	void *g_desc = translate_part(&desc, map, reason);
	void *g_avail = g_desc ? translate_part(&avail, map, reason) : NULL;
	void *g_used = g_avail ? translate_part(&used, map, reason) : NULL;

	if (!g_used)
		return -errno;
	r->g_desc = g_desc;
	r->g_avail = g_avail;
	r->g_used = g_used;
	r->size = claim->size;
	r->event_idx = claim->event_idx;
	r->indirect = claim->indirect;
	r->map = map;
	r->hint = (struct map_hint){ 0 };
	r->table_hint = (struct map_hint){ 0 };
	return 0;
}

void
vhc_ring_start(struct ring *r)
{
	r->used_idx = guest_load16(&r->g_used->idx);
	r->avail_idx = r->used_idx;
	r->nr_staged = 0;
	r->signalled_valid = false;
	r->broken = false;
}
