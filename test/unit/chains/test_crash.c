/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_crash.c - a back-end ends between any two of its stores, and the next one goes on.
 *
 * The library's own code is compiled in here once more, with stores that count themselves and end
 * the back-end at a number that is given: everything it knew is forgotten, what it had stored in
 * the ring and the in-flight region stays. Then, whatever the number:
 *
 *  - what the driver has not got back is done again, once: nothing is lost, nothing comes twice;
 *  - what had been taken comes first and says so, in the order in which it was taken;
 *  - the next one may end anywhere while it puts things in order, and the one after that goes on.
 */
#define _GNU_SOURCE 1

#include <setjmp.h>
#include <stdint.h>

#include "base/order.h"

static jmp_buf crash;
static uint32_t stores_left;	/* 0: no end in sight */

static void
count_store(void)
{
	if (stores_left && --stores_left == 0)
		longjmp(crash, 1);
}

/* Before the store: the first that is counted never happens, the last but one does. */
#undef st_relaxed
#undef st_release
#undef st_then_fence
#define st_relaxed(p, v) \
	do { \
		count_store(); \
		__atomic_store_n((p), (v), __ATOMIC_RELAXED); \
	} while (0)
#define st_release(p, v) \
	do { \
		count_store(); \
		__atomic_store_n((p), (v), __ATOMIC_RELEASE); \
	} while (0)
#define st_then_fence(p, v) \
	do { \
		count_store(); \
		(void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST); \
	} while (0)

#include "../../../lib/vhostcore/chains.c"
#include "../../../lib/vhostcore/ring/inflight.c"

#include "rig.h"

#define SIZE		8
#define NR_REQUESTS	40
#define PIECES_MAX	3

static struct chain_rig rig;

/* ---- requests ------------------------------------------------------------------------------- */

/* A request is known by the address of its first byte: ids are used again. */
struct request {
	const void *at;		/* here */
	bool is_done;		/* the driver has it back */
};

static struct request requests[NR_REQUESTS];
static unsigned int nr_posted, nr_collected;
static uint16_t request_of_id[SIZE];

/* The order in which a back-end saw them; a later one must see the same. */
static unsigned int order[NR_REQUESTS];
static unsigned int nr_seen;

static unsigned int
place_in_order(unsigned int request)
{
	for (unsigned int i = 0; i < nr_seen; i++)
		if (order[i] == request)
			return i;
	order[nr_seen] = request;
	return nr_seen++;
}

static unsigned int
request_of(const struct vhc_chain *chain)
{
	unsigned int i = 0;

	CHECK(chain->nr_readable > 0);
	while (i < nr_posted && requests[i].at != chain->readable[0].iov_base)
		i++;
	CHECK(i < nr_posted);
	return i;
}

static void
post_all_that_fits(void)
{
	while (nr_posted < NR_REQUESTS) {
		struct piece pieces[PIECES_MAX];
		unsigned int nr = 1 + random_below(PIECES_MAX);
		struct map_hint hint = { 0 };

		if (rig.driver.nr_free < nr)
			break;
		for (unsigned int i = 0; i < nr; i++)
			pieces[i] = (struct piece){ guest_alloc(&rig.guest, 16), 16, i > 0 };
		requests[nr_posted].at = map_whole(rig.guest.map, &hint, (gpa){ pieces[0].at }, 1);
		request_of_id[driver_post(&rig.driver, pieces, nr)] = (uint16_t)nr_posted++;
	}
	driver_publish(&rig.driver);
}

static void
collect_all(void)
{
	struct used_entry used;

	while (driver_collect(&rig.driver, &used)) {
		struct request *request = &requests[request_of_id[used.id]];

		CHECK(!request->is_done);
		request->is_done = true;
		nr_collected++;
	}
}

/* ---- a back-end ----------------------------------------------------------------------------- */

static struct vhc_chain *held[SIZE];
static unsigned int nr_held;

static void
take_some(uint16_t n)
{
	struct vhc_chain *chains[SIZE];
	uint16_t nr = vhc_queue_take(rig.q, chains, n);

	for (uint16_t i = 0; i < nr; i++) {
		CHECK(nr_held < SIZE);
		CHECK(!requests[request_of(chains[i])].is_done);
		place_in_order(request_of(chains[i]));
		held[nr_held++] = chains[i];
	}
}

/* Any of them, in any order. */
static void
give_some(unsigned int n)
{
	for (; n && nr_held; n--) {
		unsigned int which = random_below(nr_held);

		vhc_queue_give(rig.q, held[which], 0);
		held[which] = held[--nr_held];
	}
	vhc_queue_publish(rig.q);
}

static void
serve(void)
{
	while (nr_collected < NR_REQUESTS) {
		post_all_that_fits();
		take_some((uint16_t)(1 + random_below(4)));
		give_some(random_below(4));
		collect_all();
	}
}

/* What was taken comes again, first and in its order; what was not comes behind. */
static void
check_what_comes_again(void)
{
	struct vhc_chain *chains[SIZE];
	uint16_t nr = vhc_queue_take(rig.q, chains, SIZE);
	unsigned int last = 0;
	bool any_new = false;

	for (uint16_t i = 0; i < nr; i++) {
		unsigned int request = request_of(chains[i]), place = place_in_order(request);

		CHECK(!requests[request].is_done);
		CHECK(i == 0 || place > last);
		CHECK(!any_new || !chains[i]->is_resubmitted);
		any_new = any_new || !chains[i]->is_resubmitted;
		last = place;
		held[nr_held++] = chains[i];
	}
}

/* ---- the end of it -------------------------------------------------------------------------- */

enum phase { SERVING, RECOVERING, OVER };

/* Returns true if the back-end ended before its time. */
static bool
run_until(uint32_t stores, enum phase phase)
{
	if (setjmp(crash))
		return true;
	stores_left = stores;
	if (phase == SERVING)
		serve();
	else
		CHECK(chain_rig_recover(&rig));
	stores_left = 0;
	return false;
}

static void
begin_story(const struct driver_conf *conf, uint32_t seed)
{
	random_begin(seed);
	memset(requests, 0, sizeof(requests));
	nr_posted = nr_collected = nr_seen = nr_held = 0;
	chain_rig_open(&rig, conf, false, true);
}

/* One crash, and one more while the next one puts things in order, unless `second` is 0. */
static bool
tell_story(const struct driver_conf *conf, uint32_t seed, uint32_t first, uint32_t second)
{
	bool crashed;

	begin_story(conf, seed);
	crashed = run_until(first, SERVING);
	collect_all();
	if (crashed) {
		nr_held = 0;
		chain_rig_abandon(&rig);
		chain_rig_prepare(&rig);
		if (run_until(second, RECOVERING)) {
			chain_rig_abandon(&rig);
			CHECK(chain_rig_begin(&rig));
		}
		check_what_comes_again();
		collect_all();
		serve();
	}
	CHECK_EQ(nr_collected, NR_REQUESTS);
	CHECK_EQ(rig.driver.nr_free, rig.driver.size);
	chain_rig_close(&rig);
	return crashed;
}

#define NR_SEEDS 6

static void
crash_everywhere(const struct driver_conf *conf)
{
	for (uint32_t seed = 1; seed <= NR_SEEDS; seed++) {
		uint32_t first = 1;

		while (tell_story(conf, seed, first, 0))
			first++;
		CHECK(first > 200);	/* stores were counted at all */
	}
}

static void
crash_twice(const struct driver_conf *conf)
{
	for (uint32_t first = 20; first < 400; first += 7)
		for (uint32_t second = 1; second < 60; second++)
			tell_story(conf, 9, first, second);
}

static const struct driver_conf split = { .kind = RING_SPLIT, .size = SIZE };
static const struct driver_conf packed = {
	.kind = RING_PACKED, .size = SIZE, .first = DRIVER_PACKED_FRESH,
};
static const struct driver_conf split_in_order = {
	.kind = RING_SPLIT, .size = SIZE, .in_order = true, .in_sequence = true,
};
static const struct driver_conf packed_in_order = {
	.kind = RING_PACKED, .size = SIZE, .first = DRIVER_PACKED_FRESH, .in_order = true,
};

static void test_split(void) { crash_everywhere(&split); }
static void test_packed(void) { crash_everywhere(&packed); }
static void test_split_in_order(void) { crash_everywhere(&split_in_order); }
static void test_packed_in_order(void) { crash_everywhere(&packed_in_order); }
static void test_split_twice(void) { crash_twice(&split); }
static void test_packed_twice(void) { crash_twice(&packed); }

static const struct test tests[] = {
	TEST(test_split),
	TEST(test_packed),
	TEST(test_split_in_order),
	TEST(test_packed_in_order),
	TEST(test_split_twice),
	TEST(test_packed_twice),
};

int
main(void)
{
	return RUN_TESTS(tests);
}
