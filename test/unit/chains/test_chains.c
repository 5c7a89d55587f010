/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_chains.c - requests come out whole and go back in any order: every kind of ring.
 */
#define _GNU_SOURCE 1

#include "model/shape.h"
#include "rig.h"

#define SIZE		64
#define NR_ROUNDS	40
#define NR_REQUESTS	500	/* in one of them */
#define LEN_MAX		5000

static struct chain_rig rig;
static struct driver_conf conf = { .size = SIZE };
static bool with_indirect, with_event_idx, is_tracked;

/* ---- requests ------------------------------------------------------------------------------- */

/* By id: what the driver sent, and what it is to get. */
struct request {
	struct shape shape;
	uint32_t seed;
	uint32_t read_len;
	uint32_t write_len;
	uint32_t written;	/* of that */
	bool is_writable;
};

static struct request requests[SIZE];
static uint32_t next_seed;
static struct shaper shaper;

static uint32_t
len_of(const struct shape *shape, bool writable)
{
	uint32_t len = 0;

	for (unsigned int i = 0; i < shape->nr; i++)
		if (shape->pieces[i].writable == writable)
			len += shape->pieces[i].len;
	return len;
}

static bool
post_one(void)
{
	struct request request = { .seed = ++next_seed, .is_writable = random_below(2) };
	static uint8_t bytes[LEN_MAX + 200];

	shape_make(&shaper, random_below(LEN_MAX), request.is_writable, &request.shape);
	if (shape_slots(&rig.driver, &request.shape) > rig.driver.nr_free)
		return false;
	request.read_len = len_of(&request.shape, false);
	request.write_len = len_of(&request.shape, true);
	request.written = request.write_len ? random_below(request.write_len + 1) : 0;
	pattern_fill(bytes, request.seed, request.read_len);
	shape_write(&rig.guest, &request.shape, bytes);
	shape_fill(&rig.guest, &request.shape, 0xee);
	requests[shape_post(&shaper, &rig.driver, &request.shape)] = request;
	return true;
}

/* What came is what was sent; the answer is another pattern, in pieces. */
static void
serve(struct vhc_chain *chain)
{
	const struct request *request = &requests[chain->id];
	uint8_t got[LEN_MAX + 200], meant[LEN_MAX + 200];
	uint32_t half = request->written / 2;

	CHECK_EQ(chain->readable_len, request->read_len);
	CHECK_EQ(chain->writable_len, request->write_len);
	CHECK(!chain->user && !chain->is_resubmitted);
	pattern_fill(meant, request->seed, request->read_len);
	CHECK_EQ(vhc_chain_read(chain, 0, got, sizeof(got)), request->read_len);
	CHECK_EQ(memcmp(got, meant, request->read_len), 0);
	CHECK_EQ(vhc_chain_read(chain, request->read_len, got, 1), 0);
	if (request->read_len) {
		CHECK_EQ(vhc_chain_read(chain, request->read_len - 1, got, 9), 1);
		CHECK_EQ(got[0], meant[request->read_len - 1]);
	}
	pattern_fill(meant, ~request->seed, request->written);
	CHECK_EQ(vhc_chain_write(chain, half, meant + half, request->written - half),
		 request->written - half);
	CHECK_EQ(vhc_chain_write(chain, 0, meant, half), half);
	CHECK_EQ(vhc_chain_write(chain, request->write_len, meant, 1), 0);
}

/* By the request, not by the ring: there its place may be another's by now. */
static uint32_t
read_answer(const struct shape *shape, uint8_t *dst)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < shape->nr; i++) {
		const struct piece *piece = &shape->pieces[i];

		if (!piece->writable || !piece->len)
			continue;
		guest_read(&rig.guest, piece->at, dst + done, piece->len);
		done += piece->len;
	}
	return done;
}

static void
check_answer(const struct used_entry *used)
{
	const struct request *request = &requests[used->id];
	uint8_t got[LEN_MAX + 200], meant[LEN_MAX + 200];
	uint32_t len = read_answer(&request->shape, got);

	CHECK_EQ(used->len, request->written);
	CHECK_EQ(len, request->write_len);
	pattern_fill(meant, ~request->seed, request->written);
	memset(meant + request->written, 0xee, len - request->written);
	CHECK_EQ(memcmp(got, meant, len), 0);
}

/* ---- round trips ---------------------------------------------------------------------------- */

static struct vhc_chain *held[SIZE];
static unsigned int nr_held;

static void
take_some(void)
{
	uint16_t nr = vhc_queue_take(rig.q, held + nr_held, (uint16_t)(1 + random_below(8)));

	for (uint16_t i = 0; i < nr; i++)
		serve(held[nr_held++]);
	CHECK_EQ(vhc_queue_nr_taken(rig.q), nr_held);
}

static void
give_some(unsigned int n)
{
	for (; n && nr_held; n--) {
		unsigned int which = random_below(nr_held);

		vhc_queue_give(rig.q, held[which], requests[held[which]->id].written);
		held[which] = held[--nr_held];
	}
	CHECK_EQ(vhc_queue_nr_taken(rig.q), nr_held);
}

static uint32_t
collect_all(void)
{
	struct used_entry used;
	uint32_t nr = 0;

	for (; driver_collect(&rig.driver, &used); nr++)
		check_answer(&used);
	return nr;
}

/* With EVENT_IDX the driver asks for the next one: used entries that nobody tells of are a bug. */
static void
check_called(uint32_t nr_new)
{
	uint64_t nr_calls = chain_rig_calls(&rig);

	CHECK(!nr_new || nr_calls > 0);
	if (with_event_idx)
		driver_want_call_at(&rig.driver, driver_event_after(&rig.driver, 0));
}

/* What lies at the ends of memory must not meet what is allocated in turn: nothing is out yet. */
static void
round_trips(void)
{
	uint32_t nr_posted = 0, nr_back = 0;

	nr_held = 0;
	shaper.taken = 0;
	rig.guest.next = GUEST_BUFFERS_AT;
	while (nr_back < NR_REQUESTS) {
		uint32_t nr;

		while (nr_posted < NR_REQUESTS && random_below(4) && post_one())
			nr_posted++;
		driver_publish(&rig.driver);
		take_some();
		give_some(random_below(10));
		if (random_below(4))
			vhc_queue_publish(rig.q);
		nr = collect_all();
		check_called(nr);
		nr_back += nr;
	}
	CHECK_EQ(rig.driver.nr_free, SIZE);
}

static void
test_random_chains(void)
{
	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	shaper = (struct shaper){
		.guest = &rig.guest, .hdr_len = 16, .indirect = with_indirect,
		.packed = conf.kind == RING_PACKED,
	};
	next_seed = 0;
	if (with_event_idx)
		driver_want_call_at(&rig.driver, driver_event_after(&rig.driver, 0));
	for (unsigned int i = 0; i < NR_ROUNDS; i++)
		round_trips();
	chain_rig_close(&rig);
}

/* ---- one by one ----------------------------------------------------------------------------- */

static struct piece
a_piece(bool writable)
{
	return (struct piece){ guest_alloc(&rig.guest, 32), 32, writable };
}

/* Without IN_ORDER what is given is back at once; with it, when all before it is. */
static void
test_early_answers_wait_only_in_order(void)
{
	struct vhc_chain *chains[3];
	struct piece piece;
	struct used_entry used;

	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	for (unsigned int i = 0; i < 3; i++) {
		piece = a_piece(true);
		driver_post(&rig.driver, &piece, 1);
	}
	driver_publish(&rig.driver);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 3), 3);
	vhc_queue_give(rig.q, chains[2], 3);
	vhc_queue_publish(rig.q);
	CHECK_EQ(driver_nr_used(&rig.driver), !conf.in_order);
	vhc_queue_give(rig.q, chains[0], 1);
	vhc_queue_publish(rig.q);
	CHECK_EQ(driver_nr_used(&rig.driver), conf.in_order ? 1 : 2);
	CHECK_EQ(chain_nr_held(rig.cq), conf.in_order ? 2 : 1);
	vhc_queue_give(rig.q, chains[1], 2);
	vhc_queue_publish(rig.q);
	CHECK_EQ(driver_nr_used(&rig.driver), 3);
	for (uint32_t i = 0; i < 3; i++) {
		static const uint32_t early[] = { 3, 1, 2 };

		CHECK(driver_collect(&rig.driver, &used));
		CHECK_EQ(used.len, conf.in_order ? i + 1 : early[i]);
	}
	chain_rig_close(&rig);
}

/* After a first lap no chain is made any more. */
static void
test_chains_are_used_again(void)
{
	struct chain_item *made;
	struct used_entry used;

	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	for (unsigned int lap = 0; lap < 10; lap++) {
		struct vhc_chain *chains[SIZE];
		struct piece pieces[20];
		uint16_t nr;

		for (unsigned int i = 0; i < 20; i++)
			pieces[i] = a_piece(i > 9);
		driver_post(&rig.driver, pieces, 20);
		driver_post(&rig.driver, pieces, 1);
		driver_publish(&rig.driver);
		nr = vhc_queue_take(rig.q, chains, SIZE);
		CHECK_EQ(nr, 2);
		CHECK_EQ(chains[0]->nr_readable, 10);
		CHECK_EQ(chains[0]->nr_writable, 10);
		CHECK(lap == 0 || rig.cq->made == made);
		made = rig.cq->made;
		for (uint16_t i = 0; i < nr; i++)
			vhc_queue_give(rig.q, chains[i], 0);
		vhc_queue_publish(rig.q);
		while (driver_collect(&rig.driver, &used))
			;
	}
	chain_rig_close(&rig);
}

/* What cannot be published while the gate is closed is published by whoever is next. */
static void
test_published_behind_a_closed_gate(void)
{
	struct vhc_chain *chains[4];
	struct piece piece;
	struct used_entry used;

	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	for (unsigned int i = 0; i < 4; i++) {
		piece = a_piece(true);
		driver_post(&rig.driver, &piece, 1);
	}
	driver_publish(&rig.driver);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 4), 4);
	rig.q->gate.closed = 1;
	vhc_queue_give(rig.q, chains[0], 1);
	vhc_queue_publish(rig.q);
	vhc_queue_give(rig.q, chains[1], 2);
	vhc_queue_publish(rig.q);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 1), 0);
	CHECK_EQ(driver_nr_used(&rig.driver), 0);
	CHECK_EQ(chain_nr_held(rig.cq), 4);
	/* Control, */
	vhc_chains_catch_up(rig.cq);
	CHECK_EQ(driver_nr_used(&rig.driver), 2);
	CHECK_EQ(chain_nr_held(rig.cq), 2);
	/* or the poller, in the order in which they were given. */
	vhc_queue_give(rig.q, chains[2], 3);
	vhc_queue_publish(rig.q);
	rig.q->gate.closed = 0;
	vhc_queue_give(rig.q, chains[3], 4);
	vhc_queue_publish(rig.q);
	for (uint32_t i = 0; i < 4; i++) {
		CHECK(driver_collect(&rig.driver, &used));
		CHECK_EQ(used.len, i + 1);
	}
	CHECK_EQ(rig.memory.nr_taken, rig.memory.nr_back + rig.memory.nr_back_late);
	rig.memory.nr_back += rig.memory.nr_back_late;
	chain_rig_close(&rig);
}

/* A ring that is over takes nothing back. */
static void
test_dropped_when_it_is_over(void)
{
	struct vhc_chain *chains[2];
	struct piece piece;

	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	for (unsigned int i = 0; i < 2; i++) {
		piece = a_piece(true);
		driver_post(&rig.driver, &piece, 1);
	}
	driver_publish(&rig.driver);
	CHECK_EQ(vhc_queue_take(rig.q, chains, 2), 2);
	rig.q->gate.closed = 1;
	vhc_queue_give(rig.q, chains[0], 1);
	vhc_queue_publish(rig.q);
	rig.cq->is_over = 1;
	vhc_chains_catch_up(rig.cq);
	CHECK_EQ(chain_nr_held(rig.cq), 1);
	vhc_queue_give(rig.q, chains[1], 1);
	vhc_queue_publish(rig.q);
	CHECK_EQ(chain_nr_held(rig.cq), 0);
	CHECK_EQ(driver_nr_used(&rig.driver), 0);
	rig.memory.nr_back += rig.memory.nr_back_late;
	chain_rig_close(&rig);
}

/* ---- what a migration must move ------------------------------------------------------------- */

static uint8_t dirty_bits[(GUEST_FAR_END_AT >> DIRTY_LOG_PAGE_BITS) / 8];

static bool
is_dirty(uint64_t at)
{
	uint64_t page = at >> DIRTY_LOG_PAGE_BITS;

	return dirty_bits[page / 8] >> page % 8 & 1;
}

/* Pages that were written, those the ring's used part is in, and no others. */
static void
test_what_is_written_is_logged(void)
{
	const uint64_t at = GUEST_BUFFERS_AT, page = UINT64_C(1) << DIRTY_LOG_PAGE_BITS;
	const struct piece pieces[] = { { at, 8, false }, { at + page, 100, true },
					{ at + 3 * page, 2 * (uint32_t)page, true } };
	struct dirty_map map = { .bits = dirty_bits, .size = sizeof(dirty_bits) };
	struct vhc_chain *chain;
	struct used_entry used;

	chain_rig_open(&rig, &conf, with_indirect, is_tracked);
	memset(dirty_bits, 0, sizeof(dirty_bits));
	rig.device.dirty.active = &map;
	rig.q->log_used_at = conf.kind == RING_PACKED ? rig.driver.desc_at : rig.driver.used_at;
	driver_post(&rig.driver, pieces, 3);
	driver_publish(&rig.driver);
	CHECK_EQ(vhc_queue_take(rig.q, &chain, 1), 1);
	CHECK(!is_dirty(rig.q->log_used_at));
	vhc_queue_give(rig.q, chain, 100 + 1 + (uint32_t)page);
	vhc_queue_publish(rig.q);
	CHECK(driver_collect(&rig.driver, &used));
	CHECK(is_dirty(rig.q->log_used_at));
	CHECK(!is_dirty(at) && is_dirty(at + page) && !is_dirty(at + 2 * page));
	CHECK(is_dirty(at + 3 * page) && is_dirty(at + 4 * page) && !is_dirty(at + 5 * page));
	rig.device.dirty.active = NULL;
	chain_rig_close(&rig);
}

static const struct test tests[] = {
	TEST(test_random_chains),
	TEST(test_early_answers_wait_only_in_order),
	TEST(test_chains_are_used_again),
	TEST(test_published_behind_a_closed_gate),
	TEST(test_dropped_when_it_is_over),
	TEST(test_what_is_written_is_logged),
};

/* Arguments say what kind of ring; VHOSTX_SEED draws other chains. */
int
main(int argc, char **argv)
{
	const char *seed = getenv("VHOSTX_SEED");

	random_begin(seed ? (uint32_t)atoi(seed) : 1);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "packed") == 0) {
			conf.kind = RING_PACKED;
			conf.first = DRIVER_PACKED_FRESH;
		}
		conf.in_order |= strcmp(argv[i], "in-order") == 0;
		with_event_idx |= strcmp(argv[i], "event-idx") == 0;
		with_indirect |= strcmp(argv[i], "indirect") == 0;
		is_tracked |= strcmp(argv[i], "tracked") == 0;
	}
	conf.event_idx = with_event_idx;
	conf.in_sequence = conf.in_order;
	return RUN_TESTS(tests);
}
