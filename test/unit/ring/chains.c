/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chains.c - post, take, compare, give, collect.
 */
#include "chains.h"

#define BYTES_MAX	4096

struct guest guest;
struct driver driver;
struct ring ring;
struct ring_faults faults;
struct chain chain;
char reason[RING_REASON_LEN];

void
open_ring(const struct driver_conf *conf)
{
	struct ring_claim claim;

	guest_init(&guest);
	driver_init(&driver, &guest, GUEST_LOW_AT, conf);
	memset(&faults, 0, sizeof(faults));
	ring = (struct ring){ .call_fd = -1, .err_fd = -1, .faults = &faults };
	claim = driver_claim(&driver, true);
	CHECK_EQ(vhc_ring_translate(&ring, &claim, guest.map, reason), 0);
	vhc_ring_start(&ring, driver_base(&driver));
}

uint16_t
nr_ready(void)
{
	return ring_ready(&ring, ring.kind) ? vhc_ring_nr_available(&ring) : 0;
}

void
close_ring(void)
{
	for (unsigned int i = 0; i < RING_NR_FAULTS; i++)
		CHECK_EQ(faults.count[i], 0);
	CHECK(!ring.broken);
	driver_fini(&driver);
	guest_fini(&guest);
}

/* ---- random legal chains -------------------------------------------------------------------- */

/* Anywhere, and often where it hurts: against the end of a part, or astride the seam. */
static uint64_t
random_place(uint32_t len)
{
	switch (random_below(6)) {
	case 0:
		return GUEST_END_AT - len;
	case 1:
		return GUEST_FAR_END_AT - len;
	case 2:
		return GUEST_SEAM_AT - random_below(len + 1);
	default:
		return guest_alloc(&guest, len);
	}
}

static struct piece
random_piece(bool writable)
{
	uint32_t len = random_below(8) ? 1 + random_below(BYTES_MAX / PIECES_MAX) : 0;

	return (struct piece){ random_place(len), len, writable };
}

static void
post_random(struct posted *p)
{
	unsigned int nr_max = driver.nr_free < PIECES_MAX ? driver.nr_free : PIECES_MAX;
	unsigned int nr_readable;

	p->nr = 1 + random_below(nr_max);
	nr_readable = random_below(p->nr + 1);
	p->read_len = p->write_len = 0;
	for (unsigned int i = 0; i < p->nr; i++) {
		p->pieces[i] = random_piece(i >= nr_readable);
		*(i < nr_readable ? &p->read_len : &p->write_len) += p->pieces[i].len;
	}
	if (random_below(2))
		p->id = driver_post(&driver, p->pieces, p->nr);
	else
		p->id = driver_post_indirect(&driver, p->pieces, p->nr, random_below(p->nr),
					     guest_alloc(&guest, p->nr * 16));
}

uint32_t
read_pieces(const struct posted *p, bool writable, uint8_t *dst)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < p->nr; i++)
		if (p->pieces[i].writable == writable) {
			guest_read(&guest, p->pieces[i].at, dst + done, p->pieces[i].len);
			done += p->pieces[i].len;
		}
	return done;
}

/*
 * Pieces of one chain may overlap each other in memory: so fill them all first, and look at what
 * came of it.
 */
static void
check_chain(const struct posted *p, uint32_t seed)
{
	uint8_t expected[BYTES_MAX], got[BYTES_MAX];
	struct chain_pos pos = chain_readable(&chain);

	CHECK_EQ(chain.id, p->id);
	CHECK_EQ(chain.read_len, p->read_len);
	CHECK_EQ(chain.write_len, p->write_len);
	for (unsigned int i = 0; i < p->nr; i++) {
		pattern_fill(expected, seed + i, p->pieces[i].len);
		guest_write(&guest, p->pieces[i].at, expected, p->pieces[i].len);
	}
	CHECK_EQ(read_pieces(p, false, expected), p->read_len);
	CHECK_EQ(chain_copy_out(&pos, got, sizeof(got)), p->read_len);
	CHECK_EQ(memcmp(got, expected, p->read_len), 0);

	pos = chain_writable(&chain);
	CHECK_EQ(read_pieces(p, true, expected), p->write_len);
	CHECK_EQ(chain_copy_out(&pos, got, sizeof(got)), p->write_len);
	CHECK_EQ(memcmp(got, expected, p->write_len), 0);
}

/* A packed ring tells descriptors apart, not chains. */
static uint32_t
expected_ready(const struct posted *posted, unsigned int nr)
{
	uint32_t nr_slots = 0;

	if (driver.kind == RING_SPLIT)
		return nr;
	for (unsigned int i = 0; i < nr; i++)
		nr_slots += driver.chain_len[posted[i].id];
	return nr_slots;
}

void
round_trip(struct posted *posted, unsigned int nr, uint32_t seed)
{
	struct used_entry used;

	driver_publish(&driver);
	CHECK_EQ(nr_ready(), expected_ready(posted, nr));
	for (unsigned int i = 0; i < nr; i++) {
		CHECK_EQ(ring_take(&ring, ring.kind, &chain), TAKE_OK);
		check_chain(&posted[i], seed + 100 * i);
		ring_give(&ring, ring.kind, chain.id, posted[i].write_len, chain.nr_slots);
		if (random_below(4) == 0 || i + 1 == nr)
			ring_publish(&ring, ring.kind);
	}
	CHECK_EQ(nr_ready(), 0);
	CHECK_EQ(driver_nr_used(&driver), nr);
	for (unsigned int i = 0; i < nr; i++) {
		CHECK(driver_collect(&driver, &used));
		CHECK_EQ(used.id, posted[i].id);
		CHECK_EQ(used.len, posted[i].write_len);
	}
	CHECK(!driver_collect(&driver, &used));
}

void
random_chains(const struct driver_conf *conf, uint32_t nr_chains)
{
	static struct posted posted[32];

	open_ring(conf);
	for (uint32_t done = 0; done < nr_chains;) {
		unsigned int nr = 0, nr_wanted = 1 + random_below(32);

		while (nr < nr_wanted && driver.nr_free)
			post_random(&posted[nr++]);
		round_trip(posted, nr, done);
		CHECK_EQ(driver.nr_free, conf->size);
		done += nr;
	}
	close_ring();
}

/* ---- runs ----------------------------------------------------------------------------------- */

#define RUN_MAX		16
#define RUN_LEN		100	/* entry n of a run gets this and n */

/* Nothing of a window goes round the ring's end. */
static void
check_window(const struct ring_window *w, uint16_t n)
{
	uint32_t slot = ring.kind == RING_PACKED ? ring.avail.idx :
						   ring.avail.idx & (ring.size - 1u);

	CHECK(w->nr > 0 && w->nr <= n);
	CHECK(slot + w->nr <= ring.size);
}

static uint16_t
give_window(uint16_t nr_done, uint16_t n, const uint16_t *ids)
{
	struct ring_window w = ring_window(&ring, ring.kind, n);
	uint64_t used[RUN_MAX];

	check_window(&w, n);
	for (uint16_t i = 0; i < w.nr; i++) {
		struct ring_look look;

		CHECK(ring_look(&w, ring.kind, i, &look));
		CHECK_EQ(look.addr, GUEST_BUFFERS_AT);
		CHECK_EQ(look.len, 60);
		CHECK_EQ(look.shape, RING_SHAPE_WRITE);
		CHECK_EQ(look.id, ids[nr_done + i]);
		used[i] = ring_used(&w, ring.kind, look.id, RUN_LEN + nr_done + i);
		CHECK_EQ(ring_used_id(ring.kind, used[i]), look.id);
	}
	ring_skip(&ring, ring.kind, (uint16_t)w.nr);
	ring_give_run(&ring, ring.kind, used, w.nr);
	return (uint16_t)w.nr;
}

/* What a look finds behind the last buffer is nothing a burst would take. */
static void
check_nothing_is_left(void)
{
	struct ring_window w = ring_window(&ring, ring.kind, RUN_MAX);
	struct ring_look look;

	if (w.nr > 0 && ring_look(&w, ring.kind, 0, &look))
		CHECK(look.shape != RING_SHAPE_WRITE && look.shape != RING_SHAPE_READ);
}

void
run_of(uint16_t n)
{
	const struct piece piece = { GUEST_BUFFERS_AT, 60, true };
	uint8_t how = ring.kind == RING_PACKED ? RING_IDLE_PACKED : RING_IDLE_SPLIT;
	struct used_entry entry;
	uint16_t ids[RUN_MAX];

	CHECK(ring_idle(&ring, how));
	for (uint16_t i = 0; i < n; i++)
		ids[i] = driver_post(&driver, &piece, 1);
	driver_publish(&driver);
	CHECK(!ring_idle(&ring, how));
	CHECK_EQ(nr_ready(), n);
	for (uint16_t done = 0; done < n; )
		done += give_window(done, n - done, ids);
	check_nothing_is_left();
	CHECK_EQ(driver_nr_used(&driver), 0);
	ring_publish(&ring, ring.kind);
	for (uint16_t i = 0; i < n; i++) {
		CHECK(driver_collect(&driver, &entry));
		CHECK_EQ(entry.id, ids[i]);
		CHECK_EQ(entry.len, RUN_LEN + i);
	}
	CHECK(!driver_collect(&driver, &entry));
}
