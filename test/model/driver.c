/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * driver.c - books that do not depend on the layout, and the way to what does.
 */
#include "driver_half.h"

#include "base/order.h"
#include "guest_packed.h"
#include "guest_split.h"
#include "unit/check.h"

void *
driver_array(size_t nr, size_t len)
{
	void *array = calloc(nr, len);

	CHECK(array);
	return array;
}

/* Shuffled: chains must not happen to be neighbours in the table. */
static void
fill_free(struct driver *d, bool shuffled)
{
	for (uint16_t i = 0; i < d->size; i++) {
		uint32_t other = shuffled ? random_below(i + 1u) : i;

		d->free[i] = d->free[other];
		d->free[other] = i;
	}
}

void
driver_init(struct driver *d, struct guest *g, uint64_t at, const struct driver_conf *conf)
{
	*d = (struct driver){
		.half = conf->kind == RING_PACKED ? &guest_packed_half : &guest_split_half,
		.guest = g,
		.kind = conf->kind,
		.size = conf->size,
		.event_idx = conf->event_idx,
		.in_order = conf->in_order,
		.is_lenient = conf->is_lenient,
		.nr_free = conf->size,
	};
	d->free = driver_array(d->size, sizeof(*d->free));
	d->chain_len = driver_array(d->size, sizeof(*d->chain_len));
	d->order = driver_array(d->size, sizeof(*d->order));
	fill_free(d, !conf->in_sequence);
	d->half->init(d, at, conf->first);
}

void
driver_fini(struct driver *d)
{
	d->half->fini(d);
	free(d->free);
	free(d->chain_len);
	free(d->order);
}

struct ring_claim
driver_claim(const struct driver *d, bool indirect)
{
	return (struct ring_claim){
		.size = d->size,
		.desc = { GUEST_USER(d->desc_at) },
		.avail = { GUEST_USER(d->avail_at) },
		.used = { GUEST_USER(d->used_at) },
		.kind = d->kind,
		.event_idx = d->event_idx,
		.indirect = indirect,
		.in_order = d->in_order,
	};
}

uint32_t
driver_base(const struct driver *d)
{
	return d->half->base(d);
}

/* ---- post, publish -------------------------------------------------------------------------- */

uint16_t
driver_post(struct driver *d, const struct piece *pieces, unsigned int nr)
{
	return d->half->post(d, pieces, nr, nr, 0);
}

uint16_t
driver_post_indirect(struct driver *d, const struct piece *pieces, unsigned int nr,
		     unsigned int nr_direct, uint64_t table_at)
{
	CHECK(nr_direct < nr);
	return d->half->post(d, pieces, nr, nr_direct, table_at);
}

void
driver_publish(struct driver *d)
{
	d->half->publish(d);
}

/* ---- collect -------------------------------------------------------------------------------- */

void
driver_order_put(struct driver *d, uint16_t id)
{
	if (!d->in_order)
		return;
	CHECK(d->nr_order < d->size);
	d->order[((uint32_t)d->order_first + d->nr_order++) % d->size] = id;
}

uint16_t
driver_order_at(const struct driver *d, uint16_t n)
{
	CHECK(n < d->nr_order);
	return d->order[((uint32_t)d->order_first + n) % d->size];
}

uint16_t
driver_order_find(const struct driver *d, uint16_t skip, uint16_t id)
{
	uint16_t nr = 1;

	while (driver_order_at(d, skip + nr - 1) != id)
		nr++;
	return nr;
}

void
driver_order_take(struct driver *d, struct used_entry *used)
{
	CHECK(used->id < d->size);
	CHECK(d->chain_len[used->id] > 0);
	if (!d->in_order)
		return;
	if (!d->batch_left) {
		d->batch_left = driver_order_find(d, 0, (uint16_t)used->id);
		d->batch_len = used->len;
	}
	used->id = driver_order_at(d, 0);
	d->order_first = (uint16_t)((d->order_first + 1u) % d->size);
	d->nr_order--;
	/* 2.7.9: nobody knows the lengths of the others. */
	used->len = --d->batch_left ? 0 : d->batch_len;
}

bool
driver_collect(struct driver *d, struct used_entry *used)
{
	return d->half->collect(d, used);
}

uint32_t
driver_read_piece(const struct driver *d, const union driver_desc *desc, uint8_t *dst)
{
	union driver_desc copy = *desc;

	if (!(le16_get(*driver_desc_flags(d, &copy)) & VIRTQ_DESC_F_WRITE))
		return 0;
	guest_read(d->guest, le64_get(desc->addr), dst, le32_get(desc->len));
	return le32_get(desc->len);
}

uint32_t
driver_read_table(const struct driver *d, const union driver_desc *desc, uint8_t *dst)
{
	uint32_t nr = le32_get(desc->len) / (uint32_t)sizeof(*desc), done = 0;

	for (uint32_t i = 0; i < nr; i++) {
		union driver_desc entry;

		guest_read(d->guest, le64_get(desc->addr) + i * sizeof(entry), &entry,
			   sizeof(entry));
		done += driver_read_piece(d, &entry, dst + done);
	}
	return done;
}

uint32_t
driver_read_writable(const struct driver *d, uint16_t id, uint8_t *dst)
{
	return d->half->read_writable(d, id, dst);
}

uint16_t
driver_nr_used(const struct driver *d)
{
	return d->half->nr_used(d);
}

/* ---- notifications -------------------------------------------------------------------------- */

void
driver_want_calls(struct driver *d, bool on)
{
	d->half->want_calls(d, on);
}

void
driver_want_call_at(struct driver *d, uint16_t event)
{
	d->half->want_call_at(d, event);
}

uint16_t
driver_event_after(const struct driver *d, uint16_t n)
{
	return d->half->event_after(d, n);
}

bool
driver_kicks_refused(const struct driver *d)
{
	return d->half->kicks_refused(d);
}

uint16_t
driver_kick_event(const struct driver *d)
{
	return d->half->kick_event(d);
}

/* What was published must be there before the device's wish is read: it does the reverse. */
bool
driver_must_kick(const struct driver *d)
{
	fence_full();
	return d->half->must_kick(d);
}

/* ---- for lies ------------------------------------------------------------------------------- */

union driver_desc *
driver_desc(const struct driver *d, uint16_t id, uint16_t n)
{
	return d->half->desc(d, id, n);
}

le16 *
driver_desc_flags(const struct driver *d, union driver_desc *desc)
{
	return d->kind == RING_PACKED ? &desc->packed.flags : &desc->split.flags;
}

void
driver_insist(struct driver *d)
{
	d->half->insist(d);
}
