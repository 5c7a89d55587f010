/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_packed.c - post, publish, collect, slot by slot.
 */
#include "guest_packed.h"

#include "base/order.h"
#include "driver_half.h"
#include "unit/check.h"

#define BOTH_BITS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)
#define WRAP_BIT  (1u << VIRTQ_EVENT_WRAP_BIT)

struct ring_mark
guest_packed_after(const struct driver *d, struct ring_mark at, uint32_t n)
{
	uint32_t idx = at.idx + n;

	CHECK(n <= d->size);
	return (struct ring_mark){
		.idx = (uint16_t)(idx % d->size),
		.wrap = idx < d->size ? at.wrap : !at.wrap,
	};
}

uint16_t
guest_packed_encode(struct ring_mark at)
{
	return (uint16_t)(at.idx | (at.wrap ? WRAP_BIT : 0));
}

/* 2.8.1: what a used descriptor's two bits are; never those of an available one. */
static uint16_t
used_bits(bool wrap)
{
	return wrap ? BOTH_BITS : 0;
}

static uint16_t
avail_bits(bool wrap)
{
	return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

/* Before the first slot everything is used in this round, from there on in the one before. */
static void
packed_init(struct driver *d, uint64_t at, uint16_t first)
{
	const struct ring_mark begin = { .idx = first & (WRAP_BIT - 1), .wrap = first & WRAP_BIT };
	const uint64_t len = d->size * sizeof(struct virtq_packed_desc);

	CHECK(begin.idx < d->size);
	d->desc_at = at;
	d->avail_at = at + len;
	d->used_at = d->avail_at + VIRTQ_EVENT_ALIGN;
	d->packed = guest_ptr(d->guest, at, len);
	d->driver_event = guest_ptr(d->guest, d->avail_at, sizeof(*d->driver_event));
	d->device_event = guest_ptr(d->guest, d->used_at, sizeof(*d->device_event));
	guest_fill(d->guest, at, 0, d->used_at + sizeof(*d->device_event) - at);
	for (uint16_t i = 0; i < d->size; i++)
		d->packed[i].flags = le16_put(used_bits(i < begin.idx ? begin.wrap : !begin.wrap));
	d->next = d->published = d->seen = begin;
	d->nr_free_ids = d->size;
	d->chain_head = driver_array(d->size, sizeof(*d->chain_head));
	d->posted = driver_array(d->size, sizeof(*d->posted));
}

static void
packed_fini(struct driver *d)
{
	free(d->chain_head);
	free(d->posted);
}

static uint32_t
packed_base(const struct driver *d)
{
	return guest_packed_encode(d->seen);
}

/* ---- post ----------------------------------------------------------------------------------- */

/* The two bits say "used in the round before" until publish. */
static void
put(struct driver *d, struct virtq_packed_desc desc)
{
	uint16_t flags = le16_get(desc.flags) | used_bits(!d->next.wrap);

	d->posted[d->next.idx] = desc;
	desc.flags = le16_put(flags);
	d->packed[d->next.idx] = desc;
	d->next = guest_packed_after(d, d->next, 1);
}

static struct virtq_packed_desc
describe(const struct piece *piece, uint16_t id)
{
	return (struct virtq_packed_desc){
		.addr = le64_put(piece->at),
		.len = le32_put(piece->len),
		.id = le16_put(id),
		.flags = le16_put(piece->writable ? VIRTQ_DESC_F_WRITE : 0),
	};
}

static uint16_t
chain_alloc(struct driver *d, uint16_t nr)
{
	uint16_t id;

	CHECK(nr > 0 && nr <= d->nr_free);
	id = d->free[--d->nr_free_ids];
	d->nr_free -= nr;
	d->chain_head[id] = d->next.idx;
	d->chain_len[id] = nr;
	driver_order_put(d, id);
	return id;
}

/* 2.8.7: of an entry's flags only WRITE means anything, its id nothing. */
static void
write_table(struct driver *d, const struct piece *pieces, unsigned int nr, uint64_t table_at)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct virtq_packed_desc entry = describe(&pieces[i], (uint16_t)random_next());
		uint16_t noise = random_next() & (VIRTQ_DESC_F_NEXT | BOTH_BITS);

		entry.flags = le16_put(le16_get(entry.flags) | noise);
		guest_write(d->guest, table_at + i * sizeof(entry), &entry, sizeof(entry));
	}
}

static uint16_t
post_table(struct driver *d, const struct piece *pieces, unsigned int nr, uint64_t table_at)
{
	uint16_t id = chain_alloc(d, 1);

	put(d, (struct virtq_packed_desc){
		.addr = le64_put(table_at),
		.len = le32_put((uint32_t)(nr * sizeof(struct virtq_packed_desc))),
		.id = le16_put(id),
		.flags = le16_put(VIRTQ_DESC_F_INDIRECT),
	});
	write_table(d, pieces, nr, table_at);
	return id;
}

/* 2.8.6: only the last descriptor has the id; the others have nonsense here. */
static uint16_t
packed_post(struct driver *d, const struct piece *pieces, unsigned int nr, unsigned int nr_direct,
	    uint64_t table_at)
{
	uint16_t id;

	if (nr_direct < nr)
		return post_table(d, pieces, nr, table_at);
	id = chain_alloc(d, (uint16_t)nr);
	for (unsigned int i = 0; i < nr; i++) {
		bool is_last = i + 1 == nr;
		struct virtq_packed_desc desc = describe(&pieces[i], is_last ? id : (uint16_t)~id);

		if (!is_last)
			desc.flags = le16_put(le16_get(desc.flags) | VIRTQ_DESC_F_NEXT);
		put(d, desc);
	}
	return id;
}

/* ---- publish -------------------------------------------------------------------------------- */

static void
make_available(struct driver *d, struct ring_mark at)
{
	le16 *flags = &d->packed[at.idx].flags;

	st_release(&flags->raw,
		   htole16((le16_get(*flags) & ~BOTH_BITS) | avail_bits(at.wrap)));
}

static bool
is_same(struct ring_mark a, struct ring_mark b)
{
	return a.idx == b.idx && a.wrap == b.wrap;
}

static void
packed_publish(struct driver *d)
{
	struct ring_mark first = d->published;

	if (is_same(first, d->next))
		return;
	for (struct ring_mark at = guest_packed_after(d, first, 1); !is_same(at, d->next);
	     at = guest_packed_after(d, at, 1))
		make_available(d, at);
	make_available(d, first);
	d->announced = first;
	d->published = d->next;
}

/* ---- collect -------------------------------------------------------------------------------- */

/* A used entry at this place. */
static bool
read_used(const struct driver *d, struct ring_mark at, struct used_entry *used)
{
	const struct virtq_packed_desc *desc = &d->packed[at.idx];
	uint16_t flags = le16toh(ld_acquire(&desc->flags.raw));

	if ((flags & BOTH_BITS) != used_bits(at.wrap))
		return false;
	*used = (struct used_entry){ le16_get(desc->id), le32_get(desc->len) };
	/* 2.8.2: nothing but WRITE, and that where something was written. */
	if (!d->is_lenient)
		CHECK_EQ(flags & ~BOTH_BITS, used->len ? VIRTQ_DESC_F_WRITE : 0);
	CHECK(used->id < d->size);
	CHECK(d->chain_len[used->id] > 0);
	return true;
}

/* The slots of `nr` chains, `skip` passed over, in the order they were posted. */
static uint32_t
order_slots(const struct driver *d, uint16_t skip, uint16_t nr)
{
	uint32_t slots = 0;

	for (uint16_t i = 0; i < nr; i++)
		slots += d->chain_len[driver_order_at(d, skip + i)];
	return slots;
}

/* Entry by entry, each over the slots it stands for. */
static uint16_t
packed_nr_used(const struct driver *d)
{
	struct ring_mark at = guest_packed_after(d, d->seen, order_slots(d, 0, d->batch_left));
	uint16_t nr = d->batch_left;
	struct used_entry used;

	while (nr < d->size && read_used(d, at, &used)) {
		uint16_t nr_more = d->in_order ? driver_order_find(d, nr, (uint16_t)used.id) : 1;

		at = guest_packed_after(d, at, d->in_order ? order_slots(d, nr, nr_more)
							   : d->chain_len[used.id]);
		nr += nr_more;
	}
	return nr;
}

static bool
packed_collect(struct driver *d, struct used_entry *used)
{
	if (d->batch_left)
		used->id = driver_order_at(d, 0);
	else if (!read_used(d, d->seen, used))
		return false;
	driver_order_take(d, used);
	d->seen = guest_packed_after(d, d->seen, d->chain_len[used->id]);
	d->nr_free += d->chain_len[used->id];
	d->chain_len[used->id] = 0;
	d->free[d->nr_free_ids++] = (uint16_t)used->id;
	return true;
}

static uint32_t
packed_read_writable(const struct driver *d, uint16_t id, uint8_t *dst)
{
	uint32_t slot = d->chain_head[id], done = 0;

	for (;;) {
		const union driver_desc *desc = (const void *)&d->posted[slot];
		uint16_t flags = le16_get(desc->packed.flags);

		if (flags & VIRTQ_DESC_F_INDIRECT)
			return driver_read_table(d, desc, dst);
		done += driver_read_piece(d, desc, dst + done);
		if (!(flags & VIRTQ_DESC_F_NEXT))
			return done;
		slot = (slot + 1) % d->size;
	}
}

/* ---- notifications -------------------------------------------------------------------------- */

static void
packed_want_calls(struct driver *d, bool on)
{
	d->driver_event->flags = le16_put(on ? RING_EVENT_FLAGS_ENABLE : RING_EVENT_FLAGS_DISABLE);
}

static void
packed_want_call_at(struct driver *d, uint16_t event)
{
	d->driver_event->desc = le16_put(event);
	d->driver_event->flags = le16_put(RING_EVENT_FLAGS_DESC);
}

static uint16_t
packed_event_after(const struct driver *d, uint16_t n)
{
	return guest_packed_encode(guest_packed_after(d, d->seen, n));
}

static bool
packed_kicks_refused(const struct driver *d)
{
	return le16_get(d->device_event->flags) == RING_EVENT_FLAGS_DISABLE;
}

static uint16_t
packed_kick_event(const struct driver *d)
{
	return le16_get(d->device_event->desc);
}

/* Slots from one place on to another, which is less than a whole round away. */
static uint32_t
slots_between(const struct driver *d, struct ring_mark from, struct ring_mark to)
{
	return from.wrap == to.wrap ? (uint32_t)to.idx - from.idx
				    : (uint32_t)d->size - from.idx + to.idx;
}

/* 2.8.10: the slot of that number and round is among those just published. */
static bool
packed_must_kick(const struct driver *d)
{
	uint16_t event = packed_kick_event(d);
	struct ring_mark at = { .idx = event & (WRAP_BIT - 1), .wrap = event & WRAP_BIT };

	if (le16_get(d->device_event->flags) != RING_EVENT_FLAGS_DESC)
		return !packed_kicks_refused(d);
	return slots_between(d, d->announced, at) < slots_between(d, d->announced, d->published);
}

/* ---- for lies ------------------------------------------------------------------------------- */

static union driver_desc *
packed_desc(const struct driver *d, uint16_t id, uint16_t n)
{
	CHECK(n < d->chain_len[id]);
	return (union driver_desc *)(void *)&d->packed[((uint32_t)d->chain_head[id] + n) % d->size];
}

/* As available as a whole round from the driver's place on can be. */
static void
packed_insist(struct driver *d)
{
	bool wrap = d->seen.wrap;

	for (uint16_t i = 0; i < d->size; i++)
		make_available(d, (struct ring_mark){ i, i < d->seen.idx ? !wrap : wrap });
}

const struct driver_half guest_packed_half = {
	.init = packed_init,
	.fini = packed_fini,
	.base = packed_base,
	.post = packed_post,
	.publish = packed_publish,
	.collect = packed_collect,
	.read_writable = packed_read_writable,
	.nr_used = packed_nr_used,
	.want_calls = packed_want_calls,
	.want_call_at = packed_want_call_at,
	.event_after = packed_event_after,
	.kicks_refused = packed_kicks_refused,
	.kick_event = packed_kick_event,
	.must_kick = packed_must_kick,
	.desc = packed_desc,
	.insist = packed_insist,
};
