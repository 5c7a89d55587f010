/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_split.c - post, publish, collect.
 */
#include "guest_split.h"

#include "base/order.h"
#include "driver_half.h"
#include "unit/check.h"

static uint64_t
align_up(uint64_t at, uint64_t align)
{
	return (at + align - 1) & ~(align - 1);
}

static uint64_t
avail_len(uint16_t size)
{
	return sizeof(struct virtq_avail) + (size + UINT64_C(1)) * sizeof(le16);
}

static uint64_t
used_len(uint16_t size)
{
	return sizeof(struct virtq_used) + size * sizeof(struct virtq_used_elem) + sizeof(le16);
}

static void
split_init(struct driver *d, uint64_t at, uint16_t first_idx)
{
	struct guest *g = d->guest;

	d->desc_at = at;
	d->avail_at = d->desc_at + d->size * sizeof(struct virtq_desc);
	d->used_at = align_up(d->avail_at + avail_len(d->size), VIRTQ_USED_ALIGN);
	d->desc = guest_ptr(g, d->desc_at, d->size * sizeof(struct virtq_desc));
	d->avail = guest_ptr(g, d->avail_at, avail_len(d->size));
	d->used = guest_ptr(g, d->used_at, used_len(d->size));
	guest_fill(g, at, 0, d->used_at + used_len(d->size) - at);
	d->avail_idx = d->seen_idx = first_idx;
	d->avail->idx = le16_put(first_idx);
	d->used->idx = le16_put(first_idx);
	d->chain_next = driver_array(d->size, sizeof(*d->chain_next));
}

static void
split_fini(struct driver *d)
{
	free(d->chain_next);
}

static uint32_t
split_base(const struct driver *d)
{
	return d->seen_idx;
}

/* ---- post ----------------------------------------------------------------------------------- */

static struct virtq_desc
describe(const struct piece *piece, uint16_t next, bool is_last)
{
	return (struct virtq_desc){
		.addr = le64_put(piece->at),
		.len = le32_put(piece->len),
		.flags = le16_put((piece->writable ? VIRTQ_DESC_F_WRITE : 0) |
				  (is_last ? 0 : VIRTQ_DESC_F_NEXT)),
		.next = le16_put(next),
	};
}

/* Where descriptor `i` of the next chain goes. */
static uint16_t
slot_of_next(const struct driver *d, uint16_t i)
{
	if (d->in_order)
		return (uint16_t)(d->next_slot + i) & (d->size - 1);
	return d->free[d->nr_free + i];
}

/* `nr` free descriptors, linked in the driver's own books. Returns the first. */
static uint16_t
chain_alloc(struct driver *d, uint16_t nr)
{
	uint16_t head;

	CHECK(nr > 0 && nr <= d->nr_free);
	d->nr_free -= nr;
	for (uint16_t i = 0; i + 1 < nr; i++)
		d->chain_next[slot_of_next(d, i)] = slot_of_next(d, i + 1);
	head = slot_of_next(d, 0);
	d->next_slot += nr;
	d->chain_len[head] = nr;
	driver_order_put(d, head);
	return head;
}

/* With IN_ORDER the list of free ones means nothing: they are those behind next_slot. */
static void
chain_free(struct driver *d, uint16_t head)
{
	uint16_t slot = head;

	for (uint16_t i = 0; i < d->chain_len[head]; i++) {
		d->free[d->nr_free++] = slot;
		slot = d->chain_next[slot];
	}
	d->chain_len[head] = 0;
}

void
guest_split_make_available(struct driver *d, uint16_t id)
{
	d->avail->ring[d->avail_idx++ & (d->size - 1)] = le16_put(id);
}

/* Returns the slot of the last piece, or of the one after it if `more` follow. */
static uint16_t
write_descriptors(struct driver *d, uint16_t head, const struct piece *pieces, unsigned int nr,
		  bool more)
{
	uint16_t slot = head;

	for (unsigned int i = 0; i < nr; i++) {
		bool is_last = i + 1 == nr && !more;
		uint16_t next = is_last ? 0 : d->chain_next[slot];

		d->desc[slot] = describe(&pieces[i], next, is_last);
		slot = is_last ? slot : next;
	}
	return slot;
}

static void
write_table(struct driver *d, const struct piece *pieces, unsigned int nr, uint64_t table_at)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct virtq_desc entry = describe(&pieces[i], (uint16_t)(i + 1), i + 1 == nr);

		guest_write(d->guest, table_at + i * sizeof(entry), &entry, sizeof(entry));
	}
}

static uint16_t
split_post(struct driver *d, const struct piece *pieces, unsigned int nr, unsigned int nr_direct,
	   uint64_t table_at)
{
	unsigned int nr_entries = nr - nr_direct;
	uint16_t head = chain_alloc(d, (uint16_t)(nr_direct + (nr_entries > 0)));
	uint16_t slot = write_descriptors(d, head, pieces, nr_direct, nr_entries > 0);

	if (nr_entries) {
		d->desc[slot] = (struct virtq_desc){
			.addr = le64_put(table_at),
			.len = le32_put((uint32_t)(nr_entries * sizeof(struct virtq_desc))),
			.flags = le16_put(VIRTQ_DESC_F_INDIRECT),
		};
		write_table(d, pieces + nr_direct, nr_entries, table_at);
	}
	guest_split_make_available(d, head);
	return head;
}

static void
split_publish(struct driver *d)
{
	d->announced_idx = le16_get(d->avail->idx);
	st_release(&d->avail->idx.raw, htole16(d->avail_idx));
}

/* ---- collect -------------------------------------------------------------------------------- */

static uint16_t
split_nr_used(const struct driver *d)
{
	return (uint16_t)(le16toh(ld_acquire(&d->used->idx.raw)) - d->seen_idx);
}

/* Within an IN_ORDER batch only its first entry was written, and that was read already. */
static bool
split_collect(struct driver *d, struct used_entry *used)
{
	const struct virtq_used_elem *entry = &d->used->ring[d->seen_idx & (d->size - 1)];

	CHECK(split_nr_used(d) <= d->size);
	if (!split_nr_used(d))
		return false;
	*used = (struct used_entry){ le32_get(entry->id), le32_get(entry->len) };
	if (d->batch_left)
		used->id = driver_order_at(d, 0);
	driver_order_take(d, used);
	CHECK(d->batch_left <= split_nr_used(d) - 1);
	chain_free(d, (uint16_t)used->id);
	d->seen_idx++;
	return true;
}

static uint32_t
split_read_writable(const struct driver *d, uint16_t id, uint8_t *dst)
{
	const struct virtq_desc *desc = &d->desc[id];
	uint32_t done = 0;

	for (;;) {
		const union driver_desc *either = (const void *)desc;

		if (le16_get(desc->flags) & VIRTQ_DESC_F_INDIRECT)
			return done + driver_read_table(d, either, dst + done);
		done += driver_read_piece(d, either, dst + done);
		if (!(le16_get(desc->flags) & VIRTQ_DESC_F_NEXT))
			return done;
		desc = &d->desc[le16_get(desc->next)];
	}
}

/* ---- notifications -------------------------------------------------------------------------- */

static void
split_want_calls(struct driver *d, bool on)
{
	d->avail->flags = le16_put(on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
}

static void
split_want_call_at(struct driver *d, uint16_t event)
{
	d->avail->ring[d->size] = le16_put(event);
}

static uint16_t
split_event_after(const struct driver *d, uint16_t n)
{
	return (uint16_t)(d->seen_idx + n);
}

static bool
split_kicks_refused(const struct driver *d)
{
	return le16_get(d->used->flags) & VIRTQ_USED_F_NO_NOTIFY;
}

static uint16_t
split_kick_event(const struct driver *d)
{
	le16 event;

	memcpy(&event, &d->used->ring[d->size], sizeof(event));
	return le16_get(event);
}

/* 2.7.10: the entry of that number is among those just published. */
static bool
split_must_kick(const struct driver *d)
{
	uint16_t nr_published = (uint16_t)(d->avail_idx - d->announced_idx);
	uint16_t nr_before = (uint16_t)(split_kick_event(d) - d->announced_idx);

	return d->event_idx ? nr_before < nr_published : !split_kicks_refused(d);
}

/* ---- for lies ------------------------------------------------------------------------------- */

static union driver_desc *
split_desc(const struct driver *d, uint16_t id, uint16_t n)
{
	uint16_t slot = id;

	CHECK(n < d->chain_len[id]);
	while (n--)
		slot = d->chain_next[slot];
	return (union driver_desc *)(void *)&d->desc[slot];
}

static void
split_insist(struct driver *d)
{
	d->avail_idx = (uint16_t)(d->seen_idx + 1);
	split_publish(d);
}

const struct driver_half guest_split_half = {
	.init = split_init,
	.fini = split_fini,
	.base = split_base,
	.post = split_post,
	.publish = split_publish,
	.collect = split_collect,
	.read_writable = split_read_writable,
	.nr_used = split_nr_used,
	.want_calls = split_want_calls,
	.want_call_at = split_want_call_at,
	.event_after = split_event_after,
	.kicks_refused = split_kicks_refused,
	.kick_event = split_kick_event,
	.must_kick = split_must_kick,
	.desc = split_desc,
	.insist = split_insist,
};
