/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inflight.c - see inflight.h. Each verb for the split layout, then for the packed one.
 *
 * Knows:   the vhost-user specification, "Inflight I/O tracking".
 * Trusts:  nothing behind a g_ pointer.
 * Runs on: see inflight.h.
 */
#include "inflight.h"

#include <errno.h>
#include <stdlib.h>

#include "verbs.h"

/* What follows in the program is stored later, whatever the compiler thinks of it. */
#define note(p, v) \
	do { \
		fence_compiler(); \
		st_relaxed((p), (v)); \
	} while (0)

/* ---- books ---------------------------------------------------------------------------------- */

uint64_t
vhc_inflight_len(enum ring_kind kind, uint16_t nr)
{
	if (kind == RING_PACKED)
		return sizeof(struct queue_region_packed) +
		       nr * (uint64_t)sizeof(struct desc_state_packed);
	return sizeof(struct queue_region_split) + nr * (uint64_t)sizeof(struct desc_state_split);
}

/* Both layouts begin alike. */
bool
vhc_inflight_is_used(const void *g_region, uint16_t *nr)
{
	const struct queue_region_split *g_split = g_region;

	*nr = ld_relaxed(&g_split->desc_num);
	return ld_relaxed(&g_split->version) != 0;
}

int
vhc_inflight_create(enum ring_kind kind, void *g_region, uint16_t nr, struct inflight **out)
{
	struct inflight *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->kind = kind;
	f->g_split = g_region;
	f->len = vhc_inflight_len(kind, nr);
	f->nr = nr;
	f->batch = calloc(nr, sizeof(*f->batch));
	f->next = calloc(nr, sizeof(*f->next));
	f->last = calloc(nr, sizeof(*f->last));
	f->num = calloc(nr, sizeof(*f->num));
	f->resubmit = calloc(nr, sizeof(*f->resubmit));
	if (!f->batch || !f->next || !f->last || !f->num || !f->resubmit) {
		vhc_inflight_destroy(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

void
vhc_inflight_destroy(struct inflight *f)
{
	if (!f)
		return;
	free(f->batch);
	free(f->next);
	free(f->last);
	free(f->num);
	free(f->resubmit);
	free(f);
}

/* ---- recover: what both layouts do ---------------------------------------------------------- */

static void
list_for_resubmission(struct inflight *f, uint16_t index, uint64_t counter)
{
	f->resubmit[f->nr_resubmit++] = (struct vhc_inflight_entry){
		.index = index, .counter = counter,
	};
}

static int
by_counter(const void *a, const void *b)
{
	const struct vhc_inflight_entry *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

static void
sort_for_resubmission(struct inflight *f)
{
	qsort(f->resubmit, f->nr_resubmit, sizeof(*f->resubmit), by_counter);
	if (f->nr_resubmit)
		f->counter = f->resubmit[f->nr_resubmit - 1].counter + 1;
}

/* ---- recover: split ------------------------------------------------------------------------- */

static void
split_format(struct inflight *f, const struct ring *r)
{
	memset(f->g_split, 0, f->len);
	f->g_split->desc_num = f->nr;
	f->g_split->used_idx = r->used.idx;
	note(&f->g_split->version, INFLIGHT_VERSION);
}

/* The last batch: as many entries as the ring's index is ahead of the one noted after a batch. */
static bool
split_finish_batch(struct inflight *f, uint16_t nr, uint16_t size)
{
	uint16_t index = ld_relaxed(&f->g_split->last_batch_head);

	if (nr > size)
		return false;
	for (; nr; nr--) {
		if (index >= size)
			return false;
		st_relaxed(&f->g_split->desc[index].inflight, 0);
		index = ld_relaxed(&f->g_split->desc[index].next);
	}
	return true;
}

/* False: an entry is outside of the ring. */
static bool
split_list(struct inflight *f, uint16_t size)
{
	f->nr_resubmit = 0;
	for (uint16_t i = 0; i < f->nr; i++) {
		const struct desc_state_split *g_desc = &f->g_split->desc[i];

		if (!ld_relaxed(&g_desc->inflight))
			continue;
		if (i >= size)
			return false;
		list_for_resubmission(f, i, ld_relaxed(&g_desc->counter));
	}
	return true;
}

/*
 * The ring's own index counts, whatever the front-end said. An index that jumped is a ring that was
 * set up anew; where nothing was in flight in the old one, that is fine.
 */
static bool
split_recover(struct inflight *f, struct ring *r)
{
	uint16_t nr = r->used.idx - ld_relaxed(&f->g_split->used_idx);

	if (!split_list(f, r->size))
		return false;
	if (f->nr_resubmit) {
		if (!split_finish_batch(f, nr, r->size) || !split_list(f, r->size))
			return false;
	}
	note(&f->g_split->used_idx, r->used.idx);
	f->batch_head = ld_relaxed(&f->g_split->last_batch_head);
	r->avail.idx += f->nr_resubmit;
	r->avail_seen = r->avail.idx;
	return true;
}

/* ---- recover: packed ------------------------------------------------------------------------ */

static void
packed_format(struct inflight *f, const struct ring *r)
{
	struct queue_region_packed *g_region = f->g_packed;

	memset(g_region, 0, f->len);
	for (uint16_t i = 0; i < f->nr; i++)
		g_region->desc[i].next = i + 1;
	g_region->desc_num = f->nr;
	g_region->used_idx = g_region->old_used_idx = r->used.idx;
	g_region->used_wrap_counter = g_region->old_used_wrap_counter = r->used.wrap;
	note(&g_region->version, INFLIGHT_VERSION);
}

/* What holds, as the last step of a batch. In an order that may itself be cut off anywhere. */
static void
packed_commit(struct inflight *f, uint16_t free_head, struct ring_mark used)
{
	note(&f->g_packed->old_free_head, free_head);
	note(&f->g_packed->old_used_wrap_counter, used.wrap);
	note(&f->g_packed->old_used_idx, used.idx);
}

static void
packed_roll_back(struct inflight *f, uint16_t free_head, struct ring_mark used)
{
	note(&f->g_packed->free_head, free_head);
	note(&f->g_packed->used_wrap_counter, used.wrap);
	note(&f->g_packed->used_idx, used.idx);
}

/*
 * A batch that was begun is complete if its first used entry reached the ring, else it never
 * happened. False: the region's places are not in the ring.
 */
static bool
packed_finish_batch(struct inflight *f, const struct ring *r)
{
	const struct queue_region_packed *g_region = f->g_packed;
	struct ring_mark now = { ld_relaxed(&g_region->used_idx),
				 ld_relaxed(&g_region->used_wrap_counter) & 1 };
	struct ring_mark old = { ld_relaxed(&g_region->old_used_idx),
				 ld_relaxed(&g_region->old_used_wrap_counter) & 1 };
	uint16_t free_head = ld_relaxed(&g_region->free_head);
	uint16_t old_free_head = ld_relaxed(&g_region->old_free_head);

	if (now.idx >= r->size || old.idx >= r->size)
		return false;
	if ((now.idx != old.idx || now.wrap != old.wrap) &&
	    !slot_is_available(guest_load16(&r->g_packed[old.idx].flags), old.wrap)) {
		packed_commit(f, free_head, now);
		old = now;
		old_free_head = free_head;
	}
	packed_roll_back(f, old_free_head, old);
	f->free_head = old_free_head < f->nr ? old_free_head : f->nr;
	f->used = old;
	return true;
}

/* What `is_seen` tells of an entry: in `num` while we look, which is 0 for the rest. */
#define SEEN UINT16_MAX

/* False: it goes round in circles. */
static bool
packed_read_free(struct inflight *f)
{
	for (uint16_t i = f->free_head; i < f->nr; i = f->next[i]) {
		if (f->num[i])
			return false;
		f->num[i] = SEEN;
		st_relaxed(&f->g_packed->desc[i].inflight, 0);
		f->next[i] = ld_relaxed(&f->g_packed->desc[i].next);
	}
	return true;
}

/* A chain, whose entries must be nobody else's. Returns how many they are; 0: it is none. */
static uint16_t
packed_read_chain(struct inflight *f, uint16_t head)
{
	const struct desc_state_packed *g_desc = f->g_packed->desc;
	uint16_t num = ld_relaxed(&g_desc[head].num), index = head;

	if (num == 0 || num > f->nr)
		return 0;
	for (uint16_t i = 0; i < num; i++) {
		if (index >= f->nr || f->num[index])
			return 0;
		f->num[index] = SEEN;
		f->last[head] = index;
		f->next[index] = ld_relaxed(&g_desc[index].next);
		index = f->next[index];
	}
	f->num[head] = num;
	return num;
}

/* All chains in flight. Returns how many slots of the ring they took: more than it has if none. */
static uint32_t
packed_read_chains(struct inflight *f)
{
	uint32_t nr_slots = 0;

	f->nr_resubmit = 0;
	for (uint16_t i = 0; i < f->nr; i++) {
		uint16_t num;

		/* One that is part of another chain is no first entry, whatever it says. */
		if (f->num[i] || !ld_relaxed(&f->g_packed->desc[i].inflight))
			continue;
		num = packed_read_chain(f, i);
		if (!num)
			return UINT32_MAX;
		nr_slots += num;
		list_for_resubmission(f, i, ld_relaxed(&f->g_packed->desc[i].counter));
	}
	return nr_slots;
}

/* Entries in neither kind of list have no use but to be free. */
static void
packed_free_rest(struct inflight *f)
{
	for (uint16_t i = 0; i < f->nr; i++) {
		if (f->num[i])
			continue;
		f->next[i] = f->free_head;
		st_relaxed(&f->g_packed->desc[i].next, f->free_head);
		f->free_head = i;
	}
	packed_commit(f, f->free_head, f->used);
	packed_roll_back(f, f->free_head, f->used);
}

/*
 * Used entries behind the first of a batch that never happened. The driver has not looked at them
 * yet, and must not find them when it does.
 */
static void
packed_take_back(const struct ring *r, struct ring_mark from, uint32_t nr_slots)
{
	for (uint32_t i = 0; i < nr_slots; i++) {
		struct ring_mark at = slot_after(r, from, i);
		le16 *g_flags = &r->g_packed[at.idx].flags;

		if (slot_is_used(guest_load16(g_flags), at.wrap))
			guest_store16(g_flags, slot_available_flags(at.wrap));
	}
}

static bool
packed_recover(struct inflight *f, struct ring *r, bool is_known)
{
	uint32_t nr_slots;

	if (!packed_finish_batch(f, r) || !packed_read_free(f))
		return false;
	nr_slots = packed_read_chains(f);
	if (nr_slots > r->size)
		return false;
	/* The ring was stopped in good order since, and is perhaps another one now. */
	if (!nr_slots && !is_known)
		f->used = r->used;
	packed_free_rest(f);
	packed_take_back(r, f->used, nr_slots);
	r->used = f->used;
	r->avail = slot_after(r, f->used, nr_slots);
	return true;
}

/* ---- recover -------------------------------------------------------------------------------- */

static bool
format_if_new(struct inflight *f, const struct ring *r)
{
	uint16_t nr;

	if (!vhc_inflight_is_used(f->g_split, &nr)) {
		if (f->kind == RING_PACKED)
			packed_format(f, r);
		else
			split_format(f, r);
	}
	return ld_relaxed(&f->g_split->version) == INFLIGHT_VERSION &&
	       ld_relaxed(&f->g_split->desc_num) == f->nr && r->size <= f->nr;
}

bool
vhc_inflight_recover(struct inflight *f, struct ring *r, bool is_known)
{
	bool fits = format_if_new(f, r);

	if (fits)
		fits = f->kind == RING_PACKED ? packed_recover(f, r, is_known) :
						split_recover(f, r);
	if (!fits) {
		f->nr_resubmit = 0;
		vhc_ring_break(r, RING_FAULT_INFLIGHT_BAD);
		return false;
	}
	sort_for_resubmission(f);
	return true;
}

/* ---- resubmit ------------------------------------------------------------------------------- */

static enum ring_fault
packed_rewalk(struct inflight *f, struct ring *r, struct chain *c, uint16_t head)
{
	enum ring_fault fault = RING_FAULT_NONE;
	uint16_t index = head;

	c->nr_slots = f->num[head];
	for (uint16_t i = 0; i < c->nr_slots; i++) {
		const struct desc_state_packed *g_desc = &f->g_packed->desc[index];
		struct virtq_packed_desc raw = {
			.addr = le64_put(ld_relaxed(&g_desc->addr)),
			.len = le32_put(ld_relaxed(&g_desc->len)),
			.id = le16_put(ld_relaxed(&g_desc->id)),
			.flags = le16_put(ld_relaxed(&g_desc->flags)),
		};

		c->id = le16_get(raw.id);
		if (fault == RING_FAULT_NONE)
			fault = packed_walk_one(r, c, &raw, i + 1);
		index = f->next[index];
	}
	return fault;
}

VHC_API bool
vhc_inflight_resubmit(struct inflight *f, struct ring *r, struct chain *c, enum take *taken,
		      uint16_t *entry)
{
	enum ring_fault fault;

	if (f->nr_resubmitted == f->nr_resubmit)
		return false;
	*entry = f->resubmit[f->nr_resubmitted++].index;
	chain_begin(c, *entry);
	fault = f->kind == RING_PACKED ? packed_rewalk(f, r, c, *entry) : split_walk(r, c, *entry);
	*taken = TAKE_OK;
	if (fault == RING_FAULT_MISS) {
		f->nr_resubmitted--;
		*taken = TAKE_EMPTY;
	} else if (fault != RING_FAULT_NONE) {
		vhc_ring_fault(r, fault);
		*taken = TAKE_BAD;
	}
	return true;
}

/* ---- take ----------------------------------------------------------------------------------- */

static uint16_t
split_note_taken(struct inflight *f, uint16_t head)
{
	st_relaxed(&f->g_split->desc[head].counter, f->counter++);
	note(&f->g_split->desc[head].inflight, 1);
	return head;
}

/*
 * The descriptors are read once more; whoever resubmits them judges them again. Until old_free_head
 * says so, the entries count as free and nothing has happened.
 */
static uint16_t
packed_note_taken(struct inflight *f, const struct ring *r, uint16_t from, uint16_t id,
		  uint16_t nr_slots)
{
	struct desc_state_packed *g_desc = f->g_packed->desc;
	uint16_t head = f->free_head, index = head;

	for (uint16_t i = 0; i < nr_slots; i++) {
		uint32_t slot = (from + i) % (uint32_t)r->size;
		struct virtq_packed_desc raw = guest_load_packed_desc(&r->g_packed[slot]);

		st_relaxed(&g_desc[index].addr, le64_get(raw.addr));
		st_relaxed(&g_desc[index].len, le32_get(raw.len));
		st_relaxed(&g_desc[index].flags, le16_get(raw.flags));
		st_relaxed(&g_desc[index].id, i + 1 == nr_slots ? id : le16_get(raw.id));
		f->last[head] = index;
		index = f->next[index];
	}
	f->num[head] = nr_slots;
	f->free_head = index;
	st_relaxed(&g_desc[head].last, f->last[head]);
	st_relaxed(&g_desc[head].num, nr_slots);
	st_relaxed(&g_desc[head].counter, f->counter++);
	note(&g_desc[head].inflight, 1);
	note(&f->g_packed->free_head, index);
	note(&f->g_packed->old_free_head, index);
	return head;
}

VHC_API uint16_t
vhc_inflight_take(struct inflight *f, const struct ring *r, uint16_t from, uint16_t id,
		  uint16_t nr_slots)
{
	if (f->kind == RING_PACKED)
		return packed_note_taken(f, r, from, id, nr_slots);
	return split_note_taken(f, id);
}

uint16_t
vhc_inflight_id(const struct inflight *f, const struct ring *r, uint16_t head, uint16_t last)
{
	return f->kind == RING_PACKED ? guest_load16(&r->g_packed[last].id) : head;
}

struct ring_mark
vhc_inflight_mark(const struct inflight *f)
{
	if (f->kind == RING_PACKED)
		return f->used;
	return (struct ring_mark){ .idx = ld_relaxed(&f->g_split->used_idx) };
}

/* ---- give ----------------------------------------------------------------------------------- */

static void
split_note_given(struct inflight *f, uint16_t head)
{
	st_relaxed(&f->g_split->desc[head].next, f->batch_head);
	f->batch_head = head;
	note(&f->g_split->last_batch_head, head);
}

static void
packed_note_given(struct inflight *f, uint16_t head)
{
	uint16_t last = f->last[head];

	f->next[last] = f->free_head;
	f->num[head] = 0;
	st_relaxed(&f->g_packed->desc[last].next, f->free_head);
	f->free_head = head;
	note(&f->g_packed->free_head, head);
}

VHC_API void
vhc_inflight_stage(struct inflight *f, uint16_t entry)
{
	vhc_assert(f->nr_batch < f->nr);
	f->batch[f->nr_batch++] = entry;
}

static void
note_given(struct inflight *f, uint16_t entry)
{
	if (f->kind == RING_PACKED)
		packed_note_given(f, entry);
	else
		split_note_given(f, entry);
}

void
vhc_inflight_give(struct inflight *f, uint16_t entry)
{
	vhc_inflight_stage(f, entry);
	note_given(f, entry);
}

/* ---- begin, end ----------------------------------------------------------------------------- */

void
vhc_inflight_begin(struct inflight *f, struct ring_mark used)
{
	if (f->kind == RING_PACKED) {
		note(&f->g_packed->used_wrap_counter, used.wrap);
		note(&f->g_packed->used_idx, used.idx);
	}
	fence_compiler();
}

VHC_API void
vhc_inflight_begin_staged(struct inflight *f, struct ring_mark used)
{
	for (uint16_t i = 0; i < f->nr_batch; i++)
		note_given(f, f->batch[i]);
	vhc_inflight_begin(f, used);
}

static void
split_note_done(struct inflight *f, uint16_t used_idx)
{
	for (uint16_t i = 0; i < f->nr_batch; i++)
		st_relaxed(&f->g_split->desc[f->batch[i]].inflight, 0);
	note(&f->g_split->used_idx, used_idx);
}

static void
packed_note_done(struct inflight *f, struct ring_mark used)
{
	for (uint16_t i = 0; i < f->nr_batch; i++)
		st_relaxed(&f->g_packed->desc[f->batch[i]].inflight, 0);
	f->used = used;
	packed_commit(f, f->free_head, used);
}

VHC_API void
vhc_inflight_end(struct inflight *f, struct ring_mark used)
{
	fence_compiler();
	if (f->kind == RING_PACKED)
		packed_note_done(f, used);
	else
		split_note_done(f, used.idx);
	f->nr_batch = 0;
}
