/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_split.c - post, publish, collect.
 */
#include "guest_split.h"

#include "base/order.h"
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

uint64_t
driver_ring_len(uint16_t size)
{
	return size * sizeof(struct virtq_desc) + align_up(avail_len(size), VIRTQ_USED_ALIGN) +
	       used_len(size);
}

void
driver_init(struct driver *d, struct guest *g, uint64_t at, uint16_t size, bool event_idx,
	    uint16_t first_idx)
{
	*d = (struct driver){ .guest = g, .size = size, .event_idx = event_idx };
	d->desc_at = at;
	d->avail_at = d->desc_at + size * sizeof(struct virtq_desc);
	d->used_at = align_up(d->avail_at + avail_len(size), VIRTQ_USED_ALIGN);
	d->desc = guest_ptr(g, d->desc_at, size * sizeof(struct virtq_desc));
	d->avail = guest_ptr(g, d->avail_at, avail_len(size));
	d->used = guest_ptr(g, d->used_at, used_len(size));
	guest_fill(g, at, 0, driver_ring_len(size));
	d->avail_idx = d->seen_idx = first_idx;
	d->avail->idx = le16_put(first_idx);
	d->used->idx = le16_put(first_idx);

	d->free = calloc(size, sizeof(*d->free));
	d->chain_next = calloc(size, sizeof(*d->chain_next));
	d->chain_len = calloc(size, sizeof(*d->chain_len));
	CHECK(d->free && d->chain_next && d->chain_len);
	/* Shuffled: chains must not happen to be neighbours in the table. */
	for (uint16_t i = 0; i < size; i++) {
		uint32_t other = random_below(i + 1u);

		d->free[i] = d->free[other];
		d->free[other] = i;
	}
	d->nr_free = size;
}

void
driver_fini(struct driver *d)
{
	free(d->free);
	free(d->chain_next);
	free(d->chain_len);
}

struct ring_claim
driver_claim(const struct driver *d, bool indirect)
{
	return (struct ring_claim){
		.size = d->size,
		.desc = { GUEST_USER(d->desc_at) },
		.avail = { GUEST_USER(d->avail_at) },
		.used = { GUEST_USER(d->used_at) },
		.event_idx = d->event_idx,
		.indirect = indirect,
	};
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

/* `nr` free descriptors, linked in the driver's own books. Returns the first. */
static uint16_t
chain_alloc(struct driver *d, uint16_t nr)
{
	uint16_t head;

	CHECK(nr > 0 && nr <= d->nr_free);
	d->nr_free -= nr;
	for (uint16_t i = 0; i + 1 < nr; i++)
		d->chain_next[d->free[d->nr_free + i]] = d->free[d->nr_free + i + 1];
	head = d->free[d->nr_free];
	d->chain_len[head] = nr;
	return head;
}

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
driver_make_available(struct driver *d, uint16_t id)
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

uint16_t
driver_post(struct driver *d, const struct piece *pieces, unsigned int nr)
{
	uint16_t head = chain_alloc(d, (uint16_t)nr);

	write_descriptors(d, head, pieces, nr, false);
	driver_make_available(d, head);
	return head;
}

uint16_t
driver_post_indirect(struct driver *d, const struct piece *pieces, unsigned int nr,
		     unsigned int nr_direct, uint64_t table_at)
{
	uint16_t head = chain_alloc(d, (uint16_t)(nr_direct + 1));
	uint16_t slot = write_descriptors(d, head, pieces, nr_direct, true);
	unsigned int nr_entries = nr - nr_direct;

	d->desc[slot] = (struct virtq_desc){
		.addr = le64_put(table_at),
		.len = le32_put((uint32_t)(nr_entries * sizeof(struct virtq_desc))),
		.flags = le16_put(VIRTQ_DESC_F_INDIRECT),
	};
	for (unsigned int i = 0; i < nr_entries; i++) {
		struct virtq_desc entry = describe(&pieces[nr_direct + i], (uint16_t)(i + 1),
						   i + 1 == nr_entries);

		guest_write(d->guest, table_at + i * sizeof(entry), &entry, sizeof(entry));
	}
	driver_make_available(d, head);
	return head;
}

void
driver_publish(struct driver *d)
{
	st_release(&d->avail->idx.raw, htole16(d->avail_idx));
}

/* ---- collect -------------------------------------------------------------------------------- */

uint16_t
driver_nr_used(const struct driver *d)
{
	return (uint16_t)(le16toh(ld_acquire(&d->used->idx.raw)) - d->seen_idx);
}

bool
driver_collect(struct driver *d, struct used_entry *used)
{
	const struct virtq_used_elem *entry = &d->used->ring[d->seen_idx & (d->size - 1)];

	CHECK(driver_nr_used(d) <= d->size);
	if (!driver_nr_used(d))
		return false;
	used->id = le32_get(entry->id);
	used->len = le32_get(entry->len);
	CHECK(used->id < d->size);
	CHECK(d->chain_len[used->id] > 0);
	chain_free(d, (uint16_t)used->id);
	d->seen_idx++;
	return true;
}

static uint32_t
read_if_writable(const struct driver *d, const struct virtq_desc *desc, uint8_t *dst)
{
	if (!(le16_get(desc->flags) & VIRTQ_DESC_F_WRITE))
		return 0;
	guest_read(d->guest, le64_get(desc->addr), dst, le32_get(desc->len));
	return le32_get(desc->len);
}

static uint32_t
read_table(const struct driver *d, const struct virtq_desc *desc, uint8_t *dst)
{
	uint32_t nr = le32_get(desc->len) / (uint32_t)sizeof(*desc), done = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct virtq_desc entry;

		guest_read(d->guest, le64_get(desc->addr) + i * sizeof(entry), &entry,
			   sizeof(entry));
		done += read_if_writable(d, &entry, dst + done);
	}
	return done;
}

uint32_t
driver_read_writable(const struct driver *d, uint16_t id, uint8_t *dst)
{
	const struct virtq_desc *desc = &d->desc[id];
	uint32_t done = 0;

	for (;;) {
		if (le16_get(desc->flags) & VIRTQ_DESC_F_INDIRECT)
			return done + read_table(d, desc, dst + done);
		done += read_if_writable(d, desc, dst + done);
		if (!(le16_get(desc->flags) & VIRTQ_DESC_F_NEXT))
			return done;
		desc = &d->desc[le16_get(desc->next)];
	}
}

/* ---- notifications -------------------------------------------------------------------------- */

void
driver_want_calls(struct driver *d, bool on)
{
	d->avail->flags = le16_put(on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
}

void
driver_want_call_at(struct driver *d, uint16_t event)
{
	d->avail->ring[d->size] = le16_put(event);
}

bool
driver_kicks_refused(const struct driver *d)
{
	return le16_get(d->used->flags) & VIRTQ_USED_F_NO_NOTIFY;
}

uint16_t
driver_kick_event(const struct driver *d)
{
	le16 event;

	memcpy(&event, &d->used->ring[d->size], sizeof(event));
	return le16_get(event);
}
