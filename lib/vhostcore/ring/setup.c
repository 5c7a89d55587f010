/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setup.c - translate and start rings.
 *
 * Knows:   virtio 1.2 sections 2.7 and 2.8: sizes and alignments.
 * Trusts:  nothing of the addresses.
 * Runs on: control thread, with the queue's gate closed.
 */
#include "setup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "../mem/iotlb.h"
#include "../vhostcore_notify.h"
#include "raw.h"
#include "verbs.h"

struct part {
	unsigned int number;
	const char *name;
	uva at;
	uint64_t len;
	uint64_t align;
	uint8_t access;		/* what we do there */
};

static void *
not_shared(const struct part *part, char *reason)
{
	snprintf(reason, RING_REASON_LEN,
		 "%s ring address 0x%" PRIx64 " (%" PRIu64 " bytes) lies in no memory "
		 "region the front-end shares: all of the guest's memory must be shared "
		 "(QEMU: share=on, virtio-user: --single-file-segments)",
		 part->name, part->at.v, part->len);
	errno = EFAULT;
	return NULL;
}

static void *
waits(struct ring *r, const struct part *part, uint64_t missing, char *reason)
{
	bool writes = part->access & IOTLB_WRITE;

	snprintf(reason, RING_REASON_LEN, "it waits for the front-end to translate 0x%" PRIx64
		 " of its %s ring, which we %s", missing, part->name,
		 writes ? "write" : "read");
	vhc_ring_miss_part(r, missing, writes);
	errno = EAGAIN;
	return NULL;
}

/*
 * Pages that are neighbours for the driver, and not here, are mapped once more. Not while they are
 * still to come: in another mapping of them the kernel would not wait, but make an empty one.
 */
static void *
view_pieces(struct view *view, const struct part *part, const struct span *pieces,
	    unsigned int nr, bool are_awaited, char *reason)
{
	int rc = are_awaited ? -EBUSY : vhc_view_map(view, pieces, nr);

	if (rc == 0)
		return view->host;
	snprintf(reason, RING_REASON_LEN, "its %s ring lies in %u pieces%s", part->name, nr,
		 are_awaited ? ", and waits until all of the guest's memory has come (postcopy)" :
		 " that cannot be mapped one behind the other: give the VM memory of 4 KiB pages,"
		 " not huge ones, or rings of at most 256 entries");
	errno = -rc;
	return NULL;
}

/* [at, at + len) of the guest's IOMMU. The first address that lacks is noted. */
static void *
translate_iova(struct ring *r, const struct part *part, const struct ring_claim *claim,
	       const struct map *map, char *reason)
{
	struct span pieces[VIEW_PIECES_MAX];
	struct view *view = &r->views[part->number];
	unsigned int nr = 0;
	uint64_t done = 0;

	while (done < part->len && nr < VIEW_PIECES_MAX) {
		struct span span = vhc_iotlb_span(claim->iotlb, part->at.v + done,
						  part->len - done, part->access);

		if (!span.len)
			return waits(r, part, part->at.v + done, reason);
		pieces[nr++] = span;
		done += span.len;
	}
	if (done < part->len || nr > 1)
		return view_pieces(view, part, pieces, nr, vhc_map_is_awaited(map), reason);
	vhc_view_unmap(view);
	return pieces[0].ptr;
}

/* Rings are reached by pointer, never piecewise. */
static void *
translate_part(struct ring *r, const struct part *part, const struct ring_claim *claim,
	       const struct map *map, char *reason)
{
	struct span span;

	if (part->at.v % part->align) {
		snprintf(reason, RING_REASON_LEN,
			 "%s ring address 0x%" PRIx64 " is not aligned to %" PRIu64, part->name,
			 part->at.v, part->align);
		errno = EINVAL;
		return NULL;
	}
	if (claim->iotlb)
		return translate_iova(r, part, claim, map, reason);
	span = vhc_map_user_span(map, part->at, part->len);
	return span.ptr ? span.ptr : not_shared(part, reason);
}

struct parts {
	struct part desc;
	struct part avail;
	struct part used;
};

/* 2.7.6, 2.7.8: the trailing event fields are only there, and only touched, with EVENT_IDX. */
static struct parts
split_parts(const struct ring_claim *claim)
{
	uint64_t n = claim->size, event = claim->event_idx ? sizeof(le16) : 0;

	return (struct parts){
		{ 0, "descriptor", claim->desc, n * sizeof(struct virtq_desc), VIRTQ_DESC_ALIGN,
		  IOTLB_READ },
		{ 1, "available", claim->avail,
		  sizeof(struct virtq_avail) + n * sizeof(le16) + event,
		  VIRTQ_AVAIL_ALIGN, IOTLB_READ },
		{ 2, "used", claim->used,
		  sizeof(struct virtq_used) + n * sizeof(struct virtq_used_elem) + event,
		  VIRTQ_USED_ALIGN, IOTLB_BOTH },
	};
}

/* 2.8.10.1 */
static struct parts
packed_parts(const struct ring_claim *claim)
{
	return (struct parts){
		{ 0, "descriptor", claim->desc, claim->size * sizeof(struct virtq_packed_desc),
		  VIRTQ_DESC_ALIGN, IOTLB_BOTH },
		{ 1, "driver event", claim->avail, sizeof(struct virtq_event), VIRTQ_EVENT_ALIGN,
		  IOTLB_READ },
		{ 2, "device event", claim->used, sizeof(struct virtq_event), VIRTQ_EVENT_ALIGN,
		  IOTLB_BOTH },
	};
}

static int
check_size(const struct ring_claim *claim, char *reason)
{
	if (claim->kind == RING_PACKED || (claim->size & (claim->size - 1)) == 0)
		return 0;
	snprintf(reason, RING_REASON_LEN, "%u entries; a split ring has a power of two",
		 claim->size);
	return -EINVAL;
}

/* Where descriptors may point, and that nobody remembers what they pointed to before. */
static void
set_maps(struct ring *r, const struct map *readable, const struct map *writable,
	 const struct map *memory)
{
	r->readable = readable;
	r->writable = writable;
	r->memory = memory;
	r->map = r->driver_only_sends ? readable : writable;
	r->hint = r->table_hint = r->other_hint = r->back_hint = (struct map_hint){ 0 };
}

void
vhc_ring_use_map(struct ring *r, const struct map *map)
{
	set_maps(r, map, map, map);
}

static void
set_maps_of(struct ring *r, const struct ring_claim *claim, const struct map *map)
{
	r->driver_only_sends = claim->driver_only_sends;
	r->miss.is_on = claim->iotlb;
	if (claim->iotlb)
		set_maps(r, claim->iotlb->readable, claim->iotlb->writable, map);
	else
		vhc_ring_use_map(r, map);
}

void
vhc_ring_forget_views(struct ring *r)
{
	for (unsigned int i = 0; i < RING_PARTS; i++)
		vhc_view_unmap(&r->views[i]);
}

int
vhc_ring_translate(struct ring *r, const struct ring_claim *claim, const struct map *map,
		   char *reason)
{
	struct parts parts = claim->kind == RING_PACKED ? packed_parts(claim) : split_parts(claim);
	void *g_desc, *g_avail, *g_used;

	set_maps_of(r, claim, map);
	if (check_size(claim, reason))
		return -EINVAL;
	g_desc = translate_part(r, &parts.desc, claim, map, reason);
	g_avail = g_desc ? translate_part(r, &parts.avail, claim, map, reason) : NULL;
	g_used = g_avail ? translate_part(r, &parts.used, claim, map, reason) : NULL;
	if (!g_used)
		return -errno;
	r->g_desc = g_desc;
	r->g_avail = g_avail;
	r->g_used = g_used;
	r->size = claim->size;
	r->kind = claim->kind;
	r->event_idx = claim->event_idx;
	r->indirect = claim->indirect;
	r->in_order = claim->in_order;
	r->is_raw = claim->is_raw;
	return 0;
}

#define BASE_IDX_MASK 0x7fffu
#define BASE_WRAP_BIT 15
#define BASE_USED_SHIFT 16

/* 2.8.1: any earlier round left USED flags, also in slots that were made available again since. */
static bool
packed_is_fresh(const struct ring *r)
{
	for (uint16_t i = 0; i < r->size; i++)
		if (guest_load16(&r->g_packed[i].flags) & VIRTQ_DESC_F_USED)
			return false;
	return true;
}

void
vhc_ring_start(struct ring *r, uint32_t base)
{
	if (r->kind == RING_PACKED) {
		r->used.idx = base & BASE_IDX_MASK;
		r->used.wrap = (base >> BASE_WRAP_BIT & 1) || (!base && packed_is_fresh(r));
	} else {
		r->used.idx = guest_load16(&r->g_used->idx);
		r->used.wrap = false;
	}
	r->avail = r->used;
	r->avail_seen = r->avail.idx;
	r->nr_staged = 0;
	r->signalled_valid = false;
	r->broken = false;
}

static uint32_t
packed_half(struct ring_mark mark)
{
	return mark.idx | (uint32_t)mark.wrap << BASE_WRAP_BIT;
}

uint32_t
vhc_ring_base(const struct ring *r)
{
	if (r->kind == RING_SPLIT)
		return r->avail.idx;
	return packed_half(r->avail) | packed_half(r->used) << BASE_USED_SHIFT;
}

static bool
packed_has_slot(const struct ring *r, struct ring_mark from, uint32_t n)
{
	struct ring_mark at = slot_after(r, from, n);

	return slot_is_available(guest_load16(&r->g_packed[at.idx].flags), at.wrap);
}

/* What is available comes first and in one piece: halve it rather than read a whole ring. */
static uint16_t
packed_nr_available(const struct ring *r)
{
	struct ring_mark from = r->avail;
	uint32_t nr = 0, end = packed_has_slot(r, from, 0) ? r->size : 0;

	while (nr < end) {
		uint32_t middle = (nr + end) / 2;

		if (packed_has_slot(r, from, middle))
			nr = middle + 1;
		else
			end = middle;
	}
	return (uint16_t)nr;
}

uint16_t
vhc_ring_nr_available(const struct ring *r)
{
	uint16_t nr;

	if (ld_relaxed(&r->broken))
		return 0;
	if (r->is_raw)
		return vhc_raw_nr_available(r);
	if (r->kind == RING_PACKED)
		return packed_nr_available(r);
	nr = (uint16_t)(guest_load16(&r->g_avail->idx) - ld_relaxed(&r->avail.idx));
	return nr <= r->size ? nr : 0;
}

/* 2.7.13.3, 2.8.1: what the driver writes last when it makes a chain available. */
void
vhc_ring_monitor(const struct ring *r, struct vhc_queue_monitor *monitor)
{
	uint16_t idx = r->avail.idx;

	if (r->kind == RING_SPLIT)
		*monitor = (struct vhc_queue_monitor){
			.addr = &r->g_avail->idx, .size = sizeof(le16),
			.mask = UINT16_MAX, .value = htole16(idx), .wakes_if_equal = false,
		};
	else
		*monitor = (struct vhc_queue_monitor){
			.addr = &r->g_packed[idx].flags, .size = sizeof(le16),
			.mask = htole16(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED),
			.value = htole16(r->avail.wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED),
			.wakes_if_equal = true,
		};
}
