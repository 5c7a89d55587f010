/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shape.c - draw a chain.
 */
#include "shape.h"

#include "unit/check.h"

/* More places for one buffer only, behind the ends. */
#define ASTRIDE_SEAM	NR_ENDS
#define BEGIN_OF_FAR	(NR_ENDS + 1)
#define NR_PLACES	(NR_ENDS + 2)

uint64_t
guest_end_at(enum guest_end end, uint32_t len)
{
	static const uint64_t ends[] = {
		[END_OF_LOW] = GUEST_SEAM_AT,
		[END_OF_HIGH] = GUEST_END_AT,
		[END_OF_FAR] = GUEST_FAR_END_AT,
	};

	return ends[end] - len;
}

static bool
one_in(uint32_t n)
{
	return random_below(n) == 0;
}

/* LOW ends at the seam, and FAR is too short for two of the longest. */
static uint32_t
places_barred_by(uint32_t place)
{
	if (place == END_OF_LOW || place == ASTRIDE_SEAM)
		return 1u << END_OF_LOW | 1u << ASTRIDE_SEAM;
	if (place == END_OF_FAR || place == BEGIN_OF_FAR)
		return 1u << END_OF_FAR | 1u << BEGIN_OF_FAR;
	return 1u << place;
}

static uint64_t
place_at(uint32_t place, uint32_t len)
{
	if (place == ASTRIDE_SEAM)
		return GUEST_SEAM_AT - random_below(len + 1);
	return place == BEGIN_OF_FAR ? GUEST_FAR_AT : guest_end_at(place, len);
}

static uint64_t
draw_place(struct shaper *s, uint32_t len)
{
	uint32_t place = random_below(NR_PLACES);

	if (!one_in(4) || s->taken >> place & 1 || len > GUEST_FAR_LEN)
		return guest_alloc(s->guest, len);
	s->taken |= places_barred_by(place);
	return place_at(place, len);
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Half of the chains are in one piece; of the cuts, half are in or beside the header. */
static unsigned int
draw_cuts(const struct shaper *s, uint32_t total, uint32_t *cuts)
{
	unsigned int nr = one_in(2) ? 0 : 1 + random_below(SHAPE_CUTS_MAX);

	for (unsigned int i = 0; i < nr; i++) {
		uint32_t limit = one_in(2) ? total : s->hdr_len + 2u;

		cuts[i] = random_below((limit < total ? limit : total) + 1);
	}
	qsort(cuts, nr, sizeof(cuts[0]), by_value);
	return nr;
}

static struct piece
draw_piece(struct shaper *s, uint32_t len, bool writable)
{
	if (len == 0)
		return (struct piece){ (uint64_t)random_next() << 32 | random_next(), 0, writable };
	return (struct piece){ draw_place(s, len), len, writable };
}

/* Split: any tail of the chain may be in a table; packed: all of it or nothing. */
static unsigned int
draw_nr_direct(const struct shaper *s, unsigned int nr)
{
	if (!s->indirect || !one_in(3))
		return nr;
	return one_in(2) ? 0 : random_below(nr);
}

/*
 * 2.7.4.2: what the device reads comes before what it writes. In packed tables of a queue that only
 * sends nothing is written: real drivers leave the flag on what is to be read.
 */
void
shape_make(struct shaper *s, uint32_t total, bool writable, struct shape *shape)
{
	uint32_t cuts[SHAPE_CUTS_MAX + 1], from = 0;
	unsigned int nr_cuts = draw_cuts(s, total, cuts);
	bool other = one_in(8);

	shape->nr = 0;
	cuts[nr_cuts] = total;
	if (other && writable)
		shape->pieces[shape->nr++] = draw_piece(s, 1 + random_below(100), false);
	for (unsigned int i = 0; i <= nr_cuts; i++) {
		shape->pieces[shape->nr++] = draw_piece(s, cuts[i] - from, writable);
		from = cuts[i];
	}
	shape->nr_direct = draw_nr_direct(s, shape->nr);
	if (!other || writable || (s->packed && shape->nr_direct < shape->nr))
		return;
	shape->nr_direct += shape->nr_direct == shape->nr;
	shape->pieces[shape->nr++] = draw_piece(s, 1 + random_below(100), true);
}

unsigned int
shape_slots(const struct driver *d, const struct shape *shape)
{
	if (shape->nr_direct == shape->nr)
		return shape->nr;
	return d->kind == RING_PACKED ? 1 : shape->nr_direct + 1;
}

void
shape_write(const struct guest *g, const struct shape *shape, const uint8_t *bytes)
{
	for (unsigned int i = 0; i < shape->nr; i++) {
		const struct piece *piece = &shape->pieces[i];

		if (piece->writable)
			continue;
		guest_write(g, piece->at, bytes, piece->len);
		bytes += piece->len;
	}
}

void
shape_fill(const struct guest *g, const struct shape *shape, uint8_t byte)
{
	for (unsigned int i = 0; i < shape->nr; i++)
		if (shape->pieces[i].writable)
			guest_fill(g, shape->pieces[i].at, byte, shape->pieces[i].len);
}

uint16_t
shape_post(struct shaper *s, struct driver *d, const struct shape *shape)
{
	uint64_t table_at;

	CHECK(shape_slots(d, shape) <= d->nr_free);
	if (shape->nr_direct == shape->nr)
		return driver_post(d, shape->pieces, shape->nr);
	table_at = guest_alloc(s->guest, shape->nr * sizeof(union driver_desc));
	return driver_post_indirect(d, shape->pieces, shape->nr, shape->nr_direct, table_at);
}
